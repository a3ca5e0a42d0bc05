"""Which parts `mlops up` runs: their commands, variables and addresses."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlops.adapters.parts import Part
from mlops.adapters.ports import LOOPBACK
from mlops.log import QUIET, prefect_environment
from mlops.params.base import View
from mlops.params.load import load
from mlops.params.project import ProjectSection

if TYPE_CHECKING:
    from mlops.adapters.ports import Ports
    from mlops.layout import Layout
    from mlops.settings import Settings

_PYTHON = (sys.executable, "-m")
_MLOPS = (*_PYTHON, "mlops.cli.main")
_HEARTBEAT_S = 30  # what flows/automations.py counts on; Prefect's shortest


class _NameView(View):
    project: ProjectSection


def plan(layout: Layout, settings: Settings, ports: Ports) -> tuple[Part, ...]:
    """Return the parts of this root; servers that the environment names elsewhere are left out.

    Args:
        layout: the project's paths.
        settings: the environment.
        ports: as `choose_ports` gave them.
    """
    shared = environment(layout, settings, ports)
    return (
        *(() if settings.prefect_api_url else (_prefect(ports, shared),)),
        *_workers(layout, settings, shared),
        *(() if _elsewhere(settings) else (_mlflow(layout, settings, ports, shared),)),
        _serve(settings, ports, shared, () if _elsewhere(settings) else ("mlflow",)),
        Part("reports", (*_MLOPS, "report", "--follow"), shared, after=("serve",)),
    )


def environment(layout: Layout, settings: Settings, ports: Ports) -> dict[str, str]:
    """Return the variables that every part, and every command beside them, has in common."""
    api = settings.prefect_api_url or f"{_local(ports.prefect)}/api"
    return {
        **{name: os.environ.get(name, value) for name, value in QUIET.items()},
        **prefect_environment(layout, api),
        "MLOPS_ROOT": str(layout.root),
        "MLOPS_PREFECT_API_URL": api,
        "MLOPS_MLFLOW_UI_URL": settings.mlflow_ui_url or _local(ports.mlflow),
        "MLOPS_SERVE_PORT": str(ports.serve),
        "MLOPS_METRICS_PORT": str(ports.metrics),
        "MLOPS_MLFLOW_PORT": str(ports.mlflow),
        "MLOPS_PREFECT_PORT": str(ports.prefect),
    }


def _prefect(ports: Ports, shared: dict[str, str]) -> Part:
    address = _local(ports.prefect)
    command = (*_PYTHON, "prefect", "server", "start")
    extra = {
        # Never MLOPS_HOST: whoever reaches this server may start what the worker runs.
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(ports.prefect),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # Prefect's defaults let any web page that the user visits talk to the server.
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(_origins(ports.prefect)),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    return Part("prefect", command, shared | extra, f"{address}/api/health", address)


def _workers(layout: Layout, settings: Settings, shared: dict[str, str]) -> tuple[Part, ...]:
    name = load(layout.params, _NameView).project.name
    after = () if settings.prefect_api_url else ("prefect",)
    deploy = Part("deploy", (*_PYTHON, "flows.deploy"), shared, after=after, once=True)
    command = (
        *_PYTHON, "prefect", "worker", "start", "--pool", "mlops", "--work-queue", name,
        "--type", "process", "--name", f"{name}-worker", "--install-policy", "never",
    )  # fmt: skip
    extra = {
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(_HEARTBEAT_S),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    # A run that is training outlives its worker; the next worker does not start it again.
    worker = Part("worker", command, shared | extra, after=("deploy",), spares_children=True)
    return deploy, worker


def _mlflow(layout: Layout, settings: Settings, ports: Ports, shared: dict[str, str]) -> Part:
    address, origins = _local(ports.mlflow), _origins(ports.mlflow)
    command = (*_PYTHON, "mlflow", "server", "--workers", "1")
    artifacts = settings.mlflow_artifacts or str(layout.mlartifacts)
    extra = {
        # In the environment, not on the command line, which every user of the machine can read.
        "MLFLOW_BACKEND_STORE_URI": settings.tracking(layout),
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": artifacts,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        "MLFLOW_HOST": LOOPBACK,  # likewise: it has no password, and moves aliases
        "MLFLOW_PORT": str(ports.mlflow),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(o.removeprefix("http://") for o in origins),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
    }
    return Part("mlflow", command, shared | extra, f"{address}/health", f"{address}/#/models")


def _serve(
    settings: Settings, ports: Ports, shared: dict[str, str], after: tuple[str, ...]
) -> Part:
    address = _address(settings, ports.serve)
    # MLflow makes its database when it first starts: two at once would trip over each other.
    return Part("serve", (*_MLOPS, "serve"), shared, f"{address}/ping", address, after)


def _elsewhere(settings: Settings) -> bool:
    return settings.mlflow_uri.get_secret_value().startswith(("http://", "https://"))


def _address(settings: Settings, port: int) -> str:
    """Return where a person or a probe reaches a port: a wildcard is only for listening."""
    host = LOOPBACK if settings.host in ("", "0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    return f"{settings.scheme}://{host}:{port}"


def _local(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _origins(port: int) -> list[str]:
    return [_local(port), f"http://localhost:{port}"]
