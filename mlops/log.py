"""Logging, and the one place where every library's telemetry is silenced."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from mlops.layout import Layout

QUIET = {
    # Nothing may phone home, nothing may hang without a network.
    "DO_NOT_TRACK": "true",  # MLflow wants exactly "true"
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    # MLflow's client retries a dead server seven times with back-off: minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # No model of ours needs pickle, and none may bring one.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # The server needs two processes, not ten; job execution runs what clients send.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # Two OpenMP threads beside other work spin: 407 ms a step became 92 with this.
    "GOMP_SPINCOUNT": "0",
}

_TALKATIVE = ("great_expectations.data_context.types.base",)
"""Loggers that set their own level when they are imported: theirs are filtered instead."""

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def quieten() -> None:
    """Silence telemetry, tips and deprecations of every library; call before importing any."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    for pattern in ("litestar", "evidently", "litlogger", "LeafSpec", "pkg_resources"):
        warnings.filterwarnings("ignore", message=f".*{pattern}.*")
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_serious)


def _serious(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def prefect_environment(layout: Layout, api_url: str = "") -> dict[str, str]:
    """Return Prefect's variables: its home inside `.mlops/`, loopback, no analytics."""
    values = {
        "PREFECT_HOME": str(layout.prefect_home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_CLI_PROMPT": "false",
    }
    if api_url:
        values["PREFECT_API_URL"] = api_url
    return values


class _Lines:
    """Stderr as it is now; a line that it does not take is lost, and ends nobody.

    Where a log file's disk is full, so are the ones that the program has to go on without.
    """

    def write(self, text: str) -> int:
        """Write a part of a line."""
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is still in memory."""
        with suppress(OSError):
            sys.stderr.flush()


_LINES = cast("TextIO", _Lines())


def configure(level: str = "info") -> None:
    """Send structured log lines to stderr; colour only on a terminal."""
    import structlog

    logging.basicConfig(level=_LEVELS[level], stream=sys.stderr, format="%(message)s")
    for name in ("alembic", "httpx", "httpcore", "lightning", "great_expectations", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        # Looked up at each line: whoever redirects stderr later must not meet a closed file.
        logger_factory=lambda *_: structlog.PrintLogger(_LINES),
        cache_logger_on_first_use=False,
    )
