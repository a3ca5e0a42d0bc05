"""An incident is an episode of one kind; what else goes wrong in it is told, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import happened, incidents
from mlops.site import SENDS
from mlops.steps import monitor as monitoring
from tests.steps.test_monitor_step import CLASSES, WINDOW, classify, images, mail_subject, world

if TYPE_CHECKING:
    from mlops.adapters.incidents import Incident
    from mlops.core.prediction import Prediction
    from mlops.site import Report
    from tests.steps.test_monitor_step import World

__all__ = ["world"]


def nan(world: World, wrong: int = WINDOW) -> None:
    """Serve a window of which so many answers are no numbers."""
    x = images(world.rng, WINDOW)
    p = classify(x)
    p[:wrong] = np.nan
    world.log(x, p)


def causes(report: Report) -> list[str]:
    """Return which checks `quality.broken` told of, each with its incident."""
    told = [e for e in report.events if e.name == "quality.broken"]
    return [f"{e.resource} {str(e.payload['cause']).partition(':')[0]}" for e in told]


def joined(held: Incident) -> list[str]:
    return [m.words for m in held.body.timeline if m.words.startswith("broken, too")]


def test_another_check_that_fails_is_told_in_the_thread_that_is_open(world: World) -> None:
    world.predict(2)
    world.predict(1, blank=True)
    assert causes(world.run()) == ["quality-digits-1-3 blank"]
    nan(world)
    report = world.run(minutes=5.0)
    assert causes(report) == ["quality-digits-1-3 probabilities"]
    assert joined(world.incident()) == [
        "broken, too: probabilities: 50 of 50 rows are no distribution (NaN or sum)"
    ]
    assert world.mails() == ["needs you"]  # the thread was opened just now
    nan(world, 40)  # the same in other figures
    world.predict(1, blank=True)
    for minutes in (6.0, 30.0, 300.0):
        assert causes(world.run(minutes=minutes)) == []
    assert world.mails() == ["needs you", "needs you 2"]
    assert " · probabilities: 50 of 50 rows" in mail_subject(world)
    told = " ".join(world.mail().split())
    assert "Yes: data checks failed in 4 windows." in told
    assert "Real: blank: 100% of the rows are empty" in told
    assert "; probabilities: 50 of 50 rows are no distribution (NaN or sum)." in told
    assert len(joined(world.incident())) == 1


def test_a_reminder_names_what_is_broken_now(world: World) -> None:
    world.predict(1, blank=True)
    world.run()
    nan(world)
    world.run(minutes=20.0)
    nan(world, 45)
    world.run(minutes=25 * 60)
    assert world.mails() == ["needs you", "needs you 2", "needs you 3"]
    assert " · probabilities: 45 of 50 rows" in mail_subject(world)


def test_what_else_breaks_in_a_silence_is_told_when_it_ends(world: World) -> None:
    world.predict(1, blank=True)
    world.run()
    held = world.incident()
    until_s = world.clock_s + 36 * 3600.0
    with world.engine.begin() as connection:
        incidents.silence(connection, "digits", held.id, until_s=until_s, by="ann")
    for _ in range(3):
        nan(world)
        world.run(minutes=60 * 10)
    assert world.mails() == ["needs you"]
    assert len(world.incident().body.due) == 1
    assert len(joined(world.incident())) == 1
    world.run(minutes=60 * 7)
    assert world.mails() == ["needs you", "needs you 2"]
    assert " · probabilities: 50 of 50 rows" in mail_subject(world)


def test_a_stop_of_all_predictions_is_told_while_data_is_broken(world: World) -> None:
    world.step_s = 60.0
    world.predict(150)
    world.predict(1, blank=True)
    assert causes(world.run()) == ["quality-digits-1-151 blank"]
    told = [one for _ in range(3) for one in causes(world.run(minutes=60.0))]
    assert told == ["quality-digits-1-151 volume"]
    assert world.mails() == ["needs you", "needs you 2"]
    assert "volume: no prediction for 120 minutes" in world.mail()


def test_an_incident_of_before_its_causes_were_kept_tells_what_comes_now(world: World) -> None:
    world.predict(1, blank=True)
    world.run()
    held = world.incident()
    with world.engine.begin() as connection:
        before = replace(held.body, causes=(), told_causes=0)
        incidents.save(connection, replace(held, body=before))
    world.predict(1, blank=True)
    assert causes(world.run(minutes=20.0)) == []
    assert world.mails() == ["needs you"]
    nan(world)
    assert causes(world.run(minutes=20.0)) == ["quality-digits-1-1 probabilities"]
    assert world.mails() == ["needs you", "needs you 2"]


def shifting(world: World) -> None:
    """Serve a shift that labels show to be harmless, after it was told."""
    world.params = world.params.model_copy(update={
        "monitoring": world.params.monitoring.model_copy(update={"continuous": False}),
        "trigger": world.params.trigger.model_copy(update={"probe": "off"}),
    })  # fmt: skip
    rows = world.predict(6, bright=True)
    world.run()
    world.label(rows, accuracy=1.0)
    world.run(minutes=1.0)
    assert (world.incident().body.triage, world.mails()) == ("harmless", ["detected"])


def guessing(world: World, count: int) -> list[Prediction]:
    """Serve windows of noise, of which the model knows nothing."""
    x = world.rng.integers(0, 255, (count * WINDOW, 8, 8, 1)).astype(np.uint8)
    return world.log(x, np.full((len(x), CLASSES), 1 / CLASSES, dtype=np.float32))


@pytest.mark.parametrize(("accuracy", "worth"), [(1.0, "harmless"), (0.4, "costly")])
def test_harmless_holds_for_what_labels_measured(world: World, accuracy: float, worth: str) -> None:
    shifting(world)
    rows = guessing(world, 2)
    world.run(minutes=1.0)
    body = world.incident().body
    assert (body.triage, body.escalated, body.labelled, body.wanted) == ("unclear", True, 0, 120)
    assert [m.words.partition(":")[0] for m in body.timeline[-2:]] == [
        "from digits-1-7 on too few labels measure it, and it looks worse", "unclear",
    ]  # fmt: skip
    assert world.mails() == ["detected", "needs you"]
    assert "Yes: label 120 predictions" in world.mail()
    world.predict(3, bright=True)  # an estimate that is well again settles nothing
    world.run(minutes=1.0)
    assert world.incident().body.triage == "unclear"
    world.label([*rows, *guessing(world, 2)], accuracy)
    world.run(minutes=1.0)
    assert world.incident().body.triage == worth


def test_an_estimate_that_labels_contradicted_is_no_news(world: World) -> None:
    shifting(world)
    world.label(guessing(world, 3), accuracy=1.0)
    world.run(minutes=1.0)
    assert world.incident().body.triage == "harmless"
    guessing(world, 4)
    world.run(minutes=1.0)
    assert world.incident().body.estimate[2] < 0.9
    assert world.incident().body.triage == "harmless"
    assert world.mails() == ["detected"]


def test_a_shift_that_was_never_mailed_opens_its_thread_when_it_looks_worse(world: World) -> None:
    world.label(world.predict(3, bright=True), accuracy=1.0)
    world.run()
    assert (world.incident().body.triage, world.mails()) == ("harmless", [])
    guessing(world, 2)
    world.run(minutes=1.0)
    assert world.mails() == ["needs you"]


def lighter(world: World, by: int, every: int = 1) -> None:
    """Serve a window of which every so many images are so much brighter."""
    x = images(world.rng, WINDOW).astype(int)
    x[::every] = np.clip(x[::every] + by, 0, 255)
    world.log(x.astype(np.uint8), classify(x.astype(np.uint8)))


def test_drift_that_gets_worse_is_told_once(world: World) -> None:
    world.params = world.params.model_copy(update={
        "monitoring": world.params.monitoring.model_copy(update={"continuous": False})
    })  # fmt: skip
    for _ in range(3):
        lighter(world, 4, every=3)
    world.run()
    before = world.incident().body.severity
    assert (before <= 3, world.mails()) == (True, ["detected"])
    lighter(world, 60)
    world.run(minutes=5.0)
    assert world.incident().body.severity == 5
    assert world.mails() == ["detected"]  # the thread was opened just now
    for _ in range(3):
        lighter(world, 60)
        world.run(minutes=11.0)
    assert world.mails() == ["detected", "detected 2"]
    assert " · worse, 120 labels wanted" in mail_subject(world)
    assert f"Severity 5 now, {before} when it was last told." in " ".join(world.mail().split())


def names(report: Report) -> list[str]:
    return [event.name for event in report.events]


def test_events_that_a_killed_run_did_not_give_out_the_next_one_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    world.predict(3, bright=True)
    world.predict(1, blank=True)
    with monkeypatch.context() as patched:
        patched.setattr(monitoring, "try_hand_over", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                world.run()
    assert sorted(names(world.run())) == ["drift.detected", "quality.broken"]
    assert names(world.run()) == []


def test_events_keep_their_ids_until_they_were_sent(world: World) -> None:
    world.predict(1, blank=True)
    [first] = world.run(SENDS).events
    nan(world)
    again, second = world.run(SENDS).events
    assert again == first
    assert {first.id, second.id} == {
        "quality-digits-1-1 quality.broken " + str(e.payload["cause"]) for e in (first, second)
    }
    happened.sent(world.engine, "digits", [first])
    assert [e.id for e in world.run(SENDS).events] == [second.id]
    happened.sent(world.engine, "digits", [first, second])
    assert names(world.run(SENDS)) == []


def test_the_end_of_drift_is_given_out_until_it_was_sent(world: World) -> None:
    world.predict(3, bright=True)
    world.run()
    world.predict(10)
    assert names(world.run(SENDS)) == names(world.run(SENDS)) == ["drift.cleared"]
    assert names(world.run()) == ["drift.cleared"]
    assert names(world.run()) == []
