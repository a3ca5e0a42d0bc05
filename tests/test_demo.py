"""The whole story, as `make demo` tells it, in a clone of its own."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from mlops.adapters.orphans import find
from tests.project import clone, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the clone after `mlops demo`, and what it printed."""
    folder = clone(tmp_path_factory.mktemp("demo") / "project")
    return folder, run(folder, "mlops", "demo").stdout


@pytest.mark.e2e
def test_every_chapter_happens(told: tuple[Path, str]) -> None:
    _, text = told
    for event in (
        r"promoted version 1: it is the champion",
        r"8 windows judged, 0 in alarm",
        r"ALARM after [23] shifted windows: incident drift-digits-1-\d+",
        r"mail: \[DRIFT:\d\] digits · .* · detected, \d+ labels wanted",
        r"Prefect's automation started the run: train: drift.*, for drift-digits-1-\d+",
        r"decision \w+: promote\n.*version 2 was trained for drift",
        r"version 2 swapped in with traffic flowing; failed requests: 0",
        r"mail: .* · promoted",
        r"the incident is closed",
        r"mail: .* · resolved",
        r"version 2 stays in service",
        r"\d+ requests, failed: 0",
    ):
        assert re.search(event, text), f"{event} is missing from:\n{text}"


@pytest.mark.e2e
def test_accuracy_falls_and_recovers(told: tuple[Path, str]) -> None:
    shares = [float(share) for share in re.findall(r"([\d.]+)% right", told[1])]
    clean, shifted, recovered = shares[0], shares[1:5], shares[5:]
    assert max(shifted) < clean - 10
    assert sum(recovered) / len(recovered) > sum(shifted) / len(shifted) + 8


@pytest.mark.e2e
def test_it_leaves_a_picture_and_nothing_else_in_the_users_folder(told: tuple[Path, str]) -> None:
    folder, _ = told
    with Image.open(folder / "reports" / "recovery.png") as picture:
        assert picture.size[0] > 1000
    assert run(folder, "git", "status", "--porcelain").stdout == ""
    assert {p.name for p in (folder / ".mlops").iterdir()} == {"demo"}


@pytest.mark.e2e
def test_the_mails_are_one_thread_and_the_ledger_is_whole(told: tuple[Path, str]) -> None:
    demo = told[0] / ".mlops" / "demo"
    mails = sorted((demo / ".mlops" / "mailbox").glob("*.eml"))
    heads = [path.read_text(errors="replace") for path in mails]
    roots = {
        re.search(r"^References: .*?(<[^>]+>)", h, re.MULTILINE | re.DOTALL) for h in heads[1:]
    }
    assert len(mails) >= 3
    assert len({match[1] for match in roots if match}) == 1
    history = json.loads(run(demo, "mlops", "history", "--json").stdout)
    promoted = [row["after"] for row in history if row["outcome"] == "promote"]
    assert promoted == ["2", "1"]


@pytest.mark.e2e
def test_every_prediction_was_logged_once(told: tuple[Path, str]) -> None:
    sent = re.search(r"(\d+) requests, failed: 0", told[1])
    assert sent
    with sqlite3.connect(told[0] / ".mlops" / "demo" / ".mlops" / "mlops.db") as connection:
        [(rows, distinct)] = connection.execute(
            "SELECT count(*), count(DISTINCT id) FROM predictions"
        ).fetchall()
    assert rows == distinct == int(sent[1])


@pytest.mark.e2e
def test_nothing_is_left_running(told: tuple[Path, str]) -> None:
    assert find(f"{told[0] / '.mlops' / 'demo'}#") == []
