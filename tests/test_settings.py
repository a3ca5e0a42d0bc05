"""A wrong variable is one line: where it is set, its name, its value, the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.errors import EXIT_USAGE, UsageError
from mlops.layout import Layout
from mlops.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

CASES = [
    ("SERVE_PORT", "eighty", "= 'eighty': write a whole number (Port of `mlops serve`);"),
    ("SERVE_PORT", "99999", "= '99999': write a value that is less than or equal to 65535"),
    ("SERVE_PORT", "http://me:hush@h", "= 'http://***@h': write a whole number"),
    ("ACCESS_LOG", "perhaps", "= 'perhaps': write true or false (A log line per request"),
    ("PAYLOADS", "none", "= 'none': write 'keep' or 'hash' (Whether predictions keep"),
    ("LOG_SAMPLE", "0", "= '0': write a value that is greater than 0"),
    ("DEADLINE_S", "", "= '': write a number (Latest answer of the server"),
]


@pytest.mark.parametrize(("name", "value", "said"), CASES)
def test_a_wrong_variable_is_one_line_with_value_and_remedy(
    name: str, value: str, said: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MLOPS_{name}", value)
    with pytest.raises(UsageError) as refused:
        load_settings(Layout(root))
    told = str(refused.value)
    assert told.startswith(f"environment: MLOPS_{name} {said}")
    assert told.endswith(f"left out, it is {Settings.model_fields[name.lower()].default!r}")
    assert refused.value.exit_code == EXIT_USAGE
    assert len(told.splitlines()) == 1


def test_a_long_value_is_shortened_and_the_file_is_named(root: Path) -> None:
    (root / ".env").write_text(f"mlops_serve_workers={'x' * 500}\n")
    with pytest.raises(UsageError, match=r"^\.env: MLOPS_SERVE_WORKERS = 'x{60}…': write a whole"):
        load_settings(Layout(root))


def test_a_secret_is_never_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_TOKEN", "hush")
    settings = load_settings(Layout(root))
    wrong = {"loc": ("token",), "input": "hush", "type": "string_type", "msg": "no string"}
    from mlops.settings import _explain

    assert "hush" not in f"{settings!r} {settings.shown('token')} {_explain(wrong)}"  # type: ignore[arg-type]
