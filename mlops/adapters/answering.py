"""What the loop answers to what was measured: incidents of losses, triage, and retrains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlops.adapters import accuracy_loss, hindsight, lost_slices, registry, unmeasured
from mlops.adapters.asking import Sections, ask_unprompted
from mlops.adapters.incident_page import write_page
from mlops.adapters.probing import Prober
from mlops.adapters.review import review

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.asking import Asked
    from mlops.params.mail import MailSection
    from mlops.params.project import ProjectSection
    from mlops.params.split import SplitSection
    from mlops.site import Event, Site


class Answering(Sections, Protocol):
    """The sections of `params.yaml` that an answer depends on."""

    @property
    def project(self) -> ProjectSection:
        """Whose."""

    @property
    def mail(self) -> MailSection:
        """How long who is waited for is given."""

    @property
    def split(self) -> SplitSection:
        """Which rows a probe may use."""


@dataclass(frozen=True)
class Answered:
    """What came of it.

    Attributes:
        events: that were raised, in order.
        said: what was asked without an incident.
    """

    events: tuple[Event, ...]
    said: tuple[Asked, ...]


def answer(site: Site, engine: sa.Engine, params: Answering, serving: str) -> Answered:
    """Let labels open and close incidents, triage them, and ask for retrains.

    Args:
        site: where and when.
        engine: the project's database.
        params: the sections.
        serving: the version in service.
    """
    name, now_s = params.project.name, site.now.timestamp()
    prober = None
    if params.trigger.probe != "off":
        prober = Prober(site, engine, name, serving, params.split)
    served = (serving, lambda: registry.fetch(site, name, serving))
    lost = accuracy_loss.respond(engine, name, params, served, now_s=now_s)
    hours = params.mail.repeat_hours
    unmeasured.note(engine, name, params, serving, repeat_hours=hours, now_s=now_s)
    seen = review(engine, name, params, serving=serving, now_s=now_s, prober=prober)
    for told in hindsight.measure(engine, name, params, now_s=now_s):
        write_page(site, engine, name, told)
    lost_slices.note(engine, name, params, served, now_s=now_s)
    said = ask_unprompted(engine, name, params.trigger, serving, now_s=now_s, prober=prober)
    return Answered((*lost, *seen, *(event for one in said for event in one.events)), said)
