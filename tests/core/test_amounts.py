from __future__ import annotations

import pytest

from mlops.core.amounts import number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (34015.36, "34,015"), (-1234.5, "-1,234"), (12.3456, "12.35"), (0.004217, "0.004217"),
        (0.0, "0"), (2.5e-7, "2.5e-07"), (3.2e14, "3.2e+14"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_a_number_of_any_size_can_be_read(value: float, said: str) -> None:
    assert number(value) == said
