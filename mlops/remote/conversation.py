"""What both clients know: whom they ask, as whom, and how patiently."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypedDict, Unpack

from mlops.remote.address import find
from mlops.remote.answers import Health, decode
from mlops.remote.bodies import Ask
from mlops.remote.exchange import Exchange, Reply
from mlops.remote.failures import failure
from mlops.remote.retry import Retry

if TYPE_CHECKING:
    from mlops.remote.address import Address

PING = Ask("GET", "/ping")


class Named(TypedDict, total=False):
    """How a client may be told whom to ask.

    Attributes:
        token: bearer token; else `MLOPS_TOKEN`, else the project's own for its own server.
        ca: file of the certificates that an https server is trusted by; else `MLOPS_TLS_CA`, else
            the project's own, else the usual authorities.
        retry: how patient to be.
        rng: where jitter comes from.
    """

    token: str
    ca: str
    retry: Retry
    rng: random.Random


class Conversation:
    """The part of a client that sends nothing.

    Args:
        url: where the server listens; else `MLOPS_SERVE_URL`, else the project's own server.
        **named: token, patience, source of jitter.

    Raises:
        UsageError: if no server is named.
    """

    def __init__(self, url: str | None = None, **named: Unpack[Named]) -> None:
        self.address: Address = find(url, named.get("token"), named.get("ca"))
        self._retry = named.get("retry") or Retry()
        self._rng = named.get("rng") or random.Random()  # noqa: S311 - jitter is no secret

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """Whom this client asks."""
        return self.address.url

    def begin(self, ask: Ask) -> Exchange:
        """Start the clock of one call."""
        return Exchange(ask, self.url, self._retry, self._rng)


def health(reply: Reply, url: str) -> Health:
    """Read the answer of `/ping`.

    Raises:
        CallFailed: if it is neither yes nor a 503.
    """
    if reply.status == 200:
        version = reply.headers.get("x-model-version", "")
        digest = reply.headers.get("x-model-digest", "")
        return Health(ready=True, model_version=version, model_digest=digest)
    why = failure(url, reply.status, reply.headers, reply.body)
    if reply.status != 503:
        raise why
    return Health(ready=False, why=str(why))


def accepted(reply: Reply) -> int:
    """Return how many labels were taken, from a reply of `/feedback`."""
    return int(decode(reply.body).get("accepted", 0))
