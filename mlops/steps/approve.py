"""Step `approve`: a person's yes puts the version that waits for it in service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters.answers import answer
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Facts, Site


class ApproveParams(View):
    """What `approve` sees: the name."""

    project: ProjectSection


def approve(params: ApproveParams, site: Site) -> Report:
    """Approve what waits (see `mlops.adapters.answers.answer` for options and errors)."""
    given = answer(site, params.project.name, yes=True)
    held, entry = given.held, given.entry
    facts: Facts = {
        "version": held.version,
        "champion": entry.to_version,
        "approved": given.fresh,
    }
    if not given.fresh:
        return Report(f"already approved: version {held.version}, by {entry.actor}", facts)
    undo = f"; to undo: mlops rollback --to {held.compared}" if held.compared else ""
    words = f"version {held.version} is the champion, approved by {entry.actor}{undo}"
    return Report(words, facts)
