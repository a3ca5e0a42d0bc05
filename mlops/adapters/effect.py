"""What labels say of an incident so far, as clauses that its mails share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.core.estimate import MEAN_ERROR

if TYPE_CHECKING:
    from mlops.adapters.incident import Incident


def measure(held: Incident) -> str:
    """Return what accuracy is called: that of a regression is a coverage."""
    return "coverage" if held.body.regression else "accuracy"


def counted(held: Incident) -> str:
    """Return how many windows alarmed, as a noun."""
    count = len(held.body.windows)
    return f"{count} window" + ("s" if count != 1 else "")


def fell_from_to(held: Incident) -> str:
    """Say what the labels showed, in the past tense; empty where they showed nothing."""
    body = held.body
    if body.lost:
        return _fell(held, body.lost[0], body.lost[1])
    if body.triage not in ("costly", "harmless") or body.accuracy is None:
        return ""
    if body.reference_accuracy is None:
        return f"{capital(measure(held))} was {body.accuracy:.1%}"
    if body.triage == "harmless":
        then, now = f"{body.reference_accuracy:.1%}", f"{body.accuracy:.1%}"
        return f"It cost nothing that counts: {measure(held)} {now} after {then}"
    return _fell(held, body.reference_accuracy, body.accuracy)


def _fell(held: Incident, then: float, now: float) -> str:
    return f"{capital(measure(held))} fell from {then:.1%} on the reference to {now:.1%}"


def guessed(held: Incident) -> str:
    """Return what the estimates say, as the end of a clause; empty without any."""
    told = []
    if held.body.estimate:
        value, low, high = held.body.estimate
        told.append(f"{measure(held)} {value:.0%} ({low:.0%} to {high:.0%})")
    if held.body.error_estimate:
        told.append(f"{MEAN_ERROR} {held.body.error_estimate}")
    return f"; estimated {', '.join(told)}" if told else ""


def not_measured(held: Incident) -> str:
    """Say since when nothing measures a loss, and what would; empty while labels come."""
    body = held.body
    if not body.unmeasured_s:
        return ""
    since = datetime.fromtimestamp(body.unmeasured_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    how = f"mlops label export --incident {held.id}"
    return f"not measured since {since}: label {body.unmeasured_labels} predictions ({how})"


def capital(words: str) -> str:
    """Return words with a capital first letter; the rest stays as it is."""
    return words[:1].upper() + words[1:]
