"""What a serving process is told at birth: one frozen value in one environment variable.

Workers do not read settings themselves: pydantic would cost them half their start-up and memory.
The value travels in the environment and not on the command line, because it holds the token.
"""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import UsageError

if TYPE_CHECKING:
    from mlops.adapters.onnx_session import Provider

VARIABLE = "MLOPS_SERVING"
DRAIN_S = 30
"""How long requests in progress may take after the end was asked for."""
HUNG_S = 15.0
"""A worker that gives no sign of life for so long is ended, and another started."""
EXIT_NO_MODEL = 69
"""The follower's last word (EX_UNAVAILABLE): there is nothing that may be served, and why."""


@dataclass(frozen=True)
class Limits:
    """What one request may cost; beyond it the answer is a 4xx, or 503 when we are full.

    Attributes:
        body_bytes: of a request's body.
        rows: of one request.
        pixels: of an uploaded image, before it is decoded.
        body_s: seconds that a body may take to arrive.
        concurrent: requests that one worker parses and scores at a time.
        requests: that wait for it; more are turned away with Retry-After.
        wait_s: longest such wait that a request is let in for, as estimated when it comes.
        deadline_s: from a request's head to its answer; later it is turned away.
        queued_rows: predictions in memory on their way to the spool; more are dropped and counted.
        spool_bytes: that may wait on disk for the database; 0 for no bound. Beyond it predictions
            are dropped and counted.
        flush_s: seconds between two syncs of the spool: what a crash can lose. 0: nothing, for
            every reply then waits for its sync.
        flush_rows: rows that make a sync come earlier.
    """

    body_bytes: int = 8 << 20
    rows: int = 1024
    pixels: int = 16_000_000
    body_s: float = 10.0
    concurrent: int = 64
    requests: int = 1024
    wait_s: float = 0.5
    deadline_s: float = 5.0
    queued_rows: int = 50_000
    spool_bytes: int = 1 << 30
    flush_s: float = 0.05
    flush_rows: int = 1024


@dataclass(frozen=True)
class ServingConfig:
    """One serving process.

    Attributes:
        project: whose champion is served.
        home: `.mlops/serving/NAME`: verified versions and the pointer.
        spool: folder of predictions on their way to the database.
        database_url: for reading back single predictions; secrets included.
        token: bearer token; empty for none.
        tokens: file of more, hashed; may be absent.
        known_as: name that people know the server by; empty for this machine's own only.
        closed: whether a token is needed even while there is none.
        rate: requests per second of one token in this worker; 0 for no limit.
        share: of a token's own rate that this worker grants: one of so many.
        tls: files of the certificate chain and of its key; empty for plain HTTP.
        keep_payloads: whether features go into the prediction log.
        redact: fields that go into it unreadable.
        redact_columns: columns of a table that go into it as missing.
        sample: share of the predictions that go into it.
        log_days: after which they may leave it; 0: never.
        provider: where ONNX Runtime runs the models.
        code: whether a model from elsewhere may run code of its own.
        docs: whether there is a page with a form for every route.
        shadow_sample: share of the answered requests that a shadow version sees too.
        access_log: whether every request leaves a line.
        limits: what one request may cost.
        watch_s: how often pointers and tokens are looked at.
    """

    project: str
    home: str
    spool: str
    database_url: str
    token: str = ""
    tokens: str = ""
    known_as: str = ""
    closed: bool = False
    rate: float = 0.0
    share: float = 1.0
    tls: tuple[str, str] = ("", "")
    keep_payloads: bool = True
    redact: tuple[str, ...] = ()
    redact_columns: tuple[str, ...] = ()
    sample: float = 1.0
    log_days: float = 0.0
    provider: Provider = "cpu"
    code: bool = False
    docs: bool = False
    shadow_sample: float = 1.0
    access_log: bool = False
    limits: Limits = Limits()
    watch_s: float = 0.25

    def environment(self) -> dict[str, str]:
        """Return the variable that carries this value to a child process."""
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def folder(self) -> Path:
        """`home` as a path."""
        return Path(self.home)


def from_environment() -> ServingConfig:
    """Read the value that the supervisor left in the environment.

    Raises:
        UsageError: if this process was not started by `mlops serve`.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        msg = f"{VARIABLE} is not set; serving processes are started by: mlops serve"
        raise UsageError(msg)
    content = json.loads(text)
    lists = {name: tuple(content[name]) for name in ("tls", "redact", "redact_columns")
             if name in content}  # fmt: skip
    return ServingConfig(**{**content, **lists, "limits": Limits(**content["limits"])})


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own; a name other than `localhost` is not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, token: str, tokens: int = 0, *, setting: str = "MLOPS_HOST") -> None:
    """Refuse to listen beyond this machine without a token.

    Args:
        host: address to listen on.
        token: `MLOPS_TOKEN`.
        tokens: how many the file of tokens holds.
        setting: that names the address.

    Raises:
        UsageError: if `host` is not loopback and there is no token.
    """
    if not (token or tokens or is_loopback(host)):
        msg = (
            f"{setting}={host} is not loopback and there is no token; "
            "run: mlops token add NAME, or set MLOPS_TOKEN"
        )
        raise UsageError(msg)
