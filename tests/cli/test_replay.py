from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters.rebuild import Figure, Rebuilt
from mlops.cli.main import main
from mlops.cli.replay import declared_tolerance, rebuilt_lines

if TYPE_CHECKING:
    from mlops.site import Site


@pytest.mark.parametrize(
    ("recorded", "rebuilt", "allowed", "wrong"),
    [
        (0.9, 0.904, 0.005, 0), (0.9, 0.906, 0.005, 1), (None, 0.9, 0.005, 1),
        (0.9, None, 0.005, 1), (3.0, 9.0, None, 0),
    ],
)  # fmt: skip
def test_a_figure_is_within_its_tolerance_or_named(
    recorded: float | None, rebuilt: float | None, allowed: float | None, wrong: int
) -> None:
    figure = Figure("x", recorded, rebuilt, allowed)
    same = Figure("y", 0.5, 0.5, 0.005)  # of the machine's figures alone nothing is reproduced
    found = Rebuilt("2", "c0ffee", 0.005, (figure, same), vouched=True)
    assert found.within is (wrong == 0)
    said = list(rebuilt_lines(found))
    assert said[0].startswith("not reproduced: " if wrong else "reproduced: ")
    assert f"recorded {recorded}, rebuilt {rebuilt}" in said[1]


@pytest.mark.parametrize("tolerance", ["-0.1", "nan"])
def test_a_tolerance_is_a_number(tolerance: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "x", f"--tolerance={tolerance}"])
    assert ended.value.code == 2
    assert "0 or above" in capsys.readouterr().err


def test_the_tolerance_is_declared_in_the_file(site: Site) -> None:
    assert declared_tolerance(site) == 0.005
    text = site.layout.params.read_text()
    site.layout.params.write_text(text.replace("tolerance: 0.005", "tolerance: 0.02"))
    assert declared_tolerance(site) == 0.02
