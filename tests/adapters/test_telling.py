"""What each stage of an incident says, at its moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters.aftermath import NOT_YET, Aftermath, figure
from mlops.adapters.alerts import worded
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.mail.sample import _aftermath
from mlops.adapters.telling import answers, state
from mlops.core.alert import ColumnChange, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_S = 1_767_614_400.0  # 2026-01-05 12:00 UTC
COSTLY = Findings(
    windows=("digits-1-3", "digits-1-4"), labelled=120, accuracy=0.712, reference_accuracy=0.97,
    triage="costly", trigger="granted", advice="accuracy 71.2%: a loss", opened_seq=400,
    columns=(ColumnChange("brightness", "wasserstein", 0.9, 0.3, "38 % darker"),),
)  # fmt: skip
UNCLEAR = replace(
    COSTLY, triage="unclear", accuracy=None, labelled=0, wanted=120, training=800,
    decides="trigger.min_new_labels = 800", trigger="not costly", advice="not known yet",
)  # fmt: skip


def incident(body: Findings, *, over: bool = False, kind: str = "drift") -> Incident:
    return Incident(
        "drift-digits-1-4", "digits", "quality" if kind == "quality" else "drift", "brightness",
        "1", "resolved" if over else "open", AT_S - 2460.0, AT_S, AT_S if over else None, body,
    )  # fmt: skip


def words(held: Incident, stage: Stage, after: Aftermath = Aftermath()) -> Sequence[str]:  # noqa: B008 - frozen
    said = answers(held, stage, after)
    return (said.real, said.how_bad, said.next_step, said.act)


def test_a_resolved_incident_is_told_in_the_past_with_what_ended_it() -> None:
    after = Aftermath("2", "retrained", AT_S - 360.0, figures=(figure("now", [(143, 150)]),))
    assert words(incident(COSTLY, over=True), "resolved", after) == (
        "It was real: 2 windows alarmed. It lasted 41 minutes.",
        (
            "Accuracy fell from 97.0% on the reference to 71.2%; it is 95.3% now. "
            "Measured on 120 labels chosen at random."
        ),
        "Version 2, retrained, is in service since 11:54 UTC. Its windows are quiet.",
        "No.",
    )
    back = words(incident(COSTLY, over=True), "resolved", Aftermath("1"))
    assert back[2] == "The input went back: the last windows are quiet, under version 1."
    few = words(incident(replace(UNCLEAR, labelled=9), over=True), "resolved")
    assert few[1] == "Whether accuracy fell is not known: 9 labels are too few."
    unknown = words(incident(UNCLEAR, over=True), "resolved", Aftermath("3", "", AT_S - 90000.0))
    assert unknown[1] == "Whether accuracy fell is not known: no labels came."
    assert unknown[2].startswith("Version 3 is in service since 2026-01-04 11:00 UTC.")


def test_a_resolved_mail_shows_no_pictures_and_what_the_closing_window_says() -> None:
    made = worded(incident(COSTLY, over=True), "resolved", Aftermath("2"), at_s=AT_S)
    assert made.over
    assert made.silence == "mlops incident drift-digits-1-4"
    assert (len(made.reference), len(made.current)) == (0, 0)
    assert made.columns[0].now is None  # no window is known to have closed it


def test_a_loss_that_labels_showed_is_told_by_what_was_measured() -> None:
    loss = replace(COSTLY, loss="accuracy 71.2% (62.5% to 78.6%) on 120 labels of digits-1-4")
    held = replace(incident(loss), cause="accuracy")
    assert words(held, "detected")[:2] == (
        (
            "Yes: labels show it in 2 windows. Accuracy 71.2% (62.5% to 78.6%) on 120 labels of "
            "digits-1-4."
        ),
        "Accuracy fell from 97.0% on the reference to 71.2%. Accuracy 71.2%: a loss.",
    )
    promoted = words(held, "promoted", Aftermath("2"))
    assert promoted[2].endswith("The incident closes once labels show it within the margin.")
    done = replace(held, state="resolved", resolved_s=AT_S, body=replace(loss, back="it is back"))
    assert words(done, "resolved", Aftermath("1"))[2] == (
        "Accuracy went back by itself, under version 1. It is back."
    )
    inputs = replace(incident(replace(loss, lost=(0.97, 0.712)), over=True), version="2")
    assert words(inputs, "resolved", Aftermath("2"))[1] == (
        "Accuracy fell from 97.0% on the reference to 71.2%. "
        "Accuracy 71.2% (62.5% to 78.6%) on 120 labels of digits-1-4."
    )
    made = worded(done, "resolved", Aftermath("1"), at_s=AT_S)
    assert made.moved == "What had moved at the alarm"


def test_broken_data_that_is_sound_again() -> None:
    held = incident(replace(COSTLY, breaks=("blank: half",)), over=True, kind="quality")
    said = words(held, "resolved", Aftermath("1"))
    assert said[0] == "It was real: data checks failed in 2 windows. It lasted 41 minutes."
    assert said[2] == "The data is sound again: its last windows passed every check."


def test_the_number_of_labels_that_decides_is_told_with_its_setting() -> None:
    held = incident(UNCLEAR)
    said = words(held, "detected")
    assert "800 more labels decide, by trigger.min_new_labels = 800. 120 of them" in said[2]
    assert said[3].startswith("Yes: label 800 predictions: mlops label export --incident drift-")
    assert state(held, "detected") == "detected, 800 labels wanted"
    asked = words(held, "needs you")  # the reminder asks for the same
    assert asked[2:] == said[2:]


@pytest.mark.parametrize(
    ("change", "next_step", "act"),
    [
        ({"trigger": "granted"}, "A retrain was requested and starts now.", "No."),
        ({"trigger": "in flight", "answer": "retrain r is still going on"},
         "Retrain r is still going on.", "No."),
        ({"trigger": "cooldown", "answer": "9 minutes of cooldown left"},
         "No retrain yet: 9 minutes of cooldown left.", "No, unless it stays so."),
        ({"trigger": "labels", "answer": "50 of 60 new labels", "training": 10,
          "decides": "trigger.min_new_labels = 60"},
         ("No retrain yet: 50 of 60 new labels. "
         "10 more labels decide, by trigger.min_new_labels = 60."),
         ("Yes: label 10 predictions: mlops label export --incident drift-digits-1-4. "
         "Or send labels to POST /feedback.")),
        ({"triage": "harmless"},
         "Nothing: the shift costs no accuracy, so it is only logged.", "No."),
    ],
)  # fmt: skip
def test_what_happens_next_is_the_triggers_own_answer(
    change: dict[str, object], next_step: str, act: str
) -> None:
    held = incident(replace(COSTLY, **change))  # type: ignore[arg-type]
    assert words(held, "detected")[2:] == (next_step, act)


def test_a_detected_mail_that_was_held_back_until_it_was_over_says_so() -> None:
    assert "over meanwhile" in words(incident(COSTLY, over=True), "detected")[2]


def test_a_retrain_that_came_to_no_decision_is_told_as_it_stands() -> None:
    held = incident(replace(COSTLY, answer="Retrain r failed: no disk."))
    assert words(held, "needs you")[2:] == (
        "Retrain r failed: no disk.", "Yes: see why, then send labels or run the train flow.",
    )  # fmt: skip


def test_an_inconclusive_verdict_says_how_many_labels_settle_it() -> None:
    after = _aftermath("promoted", AT_S)
    assert after.decision is not None
    verdict = replace(after.decision.verdict, outcome="inconclusive", missing_labels=40)
    after = replace(after, decision=replace(after.decision, verdict=verdict))
    assert words(incident(COSTLY), "needs you", after)[3] == (
        "Yes: label 40 more predictions chosen at random; the next run judges again."
    )


@pytest.mark.parametrize(("hours", "span"), [(3, "3 hours"), (72, "3 days"), (0.001, "1 minute")])
def test_how_long_it_lasted(hours: float, span: str) -> None:
    held = replace(incident(COSTLY, over=True), opened_s=AT_S - 3600 * hours)
    assert words(held, "resolved")[0].endswith(f"It lasted {span}.")


def test_accuracy_without_labels_is_not_known() -> None:
    assert figure("during it", [(0, 0)]).words == NOT_YET


@pytest.mark.parametrize(
    ("stage", "over", "next_step", "act"),
    [
        ("needs you", False, "The server closes it once it is over, and this thread says so.",
         "Yes: see to it, then watch: mlops status."),
        ("needs you", True, "It is over meanwhile; the next mail of this thread says so.", "No."),
        ("resolved", True, "The server closed it: it is over.", "No."),
    ],
)  # fmt: skip
def test_what_the_server_reports_is_told_in_its_own_words(
    stage: Stage, over: bool, next_step: str, act: str
) -> None:
    body = Findings(triage="quality", advice="12 rows were dropped; look at the disk")
    held = replace(incident(body, over=over), kind="serving", cause="predictions lost")
    said = words(held, stage)
    assert said[0].split(". ")[0].rstrip(".") in (
        "Yes: the server reports: predictions lost",
        "It was real: the server reported: predictions lost",
    )
    assert said[1:] == ("12 rows were dropped; look at the disk.", next_step, act)
