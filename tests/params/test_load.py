from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import EXIT_USAGE, ParamsError
from mlops.params.base import View
from mlops.params.data import DataSection
from mlops.params.gate import GateSection
from mlops.params.load import MAX_BYTES, load
from mlops.params.model import ModelSection
from mlops.params.monitoring import MonitoringSection
from mlops.params.name import project_name
from mlops.params.project import ProjectSection
from mlops.params.split import SplitSection
from mlops.params.train import TrainSection
from mlops.params.trigger import TriggerSection
from mlops.params.tune import TuneSection

TEMPLATE = (Path(__file__).parents[2] / "params.yaml").read_text()
BOMB = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


class _View(View):
    project: ProjectSection
    data: DataSection
    split: SplitSection
    model: ModelSection
    tune: TuneSection
    train: TrainSection
    gate: GateSection
    monitoring: MonitoringSection
    trigger: TriggerSection


def _load(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ParamsError) as caught:
        load(path, _View)
    assert caught.value.exit_code == EXIT_USAGE
    said = str(caught.value)
    assert "\n" not in said
    return said


def _line(key: str) -> int:
    """Return the line of the template that `key: ` first stands on."""
    return next(n for n, t in enumerate(TEMPLATE.splitlines(), 1) if t.strip().startswith(key))


