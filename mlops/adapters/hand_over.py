"""Which mails go out now: grouped, repeated, silenced, gathered in a digest; each exactly once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters import alerts, digest, incidents, windows
from mlops.adapters.aftermath import gather
from mlops.adapters.incident_page import write_page
from mlops.adapters.ledger import Ledger
from mlops.adapters.mail.notify import notify_within
from mlops.adapters.observe import NO_IMAGES
from mlops.adapters.realised import realised
from mlops.core.alarm import worse
from mlops.params.base import View
from mlops.params.load import load
from mlops.params.mail import MailSection
from mlops.params.monitoring import MonitoringSection

if TYPE_CHECKING:
    import numpy as np
    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.incidents import Incident
    from mlops.core.alert import Stage
    from mlops.site import Site

_LOOKED = 2000  # incidents; more than a storm leaves between two runs


class _MailView(View):
    mail: MailSection
    monitoring: MonitoringSection


@dataclass(frozen=True)
class _Desk:
    """What handing over needs at every turn."""

    site: Site
    engine: sa.Engine
    project: str
    mail: MailSection
    monitoring: MonitoringSection
    reference: NDArray[np.uint8]

    @property
    def now_s(self) -> float:
        """Seconds since 1970."""
        return self.site.now.timestamp()


def hand_over(
    site: Site, engine: sa.Engine, project: str, reference: NDArray[np.uint8] = NO_IMAGES
) -> int:
    """Put every mail that is due into the outbox; return how many were new.

    The mail and the note that it was handed over are one transaction, so a kill loses or doubles
    nothing. A silence holds an incident's mails back: when it ends, the newest of them goes out;
    what began and ended in it, and was never mailed, stays untold. Of incidents of one kind, one
    opens a thread per `mail.group_minutes`; its first mail stands for those that came meanwhile,
    by name, so that a storm is one mail and none is lost.

    Args:
        site: where it runs; `now` dates the mails.
        engine: the project's database.
        project: its name.
        reference: up to six images, uint8 (N, H, W, C), shown beside the window's.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
        ParamsError: if `params.yaml` is wrong.
    """
    params = load(site.layout.params, _MailView)
    desk = _Desk(site, engine, project, params.mail, params.monitoring, reference)
    _make_due(desk)
    recent = _recent(desk)
    waiting = [i for i in reversed(recent) if i.body.to_notify()]
    follow = [i.id for i in waiting if i.body.threaded]
    new = sum(_follow(desk, incident) for incident in follow)
    for kind in sorted({i.kind for i in waiting if not i.body.threaded}):
        new += _open(desk, kind)
    new += digest.hand_over(site, engine, project, desk.mail, desk.monitoring)
    for found in recent:
        if found.state == "open" or found.id in follow:
            write_page(site, engine, project, found.id)
    return new


def _recent(desk: _Desk) -> tuple[Incident, ...]:
    with desk.engine.connect() as connection:
        return incidents.recent(connection, desk.project, _LOOKED)


def _follow(desk: _Desk, incident: str) -> int:
    """Send what is due in a thread that is open already."""
    with desk.engine.begin() as connection:
        # Before the incident is read: `save` writes the whole row, and must not undo what a
        # monitor wrote meanwhile.
        windows.serialise(connection)
        held = incidents.get(connection, desk.project, incident)
        if _silenced(desk, connection, held):
            return 0
        return _send(desk, connection, held, held.body.to_notify())


def _open(desk: _Desk, kind: str) -> int:
    """Open one thread for incidents of a kind that have none, unless one was opened just now."""
    with desk.engine.begin() as connection:
        windows.serialise(connection)
        known = [i for i in incidents.recent(connection, desk.project, _LOOKED) if i.kind == kind]
        held = [i for i in known if i.body.to_notify() and not i.body.threaded]
        opened_s = max((i.body.mailed_s for i in known if i.body.threaded), default=0.0)
        heard = [i for i in held if not _silenced(desk, connection, i)]
        for found in heard:
            if _quiet(found):
                _note(connection, found, apart=True)
        loud = [i for i in heard if not _quiet(i)]
        wait_s = 60 * desk.mail.group_minutes
        if not loud or opened_s > desk.now_s - wait_s:
            return 0
        first, *others = sorted(loud, key=digest.urgency)
        also = tuple(_line(i) for i in others)
        due = first.body.to_notify() if not others else first.body.to_notify()[:1]
        new = _send(desk, connection, first, due, also)
        for found in others:  # mailed, too: one that stays open is told again in its turn
            _note(connection, found, mailed_s=desk.now_s, apart=True)
        return new


def _send(
    desk: _Desk,
    connection: sa.Connection,
    held: Incident,
    due: tuple[Stage, ...],
    also: tuple[str, ...] = (),
) -> int:
    """Queue the stages of one incident, and note all that were due as handed over."""
    if not held.body.to_notify():
        return 0  # another process was first
    new, done = 0, held.body.notified
    after = gather(connection, Ledger(desk.engine, desk.project).entries(), held)
    for stage in due:
        done = (*done, stage)
        times = done.count(stage)
        told = alerts.alert(desk.site, held, stage, desk.reference, after)
        told = replace(
            told, again=f" {times}" if times > 1 else "", also=also,
            columns=alerts.with_trails(connection, held, told.columns),
            notes=_notes(desk, connection, held),
        )  # fmt: skip
        new += notify_within(desk.site, connection, told)
        also = ()
    if held.body.triage == "costly":  # each stage's mail says so
        held = replace(held, body=replace(held.body, told_loss=held.version))
    held = replace(held, body=held.body.mailed())
    _note(connection, held, mailed_s=desk.now_s)
    return new


def _silenced(desk: _Desk, connection: sa.Connection, held: Incident) -> bool:
    """Say whether an incident is silenced; of the mails that this holds back, the newest waits.

    What it overtook is noted as told: a stage is news once.
    """
    if not incidents.silenced(connection, desk.project, held.id, now_s=desk.now_s):
        return False
    if len(held.body.to_notify()) > 1:
        apart = not held.body.threaded
        body = replace(held.body, notified=held.body.due[:-1], apart=apart)
        incidents.save(connection, replace(held, body=body))
    return True


def _notes(desk: _Desk, connection: sa.Connection, held: Incident) -> tuple[str, ...]:
    """Return the lines of a mail's foot; the server's incidents are no window's."""
    if held.kind == "serving":
        return ()
    found = windows.named(connection, desk.project, held.body.windows[-1:])
    fixed = tuple(f"{w.fixed}." for w in found if w.fixed)
    blind = tuple(f"{w.unwatched}." for w in found if w.unwatched)
    worth = (f"Worth of a retrain: {held.body.worth}.",) if held.body.worth else ()
    return (*worth, *fixed, *blind, realised(connection, desk.project, desk.monitoring).note)


