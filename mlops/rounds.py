"""One round of the loop, whoever runs its steps: Prefect's tasks, or `mlops monitor --act`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.run import LOOP

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.site import Facts, Report


def go_round(
    run: Callable[[str], Report | None],
    announce: Callable[[str], None],
    finish: Callable[[str, Facts], None],
) -> tuple[str, Facts]:
    """Reconcile, run every step of a retrain in order, and tell how it ended, also if it failed.

    Args:
        run: runs a step by its name; its report, or nothing where DVC found it unchanged.
        announce: told which step failed and how; an empty text if none did.
        finish: told the outcome and the facts, last of all and whatever happened.

    Returns:
        The outcome that `promote` named, and what all steps reported.

    Raises:
        Exception: whatever a step raises, once the failure is announced and the round finished.
    """
    outcome: str = "failed"
    facts: Facts = {}
    step, failure = "reconcile", "it was stopped"
    try:
        for step in ("reconcile", *LOOP):
            report = run(step)
            if report is None:
                continue
            facts |= report.facts
            if step == "promote":
                outcome = str(report.facts.get("outcome", outcome))
        failure = ""
    except Exception as error:
        failure = f"step {step}: {error}"
        raise
    finally:
        # Whoever waits for this retrain hears how it ended, above all when it failed.
        try:
            announce(failure)
        finally:
            finish(outcome, facts)
    return outcome, facts
