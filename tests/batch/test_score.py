"""Bulk scoring on a real registry: the served numbers, killed, gone on with, never mixed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from PIL import Image

from mlops.adapters import files, registry
from mlops.adapters.onnx_session import Session
from mlops.batch import job as jobs
from mlops.batch import work
from mlops.batch.score import Progress, Request, ScoreParams, score
from mlops.cli import main as cli
from mlops.core.features import canonical, identities
from mlops.core.schema import parse_schema
from mlops.errors import (
    Busy,
    ChangedWhileRunning,
    DataError,
    RegistryError,
    UnverifiedModel,
    UsageError,
)
from mlops.params.load import load
from mlops.serving.ids import Minter, load_key
from tests import entrants
from tests.project import environment

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.site import Report, Site

IMAGE = parse_schema(entrants.SCHEMA, "SCHEMA")
IMAGES = entrants.rows(300, hard=0.3, seed=5).features


def params(site: Site, **changes: Any) -> ScoreParams:
    read = load(site.layout.params, ScoreParams)
    section = read.score.model_copy(update={"batch_rows": 32, "partitions": 4, **changes})
    return read.model_copy(update={"score": section})


def run(site: Site, source: Path, output: Path, **changes: Any) -> Report:
    version = str(changes.pop("version", ""))
    return score(params(site, **changes), site, Request(source, output, version))


def expected(site: Site, version: str = "1") -> np.ndarray:
    folder = registry.fetch(site, "digits", version)
    return Session(folder / "model.onnx").probabilities(IMAGES)


def write(folder: Path, kind: str) -> Path:
    """Write the same images as one kind of input."""
    folder.mkdir(exist_ok=True)
    path = folder / f"in.{kind}"
    raw = [image.tobytes() for image in IMAGES]
    if kind == "npy":
        np.save(path, IMAGES)
    elif kind == "parquet":
        pq.write_table(pa.table({"id": range(300), "image": raw}), path, row_group_size=70)
    elif kind == "parts":
        path.mkdir()
        for n in range(3):
            part = raw[100 * n : 100 * n + 100]
            pq.write_table(pa.table({"image": part}), path / f"{n}.parquet", row_group_size=33)
    else:
        (path / "deep").mkdir(parents=True)
        for n, image in enumerate(IMAGES):
            name = path / "deep" / f"{n:03}.png" if n >= 200 else path / f"{n:03}.png"
            name.write_bytes(png(image))
    return path


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "PNG")
    return stream.getvalue()


def read(folder: Path) -> pa.Table:
    return ds.dataset(folder, format="parquet").to_table().sort_by("row")


def scores(table: pa.Table) -> np.ndarray:
    return np.array(table.column("probabilities").to_pylist(), dtype=np.float32)


@pytest.mark.parametrize("kind", ["npy", "parquet", "parts", "images"])
def test_every_input_gives_the_numbers_of_the_model_file(
    kind: str, project: Site, tmp_path: Path
) -> None:
    told: list[Progress] = []
    source = write(tmp_path, kind)
    report = score(params(project), project, Request(source, tmp_path / "out"), told.append)
    table = read(tmp_path / "out")
    probabilities = expected(project)
    np.testing.assert_array_equal(scores(table), probabilities)
    best = probabilities.argmax(axis=1)
    assert table.column("row").to_pylist() == list(range(300))
    assert table.column("class").to_pylist() == [entrants.CLASSES[k] for k in best]
    assert table.column("label").to_pylist() == best.tolist()
    assert table.column("example_id").to_pylist() == identities(canonical(IMAGES, IMAGE), IMAGE)
    assert set(table.column("model_version").to_pylist()) == {"1"}
    assert table.column("error").null_count == 300
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_SUCCESS", "_job.json", *(f"part-{n:05}-of-00004.parquet" for n in range(4))
    ]  # fmt: skip
    if kind == "images":
        assert table.column("source").to_pylist()[199:201] == ["199.png", "deep/200.png"]
    assert (told[-1].rows, told[-1].parts, report.facts["rows"]) == (300, 4, 300)
    assert (report.facts["unreadable"], report.facts["version"]) == (0, "1")


def test_prediction_ids_are_the_projects_own_and_never_twice(project: Site, tmp_path: Path) -> None:
    run(project, write(tmp_path, "npy"), tmp_path / "out")
    ids = read(tmp_path / "out").column("prediction_id").to_pylist()
    minter = Minter(load_key(project.layout.serving / "digits"), "digits")
    assert len(set(ids)) == 300
    assert ids == sorted(ids)
    assert all(minter.of_bulk(one) for one in ids)
    assert not any(minter.genuine(one) for one in ids)  # the log never has them
    assert not minter.of_bulk(ids[0][:-1] + ("0" if ids[0][-1] != "0" else "1"))


def test_again_does_nothing_and_says_so(project: Site, tmp_path: Path) -> None:
    source = write(tmp_path, "npy")
    run(project, source, tmp_path / "out")
    before = files.manifest(tmp_path / "out")
    report = run(replace(project, now=project.now.replace(year=2027)), source, tmp_path / "out")
    assert "was scored already" in report.summary
    assert report.facts["parts_kept"] == 4
    assert files.manifest(tmp_path / "out") == before


def test_what_is_left_is_made_as_it_would_have_been(project: Site, tmp_path: Path) -> None:
    source = write(tmp_path, "parquet")
    run(project, source, tmp_path / "whole")
    out = tmp_path / "out"
    run(project, source, out)
    kept = out / "part-00001-of-00004.parquet"
    for path in out.glob("*"):
        if path not in (kept, out / "_job.json"):
            path.unlink()
    (out / ".part-00000-of-00004.parquet.xy.tmp").write_bytes(b"half")
    mark = kept.stat().st_mtime_ns
    report = run(project, source, out, batch_rows=32)
    assert report.facts["parts_kept"] == 1
    assert kept.stat().st_mtime_ns == mark
    assert files.manifest(out) == files.manifest(tmp_path / "whole")


@pytest.mark.parametrize(
    "after", [0.0, *(pytest.param(0.02 * n, marks=pytest.mark.bench) for n in range(1, 20))]
)
def test_a_killed_run_is_gone_on_with(after: float, project: Site, tmp_path: Path) -> None:
    """Kill the real command with SIGKILL when the first part is there, or a little later."""
    rows, parts = 40_000, 100
    source, out = tmp_path / "big.npy", tmp_path / "out"
    np.save(source, np.resize(IMAGES, (rows, *IMAGES.shape[1:])))
    root = tmp_path / "root"
    root.mkdir()
    text = project.layout.params.read_text().replace("partitions: 8", f"partitions: {parts}")
    (root / "params.yaml").write_text(text)
    (root / ".mlops").symlink_to(project.layout.state)
    env = {
        **environment(root), "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "MLOPS_DATABASE_URL": f"sqlite:///{project.layout.database}",
        "MLOPS_MLFLOW_URI": f"sqlite:///{project.layout.mlflow_db}", "MLOPS_THREADS": "1",
    }  # fmt: skip
    words = [sys.executable, "-m", "mlops.cli.main", "score", str(source), str(out)]
    words += ["--json", "--version", "1"]
    process = subprocess.Popen(words, cwd=root, env=env, stdout=subprocess.DEVNULL)
    end_s = time.monotonic() + 60
    while not list(out.glob("part-*")) and time.monotonic() < end_s:
        time.sleep(0.005)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 0 < len(kept) < parts
    assert not (out / "_SUCCESS").exists()
    done = subprocess.run(words, cwd=root, env=env, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["facts"]["parts_kept"] == len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    table = read(out)
    assert table.column("row").to_pylist() == list(range(rows))
    np.testing.assert_array_equal(scores(table), np.resize(expected(project), (rows, 3)))


def test_another_input_model_or_folder_is_refused(project: Site, tmp_path: Path) -> None:
    source, out = write(tmp_path, "npy"), tmp_path / "out"
    run(project, source, out)
    before = files.manifest(out)
    other = tmp_path / "other.npy"
    np.save(other, IMAGES[::-1])
    with pytest.raises(UsageError, match=r"begun with another input.*name a new folder"):
        run(project, other, out)
    with pytest.raises(UsageError, match=r"begun with version 1, not 2; go on with --version 1"):
        run(project, source, out, version="2")
    with pytest.raises(UsageError, match="lies in the input"):
        run(project, tmp_path, tmp_path / "out" / "deeper")
    (tmp_path / "alien").mkdir()
    (tmp_path / "alien" / "part-0.parquet").write_bytes(b"theirs")
    with pytest.raises(UsageError, match="not of mlops score"):
        run(project, source, tmp_path / "alien")
    (out / "part-00000-of-00004.parquet").write_bytes(b"PAR1 rot")
    with pytest.raises(DataError, match="delete it and run the same command again"):
        run(project, source, out)
    assert len(before) == len(files.manifest(out))


def test_a_named_version_scores_though_another_is_champion(project: Site, tmp_path: Path) -> None:
    run(project, write(tmp_path, "npy"), tmp_path / "out", version="2")
    table = read(tmp_path / "out")
    np.testing.assert_array_equal(scores(table), expected(project, "2"))
    assert (scores(table) != expected(project, "1")).any()


def test_an_unverified_model_scores_nothing(project: Site, tmp_path: Path) -> None:
    source = write(tmp_path, "npy")
    with pytest.raises(RegistryError, match="version 9"):
        run(project, source, tmp_path / "out", version="9")
    with pytest.raises(RegistryError, match="no challenger; promote a version, or name one"):
        score(params(project), project, Request(source, tmp_path / "out", alias="challenger"))
    folder = registry.fetch(project, "digits", "1")
    order = work.Order(
        jobs.Job("digits", "1", "0" * 64, "", 300, 1, 0), str(source), str(folder),
        str(tmp_path), 32, b"key",
    )  # fmt: skip
    with pytest.raises(UnverifiedModel):
        work.make(order, jobs.Part(0, 0, 300, 1))
    assert not list(tmp_path.glob("*.parquet"))
    assert not (tmp_path / "out").exists()


def test_unreadable_rows_are_told_not_dropped(project: Site, tmp_path: Path) -> None:
    source = write(tmp_path, "images")
    (source / "003.png").write_bytes(png(IMAGES[3])[:60])
    (source / "004.png").write_bytes(b"no image")
    report = run(project, source, tmp_path / "out")
    assert "2 could not be read" in report.summary
    rows = read(tmp_path / "out").to_pylist()
    assert [bool(row["error"]) for row in rows[2:6]] == [False, True, True, False]
    assert rows[3]["class"] is rows[3]["prediction_id"] is rows[3]["example_id"] is None
    assert "not one of PNG" in rows[4]["error"]
    np.testing.assert_array_equal(
        np.array(rows[5]["probabilities"], np.float32), expected(project)[5]
    )
    again = run(project, source, tmp_path / "out")
    assert again.facts["unreadable"] == 2
    for path in source.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the 300 rows could be read"):
        run(project, source, tmp_path / "none")


def _empty(folder: Path) -> Path:
    np.save(folder / "a.npy", IMAGES[:0])
    return folder / "a.npy"


def _other_shape(folder: Path) -> Path:
    np.save(folder / "a.npy", IMAGES[:, :3])
    return folder / "a.npy"


def _pickled(folder: Path) -> Path:
    np.save(folder / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    return folder / "a.npy"


def _no_column(folder: Path) -> Path:
    pq.write_table(pa.table({"pixels": [b"x"]}), folder / "a.parquet")
    return folder / "a.parquet"


def _rot(folder: Path) -> Path:
    (folder / "a.parquet").write_bytes(b"PAR1")
    return folder / "a.parquet"


def _no_images(folder: Path) -> Path:
    (folder / "a").mkdir()
    (folder / "a" / "notes.txt").write_text("x")
    return folder / "a"


def _csv(folder: Path) -> Path:
    (folder / "a.csv").write_text("image\n1\n")
    return folder / "a.csv"


def _unknown(folder: Path) -> Path:
    (folder / "a.xlsx").write_bytes(b"x")
    return folder / "a.xlsx"


WRONG = [
    (_empty, "holds no rows"), (_other_shape, "the model takes uint8"), (_pickled, "not an array"),
    (_no_column, "lacks the columns image"), (_rot, "unreadable"), (_no_images, "no image in it"),
    (_csv, "images do not stand in CSV"), (_unknown, "not Parquet, CSV"),
    (lambda folder: folder / "nowhere", "no such file or folder"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "said"), WRONG)
def test_an_input_that_cannot_be_scored_is_said_before_anything_is_written(
    made: Any, said: str, project: Site, tmp_path: Path
) -> None:
    with pytest.raises((DataError, UsageError), match=said):
        run(project, made(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_input_that_changes_meanwhile_is_noticed(project: Site, tmp_path: Path) -> None:
    source = write(tmp_path, "npy")

    def touch(seen: Progress) -> None:
        os.utime(source, ns=(1, seen.parts))

    with pytest.raises(ChangedWhileRunning):
        score(params(project), project, Request(source, tmp_path / "out"), touch)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_two_at_once_do_not_share_an_output(project: Site, tmp_path: Path) -> None:
    source = write(tmp_path, "npy")

    def second(_: Progress) -> None:
        with pytest.raises(Busy, match="another process is scoring into it"):
            run(project, source, tmp_path / "out")

    score(params(project, partitions=1), project, Request(source, tmp_path / "out"), second)
    assert len(list(project.layout.locks.glob("score-*.lock"))) >= 1
    with FileLock(next(project.layout.locks.glob("score-*.lock")), timeout=0):
        assert (tmp_path / "out" / "_SUCCESS").exists()


def test_the_verb_shows_progress_and_json(
    project: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source = write(tmp_path, "npy")
    monkeypatch.setenv("MLOPS_ROOT", str(project.layout.root))
    for words, code in ((["out"], 0), (["out", "--json"], 0), (["out", "--version", "x"], 2)):
        with pytest.raises(SystemExit) as ended:
            cli.main(["score", str(source), str(tmp_path / words[0]), *words[1:]])
        assert (ended.value.code or 0) == code
    shown = capsys.readouterr()
    assert "score: 300 rows scored with version 1" in shown.out
    assert "8 of 8 parts, 300 of 300 rows" in shown.err
    facts = json.loads(shown.out[shown.out.index("{") :])["facts"]
    assert (facts["rows"], facts["parts_kept"]) == (300, 8)
