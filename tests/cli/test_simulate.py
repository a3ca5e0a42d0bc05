"""`mlops simulate`: a drill through a real champion; nothing of the user's is touched."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from filelock import FileLock
from PIL import Image

from mlops.adapters import retrains, scratch
from mlops.adapters.files import digest_path
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.snapshot import write_schema
from mlops.adapters.sql.engine import database
from mlops.cli.main import main
from mlops.cli.simulate.drill import Drill, Plan, Seen
from mlops.cli.simulate.outcome import Outcome, Told
from mlops.cli.simulate.picture import draw
from mlops.cli.simulate.retrain import Retrain
from mlops.cli.simulate.traffic import Traffic, open_pool
from mlops.cli.simulate.verb import write_params
from mlops.cli.simulate.words import duration, line, summary
from mlops.core.drill import parse_shift
from mlops.core.example import key_hash
from mlops.core.schema import ImageSchema, parse_schema
from mlops.errors import DataError
from mlops.params.data import DataSection
from mlops.params.everything import Everything
from mlops.params.load import load
from tests import entrants
from tests.kept import copy_state
from tests.promotions import stored

if TYPE_CHECKING:
    from datetime import datetime

    from mlops.site import Site

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def champion(site: Site, kept_first: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a project with a version in service and no reserved rows."""
    return _settled(copy_state(kept_first, site), monkeypatch)


def _settled(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    shutil.copy(REPOSITORY / "dvc.yaml", site.layout.root)
    tree = yaml.safe_load(site.layout.params.read_text())
    tree["data"]["reserve"] = 0.0
    site.layout.params.write_text(yaml.safe_dump(tree))
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    return site


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *words])
    return int(str(ended.value.code))


def _state(site: Site) -> dict[str, str]:
    """Return a digest of everything that the project holds, but for the drill and locks."""
    own = ("simulate", "locks")
    parts = [*site.layout.root.iterdir(), *site.layout.state.iterdir()]
    kept = [p for p in parts if p.name not in (*own, ".mlops")]
    return {str(path): digest_path(path) for path in kept}


