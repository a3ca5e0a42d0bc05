"""`GET /`: what is in service, since when and why, how it fares, and a form to try it."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.core.schema import ImageSchema, Schema, TableSchema
from mlops.serving.reply import Refused, Reply
from mlops.serving.sparkline import chart

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mlops.core.schema import Column
    from mlops.serving.app import App
    from mlops.serving.pulse import Beat
    from mlops.serving.request import Scope
    from mlops.serving.situation import Situation

    Receive = Callable[[], Awaitable[dict[str, Any]]]

_HTML = b"text/html; charset=utf-8"
_RECENT_S = 60
_SHOWN_COLUMNS = 200


async def page(app: App, _scope: Scope, _receive: Receive) -> Reply:
    """Return the page; without a model in service it says so."""
    situation = await app.situations.now()
    beat = app.pulse.read()
    try:
        model = app.batcher.current()
        served, form = _served(app, situation), _form(model.schema)
    except Refused as refused:
        served = f'<p class="bad">{escape(str(refused))}</p><p>{escape(refused.remedy)}</p>'
        form = '<p class="soft">Nothing is in service yet.</p>'
    return document(app.config.project, "Predictions, and what stands behind them", [
        ("served", "In service", served),
        ("try", "Try it", f'{form}<div id="answer" aria-live="polite"></div>'),
        ("live", "Live", live(beat)),
        ("incidents", "Recent incidents", _incidents(situation)),
    ], "page.js")  # fmt: skip


def document(
    title: str, words: str, sections: Sequence[tuple[str, str, str]], script: str = ""
) -> Reply:
    """Return a page.

    Args:
        title: what it is about.
        words: below the title.
        sections: of each its id, its heading, and its HTML.
        script: name of the script among the assets; empty for none.
    """
    parts = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{heading}</h2>{html}</section>'
        for name, heading, html in sections
    )
    element = f"<script>{_asset(script)}</script>" if script else ""
    body = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_asset('page.css')}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><p class="soft">{words}</p>'
        f"</header><main>{parts}</main>"
        f"{element}</body></html>"
    )
    return Reply(200, body.encode(), _security(script), _HTML)


@cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


@cache
def _security(script: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return headers that allow this page's own style and script, by their hashes, and no more."""

    def allowed(name: str) -> str:
        digest = hashlib.sha256(_asset(name).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    scripts = allowed(script) if script else "'none'"
    policy = (
        f"default-src 'none'; style-src {allowed('page.css')}; script-src {scripts}; "
        "img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return (
        (b"content-security-policy", policy.encode()),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
        (b"cache-control", b"no-store"),
    )


def moment(at_s: float) -> str:
    """Return a time as HTML."""
    at = datetime.fromtimestamp(at_s, UTC)
    return f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M} UTC</time>'


def _served(app: App, situation: Situation) -> str:
    version, *rivals = app.batcher.versions()
    rows = [("Version", f"<strong>{escape(version)}</strong>")]
    rows.append(("Runs on", escape(app.batcher.current().runs_on)))
    if rivals:
        rows.append(("Challenger", escape(rivals[0])))
    if situation.since_s is not None:
        rows.append(("Since", moment(situation.since_s)))
    why = situation.why
    if why is not None:
        rows += [
            ("Why", escape(why.why)),
            ("Decided", f"{moment(why.at_s)} by {escape(why.actor)}"),
        ]
        if why.decision:
            rows.append(("Decision", f"<code>{escape(why.decision)}</code>"))
    elif situation.away:
        rows.append(("Why", '<span class="bad">the ledger does not answer</span>'))
    elif situation.damaged:
        rows.append(("Why", '<span class="bad">current.json is damaged, see the log</span>'))
    else:
        rows.append(("Why", "the ledger holds no decision for it"))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<dl>{listed}</dl><p class="soft">{escape(_takes(app.batcher.current().schema))}</p>'


def _takes(schema: Schema) -> str:
    told = f"{len(schema.classes)} classes" if schema.classes else "a number with its interval"
    if isinstance(schema, ImageSchema):
        return f"Images of {schema.height} × {schema.width} × {schema.channels} → {told}"
    if isinstance(schema, TableSchema):
        return f"Rows of {len(schema.columns)} columns → {told}"
    return f"Texts, up to {schema.max_bytes} bytes → {told}"


def live(beat: Beat) -> str:
    """Return how the last minute went, and a picture of the last five."""
    counted = beat.requests[-_RECENT_S:].sum()
    errors = beat.errors[-_RECENT_S:].sum()
    middle, slow = (beat.quantile_ms(share, -_RECENT_S) for share in (0.5, 0.99))
    rows = [("Requests", f"{counted / _RECENT_S:.1f} per second, in the last minute")]
    if middle is not None and slow is not None:
        rows.append(("Latency", f"half within {middle:.3g} ms, 99 % within {slow:.3g} ms"))
    kind = "bad" if errors else "good"
    rows.append(("Failed", f'<span class="{kind}">{errors:.0f}</span> in the last minute'))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f"<dl>{listed}</dl>{chart(beat)}"


def _incidents(situation: Situation) -> str:
    if situation.away:
        return '<p class="bad">The database does not answer.</p>'
    if not situation.incidents:
        return '<p class="soft">None on record.</p>'
    rows = []
    for one in situation.incidents:
        kind = "bad" if one.state == "open" else "soft"
        rows.append(
            f'<li><span class="{kind}">{one.state}</span> {escape(one.kind)}: {escape(one.cause)}'
            f' <span class="soft">version {escape(one.version)}, '
            f"{moment(one.updated_s)}</span></li>"
        )
    return f"<ul>{''.join(rows)}</ul>"


def _form(schema: Schema) -> str:
    if isinstance(schema, TableSchema) and len(schema.columns) > _SHOWN_COLUMNS:
        return (
            f"<p>{len(schema.columns)} columns are too many to fill in: send CSV to /predict.</p>"
        )
    if isinstance(schema, ImageSchema):
        inputs = (
            '<div class="drop"><label for="image">Image: PNG, JPEG or WebP; drop it here, or choose'
            '</label><input id="image" name="image" type="file" required '
            'accept="image/png,image/jpeg,image/webp"></div>'
        )
    elif isinstance(schema, TableSchema):
        inputs = "".join(map(_input, range(_SHOWN_COLUMNS), schema.columns))
    else:
        inputs = '<label for="text">Text</label><textarea id="text" name="text" required>'
        inputs += "</textarea>"
    return (
        f'<form id="ask" action="predict" method="post" enctype="multipart/form-data">{inputs}'
        '<label class="check" hidden><input type="checkbox" name="explain" value="1">'
        "Explain the answer</label><button>Predict</button></form>"
    )


def _input(number: int, column: Column) -> str:
    name, place = escape(column.name), f"column-{number}"
    head = f'<label for="{place}">{name}{" (UTC)" if column.time else ""}</label>'
    if column.time:
        return f'{head}<input id="{place}" name="{name}" type="datetime-local" step="1">'
    if column.kind == "number":
        return f'{head}<input id="{place}" name="{name}" inputmode="decimal" autocomplete="off">'
    options = "".join(f"<option>{escape(one)}</option>" for one in column.categories)
    return f'{head}<select id="{place}" name="{name}"><option value=""></option>{options}</select>'
