"""Projects with real versions and decisions: two quick models, registered and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.params.load import load
from mlops.steps.promote import PromoteParams, promote
from mlops.steps.register import RegisterParams, register
from mlops.steps.rollback import RollbackParams, rollback
from tests import entrants

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.site import Report, Site

PROJECT = "digits"


def begin(site: Site) -> None:
    """Prepare rows and quick parameters."""
    entrants.set_params(site)
    entrants.prepare(site, entrants.world(site))


def enter(site: Site, weights_DK: NDArray[np.float32], *options: str) -> str:
    """Train and register a model of these weights; return its version."""
    entrants.train(site, entrants.world(site), weights_DK)
    params = load(site.layout.params, RegisterParams)
    return str(register(params, entrants.with_options(site, *options)).facts["version"])


def judge(site: Site, *options: str) -> Report:
    """Judge the model that was entered last."""
    params = load(site.layout.params, PromoteParams)
    return promote(params, entrants.with_options(site, *options))


def back(site: Site) -> Report:
    """Return to the version before."""
    return rollback(load(site.layout.params, RollbackParams), site)
