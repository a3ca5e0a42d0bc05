"""One call as a conversation: what to do after each answer or silence; sends nothing itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from mlops.errors import UsageError
from mlops.remote.address import CA
from mlops.remote.failures import failure, silence, untrusted
from mlops.remote.retry import BUSY, LOST, Attempts, retry_after_s

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from mlops.errors import CallFailed, NoAnswer
    from mlops.remote.address import Address
    from mlops.remote.bodies import Ask
    from mlops.remote.retry import Retry

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Decides, for the synchronous and the asynchronous client alike, whether to ask again."""

    def __init__(self, ask: Ask, url: str, retry: Retry, rng: random.Random) -> None:
        self._ask, self._url = ask, url
        self._attempts = Attempts(retry, rng)
        self._refused: CallFailed | None = None

    def left_s(self) -> float:
        """Return the seconds that are left of the deadline."""
        return self._attempts.left_s()

    def after_reply(self, reply: Reply) -> float | None:
        """Return None if the call has succeeded, else how long to wait before the next attempt.

        Raises:
            CallFailed: if it has failed for good.
        """
        if 200 <= reply.status < 300:
            return None
        again = reply.status in BUSY or (self._ask.repeatable and reply.status in LOST)
        wait = None
        if again:
            wait = self._attempts.wait_s(retry_after_s(reply.headers.get("retry-after")))
        self._refused = failure(self._url, reply.status, reply.headers, reply.body)
        if wait is None:
            raise self._refused
        return wait

    def after_error(self, error: httpx.HTTPError) -> float:
        """Return how long to wait before the next attempt.

        What may have been carried out is repeated only where a repetition changes nothing.

        Raises:
            CallFailed: if there is none: what the server last said, else that it is silent.
        """
        wait = None
        if not untrusted(str(error)) and (self._ask.repeatable or isinstance(error, _NOT_SENT)):
            wait = self._attempts.wait_s()
        if wait is None:
            raise self._refused or self.gone(error) from None
        return wait

    def gone(self, error: httpx.HTTPError) -> NoAnswer:
        """Return what a failed attempt is told as."""
        return silence(self._url, str(error) or type(error).__name__)


def client_options(address: Address) -> dict[str, Any]:
    """Return how httpx is set up: no redirects (they would carry the token on), no proxy to us.

    Raises:
        UsageError: if the file of certificates is none.
    """
    headers = {"authorization": f"Bearer {address.token}"} if address.token else {}
    return {
        "base_url": address.url, "headers": {**headers, "accept": "application/json"},
        "follow_redirects": False, "trust_env": not address.loopback, "verify": _trust(address.ca),
    }  # fmt: skip


def _trust(ca: str) -> ssl.SSLContext | bool:
    """Return by what a server is trusted; the check itself is always on."""
    if not ca:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # an unreadable file; an SSLError is one too
        msg = f"{CA}={ca}: {error.strerror or error}; give a PEM file of certificates"
        raise UsageError(msg) from None
