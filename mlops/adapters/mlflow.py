"""MLflow behind one door: its Python client, and its REST API where a quick answer is enough.

Importing MLflow costs seconds, so whoever asks a server for an alias speaks HTTP instead.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from mlops.adapters.parts import read_parts
from mlops.errors import NotAdmitted, RegistryError, Unavailable
from mlops.log import quieten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

    from mlops.site import Site

_TIMEOUT_S = 5.0
_PROBE_S = 1.0
_CLOSED = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "REQUEST_LIMIT_EXCEEDED"}
"""HTTP status → MLflow's code: the server says nothing of what was asked for, and may later."""
_ADMISSION = "check MLFLOW_TRACKING_TOKEN and what it may do, or try later"


def is_remote(site: Site) -> bool:
    """Say whether MLflow is an HTTP server here, not a database."""
    return site.settings.tracking(site.layout).startswith(("http://", "https://"))


def server(site: Site) -> str:
    """Return the address that speaks for MLflow here; empty if only its database is there.

    That is the server that the settings name, else the one that this root's `mlops up` runs, as
    long as it answers: it serves the same database, and asking it costs milliseconds.
    """
    if is_remote(site):
        return site.settings.tracking(site.layout).rstrip("/")
    if site.settings.mlflow_uri.get_secret_value():
        return ""  # a database of which nobody knows whether the server's is the same
    _, states = read_parts(site.layout) or (0, ())
    here = next((s for s in states if s.name == "mlflow" and s.state == "up"), None)
    return here.url if here and _answers(here.url) else ""


