"""How a browser shows its token: HTTP's Basic scheme, the token being the password.

A browser cannot send a bearer token of its own accord, but it can ask a person for a password. It
also sends it with whatever another site makes it send, so that such requests are refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from mlops.serving.asked import Asked

CHALLENGE = (b"www-authenticate", b'Basic realm="mlops: any name, the token as password"')


def translate(asked: Asked) -> None:
    """Turn Basic credentials into the bearer token that they hold.

    Raises:
        Refused: 401 where another site made the browser send them.
    """
    scheme, _, encoded = asked.authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return
    if asked.headers.get(b"sec-fetch-site", b"") not in (b"", b"same-origin", b"none"):
        raise Refused(401, "cross_site", "a password counts only on this server's own page")
    try:
        _, _, password = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        password = b""
    asked.authorization = b"Bearer " + password
