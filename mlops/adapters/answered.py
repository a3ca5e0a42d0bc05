"""What people see of a decision: the version's page, and the mails that ask for a yes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters import versions
from mlops.adapters.approval import TAG
from mlops.adapters.verdicts import standing
from mlops.core import wording
from mlops.errors import RegistryError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.approval import Asked
    from mlops.adapters.ledger import Entry, Ledger
    from mlops.core.alert import Alert, Stage
    from mlops.core.decision import Decision
    from mlops.site import Site


DECISION_TAG = "mlops.decision"
"""Of a model version: the decision that its page shows; set last, so that the rest stands."""
_ANSWERED: dict[str, Stage] = {"approved": "promoted", "declined": "refused"}
"""Stage of the mail about a person's answer."""


def show(site: Site, decision: Decision) -> str:
    """Put a decision on its version's page, and return the page's text.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if the version was deleted.
    """
    from mlops.adapters import version_page

    return version_page.show(site, decision)


def publish(site: Site, ledger: Ledger, decision: Decision) -> None:
    """Put a decision where people look: evidence and figures, the page, the mail that asks.

    The page comes after what it shows; each part may be told any number of times.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if the version was deleted.
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    share(site, decision)
    show(site, decision)
    if decision.approval == "pending":
        ask(site, ledger.engine, decision)


def share(site: Site, decision: Decision) -> None:
    """Put evidence and figures into the run, from the host that decided; others have neither.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    from mlops.adapters import decisions, recent_figures, run_files

    if not (site.layout.decisions / decision.id).is_dir():
        return
    try:
        decisions.share(site, decision)
        recent_figures.show(site, decision)
    except RegistryError as error:
        if not run_files.is_gone(error):
            raise


def ask(site: Site, engine: sa.Engine, decision: Decision) -> bool:
    """Queue the mail that asks a person to review, once per decision; say whether it was new.

    The option `resume=ADDRESS` names the page of the Prefect run that waits for the answer.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    from mlops.adapters.mail.notify import notify_within

    with engine.begin() as connection:
        return notify_within(site, connection, letter(site, decision))


def remind(site: Site, engine: sa.Engine, decision: Decision, days: float) -> bool:
    """Queue the mail that a decision still waits, once; say whether it was new.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    from dataclasses import replace

    from mlops.adapters.mail.notify import notify_within

    first = letter(site, decision)
    ended = f"The Prefect run that waited has ended after {days:g} days; nothing is lost."
    with engine.begin() as connection:
        mail = replace(first, next_step=f"{ended} {first.next_step}", again=" reminder")
        return notify_within(site, connection, mail)


def tell(site: Site, ledger: Ledger, held: Asked, answer: Entry) -> None:
    """Show a person's answer: on the page and its tag, in the request's thread, in the incident's.

    Raises:
        Unavailable: if MLflow does not answer.
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    from mlops.adapters import alerts, windows
    from mlops.adapters.mail.notify import notify_within

    decision = standing(ledger.entries(), held.entry)
    show(site, decision)
    value = "yes" if decision.approval == "approved" else "no"
    seen = versions.look(site, decision.project, held.version)
    if seen is not None and not seen.tags.get(TAG, "").lower().startswith(value):
        versions.set_tag(site, decision.project, held.version, TAG, f"{value} {answer.actor}"[:250])
    with ledger.engine.begin() as connection:
        windows.serialise(connection)
        notify_within(site, connection, letter(site, decision, answer.actor))
        news = alerts.news_of(decision, decision.incident)
        alerts.note(connection, decision.project, news, site.now.timestamp())
    _hand_over(site, ledger, decision)


def is_told(ledger: Ledger, held: Asked) -> bool:
    """Say whether everybody was told of an answer: its mail is queued last, and stays on record.

    What was not answered, or was withdrawn since, is told otherwise.
    """
    from mlops.adapters.mail import outbox

    decision = standing(ledger.entries(), held.entry)
    if decision.approval not in _ANSWERED:
        return True
    with ledger.engine.connect() as connection:
        mails = outbox.thread(connection, decision.project, f"approval-{decision.id}")
    return any(mail.stage == _ANSWERED[decision.approval] for mail in mails)


def tell_withdrawn(site: Site, ledger: Ledger, decision: Decision) -> None:
    """Show that a decision was not applied: on the page, if it is there, and in its incident.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    if versions.look(site, decision.project, decision.candidate.version) is not None:
        share(site, decision)
        show(site, decision)
    _note(site, ledger, decision)
    _hand_over(site, ledger, decision)


