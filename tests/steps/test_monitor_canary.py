"""The rule beside a canary: the version in service is judged by its own windows and no others."""

from __future__ import annotations

import pytest

from mlops.adapters import response
from mlops.adapters.files import write_json
from mlops.adapters.ledger import Ledger, Row
from tests.steps.test_monitor_step import WINDOW, World, brightened, classify, images, publish
from tests.steps.test_monitor_step import world as world  # noqa: PLC0414 - a fixture of this module

SERVING, CANARY = "1", "2"


def moved(world: World, key: str, old: str | None, new: str) -> None:
    row = Row("observed", key, world.clock_s, "test", old, new, "{}")
    Ledger(world.engine, "digits").append(row)


@pytest.fixture
def beside(world: World) -> World:
    """Let version 2 answer half of the requests, on trial."""
    moved(world, "first", None, SERVING)
    publish(world, CANARY, images(world.rng, 400))
    write_json(world.site.layout.serving / "digits" / "canary.json", {
        "version": CANARY, "share": 0.5, "state": "running", "since_s": 0.0, "reason": "",
        "races": 0, "requests": [0, 0], "failed": [0, 0], "slow": [0, 0],
    })  # fmt: skip
    return world


def share(world: World, looks: int, *, bright: str = "", blank: str = "") -> list[str]:
    """Answer a window of each version, some rows of each in turn, and look; return what happened.

    Args:
        world: of both.
        looks: how many.
        bright: versions whose rows are brighter.
        blank: versions whose rows show nothing.
    """
    events: list[str] = []
    for _ in range(looks):
        for version in (SERVING, CANARY) * 5:
            x = images(world.rng, WINDOW // 5)
            x = brightened(x) if version in bright else x
            x = x * 0 if version in blank else x
            world.log(x, classify(x), version)
        events += [event.name for event in world.run().events]
    return events


def follow(world: World, *, continuous: bool) -> None:
    changed = world.params.monitoring.model_copy(update={"continuous": continuous})
    world.params = world.params.model_copy(update={"monitoring": changed})


def state(world: World) -> str:
    held = world.incident()
    return f"{held.kind} of {held.version}: {held.state}"


def test_two_of_three_own_windows_open_and_two_quiet_ones_close(beside: World) -> None:
    follow(beside, continuous=False)
    assert share(beside, 3) == []
    assert share(beside, 1, bright=SERVING) == []
    assert "drift.detected" in share(beside, 1, bright=SERVING)
    assert beside.incident().body.windows == ("digits-1-4", "digits-1-5")
    assert "drift.cleared" not in share(beside, 1)
    assert "drift.cleared" in share(beside, 1)
    assert state(beside) == "drift of 1: resolved"


def test_an_incident_of_what_adds_up_names_all_windows_that_did(beside: World) -> None:
    follow(beside, continuous=True)
    share(beside, 2, bright=SERVING)
    assert len(beside.incident().body.windows) == 2
    share(beside, 6)
    assert state(beside) == "drift of 1: resolved"


@pytest.mark.parametrize("continuous", [False, True])
def test_the_challengers_windows_neither_open_nor_close(beside: World, continuous: bool) -> None:
    follow(beside, continuous=continuous)
    assert share(beside, 4, bright=CANARY) == []
    share(beside, 2, bright=SERVING)
    assert state(beside) == "drift of 1: open"
    share(beside, 3, bright=SERVING)  # three quiet ones of the challenger beside them
    assert state(beside) == "drift of 1: open"
    assert "drift.cleared" in share(beside, 16, bright=CANARY)  # and loud ones hold nothing open


def test_broken_data_closes_by_the_windows_of_the_version_in_service(beside: World) -> None:
    assert share(beside, 1, blank=CANARY) == []
    assert share(beside, 1, blank=SERVING) == ["quality.broken"]
    share(beside, 1, blank=CANARY)
    assert state(beside) == "quality of 1: open"
    share(beside, 1, blank=CANARY)
    assert state(beside) == "quality of 1: resolved"


def test_as_many_own_windows_are_looked_at_as_without_a_canary(
    beside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response, "_LOOK_BACK", 3)
    follow(beside, continuous=False)
    share(beside, 1, bright=SERVING)
    share(beside, 1)
    assert "drift.detected" in share(beside, 1, bright=SERVING)  # the first and the third


def test_windows_from_before_a_version_came_back_are_no_part_of_its_run(world: World) -> None:
    follow(world, continuous=False)
    publish(world, CANARY, images(world.rng, 400))
    moved(world, "first", None, SERVING)
    world.predict(1, SERVING, bright=True)
    assert world.run().events == ()
    moved(world, "promoted", SERVING, CANARY)
    world.predict(2, CANARY)
    assert world.run().events == ()
    moved(world, "back", CANARY, SERVING)
    world.predict(1, SERVING, bright=True)
    assert world.run().events == ()
    world.predict(1, SERVING, bright=True)
    assert [event.name for event in world.run().events] == ["drift.detected"]
    assert world.incident().body.windows == ("digits-1-2", "digits-1-3")
