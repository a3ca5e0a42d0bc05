"""Where the loop runs: the environment (`MLOPS_*`, `.env`), typed.

What the loop *does* stands in `params.yaml`; nothing here changes a result.
Precedence: flag > environment > `.env` > default.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mlops.errors import UsageError
from mlops.params.remedies import remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from mlops.layout import Layout

_USERINFO = re.compile(r"(?<=://)[^\s/?#]*@")


class Settings(BaseSettings):
    """The environment of one process; secrets are masked in every print."""

    model_config = SettingsConfigDict(
        env_prefix="MLOPS_", extra="ignore", frozen=True, env_file_encoding="utf-8"
    )

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="SQLAlchemy URL of the project's own database; empty: SQLite in .mlops/",
    )
    mlflow_uri: SecretStr = Field(
        default=SecretStr(""),
        description="MLflow tracking and registry URI; empty: SQLite in .mlops/",
    )
    mlflow_artifacts: str = Field(
        default="", description="Artifact root for new experiments; empty: .mlops/mlartifacts"
    )
    mlflow_ui_url: str = Field(
        default="", description="Where people open MLflow, for links; empty: the port of `mlops up`"
    )
    pages_url: str = Field(
        default="",
        description=(
            "Where people open .mlops/ on the web, for links to incidents and windows; empty: files"
        ),
    )
    prefect_api_url: str = Field(
        default="", description="Prefect's API; empty: the port of `mlops up`"
    )
    mail_url: SecretStr = Field(
        default=SecretStr(""),
        description="smtp://user:password@host:587 or smtps://…; empty: files in .mlops/mailbox",
    )
    mail_from: str = Field(default="mlops@localhost", description="Sender of alert mails")
    mail_to: str = Field(
        default="team@localhost", description="Receivers, separated by commas or semicolons"
    )
    chat_urls: SecretStr = Field(
        default=SecretStr(""),
        description="Apprise addresses that get the head of every mail, separated by blanks",
    )
    pager_urls: SecretStr = Field(
        default=SecretStr(""),
        description="Apprise addresses that get it only when a person is needed",
    )
    host: str = Field(default="127.0.0.1", description="Address that servers listen on")
    serve_port: int = Field(default=8000, ge=0, le=65535, description="Port of `mlops serve`")
    serve_url: str = Field(
        default="", description="Where clients ask; empty: the port of `mlops serve`"
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address that /metrics listens on; other than loopback it asks for a token",
    )
    metrics_port: int = Field(default=8001, ge=0, le=65535, description="Port of /metrics")
    mlflow_port: int = Field(default=5000, ge=0, le=65535, description="Port of the MLflow UI")
    prefect_port: int = Field(default=4200, ge=0, le=65535, description="Port of Prefect's server")
    serve_workers: int = Field(default=1, ge=1, le=64, description="Serving worker processes")
    serve_provider: Literal["cpu", "cuda", "auto"] = Field(
        default="auto",
        description="Where ONNX Runtime runs served models; auto: on a GPU if there is one",
    )
    serve_model: str = Field(
        default="",
        description=(
            "Serve this model from elsewhere, not gated: models:/NAME/VERSION or a folder; empty: "
            "the champion"
        ),
    )
    serve_digest: str = Field(
        default="",
        description="Digest that it must have; empty: that of when it was first served",
    )
    serve_code: bool = Field(
        default=False,
        description="Whether it may run code of its own: pickles, Python files",
    )
    serve_docs: bool = Field(
        default=False, description="Whether /docs shows every route, with a form that asks it"
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token of the server; empty: those of MLOPS_TOKENS_FILE",
    )
    tokens_file: str = Field(
        default="", description="Hashed bearer tokens, see `mlops token`; empty: .mlops/tokens"
    )
    rate_limit: float = Field(
        default=0.0, ge=0, description="Requests per second of one token; 0: no limit"
    )
    tls_cert: str = Field(default="", description="Certificate chain of the server; empty: no TLS")
    tls_key: str = Field(default="", description="Key of that certificate")
    tls_ca: str = Field(
        default="",
        description="Certificates that clients trust the server by; empty: the usual authorities",
    )
    deadline_s: float = Field(
        default=5.0, gt=0, description="Latest answer of the server, from a request's head on"
    )
    access_log: bool = Field(default=False, description="A log line per request of the server")
    payloads: Literal["keep", "hash"] = Field(
        default="keep",
        description=(
            "Whether predictions keep their features; hash: no retraining, and drift alarms as "
            "unknown"
        ),
    )
    ray_address: str = Field(
        default="", description="Ray cluster for `mlops score`: HOST:PORT; empty: one of its own"
    )
    redact: str = Field(
        default="",
        description=(
            "What predictions are logged without, separated by commas: entity, features, or names "
            "of a table's columns"
        ),
    )
    log_sample: float = Field(
        default=1.0, gt=0, le=1, description="Share of the predictions that are logged"
    )
    log_flush_ms: float = Field(
        default=50.0,
        ge=0,
        le=10_000,
        description="What a crash can lose of the log; 0: nothing, replies wait for the disk",
    )
    spool_mb: float = Field(
        default=1024.0,
        ge=0,
        description=(
            "MiB of predictions that may wait on disk for the database; more are dropped, with an "
            "alarm; 0: no bound"
        ),
    )
    log_days: float = Field(
        default=0.0, ge=0, description="Predictions older than this are deleted; 0: never"
    )
    keep_versions: int = Field(
        default=5, ge=1, description="Local copies of served versions that are kept"
    )
    shadow_sample: float = Field(
        default=1.0, ge=0, le=1, description="Share of the requests that a shadow version sees"
    )
    canary_alpha: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Probability that a challenger as good as the champion is ever rolled back",
    )
    canary_error_margin: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="Share of requests that a canary may fail beyond the champion's share",
    )
    canary_slow_margin: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="How much more often than the champion a canary may be slow on the same rows",
    )
    poll_s: float = Field(default=2.0, gt=0, description="How often the server polls the registry")
    threads: int = Field(default=0, ge=0, description="Torch threads; 0: the library's choice")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged"
    )

    @property
    def scheme(self) -> str:
        """How the scoring server is spoken to."""
        return "https" if self.tls_cert else "http"

    def shown(self, key: str) -> str:
        """Return a setting as it may be printed: no secret, and no user or password in a URL."""
        return _USERINFO.sub("***@", str(getattr(self, key)))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for key, value in super().__repr_args__():
            yield key, _USERINFO.sub("***@", value) if isinstance(value, str) else value

    def database(self, layout: Layout) -> str:
        """Return the SQLAlchemy URL of the project's database, secrets included."""
        return self.database_url.get_secret_value() or f"sqlite:///{layout.database}"

    def tracking(self, layout: Layout) -> str:
        """Return MLflow's tracking URI, secrets included."""
        return self.mlflow_uri.get_secret_value() or f"sqlite:///{layout.mlflow_db}"


def load_settings(layout: Layout) -> Settings:
    """Read the environment and the root's `.env`.

    Raises:
        UsageError: if a variable has the wrong type or range; names where it is set, its value
            (never that of a secret, nor a password in an address) and the remedy.
    """
    try:
        return Settings(_env_file=layout.root / ".env")
    except ValidationError as error:
        raise _explain(error.errors()[0]) from None


def _explain(first: ErrorDetails) -> UsageError:
    """Return the error of one variable, in one line."""
    from mlops.params.tree import short

    key = str(first["loc"][0]).lower()
    field, name = Settings.model_fields[key], f"MLOPS_{key.upper()}"
    where = "environment" if name in {n.upper() for n in os.environ} else ".env"
    value = repr(short(_USERINFO.sub("***@", str(first["input"]))))
    shown = "***" if field.annotation is SecretStr else value
    told = f"{where}: {name} = {shown}: {remedy(first['type'], first['msg'])}"
    return UsageError(f"{told} ({field.description}); left out, it is {field.default!r}")
