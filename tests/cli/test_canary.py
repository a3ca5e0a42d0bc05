"""`mlops canary`: how it stands, in words and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mlops.cli.canary import canary
from mlops.errors import UsageError
from tests.promotions import add_version, decide

if TYPE_CHECKING:
    from mlops.site import Site


def test_what_is_asked_for_is_told_in_words_and_as_json(
    mlflow_site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(mlflow_site.layout.root))

    def told() -> dict[str, object]:
        capsys.readouterr()
        assert canary(json=True) == 0
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found, dict)
        return found

    assert canary() == 0
    assert "none asked for; ask: mlops canary 5%" in capsys.readouterr().out
    assert told() == {"version": None, "share": 0.0, "tag": ""}
    decide(mlflow_site, add_version(mlflow_site), None, approval="auto")
    decide(mlflow_site, add_version(mlflow_site), "1", approval="auto", outcome="inconclusive")
    assert canary("5%", version="2", json=True) == 0
    asked = {"version": "2", "share": 0.05, "tag": "5%"}
    assert json.loads(capsys.readouterr().out) == asked == told()
    assert canary() == 0
    assert "canary: version 2: 5%" in capsys.readouterr().out
    assert canary("off") == 0
    assert "version 2 gets nothing any more" in capsys.readouterr().out
    assert told() == {"version": "2", "share": 0.0, "tag": "off"}
    with pytest.raises(UsageError, match=r"write 5%, 0\.5% or off"):
        canary("half")
