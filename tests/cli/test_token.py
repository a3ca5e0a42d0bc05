"""`mlops token`: names and rates are told, the tokens themselves only once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mlops.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


def test_tokens_are_listed_by_name_and_rate_in_words_and_as_json(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(root))

    def mlops(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["token", *words])
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert mlops("list") == "token: none yet; make one: mlops token add NAME\n"
    assert json.loads(mlops("list", "--json")) == []
    secrets = [mlops("add", "me"), mlops("add", "you", "--rate", "2.5")]
    assert mlops("list") == "me\nyou  2.5 requests/s\n"
    shown = mlops("list", "--json")
    assert json.loads(shown) == [{"name": "me", "rate": None}, {"name": "you", "rate": 2.5}]
    assert not any(secret.strip() in shown for secret in secrets)
    mlops("remove", "me")
    assert [one["name"] for one in json.loads(mlops("list", "--json"))] == ["you"]
