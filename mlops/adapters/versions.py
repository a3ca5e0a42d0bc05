"""What MLflow holds about one model version, read and written without its client where it can be.

A server is asked over REST; only a database without a server needs MLflow's client, which costs
seconds to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.adapters import mlflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.site import Site

_ALIAS = "registered-models/alias"


@dataclass(frozen=True)
class Seen:
    """A version as the registry has it.

    Attributes:
        source: where its files lie.
        tags: names and values.
    """

    source: str
    tags: dict[str, str]


def look(site: Site, project: str, version: str) -> Seen | None:
    """Return what the registry holds of a version, or nothing if there is no such one.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    if mlflow.server(site):
        wanted = {"name": project, "version": version}
        reply = mlflow.call(site, "GET", "model-versions/get", wanted)
        if reply is None:
            return None
        found = reply["model_version"]
        tags = {str(t["key"]): str(t.get("value", "")) for t in found.get("tags", ())}
        return Seen(str(found["source"]), tags)
    api = mlflow.client(site)
    with mlflow.errors():
        try:
            held = api.get_model_version(project, version)
        except Exception as error:
            if mlflow.is_absent(error):
                return None
            raise
    return Seen(str(held.source), dict(held.tags))


def set_tag(site: Site, project: str, version: str, name: str, value: str) -> None:
    """Set a tag of a version.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if there is no such version.
    """
    if mlflow.server(site):
        body = {"name": project, "version": version, "key": name, "value": value}
        mlflow.must(site, "POST", "model-versions/set-tag", body)
        return
    api = mlflow.client(site)
    with mlflow.errors():
        api.set_model_version_tag(project, version, name, value)


def describe(
    site: Site, project: str, version: str, description: str, tags: Sequence[tuple[str, str]]
) -> None:
    """Put text and tags (at most ten in all) on a version's page.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if there is no such version.
    """
    if mlflow.server(site):
        body = {"name": project, "version": version, "description": description}
        mlflow.must(site, "PATCH", "model-versions/update", body)
    else:
        api = mlflow.client(site)
        with mlflow.errors():
            api.update_model_version(project, version, description)
    for name, value in tags:
        set_tag(site, project, version, name, value)


def drop_alias(site: Site, project: str, alias: str) -> None:
    """Remove an alias; without one, nothing happens.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    if mlflow.server(site):
        mlflow.call(site, "DELETE", _ALIAS, {"name": project, "alias": alias})
        return
    api: Any = mlflow.client(site)
    with mlflow.errors():
        api.delete_registered_model_alias(project, alias)
