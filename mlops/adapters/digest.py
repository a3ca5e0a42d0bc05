"""The daily digest: what alarmed and cost nothing, in one mail, once a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops.adapters import incidents, windows
from mlops.adapters.mail.notify import notify_within
from mlops.adapters.observe import NO_IMAGES
from mlops.adapters.realised import realised, tally
from mlops.core.alert import Alert

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.incident import Incident
    from mlops.params.mail import MailSection
    from mlops.params.monitoring import MonitoringSection
    from mlops.site import Site


_LOOKED = 2000  # incidents; more than a storm leaves in a day


def urgency(held: Incident) -> tuple[bool, int, float]:
    """Order incidents: open ones first, then the severe, then the new."""
    return (held.state != "open", -held.body.severity, -held.opened_s)


def hand_over(
    site: Site, engine: sa.Engine, project: str, mail: MailSection, monitoring: MonitoringSection
) -> int:
    """Queue the digest of the last day, if its hour has come and it is not queued yet."""
    if mail.digest_hour is None or site.now.hour < mail.digest_hour:
        return 0
    with engine.begin() as connection:
        told = realised(connection, project, monitoring).note
        whole = replace(made(site, connection, project), notes=(told,))
        return int(notify_within(site, connection, whole))


def made(site: Site, connection: sa.Connection, project: str) -> Alert:
    """Return the digest of the day that ends now."""
    day, since_s = site.now.date().isoformat(), (site.now - timedelta(days=1)).timestamp()
    recent = incidents.recent(connection, project, _LOOKED)
    found = sorted((i for i in recent if i.updated_s > since_s), key=urgency)
    judged, alarms, _ = tally(connection, project, since_s)
    newest = windows.latest(connection, project, 1)
    harmless = sum(i.body.triage == "harmless" for i in found)
    waiting = [i for i in found if i.state == "open" and i.body.triage in ("quality", "unclear")]
    act = f"Yes: {len(waiting)} incidents wait for you." if waiting else "No."
    return Alert(
        project=project, incident=f"digest-{day}", kind="digest", cause=day, stage="digest",
        severity=max((i.body.severity for i in found), default=1),
        version=newest[0].cut.version if newest else "–", at_s=site.now.timestamp(),
        real=f"{judged} windows were judged, {alarms} in alarm.",
        how_bad=f"{harmless} of {len(found)} incidents cost no accuracy.",
        next_step="Nothing: they are only logged.", act=act, columns=(), links=(),
        silence="mlops incidents --all",
        why_you=f"params.yaml: mail.digest_hour of {project} asks for it; MLOPS_MAIL_TO names you.",
        reference=NO_IMAGES, current=NO_IMAGES, state=f"{len(found)} incidents",
        also=tuple(f"{i.id}: {i.cause}; {i.body.triage}, {i.state}" for i in found),
    )  # fmt: skip
