"""Prometheus metrics of the serving processes; every label's values are bounded.

With several processes the numbers meet in memory-mapped files (`PROMETHEUS_MULTIPROC_DIR`), and
the supervisor serves their sum on a port of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from mlops.serving import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

counted.begin()


class Summed(Histogram):
    """A histogram that takes several amounts with one write per bucket that they fall into."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe every amount, as `observe` does one."""
        self._sum.inc(sum(amounts))
        places = Tally(map(partial(bisect_left, self._upper_bounds), amounts))
        for place, count in places.items():
            self._buckets[place].inc(count)


REQUESTS = Counter("mlops_requests", "Answers by route and status", ["route", "status"])
SECONDS = Summed(
    "mlops_request_seconds",
    "From the whole request's arrival to its answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
PREDICTIONS = Counter("mlops_predictions", "Rows answered")
UNKNOWN_CATEGORIES = Counter(
    "mlops_unknown_categories", "Values that the schema does not list", ["column"]
)
IN_PROGRESS = Gauge("mlops_requests_in_progress", "Requests", multiprocess_mode="livesum")
VERSION = Gauge("mlops_model_version", "Version in service", multiprocess_mode="livemostrecent")
RUNTIME = Gauge(
    "mlops_model_runtime",
    "1 for what runs the version in service",
    ["runtime"],
    multiprocess_mode="livemostrecent",
)
FOREIGN = Gauge(
    "mlops_model_foreign",
    "1 while a model from elsewhere is in service, which no gate has judged",
    multiprocess_mode="livemostrecent",
)
SWAPS = Counter("mlops_model_swaps", "Versions brought into service by workers")
LOAD_FAILURES = Counter("mlops_model_load_failures", "Pointers that a worker could not follow")

LOG_QUEUED = Gauge(
    "mlops_log_queued_rows", "Rows not yet in the spool", multiprocess_mode="livesum"
)
LOG_DROPPED = Counter(
    "mlops_log_dropped_rows", "Rows lost: queue or spool were full, or a write failed for good"
)
LOG_SAMPLED_OUT = Counter("mlops_log_sampled_out_rows", "Rows left out by MLOPS_LOG_SAMPLE")
SPOOL_ERRORS = Counter("mlops_spool_errors", "Failed writes of spool segments")
SPOOL_SEGMENTS = Gauge(
    "mlops_spool_segments", "Segments waiting for the database", multiprocess_mode="livemostrecent"
)
SPOOL_BYTES = Gauge(
    "mlops_spool_bytes", "Bytes waiting for the database", multiprocess_mode="livemostrecent"
)
SPOOL_DAMAGED = Counter("mlops_spool_damaged_segments", "Segments set aside as unreadable")
DATABASE_ERRORS = Counter("mlops_database_errors", "Failed writes of the prediction log")
LOG_WRITTEN = Counter("mlops_log_written_rows", "Rows that reached the database")

REFUSED_VERSIONS = Counter("mlops_versions_refused", "Champions that failed verification")
REGISTRY_ERRORS = Counter("mlops_registry_errors", "Failed polls of the registry")
REGISTRY_SEEN = Gauge(
    "mlops_registry_seen_timestamp_seconds",
    "When the registry last answered",
    multiprocess_mode="livemostrecent",
)
REFUSED = Gauge(
    "mlops_champion_refused",
    "1 while the alias names a version that is not served",
    multiprocess_mode="livemostrecent",
)
STALENESS = Gauge(
    "mlops_registry_staleness_seconds",
    "How long ago the registry last answered",
    multiprocess_mode="livemostrecent",
)
MODEL_FAILURES = Counter("mlops_model_failures", "Requests that a model could not answer")
SHED = Counter("mlops_requests_shed", "Requests turned away in overload", ["why"])
ARM_REQUESTS = Counter(
    "mlops_arm_requests", "Requests by side, while a canary runs", ["arm", "outcome"]
)
ARM_RACES = Counter(
    "mlops_arm_races",
    "Times that both sides scored the same rows, by who was slow, while a canary runs",
    ["slow"],
)
SHADOW_ROWS = Counter(
    "mlops_shadow_rows", "Rows shown to the shadow version, by what came of it", ["outcome"]
)
SHADOW_SECONDS = Histogram(
    "mlops_shadow_seconds",
    "The shadow version's own time for a request",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
CANARY_SHARE = Gauge(
    "mlops_canary_share",
    "Share of the keys that the challenger answers",
    multiprocess_mode="livemostrecent",
)
CANARY_ROLLBACKS = Counter("mlops_canary_rollbacks", "Canaries ended by the sequential test")
WINDOWS = Gauge(
    "mlops_windows_judged", "Windows that were judged", multiprocess_mode="livemostrecent"
)
INCIDENTS = Gauge(
    "mlops_drift_incidents",
    "Drift incidents so far, by what they were worth: costly, false or unmeasured",
    ["worth"],
    multiprocess_mode="livemostrecent",
)
BUDGETED = Gauge(
    "mlops_false_incidents_budgeted",
    "False incidents that monitoring.false_alarms allows in as many windows",
    multiprocess_mode="livemostrecent",
)
PAGES_FAILED = Gauge(
    "mlops_pages_failed",
    "Windows of the last week whose page could not be made, or disagrees with the verdict",
    multiprocess_mode="livemostrecent",
)
FALSE_RETRAINS = Gauge(
    "mlops_false_retrains",
    "Retrains that incidents asked for which turned out false",
    multiprocess_mode="livemostrecent",
)
ALARM = Gauge(
    "mlops_serving_alarm",
    "1 while a serving alarm is raised",
    ["alarm"],
    multiprocess_mode="livemostrecent",
)
