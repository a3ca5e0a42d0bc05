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
        token: name of the token that it was let in with; empty for none.
    """

    id: str
    key: str
    authorization: bytes
    due_s: float
    token: str = ""


ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)
"""The request that the running task answers; None outside of one."""


def read_head(headers: list[tuple[bytes, bytes]], due_s: float) -> Asked:
    """Read what matters of a request's headers in one pass; ASGI's names are in lower case."""
    identity, key, authorization = "", "", b""
    for name, value in headers:
        if name == b"x-request-id":
            identity = value.decode() if _GIVEN.match(value) else ""
        elif name == b"x-entity":
            key = value[:_MAX_KEY].decode("latin-1")
        elif name == b"authorization":
            authorization = value
    return Asked(identity or fresh_id(), key, authorization, due_s)


def fresh_id() -> str:
    """Return a request id that no other request of this process has, nor, by chance, of another."""
    return f"{_PREFIX}-{next(_NUMBER):x}"