def _note(
    connection: sa.Connection, held: Incident, *, mailed_s: float = 0.0, apart: bool = False
) -> None:
    body = replace(held.body, notified=held.body.due, mailed_s=mailed_s, apart=apart)
    incidents.save(connection, replace(held, body=body))


def _quiet(held: Incident) -> bool:
    """Say whether an incident opens no thread: harmless when found, or over before it had one.

    That is logged, and a line of the digest where there is one.
    """
    if held.body.apart and held.body.to_notify() == ("resolved",):
        return True
    return held.body.triage == "harmless"


def _line(held: Incident) -> str:
    return f"{held.id}: {held.cause}; {held.state}, severity {held.body.severity}"


def _make_due(desk: _Desk) -> None:
    """Make due what nobody noted: news of a loss, and reminders to who is waited for."""
    for found in _recent(desk):
        if _unnoted(desk, found) is None:
            continue
        with desk.engine.begin() as connection:
            windows.serialise(connection)
            held = incidents.get(connection, desk.project, found.id)
            if incidents.silenced(connection, desk.project, held.id, now_s=desk.now_s):
                continue  # it is asked again when the silence ends, and may not be true by then
            if (stage := _unnoted(desk, held)) is not None:
                more = replace(held.body, due=(*held.body.due, stage))
                incidents.save(connection, replace(held, body=more))


def _unnoted(desk: _Desk, held: Incident) -> Stage | None:
    """Return the mail that an open incident owes, though nothing was noted as due.

    That it is costly is told once for each version, also where the digest alone knew of it. Another
    cause, and that it got worse, is told once its thread was quiet for `mail.group_minutes`. One
    that waits for a person is told again.
    """
    body = held.body
    if held.state != "open" or not body.notified or body.to_notify():
        return None
    costly = body.triage == "costly"
    if costly and body.told_loss != held.version:
        return "measured"
    if body.mailed_s <= desk.now_s - 60 * desk.mail.group_minutes:
        if body.untold:
            return "needs you"
        if worse(body.told_severity, body.severity):
            return "detected"
    waits = body.triage in ("quality", "unclear")
    before_s = desk.now_s - 3600 * desk.mail.repeat_hours
    return "needs you" if waits and 0.0 < body.mailed_s <= before_s else None
