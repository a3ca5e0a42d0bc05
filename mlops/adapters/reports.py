"""Pages of judged windows: made beside the window, off the critical path, and again with labels."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from mlops.adapters import files, measured, registry, report_states
from mlops.adapters import windows as table
from mlops.adapters.baseline import read_baseline
from mlops.adapters.evidently.page import NAMES, Material, make_failure, make_page
from mlops.adapters.evidently.quality import Quality
from mlops.adapters.kept import Kept, read_kept
from mlops.adapters.long_reference import beside
from mlops.adapters.page_rows import labelled_rows, reference_rows
from mlops.errors import DataError, MonitorError, NotAdmitted, RegistryError, Unavailable, Unknown
from mlops.params.base import View
from mlops.params.labels import LabelsSection
from mlops.params.load import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.adapters.windows import Window
    from mlops.site import Site

PATIENCE_S = 3600.0
"""Age from which a page whose labels have grown is made anew, where nobody asks for it."""


class _Params(View):
    labels: LabelsSection


def make_pending(
    site: Site, engine: sa.Engine, project: str, limit: int = 10, *, patience_s: float = 0.0
) -> int:
    """Make the pages of windows that lack one, alarms first, then those that labels outdate.

    Args:
        site: where pages lie.
        engine: the project's database.
        project: registered-model name.
        limit: pages that are made at most.
        patience_s: a page that shows some labels is not made anew before it is so old: they
            trickle in.

    Returns:
        How many were made.

    Raises:
        MonitorError: after the others are made, if one could not be or disagrees with the verdict.
    """
    with engine.connect() as connection:
        pending = report_states.waiting(connection, project, "pending")
        outdated = report_states.waiting(connection, project, "outdated")
        # Chosen before they are counted: however many are not due, they hold up none that is.
        due = (window for window in outdated if _due(site, window, patience_s))
        names = tuple(islice(chain(pending, due), limit))
        chosen = sorted(table.named(connection, project, names), key=lambda w: names.index(w.id))
    problems: list[str] = []
    for window in chosen:
        try:
            make_one(site, engine, window)
        except MonitorError as error:
            problems.append(str(error))
    if problems:
        raise MonitorError("; ".join(problems))
    return len(chosen)


def make_named(site: Site, engine: sa.Engine, project: str, window: str) -> None:
    """Make the page of one window anew.

    Raises:
        Unknown: if there is no such window.
        MonitorError: if it cannot be made or disagrees with the verdict.
    """
    with engine.connect() as connection:
        found = table.get(connection, project, window)
    if found is None:
        msg = f"window {window}: unknown in project {project}; see: mlops status"
        raise Unknown(msg)
    if found.report == "pruned":
        msg = f"window {window}: its page and rows were deleted, see reports.keep_days"
        raise MonitorError(msg)
    make_one(site, engine, found)


def make_one(site: Site, engine: sa.Engine, window: Window) -> None:
    """Make one page and record what became of it: `made` or `failed`.

    Raises:
        MonitorError: if it cannot be made or disagrees with the verdict; the page says so, too.
    """
    folder = site.layout.windows / window.id
    expected = measured.expect(load(site.layout.params, _Params).labels, site.now.timestamp())
    try:
        with engine.begin() as connection:
            window, told = measured.renewed(connection, window, expected)
        make_page(_material(site, window, told), folder)
    except (MonitorError, RegistryError, DataError) as error:
        make_failure(window, str(error), site.now, folder)
        with engine.begin() as connection:
            known = report_states.note(
                connection, window.id, "failed", after=report_states.UNPRUNED
            )
        if not known:  # it was pruned meanwhile
            _remove(folder)
        raise MonitorError(str(error)) from None
    with engine.begin() as connection:
        wanted = report_states.note_made(connection, window)
    if not wanted:  # it was pruned meanwhile
        _remove(folder)


def _remove(folder: Path) -> None:
    for name in NAMES:
        files.remove(folder / name)


def _due(site: Site, window: str, patience_s: float) -> bool:
    """Say whether an outdated page is to be made anew now: the first labels do not wait."""
    try:
        shown: dict[str, Any] = files.read_json(site.layout.windows / window / NAMES[-1])
        young = site.now.timestamp() - float(shown["made_s"]) < patience_s
        return not (young and shown["labelled"])
    except (DataError, KeyError):
        return True


def _material(site: Site, window: Window, told: Sequence[sa.Row[Any]]) -> Material:
    folder = site.layout.windows / window.id
    if window.verdict.columns:
        return _judged(site, window, told, read_kept(folder), _fetch(site, window))
    try:
        kept, model = read_kept(folder), _fetch(site, window)
    except (MonitorError, RegistryError):
        return Material(window, site.now)  # nothing was kept, or its version is gone
    baseline = read_baseline(model, window.redacted)
    rows, _ = reference_rows(model, window.redacted)
    seen = Quality(kept.sent, rows, baseline.schema, baseline.usual) if kept.sent else None
    return Material(window, site.now, quality=seen)


def _fetch(site: Site, window: Window) -> Path:
    try:
        return registry.fetch(site, window.cut.project, window.cut.version)
    except NotAdmitted as error:  # of the version it says nothing: the page is made later
        raise Unavailable(str(error)) from None


def _judged(
    site: Site, window: Window, told: Sequence[sa.Row[Any]], kept: Kept, model: Path
) -> Material:
    baseline = read_baseline(model, window.redacted)
    schema = baseline.schema
    rows, labelled = reference_rows(model, window.redacted)
    return Material(
        window, site.now, baseline.columns, kept.columns,
        beside(site, window.cut.project, window.fixed, window.redacted),
        Quality(kept.sent, rows, schema, baseline.usual) if kept.sent else None,
        labelled_rows(told, schema) if told else None,
        labelled if len(labelled) else None,
    )  # fmt: skip
