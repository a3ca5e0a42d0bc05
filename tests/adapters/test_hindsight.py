"""The budget's count of false incidents: of those, too, that were over before their labels came."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import incidents
from mlops.adapters.hindsight import measure
from mlops.adapters.incident_page import page_path
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.realised import realised
from tests.steps.test_monitor_step import World, classify, images, publish
from tests.steps.test_monitor_step import world as world  # noqa: PLC0414 - a fixture of that module

if TYPE_CHECKING:
    from mlops.core.prediction import Prediction
    from mlops.core.realised import Realised

DELAY_MINUTES = 60.0


@pytest.fixture
def late(world: World) -> World:
    """Let labels have an hour's time, and no evidence add up."""
    labels = world.params.labels.model_copy(update={"delay_minutes": DELAY_MINUTES})
    monitoring = world.params.monitoring.model_copy(update={"continuous": False})
    world.params = world.params.model_copy(update={"labels": labels, "monitoring": monitoring})
    return world


def so_far(world: World) -> Realised:
    with world.engine.connect() as connection:
        return realised(connection, "digits", world.params.monitoring)


def passing(world: World) -> tuple[list[Prediction], list[Prediction]]:
    """Serve two windows that open an incident, and quiet ones that close it, before any label."""
    world.predict(2)
    alarming = world.predict(2, bright=True)
    world.run()
    quiet = world.predict(4)
    world.run(minutes=5)
    assert world.incident().state == "resolved"
    assert world.incident().body.triage == "unclear"
    return alarming, quiet


@pytest.mark.parametrize(
    ("alarming", "quiet", "triage"),
    [
        (1.0, 1.0, "harmless"),
        (0.4, 1.0, "costly"),
        (0.95, 1.0, "unclear"),  # quiet windows must not hide what they seem to have cost
        (1.0, 0.0, "unclear"),  # too few labels
    ],
)
def test_a_closed_incident_is_measured_once_its_labels_are_here(
    late: World, alarming: float, quiet: float, triage: str
) -> None:
    first, last = passing(late)
    late.label(first, alarming)
    if quiet:
        late.label(last, quiet)
    late.run(minutes=1)
    assert so_far(late).unmeasured == 1  # its labels' time is not over
    assert so_far(late).overdue == 0
    mails = late.mails()
    late.run(minutes=DELAY_MINUTES)
    held = late.incident()
    assert held.body.triage == triage
    told = f"measured after it was closed: {triage}: "
    assert held.body.timeline[-1].words.startswith(told)
    assert told in page_path(late.site, held.id).read_text()
    assert late.mails() == mails
    found, unknown = so_far(late), triage == "unclear"
    assert (found.false_incidents, found.unmeasured) == (triage == "harmless", unknown)
    assert found.overdue == unknown
    late.run(minutes=1)
    assert late.incident().body.timeline == held.body.timeline


def test_false_alarms_that_were_over_before_their_labels_came_exceed_the_budget(
    late: World,
) -> None:
    for _ in range(3):
        first, last = passing(late)
        late.label([*first, *last], 1.0)
        late.run(minutes=2 * DELAY_MINUTES)
    assert so_far(late).false_incidents == 3
    assert not so_far(late).within
    assert "MORE THAN BUDGETED, beyond chance" in so_far(late).note


def test_a_run_measures_so_many_and_the_next_one_goes_on(late: World) -> None:
    for _ in range(3):
        passing(late)
        late.clock_s += 7200.0
    now_s = late.clock_s
    for run in range(3):
        measure(late.engine, "digits", late.params, now_s=now_s + run, most=1)
    with late.engine.connect() as connection:
        looked = {held.body.looked_s for held in incidents.every(connection, "digits")}
    assert looked == {now_s, now_s + 1, now_s + 2}  # each once, though none can be measured


def test_rows_that_come_in_unlike_before_are_a_guess_and_a_missing_value_is_none(
    late: World,
) -> None:
    late.predict(2)
    late.predict(1, blank=True)  # a fact
    late.run()
    late.predict(5)
    late.run(minutes=5)
    found = so_far(late)
    assert (found.breaks, found.incidents) == (1, 0)
    x = images(late.rng, 50)
    x[:40] = x[0]  # sound rows, one of them over and over
    rows = late.log(x, classify(x))
    late.run()
    assert late.incident().cause.startswith("stuck: ")
    rows += late.predict(5)
    late.run(minutes=5)
    assert late.incident().state == "resolved"
    assert (so_far(late).breaks, so_far(late).incidents, so_far(late).unmeasured) == (1, 1, 1)
    late.label(rows, 1.0)
    late.run(minutes=2 * DELAY_MINUTES)
    assert so_far(late).false_incidents == 1


def test_the_budget_is_for_windows_that_could_open_an_incident(late: World) -> None:
    late.predict(3)
    late.predict(1, blank=True)
    late.run()
    publish(late, "2", images(late.rng, 400))
    Ledger(late.engine, "digits").append(
        Row("observed", "o1", late.clock_s, "test", None, "1", "{}")
    )
    late.predict(4, "2")  # a canary
    late.run(minutes=5)
    found = so_far(late)
    assert (found.windows, found.counted) == (8, 3)
    assert found.budget == pytest.approx(3 / 200)
    assert replace(found, counted=0, budget=0.0).within
