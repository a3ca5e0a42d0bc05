"""What the serving benchmark found: a table, a page in benchmarks/README.md, a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.page import BLUE, GRID, HARDWARE, MUTED, ORANGE, page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

MARKS = ("<!-- measured: python benchmarks/serving.py -->", "<!-- end -->")
_AT_LEAST = {"MLflow": 10.0, "MLServer": 4.0, "LitServe": 8.0, "BentoML": 8.0}
"""How many times a peer's requests per second ours are to be, JSON, one image."""
_COLOURS = (MUTED, BLUE, ORANGE, "#4a8f3c", "#8d5bb0", "#b0413e", "#99772c")


@dataclass(frozen=True)
class Measured:
    """One server and one kind of question, 64 at a time.

    Attributes:
        name: of the server, and of the question where it is not JSON of one image.
        rate: answers per second.
        rows: images per second.
        p50_ms: median latency.
        p99_ms: latency that 99 % keep.
    """

    name: str
    rate: float
    rows: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Findings:
    """Everything that was measured.

    Attributes:
        measured: in the order of the table.
        curves: by name, rate and p99 (ms) with ever more connections.
        failed: peers that did not run, and why.
        memory_mb: of our worker, resident, at the end.
    """

    measured: list[Measured]
    curves: dict[str, list[tuple[float, float]]]
    failed: dict[str, str]
    memory_mb: float

    def get(self, name: str) -> Measured:
        """Return what was measured of one name, or of the first that begins with it."""
        return next(m for m in self.measured if m.name == name or m.name.startswith(f"{name} "))


@dataclass(frozen=True)
class Check:
    """A limit, and whether it holds."""

    words: str
    holds: bool


def checks(found: Findings) -> list[Check]:
    """Return every limit that can be checked with what ran."""
    ours, noop = found.get("ours"), found.get("no-op")
    out = [
        _at_least("JSON to no-op", ours.rate / noop.rate, 0.25),
        _at_least("raw to no-op", found.get("ours, raw").rate / noop.rate, 0.5),
        Check(f"worker's memory {found.memory_mb:.0f} MB, at most 150", found.memory_mb <= 150),
    ]
    for peer in _peers(found):
        word = peer.name.split()[0]
        out.append(_at_least(f"JSON to {word}", ours.rate / peer.rate, _AT_LEAST[word]))
        if word == "MLflow":
            share = ours.p99_ms / peer.p99_ms
            out.append(Check(f"p99 to {word}: {share:.3f}, at most 0.125", share <= 0.125))
            many = found.get("ours, raw × 32").rows
            rows = max(m.rows for m in found.measured if m.name.startswith("MLflow"))
            out.append(_at_least(f"raw rows, 32 at a time, to {word}'s best", many / rows, 30.0))
    return out


def table(found: Findings) -> Iterator[str]:
    """Yield the table for a terminal."""
    yield f"{'':22}{'requests/s':>11}{'images/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'to no-op':>10}"
    noop = found.get("no-op").rate
    for m in found.measured:
        yield (
            f"{m.name:22}{m.rate:11.0f}{m.rows:10.0f}{m.p50_ms:9.2f}{m.p99_ms:9.2f}"
            f"{m.rate / noop:10.2f}"
        )
    for name, why in found.failed.items():
        yield f"{name} did not run: {why}"
    yield f"worker: {found.memory_mb:.0f} MB resident"


def write(found: Findings, folder: Path) -> None:
    """Write the table between the marks of README.md, and serving.png beside it."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0], 1)
    after = rest.split(MARKS[1], 1)[1]
    lines = "\n".join(_markdown(found))
    path.write_text(f"{before}{MARKS[0]}\n{lines}\n{MARKS[1]}{after}", encoding="utf-8")
    with page(folder / "serving.png") as axes:
        _rates(axes[0][0], found)
        _tails(axes[0][1], found)
        _curves(axes[1][0], found)
        _ratios(axes[1][1], found)


def _peers(found: Findings) -> list[Measured]:
    return [m for m in found.measured if m.name.split()[0] in _AT_LEAST and "×" not in m.name]


def _at_least(what: str, value: float, least: float) -> Check:
    return Check(f"{what}: {value:.2f}, at least {least:g}", value >= least)


def _markdown(found: Findings) -> Iterator[str]:
    yield "| server | requests/s | images/s | p50 ms | p99 ms | ours, JSON, is times as fast |"
    yield "|---|---|---|---|---|---|"
    ours = found.get("ours").rate
    for m in found.measured:
        times = f"{ours / m.rate:.1f}" if m in _peers(found) else "–"
        figures = f"{m.rate:.0f} | {m.rows:.0f} | {m.p50_ms:.1f} | {m.p99_ms:.1f}"
        yield f"| {m.name} | {figures} | {times} |"
    yield ""
    for name, why in found.failed.items():
        yield f"{name} did not run here: {why}"
        yield ""
    yield f"Hardware: {HARDWARE}. Limits:"
    for check in checks(found):
        yield f"- {check.words}: {'holds' if check.holds else '**does not hold**'}"
    yield ""
    yield "![rates, tails, latency against throughput](serving.png)"


def _rates(axes: Axes, found: Findings) -> None:
    _bars(axes, [(m.name, m.rate) for m in _shown(found)], "JSON, one image: requests per second")


def _tails(axes: Axes, found: Findings) -> None:
    _bars(axes, [(m.name, m.p99_ms) for m in _shown(found)], "… and their p99 in ms")


def _shown(found: Findings) -> list[Measured]:
    return [found.get("ours"), *_peers(found)]


def _bars(axes: Axes, values: list[tuple[str, float]], title: str) -> None:
    names = [name for name, _ in values][::-1]
    widths = [value for _, value in values][::-1]
    colours = [BLUE if name == "ours" else MUTED for name in names]
    axes.barh(names, widths, color=colours)
    for place, width in enumerate(widths):
        axes.text(width, place, f" {width:,.0f}", va="center")
    axes.set_xlim(0, 1.25 * max(widths))
    axes.set_title(title)
    axes.xaxis.set_visible(False)


def _curves(axes: Axes, found: Findings) -> None:
    for (name, points), colour in zip(found.curves.items(), _COLOURS, strict=False):
        rates, tails = zip(*points, strict=True)
        axes.plot(rates, tails, marker="o", markersize=4, color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="requests per second", ylabel="p99 ms")
    axes.grid(color=GRID)
    axes.legend(fontsize=8, loc="lower left")
    axes.set_title("1, 4, 16 and 64 connections")


def _ratios(axes: Axes, found: Findings) -> None:
    noop = found.get("no-op").rate
    names = {"ours": ("JSON", 0.25), "ours, raw": ("raw pixels", 0.5)}
    for place, (name, (word, least)) in enumerate(names.items()):
        share = found.get(name).rate / noop
        axes.bar(word, share, color=BLUE, width=0.5)
        axes.text(place, share, f"{share:.2f}", ha="center", va="bottom")
        axes.hlines(least, place - 0.35, place + 0.35, color=ORANGE, linestyle="--")
    axes.set_title("Rate, to a no-op app")
    axes.set_ylim(0, 1)
