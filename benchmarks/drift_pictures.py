"""Corrupted pictures: how often a window alarms, watching the embedding or not, and what is named.

A small network is fitted on 6000 pictures; of the rest 1000 find the embedding's directions, 2000
are the reference, and windows of 100 are drawn from what is left. A share of a window is corrupted,
at every severity; or its classes' mix changes: half of its pictures are of one class. The rate is
that of single windows at thresholds for one false incident in 1000 windows.

Hardware: one core, some minutes for both data sets. Seeds are fixed. Writes the table of
docs/drift.md; `--quick` looks at fewer windows and writes nothing. A folder that is absent is
skipped, and it is said.

Run: python benchmarks/drift_pictures.py --fashion FOLDER --cifar FOLDER [--quick]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.drift_picture_worlds import World, cifar, fashion, make
from mlops.core.alarm import Rule
from mlops.core.calibration import Rules, calibrate
from mlops.core.columns import Columns
from mlops.core.corruption import NAMES, SEVERITIES, corrupt
from mlops.core.drift import presort, statistics
from mlops.core.embedding import is_embedding
from mlops.core.likeness import learn_library
from mlops.core.relations import relate

if TYPE_CHECKING:
    from mlops.core.likeness import Library

REFERENCE, WINDOW = 2000, 100
SHARES = (0.1, 0.2, 1.0)
_MARKS = ("<!-- pictures -->", "<!-- end of pictures -->")


def without(rows: Columns) -> Columns:
    """Return the rows without their embedding."""
    kept = [n for n, name in enumerate(rows.names) if not is_embedding(name)]
    names = tuple(rows.names[n] for n in kept)
    return Columns(names, rows.values[:, kept], rows.predicted, rows.classes)


class Watch:
    """A reference, calibrated, with the embedding or without it."""

    def __init__(self, world: World, *, embedded: bool) -> None:
        self._cut = (lambda rows: rows) if embedded else without
        self._relations, reference = relate(self._cut(world.seen.take(slice(0, REFERENCE))))
        self._ready = presort(reference)
        rules = Rules(WINDOW, 1.0, 1000, 0.1, 500, 7, Rule(2, 3, 2))
        self._limits = calibrate(reference, rules).at(WINDOW)

    def look(self, window: Columns) -> str:
        """Return the column that a window alarms for first; nothing if it does not."""
        seen = self._relations.extend(self._cut(window))
        over = statistics(self._ready, seen) / self._limits
        worst = int(over.argmax())
        return seen.all_names[worst] if over[worst] >= 1.0 else ""


def mixed(rng: np.random.Generator, good: Columns, bad: Columns, share: float) -> Columns:
    """Draw a window of which a share is of other rows."""
    some = good.take(rng.choice(len(good), WINDOW, replace=False))
    hit = np.arange(WINDOW) < round(share * WINDOW)
    other = bad.take(rng.choice(len(bad), WINDOW, replace=False))
    values = np.where(hit[:, np.newaxis], other.values, some.values)
    return Columns(
        good.names, values, np.where(hit, other.predicted, some.predicted), good.classes
    )  # fmt: skip


def shifts(world: World, rng: np.random.Generator) -> dict[str, list[Columns]]:
    """Return what windows are mixed with by the row of the table, a set of rows per severity."""
    some = world.images[REFERENCE:][rng.permutation(len(world.images) - REFERENCE)[:400]]
    found = {
        name: [world.see(corrupt(some, name, s, np.random.default_rng(s))) for s in SEVERITIES]
        for name in NAMES
    }
    later, label = world.seen.take(slice(REFERENCE, None)), world.label[REFERENCE:]
    found["one class"] = [later.take(label == c) for c in range(5)]
    return found


@dataclass(frozen=True)
class Told:
    """Both watches of a data set, and the corruptions that windows are held against."""

    world: World
    plain: Watch
    embedded: Watch
    likenesses: Library


def row(name: str, kinds: list[Columns], share: float, told: Told, trials: int) -> str:
    """Return one line of the table: rates over all severities, and what was named."""
    rng = np.random.default_rng([6, len(name), round(100 * share)])
    clean = told.world.seen.take(slice(REFERENCE, None))
    plain: list[bool] = []
    causes: list[str] = []
    named: list[str] = []
    for kind in (k for k in kinds for _ in range(trials)):
        window = mixed(rng, clean, kind, share)
        plain.append(bool(told.plain.look(window)))
        causes.append(told.embedded.look(window))
        found = told.likenesses.match(window) if causes[-1] else None
        named += [found.name if found else ""] if causes[-1] else []
    first = Counter(c for c in causes if c).most_common(1)
    likely = Counter(n or "nothing" for n in named).most_common(1)
    cells = (
        told.world.name, f"{name}, {share:.0%} of a window", _rates(plain, kinds),
        _rates([bool(c) for c in causes], kinds), first[0][0] if first else "",
        f"{likely[0][0]}, {likely[0][1] / len(named):.0%}" if likely else "",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _rates(alarms: list[bool], kinds: list[Columns]) -> str:
    """Return the rate, and that of each kind, which are the severities of a corruption."""
    parts = np.array(alarms, dtype=float).reshape(len(kinds), -1).mean(axis=1)
    each = f" ({' '.join(f'{part:.2f}' for part in parts)})" if len(kinds) > 1 else ""
    return f"{np.mean(alarms):.3f}{each}"


def table(world: World, trials: int) -> list[str]:
    """Return the lines of a data set."""
    told = Told(
        world, Watch(world, embedded=False), Watch(world, embedded=True),
        learn_library(world.images[:REFERENCE:10], world.schema),
    )  # fmt: skip
    found = shifts(world, np.random.default_rng(2))
    found["nothing"] = [world.seen.take(slice(REFERENCE, None))]
    lines = []
    for name, kinds in found.items():
        shares = (0.5,) if name == "one class" else (1.0,) if name == "nothing" else SHARES
        many = trials * (10 if name == "nothing" else 1)
        lines += [row(name, kinds, share, told, many) for share in shares]
        print(*lines[-len(shares) :], sep="\n", flush=True)
    return lines


def write(path: Path, lines: list[str]) -> None:
    """Put the table between its marks."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(_MARKS[0])
    _, _, after = rest.partition(_MARKS[1])
    head = "| pictures | what changed | without | with embedding | first cause | likeness |"
    body = "\n".join([head, "|---|---|---|---|---|---|", *lines])
    path.write_text(f"{before}{_MARKS[0]}\n{body}\n{_MARKS[1]}{after}", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Measure, print, write; return 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--fashion", type=Path)
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--quick", action="store_true")
    told = parser.parse_args(arguments)
    lines: list[str] = []
    for name, folder, read in (
        ("Fashion-MNIST", told.fashion, fashion), ("CIFAR-10", told.cifar, cifar),
    ):  # fmt: skip
        if folder is None or not folder.is_dir():
            print(f"{name}: skipped, there is no folder {folder}; name one")
            continue
        with tempfile.TemporaryDirectory() as made:
            lines += table(make(name, *read(folder), Path(made)), 2 if told.quick else 20)
    if lines and not told.quick:
        write(ROOT / "docs/drift.md", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
