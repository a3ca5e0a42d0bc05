"""Bearer tokens: hashed in a file that may change while the server runs, each with its own rate.

A line is `NAME SHA256 [RATE]`. A plain hash is enough: tokens are made by `mlops token add`, 256
random bits that nobody can try. A file that cannot be read lets nobody in that was not in before.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.errors import UsageError
from mlops.serving import metrics
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlops.serving.asked import Asked

NAME = re.compile(r"[A-Za-z0-9._-]{1,40}\Z")
_HASH = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Token:
    """One token, as the file has it.

    Attributes:
        name: whose it is.
        digest: sha256 of it, in hex.
        rate: requests per second; None for the server's own limit.
    """

    name: str
    digest: str
    rate: float | None = None

    def line(self) -> str:
        """Return its line of the file."""
        return f"{self.name} {self.digest}" + ("" if self.rate is None else f" {self.rate:g}")


def digest(token: str) -> str:
    """Return what the file keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read the file of tokens; without one there are none.

    Raises:
        UsageError: naming the first line that is wrong, without its content.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({type(error).__name__})") from None
    found: dict[str, Token] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, *rest = line.split("#")[0].split() or [""]
        if not name:
            continue
        token = _token(name, rest)
        if token is None or name in found:
            msg = f"{path}:{number}: wants NAME SHA256 [RATE], every name once; see: mlops token"
            raise UsageError(msg)
        found[name] = token
    return tuple(found.values())


def _token(name: str, rest: Sequence[str]) -> Token | None:
    if not NAME.match(name) or len(rest) not in (1, 2) or not _HASH.match(rest[0]):
        return None
    if len(rest) == 1:
        return Token(name, rest[0])
    try:
        rate = float(rest[1])
    except ValueError:
        return None
    return Token(name, rest[0], rate) if 0 < rate < math.inf else None


class _Bucket:
    """A token bucket: `rate` requests a second, saved up for one second, one request at least."""

    __slots__ = ("_at_s", "_left", "rate")

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate, self._left, self._at_s = rate, max(rate, 1.0), now_s

    def take(self, now_s: float) -> float:
        """Take one; return 0, or after how many seconds there will be one."""
        most = max(self.rate, 1.0)
        self._left = min(most, self._left + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self.rate


class Guard:
    """Lets requests in: the right token, and not too often.

    Args:
        path: file of tokens; None for none.
        token: one more, from the environment; empty for none.
        closed: whether a token is needed even while there is none.
        rate: requests per second of a token without a rate of its own; 0 for no limit.
        share: of a token's own rate that this worker grants.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        path: Path | None,
        token: str = "",
        *,
        closed: bool = False,
        rate: float = 0.0,
        share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._rate, self._share, self._clock = path, rate, share, clock
        self._fixed = (Token("MLOPS_TOKEN", digest(token)),) if token else ()
        self._mark: tuple[int, int, int] | None = None
        self._buckets: dict[str, _Bucket] = {}
        self._known: list[tuple[bytes, Token]] = []
        self.closed = closed
        self._take(read_tokens(path) if path else ())
        self._mark = self._look()

    def refresh(self) -> bool:
        """Read the file again if it was replaced; say whether it was.

        Raises:
            UsageError: if it is wrong; the tokens known so far stay.
        """
        mark = self._look()
        if mark == self._mark:
            return False
        self._mark = mark
        self._take(read_tokens(self._path) if self._path else ())
        return True

    def admit(self, asked: Asked) -> None:
        """Let a request in, and note by whose token.

        Raises:
            Refused: 401 without the right token, 429 if it came too often.
        """
        found = self.find(asked.authorization)
        asked.token = found.name
        bucket = self._buckets.get(found.name)
        wait_s = bucket.take(self._clock()) if bucket else 0.0
        if wait_s:
            metrics.SHED.labels("rate").inc()
            raise Refused(
                429, "rate", "this token has asked too often", retry_s=math.ceil(wait_s),
                remedy="try again, more slowly",
            )  # fmt: skip

    def find(self, authorization: bytes) -> Token:
        """Return whose token a header shows, without counting it.

        Raises:
            Refused: 401 for none, or a wrong one.
        """
        scheme, _, presented = authorization.partition(b" ")
        hashed = hashlib.sha256(presented.strip()).hexdigest().encode()
        found: Token | None = None
        for known, token in self._known:  # all of them, so that time tells nothing
            if hmac.compare_digest(known, hashed):
                found = token
        if found is None or scheme.lower() != b"bearer":
            raise Refused(
                401, "unauthorised", "the bearer token is missing or wrong",
                remedy="send the header: Authorization: Bearer TOKEN", close=True,
            )  # fmt: skip
        return found

    def _take(self, tokens: tuple[Token, ...]) -> None:
        every = (*self._fixed, *tokens)
        self._known = [(token.digest.encode(), token) for token in every]
        # Whoever takes the last token away wants nobody in, not everybody.
        self.closed = self.closed or bool(every)
        now_s, buckets = self._clock(), {}
        for token in every:
            rate = self._rate if token.rate is None else token.rate * self._share
            old = self._buckets.get(token.name)
            if rate:
                buckets[token.name] = old if old and old.rate == rate else _Bucket(rate, now_s)
        self._buckets = buckets

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None
