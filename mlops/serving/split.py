"""Which model answers a request: champion, or challenger for a share of the keys.

Sticky: the same key goes the same way for as long as the same versions compete, on every worker
and every host, because the share is a range of the key's hash. Widening the share moves nobody
back. The challenger's version salts the hash, so that no user is every canary's first victim.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Arm = Literal["champion", "challenger"]
_SPAN = 1 << 64


class Split:
    """A share of the keys for the challenger.

    Args:
        weight: the share, 0 to 1.
        salt: the challenger's version.
    """

    __slots__ = ("_below", "_salt", "weight")

    def __init__(self, weight: float, salt: str) -> None:
        self.weight = weight
        self._below = int(weight * _SPAN)
        self._salt = salt.encode()[:16]

    def arm(self, key: str) -> Arm:
        """Return who answers the requests of a key."""
        hashed = hashlib.blake2b(key.encode(), digest_size=8, salt=self._salt).digest()
        return "challenger" if int.from_bytes(hashed, "big") < self._below else "champion"


NOBODY = Split(0.0, "")
"""No canary: every request is the champion's."""
