"""The fixed reference that windows are compared with beside the champion's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters import registry
from mlops.adapters.baseline import Baseline, read_baseline
from mlops.adapters.ledger import Ledger
from mlops.adapters.moves import effective
from mlops.adapters.observe import shifts
from mlops.adapters.thresholds import thresholds_for
from mlops.adapters.two_baselines import Beside
from mlops.core.alarm import judge
from mlops.core.columns import look_names
from mlops.core.drift import presort, statistics
from mlops.core.fixed import Fixed, summed_up
from mlops.errors import MonitorError, NotAdmitted, RegistryError, Unavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.core.columns import Columns
    from mlops.core.drift import Reference
    from mlops.core.thresholds import Thresholds
    from mlops.params.monitoring import MonitoringSection
    from mlops.site import Site

FIRST = "first"


@dataclass(frozen=True)
class LongReference:
    """The input columns of a version's reference.

    Attributes:
        version: whose.
        columns: of its examples alone: answers of another model say nothing of this one's.
        ready: the same, presorted.
        thresholds: of that version.
        baseline: of that version.
    """

    version: str
    columns: Columns
    ready: Reference
    thresholds: Thresholds
    baseline: Baseline

    def compare(self, rows: Columns | None, baseline: Baseline) -> Fixed | None:
        """Compare a window of another version; None where its examples have other columns.

        Args:
            rows: its sound rows; None when hardly any is sound.
            baseline: of its version.
        """
        if rows is None or baseline.schema != self.baseline.schema:
            return None
        seen = inputs(rows, baseline)
        at = [self.thresholds.columns.index(name) for name in seen.all_names]
        own = replace(
            self.thresholds, columns=seen.all_names,
            limits=tuple(self.thresholds.limits[n] for n in at),
            means=tuple(self.thresholds.means[n] for n in at), calibrated=False,
        )  # fmt: skip
        verdict = judge(
            own, statistics(self.ready, seen), shifts(self.columns, seen), len(seen), seen.named
        )
        means = dict(
            zip(self.columns.names, self.columns.values.mean(axis=0).tolist(), strict=True)
        )
        return summed_up(self.version, verdict.columns[:-1], means)  # the last is the answers'


def find(
    site: Site,
    engine: sa.Engine,
    project: str,
    monitoring: MonitoringSection,
    pace_minutes: float | None,
    *,
    redacted: tuple[str, ...] = (),
) -> LongReference | None:
    """Fetch the reference of `monitoring.baseline`; None while there is none to be had.

    `first` is the version that was in service first. It is a report, so a version that is gone
    is no error.

    Args:
        site: where versions are fetched.
        engine: the project's database.
        project: registered-model name.
        monitoring: the section.
        pace_minutes: that a window takes, as seen.
        redacted: columns of a table that windows lack.
    """
    version = monitoring.baseline
    if version == FIRST:
        moves = effective(Ledger(engine, project).entries())
        version = next((e.to_version for e in moves if e.to_version is not None), "")
    if not version:
        return None
    try:
        folder = registry.fetch(site, project, version)
        baseline = read_baseline(folder, redacted)
        found = thresholds_for(site, folder, monitoring, pace_minutes, redacted)
    except (RegistryError, MonitorError, Unavailable):
        return None
    columns = inputs(baseline.columns, baseline)
    return LongReference(version, columns, presort(columns), found, baseline)


def beside(
    site: Site, project: str, told: Fixed | None, redacted: tuple[str, ...] = ()
) -> Beside | None:
    """Return what a window's page says of the fixed reference; None where there is none to tell.

    Args:
        site: where versions are fetched.
        project: registered-model name.
        told: what was stored with the window.
        redacted: columns of a table that the window lacks.

    Raises:
        Unavailable: if the registry does not answer, or does not let us in.
    """
    if told is None or not told.inputs:
        return None
    try:
        baseline = read_baseline(registry.fetch(site, project, told.version), redacted)
    except NotAdmitted as error:
        raise Unavailable(str(error)) from None
    except (RegistryError, MonitorError):
        return Beside(told, None)
    return Beside(told, inputs(baseline.columns, baseline))


def inputs(rows: Columns, baseline: Baseline) -> Columns:
    """Return the columns that the examples alone give."""
    names = tuple(name for name in look_names(baseline.schema) if name in rows.names)
    at = [rows.names.index(name) for name in names]
    named = tuple(name for name in rows.named if name in names)
    return replace(rows, names=names, values=rows.values[:, at], named=named)
