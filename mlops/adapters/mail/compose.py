"""Turn an alert into a mail: subject, thread, text, HTML and one sheet of pictures."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops.adapters.mail import addresses
from mlops.adapters.mail.sparkline import sparkline
from mlops.adapters.mail.text import first_sentence, one_line
from mlops.adapters.mail.thumbnails import sheet
from mlops.core.alert import PAGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from mlops.core.alert import Alert, ColumnChange, Figure

MAX_COLUMNS = 5
MAX_LINKS = 10
_TEMPLATES = Path(__file__).parent / "templates"
_ROOT_STAGE = "detected"  # every thread hangs on this mail, whether or not it was ever sent
_SHEET = "examples"
_TRAIL = "trail-"
MAX_ALSO, MAX_NOTES, MAX_FIGURES = 20, 3, 6
_COMMANDS = {
    ("approval", "needs you"): "To approve",
    ("approval", "promoted"): "To undo it",
    ("approval", "refused"): "To have it judged anew",
    ("digest", "digest"): "To see them all",
}
"""What the command at a mail's foot does, where it is not the silencing of an incident."""
_COMMAND = {False: "To silence this incident", True: "To read its whole story"}
_SCHEMES = frozenset({"http", "https", "file"})  # never javascript: or data:


def compose(alert: Alert, sender: str, receivers: Sequence[str]) -> EmailMessage:
    """Return the mail of an alert: text and HTML alternatives, threaded by its incident.

    The first sentence of each answer (real? how bad? what next? must I act?) leads the mail, so
    at nine words each they are its first forty; the rest of an answer follows under "In detail".

    Args:
        alert: what to say; every text in it may hold anything, it is made one safe line.
        sender: address, or `Name <address>`.
        receivers: addresses of the same form, at least one.

    Raises:
        UsageError: if an address is malformed or there is no receiver.
    """
    alert = _sanitised(alert)
    picture = sheet(alert.reference, alert.current)
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject(alert)
    message["From"] = addresses.sender(sender)
    message["To"] = addresses.receivers(receivers)
    message["Date"] = datetime.fromtimestamp(alert.at_s, UTC)
    message["Message-ID"] = message_id(alert, f"{alert.stage}{alert.again}")
    if alert.stage not in (_ROOT_STAGE, "digest"):
        root = message_id(alert, _ROOT_STAGE)
        message["In-Reply-To"] = root
        message["References"] = root
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    message["List-Id"] = f"<alerts.{alert.project}.mlops>"
    if alert.stage in PAGED:
        message["Importance"] = "high"
    text, html = _render(alert, pictures=picture is not None)
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    pictures = {f"{_TRAIL}{n}": sparkline(c.trail) for n, c in enumerate(alert.columns) if c.trail}
    pictures |= {_SHEET: picture} if picture is not None else {}
    page = message.get_payload()[1]  # type: ignore[index]
    for name, content in pictures.items():
        page.add_related(  # type: ignore[union-attr]
            content, "image", "png", cid=f"<{name}>", disposition="inline",
            filename=f"{name}.png",
        )  # fmt: skip
    return message


def subject(alert: Alert) -> str:
    """Return `[DRIFT:3] digits · brightness · detected`."""
    head = f"[{alert.kind.upper()}:{alert.severity}]"
    return one_line(f"{head} {alert.project} · {alert.cause} · {alert.state or alert.stage}", 180)


def message_id(alert: Alert, stage: str) -> str:
    """Return the Message-ID of one stage of an incident: the same for ever, so threads hold."""
    whole = f"{alert.project}\0{alert.incident}\0{stage}".encode()
    return f"<{hashlib.sha256(whole).hexdigest()[:32]}@mlops.invalid>"


