"""The demo's traffic: where there is none to draw, one line says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.cli.demo.world import World
from mlops.errors import ParamsError
from mlops.params.data import DataSection

if TYPE_CHECKING:
    from pathlib import Path


def test_without_reserved_rows_the_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"data.reserve = 0.0 keeps no rows.*write 0.35"):
        World(DataSection(source="digits"), tmp_path, seed=1)


def test_a_table_is_no_traffic_for_the_demo(tmp_path: Path) -> None:
    lines = ["x,y", *(f"{i},{'ab'[i % 2]}" for i in range(40))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    section = DataSection(source="table", path="rows.csv", target="y", reserve=0.3)
    with pytest.raises(ParamsError, match="gives no images; the demo needs them"):
        World(section, tmp_path, seed=1)
