"""Ports, chosen once and kept in `.mlops/ports.json`, so that links in mails stay valid."""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from mlops.adapters import files
from mlops.errors import DataError, Unavailable

if TYPE_CHECKING:
    from mlops.layout import Layout
    from mlops.settings import Settings

LOOPBACK = "127.0.0.1"

_TRIES = 200
_CONNECT_S = 0.2


@dataclass(frozen=True)
class Ports:
    """One port per server of this root."""

    prefect: int
    mlflow: int
    serve: int
    metrics: int


def read_ports(layout: Layout, settings: Settings) -> Ports:
    """Return the kept ports, or the settings' where none were chosen yet; writes nothing."""
    kept = _kept(layout)
    asked = _asked(settings)
    return Ports(**{name: kept.get(name, port) for name, port in asked.items()})


def listens_on(name: str, settings: Settings) -> str:
    """Return the address that a server of `mlops up` listens on.

    Prefect and MLflow ask nobody for a password: whatever MLOPS_HOST says, they stay on loopback.
    """
    return {"serve": settings.host, "metrics": settings.metrics_host}.get(name, LOOPBACK)


def choose_ports(layout: Layout, settings: Settings) -> tuple[Ports, tuple[str, ...]]:
    """Keep the ports of last time where they are free, else take the next free ones.

    Call it while none of this root's own servers runs: a port in use is then somebody else's.
    Nothing is written: see `keep_ports`.

    Returns:
        The ports, and one line for each that had to move.

    Raises:
        Unavailable: if no port is free within 200 of the one wished for.
    """
    kept, moved, chosen = _kept(layout), [], dict[str, int]()
    for name, asked in _asked(settings).items():
        # A port named in the environment is a wish of today; otherwise last time's stays.
        explicit = asked != 0 and f"{name}_port" in settings.model_fields_set
        wished = asked if explicit or name not in kept else kept[name]
        port = _free_from(wished, listens_on(name, settings), set(chosen.values()))
        if port != wished and wished:
            moved.append(f"port {wished} ({name}) is taken by another program; using {port}")
        chosen[name] = port
    return Ports(**chosen), tuple(moved)


def keep_ports(layout: Layout, ports: Ports) -> None:
    """Write down which ports were chosen, for clients, links in mails, and the next time."""
    files.write_json(layout.ports, asdict(ports))


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return whether nothing listens on a port and we may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_S)
        # Binding alone is not proof: some systems let two programs share a port.
        if probe.connect_ex((_reachable(host), port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of a server that just ended linger for a minute; they are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_from(wished: int, host: str, taken: set[int]) -> int:
    """Return the first free port from `wished` upwards; any free one if `wished` is 0."""
    if wished == 0:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    for port in range(wished, min(wished + _TRIES, 65536)):
        if port not in taken and is_free(port, host):
            return port
    msg = f"no free port from {wished} to {wished + _TRIES}; set MLOPS_*_PORT to another range"
    raise Unavailable(msg)


def _asked(settings: Settings) -> dict[str, int]:
    return {field.name: getattr(settings, f"{field.name}_port") for field in fields(Ports)}


def _kept(layout: Layout) -> dict[str, int]:
    """Return what was chosen before; a damaged file is as good as none, for it is rewritten."""
    if not layout.ports.exists():
        return {}
    try:
        content = files.read_json(layout.ports)
    except DataError:
        return {}
    names = asdict(Ports(0, 0, 0, 0))
    return {
        name: port
        for name, port in content.items()
        if name in names and isinstance(port, int) and 0 < port < 65536
    }


def _reachable(host: str) -> str:
    """Return an address that a client can connect to: a wildcard is only for listening."""
    return LOOPBACK if host in ("", "0.0.0.0") else host  # noqa: S104 - compared, not bound