def _render(alert: Alert, *, pictures: bool) -> tuple[str, str]:
    answers = [
        (label, *first_sentence(text))
        for label, text in (
            ("Real", alert.real), ("Effect", alert.how_bad),
            ("Ended" if alert.over else "Next", alert.next_step), ("You", alert.act),
        )
    ]  # fmt: skip
    values = {
        "alert": alert,
        "subject": subject(alert),
        "answers": answers,
        "title": _title(alert),
        "command": _COMMANDS.get((alert.kind, alert.stage), _COMMAND[alert.over]),
        "at": datetime.fromtimestamp(alert.at_s, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "links": [(label, url, urlsplit(url).scheme in _SCHEMES) for label, url in alert.links],
        "widest": max((_ratio(*_shown(c)) for c in alert.columns), default=1.0),
        "ratio": _ratio,
        "known": _known,
        "trail": f"cid:{_TRAIL}",
        "sheet": f"cid:{_SHEET}" if pictures else "",
        "shown": (min(6, len(alert.reference)), min(6, len(alert.current))),
    }
    pages = environment()
    return (
        pages.get_template("alert.txt").render(values),
        pages.get_template("alert.html").render(values),
    )


@cache
def environment() -> Environment:
    """Return the templates of mails and pages; what stands in HTML is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _title(alert: Alert) -> str:
    if alert.kind == "approval":
        title = {"promoted": "was approved and is in service", "refused": "was declined"}
        return f"{alert.cause.capitalize()} {title.get(alert.stage, 'waits for your approval')}"
    kind = alert.kind.capitalize()
    lost = (alert.kind, alert.cause) == ("drift", "accuracy")
    loss, back = f"Labels show a loss of {alert.measure}", f"{alert.measure.capitalize()} is back"
    return {
        "detected": loss if lost else f"{kind} detected: {alert.cause}",
        "measured": loss,
        "promoted": "A new version is in service",
        "refused": "The new version was refused",
        "needs you": f"{kind} needs you: {alert.cause}",
        "overdue": "A loss is not measured any more",
        "retrained": "A retrain starts",
        "resolved": back if lost else f"{kind} resolved: {alert.cause}",
        "digest": "What needed no mail of its own",
    }[alert.stage]


def _known(figure: Figure) -> str:
    """Say how well a figure is known: its interval and labels, or why it is not."""
    interval = ""
    if figure.low is not None and figure.high is not None:
        interval = f"{figure.low:.1%} to {figure.high:.1%}"
    labels = f"{figure.labels} labels" if figure.labels else ""
    return ", ".join(part for part in (interval, labels, figure.words) if part)


def _shown(change: ColumnChange) -> tuple[float, float]:
    """Return the distance and the threshold that a column's bar shows."""
    if change.now is None or change.now_threshold is None:
        return change.value, change.threshold
    return change.now, change.now_threshold


def _ratio(value: float, threshold: float) -> float:
    """Return how many thresholds a statistic is, between 0 and 99; a width, not a statistic."""
    ratio = value / threshold if threshold > 0 else 99.0
    return min(max(ratio, 0.0), 99.0)


def _sanitised(alert: Alert) -> Alert:
    """Return the alert with every text made one line and its lists cut to what a mail shows."""
    columns = tuple(
        replace(
            change, column=one_line(change.column, 80), method=one_line(change.method, 40),
            words=one_line(change.words, 200),
        )
        for change in alert.columns[:MAX_COLUMNS]
    )  # fmt: skip
    links = tuple((one_line(label, 80), one_line(url, 500)) for label, url in alert.links)
    return replace(
        alert, project=one_line(alert.project, 80), incident=one_line(alert.incident, 200),
        kind=one_line(alert.kind, 40), cause=one_line(alert.cause, 200),
        version=one_line(alert.version, 40), severity=min(max(alert.severity, 1), 5),
        real=one_line(alert.real), how_bad=one_line(alert.how_bad),
        next_step=one_line(alert.next_step), act=one_line(alert.act), columns=columns,
        links=links[:MAX_LINKS], silence=one_line(alert.silence, 200),
        why_you=one_line(alert.why_you, 200), state=one_line(alert.state, 60),
        also=_also(alert.also),
        notes=tuple(one_line(line, 400) for line in alert.notes[:MAX_NOTES]),
        figures=tuple(
            replace(f, when=one_line(f.when, 80), words=one_line(f.words, 200))
            for f in alert.figures[:MAX_FIGURES]
        ),
        moved=one_line(alert.moved, 120), pictured=one_line(alert.pictured, 120),
    )  # fmt: skip


def _also(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the first lines, and how many more there are."""
    shown = tuple(one_line(line, 200) for line in lines[:MAX_ALSO])
    left = len(lines) - len(shown)
    more = f"and {left} more: mlops incidents --all --limit {10 * (len(lines) // 10 + 2)}"
    return (*shown, more) if left else shown
