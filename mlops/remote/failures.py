"""An answer that is no success → one error of the tree in `mlops.errors`, in the server's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops.errors import CallFailed, NoAnswer, Overloaded, Rejected, ServerFault, Unauthorised
from mlops.remote.retry import BUSY

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 300


def failure(url: str, status: int, headers: Mapping[str, str], body: bytes) -> CallFailed:
    """Return the error that a status and body stand for; who speaks otherwise is named as such."""
    told, kind = _told(body), _kind(status)
    message = str(told.get("message") or "")
    if not message:
        return kind(
            f"{url} answers HTTP {status}, not as mlops serve does", status=status,
            remedy="another server or a proxy listens there; name yours with "
            "MLOPS_SERVE_URL=http://HOST:PORT, or start it with: mlops serve",
        )  # fmt: skip
    return kind(
        _line(message), status=status, code=_line(str(told.get("code") or "")),
        field=_line(str(told.get("field") or "")), remedy=_line(str(told.get("remedy") or "")),
        request_id=_line(headers.get("x-request-id", "")),
    )  # fmt: skip


def silence(url: str, why: str) -> NoAnswer:
    """Return the error of a server that did not answer, or that is not trusted."""
    if untrusted(why):
        return NoAnswer(
            f"{url} is not trusted ({_line(why)})", code="certificate",
            remedy="set MLOPS_TLS_CA to the certificate that signed its own, and ask it by a name "
            "that its own holds: MLOPS_SERVE_URL=https://NAME:PORT",
        )  # fmt: skip
    return NoAnswer(
        f"{url} does not answer ({_line(why) or 'no reason given'})", code="no_answer",
        remedy="start it with: mlops serve, or mlops up",
    )  # fmt: skip


def untrusted(why: str) -> bool:
    """Say whether a failure was the check of the server's certificate: trying again is in vain."""
    return "CERTIFICATE_VERIFY_FAILED" in why


def _kind(status: int) -> type[CallFailed]:
    if status in BUSY:
        return Overloaded
    if status in (401, 403):
        return Unauthorised
    return Rejected if 400 <= status < 500 else ServerFault


def _told(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else {}


def _line(text: str) -> str:
    """Return text as one short line: it ends up in terminals and logs."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())[:_SHOWN]