def test_a_drill_alarms_mails_and_touches_nothing(
    champion: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_MAIL_URL", "smtp://nobody.invalid:25")
    monkeypatch.setenv("MLOPS_MAIL_TO", "watch@example.org")
    before = _state(champion)
    assert run("--shift", "brightness:0.4", "--windows", "9", "-S", "trigger.max_per_month=0") == 0
    said = capsys.readouterr().out
    assert _state(champion) == before
    assert "every image through the corruption brightness, severity 2 of 5" in said
    assert "150 reference rows, because no rows are reserved" in said
    assert [row.split()[0] for row in said.splitlines() if "  clean  " in row] == ["1", "2", "3"]
    assert "ALARM after 2 windows of brightness:0.4: 2.0 days of traffic" in said
    assert "0 false incidents in 3 clean windows" in said
    assert "does it point to brightness? yes, as brightness" in said
    folder = champion.layout.simulation
    mails = sorted(Path(folder / ".mlops" / "mailbox").glob("*.eml"))
    assert b"watch@example.org" in mails[0].read_bytes()
    assert str(mails[0].with_suffix(".html")) in said
    assert all(Path(row.split()[1]).is_file() for row in said.splitlines() if " page " in row)
    with Image.open(folder / "drill.png") as picture:
        assert picture.size[0] > 1000


def test_json_holds_every_window_and_a_second_drill_starts_fresh(
    champion: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    left = champion.layout.simulation / "left by a killed run"
    left.mkdir(parents=True)
    words = (
        "--shift",
        "mix@two:0.01",
        "--windows",
        "3",
        "--rows",
        "40",
        "--labels",
        "off",
        "--json",
    )
    assert run(*words) == 0
    found = json.loads(capsys.readouterr().out)
    assert not left.exists()
    assert found["window_rows"] == 40
    assert (found["clean"], len(found["windows"])) == (1, 3)
    assert found["alarm_after"] is None
    assert found["incidents"] == found["mails"] == []
    assert [w["shifted"] for w in found["windows"]] == [False, True, True]
    assert all(w["ratio"] is not None for w in found["windows"])


WRONG = [
    ((), 2, "--shift is missing, as in --shift fog:0.4; see: mlops simulate --list"),
    (("--shift", "haze:0.4"), 2, "'haze' is unknown for images; one of: blur"),
    (("--shift", "fog:7"), 2, "the strength '7' is none"),
    (("--shift", "fog:0.4", "--windows", "2"), 2, "--windows 2: must be 3 to 1000"),
    (("--shift", "fog:0.4", "-S", "labels.sample=x"), 2, "-S labels.sample = 'x'"),
    (("--shift", "fog:0.4", "--rows", "3"), 2, "-S monitoring.window_rows = 3"),
    (("--shift", "fog:0.4", "--labels", "late"), 2, "late"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "said"), WRONG)
def test_what_is_wrong_is_one_line_and_leaves_no_copy(
    champion: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    assert run(*words) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not champion.layout.simulation.exists()


def test_a_wrong_question_leaves_the_last_drill(champion: Site) -> None:
    write_schema(champion.layout.snapshot, parse_schema(entrants.SCHEMA, "SCHEMA"))
    champion.layout.simulation.mkdir(parents=True)
    (champion.layout.simulation / "drill.png").write_bytes(b"kept")
    for words in (("--shift", "haze:0.4"), ("--shift", "fog:0.4", "-S", "labels.sample=x")):
        assert run(*words) == 2
        assert (champion.layout.simulation / "drill.png").read_bytes() == b"kept"


def test_without_a_champion_the_remedy_is_named(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(site, monkeypatch)
    assert run("--shift", "fog:0.4") == 1
    said = capsys.readouterr().err
    assert "no version of digits is in service" in said
    assert "dvc repro, mlops register, mlops promote" in said
    assert not site.layout.database.exists()


def test_one_drill_at_a_time(champion: Site, capsys: pytest.CaptureFixture[str]) -> None:
    champion.layout.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(champion.layout.locks / "simulate.lock"):
        assert run("--shift", "fog:0.4") == 1
    assert "another drill is going on" in capsys.readouterr().err


def test_the_list_is_of_the_kind_of_the_data(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(site, monkeypatch)
    assert run("--list") == 0
    said = capsys.readouterr().out
    assert "  fog " in said
    assert "  mix@CLASS " in said
    assert run("--list", "--json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["mix"]["targets"] == [str(n) for n in range(10)]


def _table(folder: Path) -> DataSection:
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal():.3f},{'red' if n % 3 else ''},{'ab'[n % 2]},c{n}" for n in range(300)]
    (folder / "rows.csv").write_text("\n".join(["x,colour,y,who", *rows]) + "\n")
    return DataSection(source="table", path="rows.csv", target="y", entity="who", reserve=0.4)


def test_a_table_gives_its_reserved_rows_that_no_model_has_seen(tmp_path: Path) -> None:
    from mlops.adapters.sources.base import load as load_source

    data = _table(tmp_path)
    schema = load_source(data, tmp_path).schema
    np.save(tmp_path / "seen.npy", np.zeros(1, dtype=np.uint64))
    pool = open_pool(data, tmp_path, tmp_path, schema)
    assert 90 < len(pool.labels) < 150
    seen = np.array([key_hash(str(name)) for name in pool.entities[:20]], dtype=np.uint64)
    np.save(tmp_path / "seen.npy", seen)
    assert len(open_pool(data, tmp_path, tmp_path, schema).labels) == len(pool.labels) - 20
    few = data.model_copy(update={"reserve": 0.01})
    with pytest.raises(DataError, match=r"data.reserve = 0.01: \d+ labelled rows.*raise it"):
        open_pool(few, tmp_path, tmp_path, schema)
    with pytest.raises(DataError, match="gives other classes or columns than the model"):
        open_pool(data, tmp_path, tmp_path, ImageSchema(("a", "b"), 2, 2, 1))


def test_traffic_takes_every_row_once_and_mixes_classes(tmp_path: Path) -> None:
    from mlops.adapters.sources.base import load as load_source

    data = _table(tmp_path)
    schema = load_source(data, tmp_path).schema
    np.save(tmp_path / "seen.npy", np.zeros(1, dtype=np.uint64))
    pool = open_pool(data, tmp_path, tmp_path, schema)
    traffic = Traffic(pool, parse_shift("mix@b:0.8", schema), seed=1)
    once = traffic.draw(len(pool.labels), shifted=False)
    assert sorted(map(str, once.entities)) == sorted(map(str, pool.entities))
    mixed = traffic.draw(200, shifted=True)
    assert mixed.labels.mean() > 0.8
    new = Traffic(pool, parse_shift("novel:1", schema), seed=1).draw(10, shifted=True)
    assert set(new.values[1]) == {"unknown"}
    none = replace(pool, labels=np.zeros_like(pool.labels))
    assert not Traffic(none, parse_shift("mix@b:1", schema), 1).draw(9, shifted=True).labels.any()


def _drill(site: Site, mlflow_template: Path) -> Drill:
    """Make a scratch copy by hand, with an MLflow whose making costs six seconds less."""
    folder = site.layout.simulation
    folder.mkdir(parents=True)
    changes = ("data.source=table", "data.path=/nowhere.csv")  # what a retrain would read
    params = load(site.layout.params, Everything, changes)
    write_params(params, folder / "params.yaml")
    made = scratch.make(site, "digits", folder)
    shutil.copy(mlflow_template, made.site.layout.mlflow_db)
    pool = open_pool(params.data, site.layout.root, made.folder, made.schema)
    traffic = Traffic(pool, parse_shift("fog:1", made.schema), 1)
    return Drill(made, params, traffic, Plan(3, 1, labelled=True))


def test_a_retrain_that_fails_is_told_and_ended(
    site: Site, kept_second: Site, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(copy_state(kept_second, site), monkeypatch)
    before = digest_path(site.layout.mlflow_db)
    drill = _drill(site, mlflow_template)
    here = drill.site
    said: list[str] = []
    retrain = Retrain(drill, said.append)
    retrain.run(0)  # nothing was asked for
    assert not retrain.told
    with database(here) as engine, engine.begin() as connection:
        later_s = here.now.timestamp() + 1.0  # than the champion's own decision
        asked = retrains.request(connection, "digits", reason="drift", incident=None, now_s=later_s)
    retrain.run(0)
    assert "reconcile: ledger and alias agree: version 1 is the champion" in said[0]
    assert retrain.told[0].startswith("in window 0: failed: ")
    with database(here) as engine, engine.connect() as connection:
        found = retrains.last(connection, "digits")
    assert found is not None
    assert (found.id, found.outcome) == (asked.id, "failed")
    assert drill.server.version == "1"
    assert drill.site.now > here.now
    _promoted(drill, stored(site, "2"))
    retrain.swap()
    assert drill.server.version == "2"
    assert digest_path(site.layout.mlflow_db) == before


def _promoted(drill: Drill, source: Path) -> None:
    """Put the version that this ledger knows and nobody judged into service, in the copy."""
    here = drill.site
    shutil.copytree(source, here.layout.mlartifacts / "lent" / "2")
    with database(here) as engine:
        at_s = here.now.timestamp()
        Ledger(engine, "digits").append(Row("observed", "k", at_s, "me", "1", "2", "{}"))


def test_the_summary_says_what_was_not_seen_and_what_waits(now: datetime) -> None:
    seen = tuple(
        Seen(n, n > 1, now, "1", 0.9 if n == 1 else 0.5, 1.2, "x", ("x",), (), n == 2)
        for n in range(1, 4)
    )
    done = Outcome(
        "digits", "1", "fog:0.4", "rows", "accuracy", 100, 90.0, 1, seen, None, 0, 0.9, 0.5, (), (),
        (), "/x", "/x/drill.png",
    )  # fmt: skip
    text = "\n".join(summary(done))
    assert "NO ALARM in 2 windows of fog:0.4" in text
    assert "windows alarmed, but too few in a row" in text
    assert "accuracy fell by 40.0 pp, and what is watched moved too little" in text
    told = Told(
        "i", "drift", "x", 2, "open", (), ("prior shift: y",), "", "unclear", "why", "labels",
        "3 of 9", 6, "/p",
    )  # fmt: skip
    text = "\n".join(summary(replace(done, alarm_after=1, incidents=(told,))))
    assert "ALARM after 1 window of fog:0.4: 1.5 hours of traffic" in text
    assert "does it point to fog? no: nothing in it points there" in text
    assert "a retrain waits for labels" in text
    assert "labels: without them nothing retrains" in text
    broken = replace(seen[0], breaks=("size: 3 rows",))
    assert "broken: size: 3 rows" in line(broken, "fog:0.4")
    assert "not judged yet" in line(replace(seen[0], ratio=None), "fog:0.4")
    assert [duration(m) for m in (1.0, 60.0, 2880.0)] == ["1.0 minutes", "1.0 hours", "2.0 days"]


def test_the_picture_marks_swaps_and_broken_data(tmp_path: Path, now: datetime) -> None:
    quiet = Seen(1, False, now, "1", 0.9, 0.6, "x")
    seen = (quiet, replace(quiet, number=2, shifted=True, breaks=("size: 3 rows",), ratio=None),
            replace(quiet, number=3, shifted=True, version="2", alarm=True))  # fmt: skip
    done = Outcome(
        "digits", "1", "fog:0.4", "rows", "accuracy", 100, 90.0, 1, seen, 1, 0, 0.9, 0.5, (), (),
        ("in window 2: promote",), "/x", str(tmp_path / "drill.png"),
    )  # fmt: skip
    plain = replace(done, windows=(quiet,) * 3, picture=str(tmp_path / "plain.png"))
    assert digest_path(draw(done)) != digest_path(draw(plain))
    assert "  retrain   in window 2: promote" in list(summary(done))


def test_a_retrain_that_is_not_run_is_noted(champion: Site, mlflow_template: Path) -> None:
    retrain = Retrain(_drill(champion, mlflow_template), print)
    retrain.leave(4)
    retrain.leave(9)
    assert len(retrain.told) == 1
    assert retrain.told[0].startswith("asked for in window 4 and not run here: --retrain does")


@pytest.fixture
def now(site: Site) -> datetime:
    return site.now
