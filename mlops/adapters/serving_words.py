"""What the mails about an incident of the server say: what it reported, and that it closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters.effect import capital
from mlops.adapters.ending import lasted

if TYPE_CHECKING:
    from mlops.adapters.incident import Incident
    from mlops.core.alert import Stage


def answers(held: Incident, stage: Stage) -> tuple[str, str, str, str]:
    """Return whether it is real, what it does, what happens next, and what the reader must do.

    Args:
        held: the incident; its cause and its reason are the server's own words.
        stage: of the mail.
    """
    reason = f"{capital(held.body.advice).rstrip('.')}."
    if stage == "resolved":
        real = f"It was real: the server reported: {held.cause}. {lasted(held)}"
        return real, reason, "The server closed it: it is over.", "No."
    real = f"Yes: the server reports: {held.cause}."
    if held.state == "resolved":
        return real, reason, "It is over meanwhile; the next mail of this thread says so.", "No."
    next_step = "The server closes it once it is over, and this thread says so."
    return real, reason, next_step, "Yes: see to it, then watch: mlops status."
