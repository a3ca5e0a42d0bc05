"""What is known of a request from its head, for code far from it: logs, deadlines, the split.

A context variable and not an argument: the task of the request carries it through whatever parses
and scores, without every function in between passing it on.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_GIVEN = re.compile(rb"[A-Za-z0-9._:-]{1,64}\Z")
_MAX_KEY = 200
_PREFIX = secrets.token_hex(5)
_NUMBER = count(1)


@dataclass(slots=True)
class Asked:
    """One request.

    Attributes:
        id: the client's `X-Request-ID` if it is short and plain, else one of ours.
        key: `X-Entity`: whom the request is about; empty for nobody.
        authorization: that header, as it came.
        due_s: when its answer is late, by `time.perf_counter`.
        headers: all of them by name; of one that stands twice the first.
        token: name of the token that it was let in with; empty for none.
    """

    id: str
    key: str
    authorization: bytes
    due_s: float
    headers: Mapping[bytes, bytes]
    token: str = ""


ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)
"""The request that the running task answers; None outside of one."""


def read_head(headers: list[tuple[bytes, bytes]], due_s: float) -> Asked:
    """Read a request's headers, whose names are in lower case; of our own three the last counts."""
    last = dict(headers)
    first = last if len(last) == len(headers) else dict(headers[::-1])
    given, key = last.get(b"x-request-id"), last.get(b"x-entity")
    return Asked(
        given.decode() if given and _GIVEN.match(given) else fresh_id(),
        key[:_MAX_KEY].decode("latin-1") if key else "",
        last.get(b"authorization", b""), due_s, first,
    )  # fmt: skip


def fresh_id() -> str:
    """Return a request id that no other request of this process has, nor, by chance, of another."""
    return f"{_PREFIX}-{next(_NUMBER):x}"