def inform(site: Site, ledger: Ledger, decision: Decision) -> None:
    """Tell the decision's incident, if it has not heard.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    if _note(site, ledger, decision):
        _hand_over(site, ledger, decision)


def _note(site: Site, ledger: Ledger, decision: Decision) -> bool:
    """Note what the decision's incident is to hear; say whether it was new."""
    from mlops.adapters import alerts, windows

    with ledger.engine.begin() as connection:
        windows.serialise(connection)
        news = alerts.news_of(decision, decision.incident)
        return alerts.note(connection, decision.project, news, site.now.timestamp())


def _hand_over(site: Site, ledger: Ledger, decision: Decision) -> None:
    from mlops.adapters.hand_over import hand_over

    hand_over(site, ledger.engine, decision.project)


def letter(site: Site, decision: Decision, actor: str = "") -> Alert:
    """Return the mail about a decision that waits, or that a person has answered.

    Args:
        site: where it runs; `now` dates it.
        decision: as it stands.
        actor: who answered.
    """
    from mlops.adapters.observe import NO_IMAGES
    from mlops.core.alert import Alert

    version, pending = decision.candidate.version, decision.approval == "pending"
    done, must_do = wording.done(decision), wording.must_do(decision)
    act = f"Yes: {must_do}. {_elsewhere(site, version)}" if pending else f"No. {_undo(decision)}"
    asked = "it waits for a person" if pending else f"answered by {actor}"
    return Alert(
        project=decision.project, incident=f"approval-{decision.id}", kind="approval",
        cause=f"version {version}",
        stage="needs you" if pending else _ANSWERED.get(decision.approval, "promoted"),
        severity=3 if pending else 1, version=version, at_s=site.now.timestamp(),
        real=f"Yes: version {version} passed every check of the gate. {wording.real(decision)}.",
        how_bad=wording.effect(decision),
        next_step=f"{_capital(done)}. {_capital(wording.changed(decision))}; {asked}.",
        act=act, columns=(), links=_links(site, decision),
        silence=_command(decision), reference=NO_IMAGES, current=NO_IMAGES,
        why_you=f"MLOPS_MAIL_TO names you; promote.approval of {decision.project} is required.",
    )  # fmt: skip


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _elsewhere(site: Site, version: str) -> str:
    prefect = " In Prefect: resume the paused run." if site.option("resume") else ""
    return (
        f"In MLflow: write yes (or no), and your name, into the tag {TAG} of version {version}, "
        f"or move the alias champion to it.{prefect}"
    )


def _undo(decision: Decision) -> str:
    undo = wording.undo(decision)
    return f"To undo it: {undo}." if undo.startswith("mlops") else f"{_capital(undo)}."


def _command(decision: Decision) -> str:
    if decision.approval == "pending":
        return f"mlops approve {decision.candidate.version}"
    undo = wording.undo(decision)
    return undo if undo.startswith("mlops") else "mlops promote --again"


def _links(site: Site, decision: Decision) -> tuple[tuple[str, str], ...]:
    from mlops.adapters.ports import LOOPBACK, read_ports

    port = read_ports(site.layout, site.settings).mlflow
    ui = site.settings.mlflow_ui_url.rstrip("/") or f"http://{LOOPBACK}:{port}"
    version = decision.candidate.version
    page = f"{ui}/#/models/{decision.project}/versions/{version}"
    found = [(f"Version {version} in MLflow: all checks, the comparison and plots", page)]
    if resume := site.option("resume"):
        found.append(("The paused run in Prefect", resume))
    return tuple(found)
