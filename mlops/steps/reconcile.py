"""Step `reconcile`: make the registry's aliases agree with the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters import reconcile as aliases
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Site


class ReconcileParams(View):
    """What `reconcile` sees: the name."""

    project: ProjectSection


def reconcile(params: ReconcileParams, site: Site) -> Report:
    """Repair a crash between ledger and alias; record a move that a person made in MLflow.

    Raises:
        Unavailable: if MLflow or the database does not answer.
    """
    return Report(summary=aliases.reconcile(site, params.project.name))
