"""Verbs `incidents` and `incident`: what alarmed, and all about one alarm."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from mlops.adapters.incident import Incident
    from mlops.adapters.incident_story import Story
    from mlops.site import Site


def incidents(*, all: bool = False, limit: int = 20, json: bool = False) -> int:  # noqa: A002 - the flag's name
    """List incidents, the newest change first: open ones, then those lately resolved.

    Args:
        all: Resolved ones too, not only the last day's.
        limit: Most lines.
        json: Print everything as JSON.
    """
    from mlops.adapters import incidents as store
    from mlops.adapters.effect import guessed, measure
    from mlops.adapters.sql.engine import database
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    project, yesterday_s = project_name(site.layout.params), site.now.timestamp() - 86400.0
    with database(site) as engine, engine.connect() as connection:
        found = store.recent(connection, project, max(limit, 1000 if not all else limit))
    shown = [i for i in found if all or i.state == "open" or i.updated_s > yesterday_s][:limit]
    if json:
        print(json_lib.dumps([asdict(i) for i in shown], indent=2))
        return 0
    if not shown:
        print("incidents: none is open" + ("" if all else "; resolved ones: mlops incidents --all"))
    for i in shown:
        body = i.body
        known = f"labels not here yet{guessed(i)}"
        if body.accuracy is not None:
            known = f"{measure(i)} {body.accuracy:.1%}"
        told = f"{body.triage}; {known}; {len(body.windows)} windows"
        if i.kind == "serving":
            told = _line(body.advice)
        print(
            f"{_time(i.updated_s)}  {i.id:<24} {i.state:<8} {i.kind}:{body.severity}  "
            f"{_line(i.cause)}; {told}"
        )
    return 0


def incident(incident_id: str, *, close: str | None = None, json: bool = False) -> int:
    """Tell one incident: timeline, windows, labels, decision, mails; its page is written anew.

    Args:
        incident_id: Its id, as `mlops incidents` lists it.
        close: Close it first, for this reason: where nothing will ever measure that it is over.
        json: Print everything as JSON.
    """
    from mlops.adapters.incident_page import write_page
    from mlops.adapters.incident_story import tell
    from mlops.adapters.sql.engine import database
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    project = project_name(site.layout.params)
    with database(site) as engine:
        if close is not None:
            _close(site, engine, project, incident_id, close)
        story = tell(engine, project, incident_id)
        page = write_page(site, engine, project, story.incident.id)
    if json:
        print(json_lib.dumps({**asdict(story), "page": str(page)}, indent=2, default=str))
        return 0
    for line in lines(story):
        print(line)
    print(f"page      {page}")
    return 0


def _close(site: Site, engine: sa.Engine, project: str, incident_id: str, why: str) -> None:
    """Close it on record, and put the mail that says so into the outbox."""
    import getpass

    from mlops.adapters.closing import close
    from mlops.adapters.hand_over import hand_over

    now_s = site.now.timestamp()
    close(engine, project, incident_id, by=getpass.getuser(), why=why, now_s=now_s)
    hand_over(site, engine, project)


def lines(story: Story) -> Iterator[str]:
    """Yield an incident's story for a terminal."""
    held, body = story.incident, story.incident.body
    yield f"{held.kind} incident {held.id}: {_line(held.cause)}"
    closed = f", resolved {_time(held.resolved_s)}" if held.resolved_s else ""
    opened = _time(held.opened_s)
    yield f"state     {held.state}, severity {body.severity} of 5, opened {opened}{closed}"
    triage = "the server" if held.kind == "serving" else body.triage
    yield f"triage    {triage}: {_line(body.advice or 'not looked at yet')}"
    yield from (f"shift     {_line(shift)}" for shift in body.shifts)
    yield from (f"slice     {_line(one)}" for one in body.slices)
    yield from _known(held)
    for moment in body.timeline:
        yield f"  {_time(moment.at_s)}  {_line(moment.words)}"
    for window in story.windows:
        over = ", ".join(_line(c.column) for c in window.verdict.drifted[:3])
        alarm = f"ALARM {over}" if window.verdict.alarm else "no alarm"
        yield (f"  window {window.id}: {window.cut.rows} rows, {alarm}, {window.figures}")
    if story.unwatched:
        yield f"unseen    {_line(story.unwatched)}"
    if story.fixed is not None:
        yield f"reference {_line(str(story.fixed))}"
    for retrain in story.retrains:
        state = retrain.outcome or retrain.state
        yield f"retrain   {retrain.id} {state}, {_time(retrain.requested_s)}"
    for decision in story.decisions:
        from mlops.core import wording

        yield f"decision  {decision.id}: {wording.summary(decision)}"
    for mail in story.mails:
        sent = f"sent {_time(mail.sent_s)}" if mail.sent_s else "waits in the outbox"
        yield f"mail      {mail.stage}, {sent}"
    if held.body.closed:
        yield f"closed    by {_line(held.body.closed)}"
    if story.muted_until_s:
        yield f"silence   until {_time(story.muted_until_s)}"


def _known(held: Incident) -> Iterator[str]:
    """Yield what was measured, what the trigger says, and what labels are wanted."""
    from mlops.adapters.effect import not_measured

    body = held.body
    told = (
        ("measured", body.loss), ("overdue", not_measured(held)), ("since", body.back),
        ("why", body.gradual), ("trigger", body.answer), ("worth", body.worth),
    )  # fmt: skip
    yield from (f"{name:<9} {_line(words)}" for name, words in told if words)
    if held.kind == "serving":
        return
    wanted = f"; {body.wanted} more settle it: mlops label export" if body.wanted else ""
    if body.labels_wanted:
        wanted += f"; a retrain waits for {body.labels_wanted}, by {_line(body.decides)}"
    yield f"labels    {body.labelled} random ones measure{wanted}"


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


def _line(text: str) -> str:
    """Return text on one line without control characters: a terminal obeys them."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
