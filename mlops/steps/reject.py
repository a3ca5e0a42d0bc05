"""Step `reject`: a person's no ends the wait of a version; what is in service stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters.answers import answer
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Facts, Site


class RejectParams(View):
    """What `reject` sees: the name."""

    project: ProjectSection


def reject(params: RejectParams, site: Site) -> Report:
    """Decline what waits (see `mlops.adapters.answers.answer` for options and errors)."""
    given = answer(site, params.project.name, yes=False)
    version = given.held.version
    facts: Facts = {"version": version, "declined": given.fresh}
    known = "" if given.fresh else "already declined: "
    return Report(f"{known}version {version}, by {given.entry.actor}; nothing has moved", facts)
