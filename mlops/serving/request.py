"""Read a request: its body under limits, its media type."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from mlops.serving.reply import Refused, invalid, malformed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mlops.serving.config import Limits
    from mlops.serving.patience import Patience

_MAX_PARAMETERS = 8
Scope = dict[str, Any]
Receive = "Callable[[], Awaitable[dict[str, Any]]]"


class Gone(Exception):
    """The client hung up before its body was complete."""


def header(scope: Scope, name: bytes) -> bytes:
    """Return one header, or nothing; ASGI servers send names in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def media_type(scope: Scope) -> str:
    """Return the media type without parameters, in lower case.

    Raises:
        Refused: 415 if there is none, or the character set is not UTF-8.
    """
    return parse_media_type(header(scope, b"content-type"))


@lru_cache(maxsize=64)
def parse_media_type(sent: bytes) -> str:
    """Return the media type that a header says, as `media_type` does.

    Raises:
        Refused: 415, as there.
    """
    text = sent.decode("latin-1").lower()
    kind, *parameters = (part.strip() for part in text.split(";"))
    if not kind:
        raise Refused(
            415, "no_content_type", "no Content-Type", remedy="send Content-Type: application/json"
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip("\"'") not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(415, "charset", "only UTF-8 is understood", remedy="send UTF-8")
    return kind


def query(scope: Scope, known: Sequence[str]) -> dict[str, str]:
    """Return the parameters of the query.

    Args:
        scope: of the request.
        known: names that the route understands.

    Raises:
        Refused: 400 for a query that is none, 422 for one that is unknown or stands twice.
    """
    if not scope["query_string"]:
        return {}
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"), errors="strict", keep_blank_values=True,
            max_num_fields=_MAX_PARAMETERS,
        )  # fmt: skip
    except ValueError:
        raise malformed("the query is not valid") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise invalid("a parameter stands twice in the query", remedy="send each once")
    if not found.keys() <= {*known}:
        names = ", ".join(known)
        raise invalid("an unknown parameter stands in the query", remedy=f"known are: {names}")
    return found


async def read_body(
    scope: Scope,
    receive: Callable[[], Awaitable[dict[str, Any]]],
    limits: Limits,
    patience: Patience,
) -> bytes:
    """Return the whole body.

    Raises:
        Refused: 400 if empty, 408 if too slow, 411 without a length, 413 if too large, 415 if
            compressed.
        Gone: if the client hung up.
    """
    check_announced(dict(scope["headers"][::-1]), limits)
    parts: list[bytes] = []
    size = 0
    try:
        with patience.reading():
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part = message.get("body", b"")
                size += len(part)
                if size > limits.body_bytes:
                    raise _too_large(limits)
                parts.append(part)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refused(
            408, "slow_body", f"the body did not arrive within {patience.wait_s:g} s",
            remedy="send it in one go", close=True,
        ) from None  # fmt: skip
    body = b"".join(parts)
    check_body(body, limits)
    return body


def check_announced(headers: Mapping[bytes, bytes], limits: Limits) -> None:
    """Check what a head says of the body.

    Raises:
        Refused: 411 without a length, 413 if it is too large, 415 if it is compressed.
    """
    if headers.get(b"content-encoding", b"") not in (b"", b"identity"):
        raise Refused(
            415, "compressed", "compressed bodies are not read", remedy="send the body as it is",
            close=True,
        )  # fmt: skip
    declared = headers.get(b"content-length")
    if declared:
        if int(declared) > limits.body_bytes:
            raise _too_large(limits)
    elif not headers.get(b"transfer-encoding"):
        raise Refused(
            411, "no_length", "no Content-Length", remedy="send it, or the body in chunks"
        )


def check_body(body: bytes, limits: Limits) -> None:
    """Check a body that is whole.

    Raises:
        Refused: 400 if it is empty, 413 if it is too large.
    """
    if len(body) > limits.body_bytes:
        raise _too_large(limits)
    if not body:
        raise malformed("the body is empty", remedy="send JSON or an image")


def _too_large(limits: Limits) -> Refused:
    return Refused(
        413, "too_large", f"the body exceeds {limits.body_bytes} bytes",
        remedy="send fewer rows at a time", close=True,
    )  # fmt: skip
