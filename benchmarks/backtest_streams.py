"""Streams with times for backtests: two of real data from a folder, three made up with a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

TAXI, ELEC2 = "nyc-taxi", "elec2"
_FASTER = 9.9967  # miles per hour: the median of 2018-01 to 06
_START = "2024-01-01"


def taxi(folder: Path) -> pd.DataFrame:
    """Return New York's yellow taxi trips of 2018 to 2020: was a trip slower than usual?

    Args:
        folder: see `trips`.
    """
    table = trips(folder)
    speed = table.distance / (table.pop("minutes") / 60)
    table["label"] = np.where(speed < _FASTER, "slow", "fast")
    return table


def trips(folder: Path) -> pd.DataFrame:
    """Return New York's yellow taxi trips of 2018 to 2020, with the minutes that each took.

    Filters, features as the data's manifest has them; trips with a pickup outside
    their file's month are left out.

    Args:
        folder: with `yellow_YYYY-MM.parquet`, 10,000 random trips each.
    """
    parts = []
    for path in sorted(folder.glob("yellow_*.parquet")):
        t = pd.read_parquet(path)
        minutes = (t.dropoff_datetime - t.pickup_datetime).dt.total_seconds() / 60
        kept = minutes.between(1, 120) & t.trip_distance.between(0.1, 50)
        kept &= t.fare_amount.between(2.5, 250) & t.payment_type.isin([1, 2])
        kept &= t.pickup_datetime.dt.strftime("%Y-%m") == path.stem[-7:]
        t, minutes = t[kept], minutes[kept]
        at = t.pickup_datetime
        parts.append(pd.DataFrame({
            "hour": at.dt.hour + at.dt.minute / 60, "weekday": at.dt.weekday,
            "distance": t.trip_distance, "pickup": t.pickup_location_id,
            "dropoff": t.dropoff_location_id,
            "passengers": t.passenger_count.fillna(0).replace(0, 1),
            "vendor": t.vendor_id.fillna(0),
            "at": at.astype("int64") / 1e9,
            "minutes": minutes,
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def elec2(folder: Path) -> pd.DataFrame:
    """Return the price of electricity in New South Wales, half-hourly from May 1996: up or down?

    Args:
        folder: with `elec.csv.gz`; its rows have no dates, only an order.
    """
    table = pd.read_csv(folder / "elec.csv.gz")
    begin = pd.Timestamp("1996-05-07").timestamp()
    table["at"] = begin + 1800.0 * np.arange(len(table))
    table["label"] = np.where(table.pop("class") == 1, "up", "down")
    return table


def made_up(kind: str, rows: int, seed: int) -> pd.DataFrame:
    """Return a stream of eight numbers and a class, one row in five minutes.

    Args:
        kind: `quiet`: nothing changes; `moved`: halfway the inputs move, and what the class
            depends on with them; `concept`: halfway the inputs stay, and the class changes.
        rows: how many.
        seed: of all chance.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 8))
    late = np.arange(rows) >= rows // 2
    if kind == "moved":
        x[late, :2] += 0.8
    weights = np.array([1.5, -1.0, 0.8, 0.5, 0.0, 0.0, 0.0, 0.0])
    other = np.array([-1.0, 1.2, 0.8, 0.0, 1.0, 0.0, 0.0, 0.0])
    score = x @ weights
    if kind != "quiet":
        score = np.where(late, x @ other, score)
    drawn = rng.random(rows) < 1 / (1 + np.exp(-2 * score))
    table = pd.DataFrame({f"x{n}": x[:, n] for n in range(8)})
    table["at"] = pd.Timestamp(_START).timestamp() + 300.0 * np.arange(rows)
    table["label"] = np.where(drawn, "yes", "no")
    return table
