"""What the settings mean for the serving processes: their configuration and environment."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from mlops.adapters import files, seal
from mlops.adapters.onnx_session import choose_provider
from mlops.core.redacted import parse_redact, present
from mlops.errors import MlopsError, Unavailable, UsageError
from mlops.params.name import project_name
from mlops.remote.address import check_url
from mlops.serving.config import Limits, ServingConfig, check_address, is_loopback
from mlops.serving.model import read_schema
from mlops.serving.pointer import Pointer, read_pointer, write_pointer
from mlops.serving.tokens import read_tokens
from mlops.site import Site

if TYPE_CHECKING:
    from mlops.core.schema import Schema
    from mlops.layout import Layout
    from mlops.settings import Settings

_LEDGER_S = 20.0  # a start that is refused is so within 30 s


def serving_config(layout: Layout, settings: Settings, *, host: str, workers: int) -> ServingConfig:
    """Return what every worker is told.

    Raises:
        UsageError: if a setting is wrong, or anybody could ask the server from outside.
    """
    project = project_name(layout.params)
    tokens = Path(settings.tokens_file or layout.tokens)
    token = settings.token.get_secret_value()
    known = len(read_tokens(tokens))
    check_address(host, token, known)
    check_address(settings.metrics_host, token, known, setting="MLOPS_METRICS_HOST")
    flush_s, redact = settings.log_flush_ms / 1000.0, parse_redact(settings.redact)
    return ServingConfig(
        project=project, home=str(layout.serving / project), spool=str(layout.spool),
        database_url=settings.database(layout), token=token, tokens=str(tokens),
        known_as=_known_as(settings.serve_url),
        closed=not is_loopback(host), rate=settings.rate_limit / workers, share=1.0 / workers,
        tls=_tls(settings),
        keep_payloads=settings.payloads == "keep", redact=redact.fields,
        redact_columns=redact.columns,
        provider=choose_provider(settings.serve_provider),
        sample=settings.log_sample, log_days=settings.log_days,
        shadow_sample=settings.shadow_sample,
        access_log=settings.access_log, docs=settings.serve_docs,
        limits=Limits(
            deadline_s=settings.deadline_s, flush_s=flush_s,
            spool_bytes=int(settings.spool_mb * (1 << 20)),
        ),
    )  # fmt: skip


def foreign_config(
    layout: Layout, settings: Settings, config: ServingConfig, uri: str
) -> tuple[ServingConfig, str]:
    """Bring a model from elsewhere; return what its workers are told, and a note for people.

    Args:
        layout: of the project.
        settings: of the server.
        config: what workers would be told for the champion.
        uri: of the model, see `mlops.adapters.foreign_copy.fetch`.

    Raises:
        MlopsError: if it cannot be brought, is refused, or does not work here.
    """
    from mlops.serving.foreign.bring import brought

    told = brought(layout, uri)
    folder = Path(told["folder"])
    write_pointer(folder.parent, Pointer(told["version"], str(folder), told["digest"], time.time()))
    runs = f"MLflow pyfunc ({told['flavour']})"
    took = f", {told['took']}" if told["took"] else ""
    pinned = "; pinned to what it is now" if told["pinned"] else ""
    return (
        replace(config, project=told["name"], home=str(folder.parent), code=settings.serve_code),
        f"; {runs}, slower{took}; not gated, not logged{pinned}",
    )


def check_columns(layout: Layout, settings: Settings, project: str) -> None:
    """Refuse to start if `MLOPS_REDACT` names what the version in service has no column for.

    The verified copy is served first and needs no database, so it is asked first. Only where it
    lacks a column may the ledger know of a newer version that has it. Without such a copy the
    follower looks at the first version that comes, before a worker may have it.

    Raises:
        UsageError: naming the value and the columns that there are.
    """
    redact = parse_redact(settings.redact)
    held = _cached(layout.serving / project) if redact.columns else None
    if held is None or len(present(redact.columns, held[1])) == len(redact.columns):
        return
    version, schema = _asked(layout, settings, project) or held
    redact.need(schema, f"version {version}")


def _cached(home: Path) -> tuple[str, Schema] | None:
    """Return the version of a verified copy, and its schema; the follower tells of damage."""
    try:
        pointer = read_pointer(home)
        if pointer is None:
            return None
        folder = Path(pointer.folder)
        seal.verify(folder, pointer.digest)
        return pointer.version, read_schema(folder)
    except (MlopsError, OSError):
        return None


def _asked(layout: Layout, settings: Settings, project: str) -> tuple[str, Schema] | None:
    """Ask the ledger, for so long: a database may take a connection and never say a word."""
    site = Site(layout, settings, datetime.now(UTC), layout.work / "serve")
    answers: SimpleQueue[tuple[str, Schema] | Exception | None] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_in_service(site, project))
        except Exception as error:  # noqa: BLE001 - whatever it is, the copy here is known
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=_LEDGER_S)
    except Empty:
        found = Unavailable(f"no answer from the registry or the database in {_LEDGER_S:.0f} s")
    if not isinstance(found, Exception):
        return found
    structlog.get_logger().warning("the version in service is not known", why=str(found))
    return None


def _in_service(site: Site, project: str) -> tuple[str, Schema] | None:
    from mlops.adapters import registry
    from mlops.adapters.ledger import Ledger
    from mlops.adapters.sql.engine import database

    with database(site) as engine:
        version = Ledger(engine, project).in_service()
    if version is None:
        return None
    return version, read_schema(registry.fetch(site, project, version))


def environment(layout: Layout, settings: Settings, config: ServingConfig) -> dict[str, str]:
    """Return the environment of every serving process; the folder of its metrics is made anew."""
    folder = config.folder / "metrics"
    files.remove(folder)
    folder.mkdir(parents=True)
    return {
        **os.environ,
        **config.environment(),
        "MLOPS_ROOT": str(layout.root),
        "MLOPS_LOG_LEVEL": settings.log_level,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def _known_as(url: str) -> str:
    if url:
        check_url(url)
    return urlsplit(url).hostname or ""


def _tls(settings: Settings) -> tuple[str, str]:
    import ssl

    pair = (settings.tls_cert, settings.tls_key)
    if not any(pair):
        return ("", "")
    if not all(pair):
        missing = "MLOPS_TLS_KEY" if settings.tls_cert else "MLOPS_TLS_CERT"
        raise UsageError(f"{missing} is empty; TLS needs a certificate and its key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        msg = f"MLOPS_TLS_CERT={pair[0]}, MLOPS_TLS_KEY={pair[1]}: {why}; give PEM files that match"
        raise UsageError(msg) from None
    return pair