def _answers(address: str) -> bool:
    place = urlsplit(address)
    if place.hostname is None:
        return False
    connection = HTTPConnection(place.hostname, place.port, timeout=_PROBE_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().read(2) == b"OK"
    except (OSError, HTTPException):
        return False  # it is down or starting: the database is asked instead
    finally:
        connection.close()


def client(site: Site) -> Any:
    """Return an `MlflowClient` for tracking and registry, kept for the process.

    Raises:
        Unavailable: if the server or database does not answer.
    """
    uri = site.settings.tracking(site.layout)
    # Two processes that create one SQLite database at once would both run its migrations.
    site.layout.state.mkdir(parents=True, exist_ok=True)
    with errors(), FileLock(site.layout.state / "mlflow.lock"):
        return _client(uri)


@functools.lru_cache(maxsize=8)
def _client(uri: str) -> Any:
    quieten()
    import mlflow
    from mlflow import MlflowClient

    noisy = ("mlflow.utils.requirements_utils", "mlflow.utils.environment")
    for name in ("alembic", "mlflow.store", *noisy):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Parts of the registry ignore the client's own address and ask for the process's.
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(uri, uri)


@contextmanager
def errors() -> Iterator[None]:
    """Turn MLflow's errors into ours, without the secrets of its address.

    Raises:
        Unavailable: if nothing answers.
        NotAdmitted: if we are not let in.
        RegistryError: if the answer is another refusal.
    """
    import requests
    import sqlalchemy as sa

    try:
        yield
    except sa.exc.OperationalError as error:
        msg = f"MLflow's database: {str(error.orig).splitlines()[0]}; check MLOPS_MLFLOW_URI"
        raise Unavailable(msg) from None
    except requests.RequestException as error:  # of its store; the rest it wraps
        status = error.response.status_code if error.response is not None else 0
        raise _unavailable(status) from None
    except Exception as error:
        if type(error).__name__ not in ("MlflowException", "RestException"):
            raise
        text = str(error).splitlines()[0][:300]
        if getattr(error, "error_code", "") in _CLOSED.values():
            raise NotAdmitted(f"MLflow: {text}; {_ADMISSION}") from None
        if "API request to" in text:
            found = re.search(r"error code (\d{3})\b", text)
            raise _unavailable(int(found[1]) if found else 0) from None
        raise RegistryError(f"MLflow: {text}") from None


def _unavailable(status: int) -> Unavailable:
    """Return the error for an answer without an answer's body, or for none: status 0."""
    if not status:
        return Unavailable("MLflow does not answer; check MLOPS_MLFLOW_URI, or start it: mlops up")
    remedy = _ADMISSION if status in _CLOSED else "look at its log"
    return Unavailable(f"MLflow: HTTP {status}; {remedy}")


def is_absent(error: Exception) -> bool:
    """Say whether an error of MLflow's means that there is no such thing."""
    return _absent(getattr(error, "error_code", ""), str(error))


def _absent(code: object, text: str) -> bool:
    """MLflow answers `invalid parameter` for an alias that does not exist."""
    return code == "RESOURCE_DOES_NOT_EXIST" or (
        code == "INVALID_PARAMETER_VALUE" and "alias" in text and "not found" in text
    )


def experiment(site: Site, project: str) -> str:
    """Return the id of the project's experiment, made on first use.

    Its artifacts lie in `.mlops/mlartifacts` by default; a server decides for itself.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    api = client(site)
    with errors():
        found = api.get_experiment_by_name(project)
        if found is not None:
            return str(found.experiment_id)
        root = site.settings.mlflow_artifacts
        if not root and not is_remote(site):
            root = str(site.layout.mlartifacts)
        place = f"{root.rstrip('/')}/{project}" if root else None
        return str(api.create_experiment(project, artifact_location=place))


@contextmanager
def http(site: Site) -> Iterator[httpx.Client]:
    """Give an HTTP client of the server that `server` names.

    Raises:
        Unavailable: if there is none any more.
    """
    import httpx

    base = server(site)
    if not base:
        raise Unavailable("MLflow's server has just stopped; run again")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Without TLS there are no certificates to load, which takes longer than the call.
    tls = base.startswith("https://")
    with httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_S, verify=tls) as client:
        yield client


def call(
    site: Site, method: str, path: str, content: Mapping[str, str]
) -> Mapping[str, Any] | None:
    """Ask MLflow's REST API; nothing if what is asked for does not exist.

    Args:
        site: for which `server` has an address.
        method: GET, POST, PATCH or DELETE.
        path: below `/api/2.0/mlflow/`.
        content: the query of a GET, else the JSON body.

    Raises:
        Unavailable: if nothing answers within five seconds, or a server error comes.
        NotAdmitted: if we are not let in.
        RegistryError: if the answer is another refusal.
    """
    import httpx

    shape: dict[str, Any] = {"params": content} if method == "GET" else {"json": content}
    with http(site) as client:
        host = client.base_url.host
        try:
            reply = client.request(method, f"/api/2.0/mlflow/{path}", **shape)
            body = reply.json()
        except httpx.HTTPError as error:
            msg = f"MLflow at {host}: {type(error).__name__}; check MLOPS_MLFLOW_URI"
            raise Unavailable(msg) from None
        except ValueError:  # words for people, as of its own front door
            raise _unavailable(reply.status_code) from None
    if reply.is_success and isinstance(body, dict):
        return body
    if reply.status_code >= 500 or not isinstance(body, dict):
        msg = f"MLflow at {host}: HTTP {reply.status_code}; look at its log"
        raise Unavailable(msg)
    if _absent(body.get("error_code"), str(body.get("message"))):
        return None
    msg = f"MLflow at {host}: HTTP {reply.status_code} {str(body.get('message'))[:200]}"
    if reply.status_code in _CLOSED:
        raise NotAdmitted(f"{msg}; {_ADMISSION}")
    raise RegistryError(msg)


def must(site: Site, method: str, path: str, content: Mapping[str, str]) -> Mapping[str, Any]:
    """Ask MLflow's REST API for what has to exist.

    Raises:
        Unavailable: as `call`.
        RegistryError: if it is refused, or there is no such thing.
    """
    reply = call(site, method, path, content)
    if reply is None:
        what = f"{content.get('name')} version {content.get('version')}"
        msg = f"{what} is not in MLflow; look with: mlops history"
        raise RegistryError(msg)
    return reply
