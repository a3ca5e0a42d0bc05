"""What every flow asks of its root: paths, environment, and the few parameters that order runs."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.layout import Layout, find_root
from mlops.params.base import View
from mlops.params.load import load
from mlops.params.project import ProjectSection
from mlops.params.promote import PromoteSection
from mlops.params.split import SplitSection
from mlops.params.trigger import TriggerSection
from mlops.settings import Settings, load_settings


class FlowParams(View):
    """The sections that flows may see: who this clone is, how it retrains, who approves.

    And how rows are dealt: a probe before a scheduled retrain looks at none that judge.
    """

    project: ProjectSection
    promote: PromoteSection
    trigger: TriggerSection
    split: SplitSection


@dataclass(frozen=True)
class Project:
    """One root, opened.

    Attributes:
        layout: every path.
        settings: the environment.
        params: name, trigger, and how long an approval is waited for.
    """

    layout: Layout
    settings: Settings
    params: FlowParams

    @property
    def name(self) -> str:
        """Registered model, prefix of the deployments."""
        return self.params.project.name

    def resource(self, incident: str) -> str:
        """Return the Prefect resource id of an incident (`*`: of any)."""
        return f"mlops.{self.name}.incident.{incident}"


def open_project() -> Project:
    """Open the root that `MLOPS_ROOT` or the working directory names.

    Raises:
        UsageError: if there is none.
        ParamsError: if its `params.yaml` is wrong.
    """
    layout = Layout(find_root())
    return Project(layout, load_settings(layout), load(layout.params, FlowParams))
