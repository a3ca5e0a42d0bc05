"""What holds for every verb: the whole of params.yaml is checked, and what reads speaks JSON."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from mlops.adapters.files import write_json
from mlops.cli import main as cli
from mlops.core.schema import to_plain
from mlops.errors import EXIT_ERROR, EXIT_USAGE
from mlops.run import STEPS
from tests.cli.verbs import every
from tests.examples import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

ACTS = {
    "serve": "runs until it is ended", "up": "runs until it is ended",
    "demo": "tells a story", "init": "edits params.yaml", "silence": "holds mails back",
    "report": "makes pages", "token add": "prints a secret, once", "token remove": "takes it away",
}  # fmt: skip
"""The verbs that read nothing out, and what they do instead."""

WORDS = {
    "approve": "1", "canary": "", "incident": "digits-1", "init": "mine", "label import": "x.csv",
    "predict": "x.png", "replay": "abc", "score": "x.csv out", "silence": "digits-1",
    "token add": "me", "token remove": "me", "trace": "abc", "why": "1",
}  # fmt: skip
"""Arguments without which a verb does not begin."""

APART = {"predict", "token add", "token list", "token remove", "doctor", "mail preview", "up"}
"""Verbs that ask nothing of params.yaml, and `up`, whose own tests start it."""


def test_every_verb_that_reads_can_print_json() -> None:
    assert set(ACTS) <= set(every())
    silent = [
        name for name, verb in every().items()
        if name not in ACTS and "json" not in inspect.signature(verb).parameters
    ]  # fmt: skip
    assert silent == []


@pytest.mark.parametrize(
    "words",
    ["incident x", "silence x", "label export --incident x", "report x", "why 9", "trace x",
     "replay x", "token remove x"],
)  # fmt: skip
def test_what_is_not_known_by_that_name_ends_with_1(
    words: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    (root / "data" / "snapshot").mkdir()
    write_json(root / "data" / "snapshot" / "schema.json", to_plain(SCHEMA))
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    said = capsys.readouterr().err
    assert ended.value.code == EXIT_ERROR, said
    assert len(said.splitlines()) == 1
    assert words.rpartition(" ")[2] in said
    assert "see: mlops" in said or "prediction_id" in said


@pytest.mark.parametrize("name", sorted(set(every()) - APART))
def test_every_verb_refuses_a_mistake_anywhere_in_the_parameters_and_writes_nothing(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("  intended_use:", "  intended_usage:", 1))
    (root / "dvc.yaml").write_text("stages: {}")
    with pytest.raises(SystemExit) as ended:
        cli.main([*name.split(), *WORDS.get(name, "").split()])
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == EXIT_USAGE, said
    assert "params.yaml:" in said[-1]
    assert "card.intended_usage is not a known key (did you mean intended_use?)" in said[-1]
    left = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    locks = {f".mlops/locks/{name}.{end}" for end in ("lock", "holder")} if name in STEPS else set()
    assert left <= {"params.yaml", "dvc.yaml", *locks}