CASES = [
    # before, after, line's key, what is said
    ("  limit: null", "  source: x\n  limit: null", "limit:", "data.source stands twice; keep one"),
    ("parity: 0.001", "parity: 1e-4", "parity:", "= '1e-4' is text, not a number; write 0.0001"),
    ("parity: 0.001", "parity: 1e-9", "parity:", "write 1.0e-09"),
    ("trials: 6", "trials: 1e3", "trials:", "= '1e3' is text, not a number; write 1000"),
    ("trials: 6", "trials: 6.5", "trials:", "tune.trials = 6.5: write a whole number"),
    ("trials: 6", "trials: 010", "trials:", "tune.trials = '010' is text, not a number"),
    ("trials: 6", "trials: 1:30", "trials:", "tune.trials = '1:30' is text, not a number"),
    ("trials: 6", "trials: !!int x", "trials:", "tune.trials = 'x' is text, not a number"),
    ("trials: 6", "trials: " + "9" * 5000, "trials:", "tune.trials = '999"),
    ("trials: 6", "trials: -6", "trials:", "tune.trials = -6: write a value that is greater"),
    ("augment: false", "augment: no", "augment:", "model.augment = 'no': write true or false"),
    ("reserve: 0.35", "reserve: .nan", "reserve:", "= nan: write a value that is a finite"),
    ("reserve: 0.35", "reserve: -.inf", "reserve:", "data.reserve = -inf: write a value that is"),
    ("reserve: 0.35", "reserve: -0.35", "reserve:", "= -0.35: write a value that is greater"),
    ("  reserve", "  resrve", "reserve:", "resrve is not a known key (did you mean reserve?)"),
    ("  reserve", "  [a]", "data:", "data has a list or section for a key; write text"),
    ("trigger:", "triger:", "trigger:", "triger is not a section (did you mean trigger?); known: "),
    (", recent_roc_auc: 0.6}", "}", "floors:", "gate.floors.recent_roc_auc is missing; add it"),
    ("recent_roc_auc: 0.6}", "f2: 0.9}", "floors:", "gate.floors.f2 is not a known key"),
    ("recent_roc_auc: 0.6}", "recent_roc_auc: 9.0}", "floors:", "= 9.0: write a value that is"),
    ("floors: {", "floors: [1] #", "floors:", "= [1]: write its keys below it, indented"),
    ("  test: 0.25\n", "", "split:", "split.test is missing; add it"),
    ("source: digits", "source: &x digits\n  path: *x\n ", "path:", "data.path is an alias; write"),
    ("source: digits", "source: !!python/name:os.x x", "source:", "the tag !!python/name:os.x;"),
    ("source: digits", "source: !secret x", "source:", "data.source has the tag !secret; write"),
    ("dropout: [", "dropout: !!python/tuple [", "dropout:", "has the tag !!python/tuple; write"),
    ("dropout: [0.0, 0.3]", "dropout: [0.0]", "dropout:", "tune.dropout.1 is missing; add it"),
    ("dropout: [0.0, 0.3]", "dropout: 0.1", "dropout:", "tune.dropout = 0.1: write a list"),
    ("[0.0005, 0.005]", "[0.1, 0.01]", "learning_rate:", " = [0.1, 0.01]: write [low, high]"),
    ("validation: 0.15", "validation: 0.9", "validation:", "split.validation + split.test must be"),
    ("raise_k: 2", "raise_k: 5", "raise_k:", "monitoring.raise_k = 5 exceeds raise_n = 3; lower"),
    ('salt: "1"', "salt: 1", "salt:", "split.salt = 1: write text, in quotes"),
    ('salt: "1"', 'salt: "\\q"', "salt:", "fix the syntax"),
    ("project:\n  name: digits", "project:", "project:", "project = None: write its keys below"),
    ("project:\n  name: digits", "project: x", "project:", "project = 'x': write its keys below"),
    ("name: digits", "name: Digits", "name:", "name = 'Digits': write a value that matches"),
    ("name: digits", "name: " + "x" * 9999, "name:", "…: write a value that matches pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "where", "said"), CASES)
def test_a_wrong_value_is_one_line_with_its_place_and_remedy(
    tmp_path: Path, before: str, after: str, where: str, said: str
) -> None:
    assert before in TEMPLATE
    message = _load(tmp_path, TEMPLATE.replace(before, after, 1))
    assert said in message
    assert message.startswith(f"params.yaml:{_line(where)}: ")
    assert len(message) < 300


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "params.yaml:1: holds no sections; write project, data"),
        ("# nothing\n", "params.yaml:1: holds no sections"),
        ("- a\n", "params.yaml:1: holds no sections"),
        (BOMB, "params.yaml:2: b.0 is an alias; write the value out"),
        (TEMPLATE + "\ndata: {}\n", "data stands twice; keep one of the two"),
        (TEMPLATE + "\n---\na: 1\n", "but found another document; fix the syntax"),
        (b"\xff\xfea", "params.yaml: not UTF-8 text (byte 0); save it as UTF-8"),
        ("a: 1\nb: \0", "params.yaml:2: character 0 is not allowed; remove it"),
        ("data:\n\tsource: x", "params.yaml:2: found character '\\t'"),
        ("data: " + "[" * 3000 + "]" * 3000, "nested more than 8 levels deep; fix"),
        ("data: " + "{a: " * 20 + "1" + "}" * 20, "nested more than 8 levels deep; fix"),
        ("#" * (MAX_BYTES + 1), f"larger than {MAX_BYTES} bytes; this is no parameter file"),
        ("#" * ((1 << 20) + 1), "this is no parameter file"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    message = _load(tmp_path, content)
    assert said in message
    assert message.startswith("params.yaml")


def test_a_missing_file_names_the_command_that_restores_it(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file; restore it with: git checkout"):
        load(tmp_path / "params.yaml", _View)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="unreadable"):
        load(tmp_path, _View)


def test_the_template_loads_with_the_values_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEMPLATE)
    view = load(path, _View)
    assert view.data.source == "digits"
    assert view.data.path is None
    assert view.split.salt == "1"
    assert view.trigger.enabled is True
    assert view.tune.learning_rate == (0.0005, 0.005)


def test_a_view_needs_no_section_but_its_own(tmp_path: Path) -> None:
    class OnlyData(View):
        data: DataSection

    path = tmp_path / "params.yaml"
    path.write_text("data: {source: digits, reserve: 1.0e-2}\n")
    assert load(path, OnlyData).data.reserve == 0.01


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("trials: 6", "trials: six", "tune.trials = 'six' is text, not a number"),
        ("  reserve", "  resrve", "data.resrve is not a known key (did you mean reserve?)"),
        ("  test: 0.25\n", "", "split.test is missing; add it"),
        ("raise_k: 2", "raise_k: 5", "monitoring.raise_k = 5 exceeds raise_n = 3; lower"),
        (
            "schedule: null",
            'schedule: "99 * * * *"',
            "is no cron expression (Bad minute); write one",
        ),
    ],
)
def test_a_mistake_in_a_section_that_the_view_does_not_see_is_refused_too(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert before in TEMPLATE
    path = tmp_path / "params.yaml"
    path.write_text(TEMPLATE.replace(before, after, 1))
    with pytest.raises(ParamsError) as caught:
        project_name(path)
    assert said in str(caught.value)


def test_nothing_in_the_file_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    _load(tmp_path, f'data: !!python/object/apply:os.system ["touch {mark}"]\n')
    assert not mark.exists()
