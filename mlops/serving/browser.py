"""What a browser sends: a token as a password, and whatever the pages of other sites make it send.

A browser cannot send a bearer token of its own accord, but it can ask a person for a password
(HTTP's Basic scheme). It also sends it with whatever another site makes it send, so that such
requests are refused. Where no token is asked for, they are told by where they come from: a page of
another site may post a form to this machine, though not read the answer; and one whose own name was
made to point here (DNS rebinding) may do both, but then says its name in `Host`.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mlops.serving.config import is_loopback
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from mlops.serving.asked import Asked

CHALLENGE = (b"www-authenticate", b'Basic realm="mlops: any name, the token as password"')
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:]+))(?::\d*)?")


def translate(asked: Asked) -> None:
    """Turn Basic credentials into the bearer token that they hold.

    Raises:
        Refused: 401 where another site made the browser send them.
    """
    scheme, _, encoded = asked.authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return
    if _crossed(asked):
        raise Refused(401, "cross_site", "a password counts only on this server's own page")
    try:
        _, _, password = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        password = b""
    asked.authorization = b"Bearer " + password


def keep_out(asked: Asked, *, writes: bool, known_as: str = "") -> None:
    """Refuse what another site made a browser send, where anybody on this machine may ask.

    Args:
        asked: the request.
        writes: whether it would do more than read: a link to a page here harms nobody.
        known_as: the name that people know this server by, if it is not this machine's own.

    Raises:
        Refused: 403.
    """
    if not _is_ours(asked.headers.get(b"host", b""), known_as):
        raise Refused(
            403, "foreign_host", "the host that was asked for is not this machine", close=True,
            remedy="ask localhost or 127.0.0.1, set MLOPS_SERVE_URL to the address that a proxy "
            "passes on, or ask for a token: mlops token add NAME",
        )  # fmt: skip
    if writes and _crossed(asked):
        raise Refused(
            403, "cross_site", "a page of another site made the browser send this", close=True,
            remedy="send it from this server's own page, or from a program",
        )  # fmt: skip


def _crossed(asked: Asked) -> bool:
    """Say whether a page that is not of this very server is behind a request.

    Another port of this machine is another server: `same-site` is not enough.
    """
    return asked.headers.get(b"sec-fetch-site", b"") not in (b"", b"same-origin", b"none")


@lru_cache(maxsize=64)
def _is_ours(host: bytes, known_as: str) -> bool:
    """Say whether a `Host`, of any port, is this machine's; a browser never leaves it out."""
    if not host:
        return True
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    name = (found[1] or found[2]) if found else ""
    return is_loopback(name) or (name == known_as and name != "")
