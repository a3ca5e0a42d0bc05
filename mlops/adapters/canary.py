"""What the registry says of a canary: the alias `challenger`, and how much traffic it is to get.

The share is the tag `mlops.canary` of that version: `5%`, or `off`. People may set both in MLflow,
or with `mlops canary`. The server answers in the same tag when it ends one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import approval, registry, versions
from mlops.adapters.condition import condition
from mlops.adapters.ledger import Ledger
from mlops.adapters.sql.engine import database
from mlops.core.share import read_share, write_share
from mlops.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from mlops.site import Site

TAG = "mlops.canary"
OFF = "off"
_MOST = 250


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        version: the challenger.
        share: of the keys, 0 to 1; 0 where none is asked for.
        text: the tag as it stands.
    """

    version: str
    share: float
    text: str


def wish(site: Site, project: str) -> Wish | None:
    """Return what the registry asks for; nothing without a challenger.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    version = registry.alias(site, project, "challenger")
    if version is None:
        return None
    return _wish_of(site, project, version)


def is_tried(site: Site, project: str, version: str) -> bool:
    """Say whether a version carries a share of the traffic, or is to.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    return _wish_of(site, project, version).share > 0.0


def end(site: Site, project: str, version: str) -> None:
    """End what is asked for a version, if anything is: it was declined, or came into service.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    if is_tried(site, project, version):
        answer(site, project, version, OFF)


def answer(site: Site, project: str, version: str, text: str) -> None:
    """Write what became of a canary where it was asked for.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if there is no such version.
    """
    versions.set_tag(site, project, version, TAG, text[:_MOST])


def ask(site: Site, project: str, share: float, version: str | None = None) -> str:
    """Ask for a canary; servers take it up at their next poll. Returns the version.

    Args:
        site: where.
        project: registered-model name.
        share: of the keys, 0 to 1; 0 to end it.
        version: to become the challenger; None for the one that is.

    Raises:
        UsageError: if there is no challenger, the version is in service already, or another one
            waits for approval.
        LedgerError: if the gate rejected the version or has not judged it, or it was withdrawn.
        UnverifiedModel: if what the store holds of it is not what the ledger vouches for.
        RegistryError: if it was deleted.
        Busy: if somebody else moves aliases for too long.
        Unavailable: if MLflow or the database does not answer.
    """
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive():
            chosen = version or registry.alias(site, project, "challenger")
            if chosen is None:
                msg = f"{project} has no challenger; name one: mlops canary 5% --version N"
                raise UsageError(msg)
            if not share:
                answer(site, project, chosen, OFF)
                return chosen
            _refuse(site, project, ledger, chosen)
            registry.fetch(site, project, chosen, fresh=True)
            answer(site, project, chosen, write_share(share))
            if version is not None:
                registry.set_alias(site, project, "challenger", version)
    return chosen


def _refuse(site: Site, project: str, ledger: Ledger, chosen: str) -> None:
    """Refuse to try the champion itself, or to take the alias from what waits for a person.

    Nor does anybody get answers of a version that the gate did not let near the traffic.
    """
    if chosen == registry.champion(site, project):
        msg = f"version {chosen} is the champion of {project}; a canary tries another version"
        raise UsageError(msg)
    held = approval.waiting(ledger)
    if held is not None and held.version != chosen:
        msg = (
            f"version {held.version} of {project} waits for approval; answer "
            f"first: mlops approve {held.version}, or: mlops reject {held.version}"
        )
        raise UsageError(msg)
    stands = condition(ledger.entries(), chosen)
    if stands.refused:
        msg = (
            f"version {chosen} of {project} gets no traffic: {stands.words}; {stands.remedy}; or "
            "point the alias shadow at it in MLflow, whose answers nobody gets"
        )
        raise LedgerError(msg)


def _wish_of(site: Site, project: str, version: str) -> Wish:
    seen = versions.look(site, project, version)
    text = seen.tags.get(TAG, "") if seen else ""
    return Wish(version, read_share(text) or 0.0, text)
