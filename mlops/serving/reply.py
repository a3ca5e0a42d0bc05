"""Answers: JSON bodies, and refusals of one shape that never echo what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


@dataclass(slots=True)
class Reply:
    """One HTTP answer; `headers` are added to content type and length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = JSON

    def lines(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Return all its headers."""
        return [
            (b"content-type", self.media_type),
            (b"content-length", b"%d" % len(self.body)),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", request_id.encode()),
            *self.headers,
        ]


def as_json(
    content: Any, headers: tuple[tuple[bytes, bytes], ...] = (), status: int = 200
) -> Reply:
    """Return `content` (NumPy arrays included) as a JSON answer."""
    return Reply(status, orjson.dumps(content, option=_OPTIONS), headers)


class Refused(Exception):
    """A request that is answered with 4xx or 503.

    Attributes:
        status: the HTTP status.
        code: a stable word for programs.
        message: what is wrong, for people, without the request's own bytes.
        field: the key of the body that is wrong, if it is one.
        remedy: what to do instead.
        retry_s: when to try again; sent as `Retry-After`.
        close: whether the rest of the request must not be read.
        allow: the method that the route answers; sent as `Allow`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        remedy: str = "",
        retry_s: int | None = None,
        close: bool = False,
        allow: str = "",
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.field, self.remedy, self.retry_s, self.close = field, remedy, retry_s, close
        self.allow = allow

    def reply(self, *, open_inference: bool = False) -> Reply:
        """Return the refusal as an answer; in Open Inference's routes `error` is text."""
        headers: list[tuple[bytes, bytes]] = []
        if self.retry_s is not None:
            headers.append((b"retry-after", str(self.retry_s).encode()))
        if self.close:
            headers.append((b"connection", b"close"))
        if self.allow:
            headers.append((b"allow", self.allow.encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        error = {
            "code": self.code, "message": self.message, "field": self.field,
            "remedy": self.remedy,
        }  # fmt: skip
        # `error_code` and `message` are the keys that MLflow's clients print.
        body = {"error": error, "error_code": self.code, "message": self.message}
        if open_inference:  # whose clients print `error`, and want text there
            body |= {"error": f"{self.message}; {self.remedy}".rstrip("; "), "detail": error}
        return as_json(body, tuple(headers), self.status)


def invalid(message: str, *, field: str | None = None, remedy: str = "") -> Refused:
    """Return a 422: well-formed, but not what the model takes."""
    return Refused(422, "invalid_input", message, field=field, remedy=remedy)


def malformed(message: str, *, field: str | None = None, remedy: str = "") -> Refused:
    """Return a 400: not the format that it claims to be."""
    return Refused(400, "malformed", message, field=field, remedy=remedy)
