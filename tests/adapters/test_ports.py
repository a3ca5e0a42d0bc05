"""Ports are kept, and given up only to another program."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from mlops.adapters.ports import choose_ports, is_free, keep_ports, read_ports
from mlops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.site import Site


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def _spare() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_kept_from_one_start_to_the_next(site: Site) -> None:
    wild = Settings(serve_port=0, metrics_port=0, mlflow_port=0, prefect_port=0)
    first, moved = choose_ports(site.layout, wild)
    assert not moved
    assert len({first.serve, first.metrics, first.mlflow, first.prefect}) == 4
    assert not site.layout.ports.exists()
    keep_ports(site.layout, first)
    again, moved = choose_ports(site.layout, Settings())
    assert (again, moved) == (first, ())
    assert read_ports(site.layout, Settings()) == first
    assert json.loads(site.layout.ports.read_text())["serve"] == first.serve


def test_taken_by_somebody_else_moves_and_says_so(site: Site, taken: int) -> None:
    site.layout.state.mkdir(exist_ok=True)
    site.layout.ports.write_text(json.dumps({"mlflow": taken}))
    ports, moved = choose_ports(site.layout, Settings())
    assert ports.mlflow != taken
    assert is_free(ports.mlflow)
    assert any(f"port {taken} (mlflow)" in line and str(ports.mlflow) in line for line in moved)


def test_an_explicit_port_beats_the_kept_one(site: Site) -> None:
    kept, _ = choose_ports(site.layout, Settings(serve_port=_spare()))
    keep_ports(site.layout, kept)
    wished = _spare()
    ports, _ = choose_ports(site.layout, Settings(serve_port=wished))
    assert ports.serve == wished


@pytest.mark.parametrize("content", ["", "{", "[]", '{"serve": "x", "mlflow": 0, "who": 1}'])
def test_a_damaged_file_is_rewritten(site: Site, content: str) -> None:
    site.layout.state.mkdir(exist_ok=True)
    site.layout.ports.write_text(content)
    ports, _ = choose_ports(site.layout, Settings())
    keep_ports(site.layout, ports)
    assert json.loads(site.layout.ports.read_text()) == {
        "prefect": ports.prefect,
        "mlflow": ports.mlflow,
        "serve": ports.serve,
        "metrics": ports.metrics,
    }


def test_free_or_not(taken: int) -> None:
    assert not is_free(taken)
    assert not is_free(taken, "0.0.0.0")
    assert is_free(_spare())


def test_reading_before_any_start_gives_the_settings(site: Site) -> None:
    assert read_ports(site.layout, Settings(serve_port=8765)).serve == 8765
    assert not site.layout.ports.exists()
