"""What Prefect does by itself: start a retrain when one is asked for, end runs that died."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from prefect.automations import AutomationCore
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture

from flows.monitor import REQUESTED

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient

    from flows.project import Project

HEARTBEAT_S = 30
"""How often a flow run says that it lives; Prefect's shortest. Set in the worker's environment."""
# Three missed heartbeats, and the time an event takes: with less, a live run that is busy is
# taken for dead; with more, a dead one holds the deployment's only slot.
_DEAD_AFTER = timedelta(seconds=3 * HEARTBEAT_S + 15)
# The same event again is one retrain; after ten minutes `monitor` repeats a request that nobody
# has started, and that must get through.
_SHORTEST, _LONGEST = timedelta(seconds=10), timedelta(minutes=9)


def desired(project: Project, train: UUID, deployments: list[UUID]) -> tuple[AutomationCore, ...]:
    """Return the automations of this project.

    Args:
        project: the root.
        train: the deployment that a request starts.
        deployments: all of the project's, whose dead runs are ended.
    """
    return (_retrain(project, train), _zombies(project, deployments))


async def install(client: PrefectClient, wanted: AutomationCore) -> UUID:
    """Create an automation, or update the one of that name; one that was paused stays paused."""
    existing = await client.read_automations_by_name(wanted.name)
    if not existing:
        return await client.create_automation(wanted)
    kept, *doubles = existing
    for double in doubles:
        await client.delete_automation(double.id)
    updated = wanted.model_copy(update={"enabled": kept.enabled})
    before = kept.model_dump(mode="json", exclude={"id"})
    # Updating resets what the trigger has counted, so that a cooldown would be forgotten.
    if _plain(before) != _plain(updated.model_dump(mode="json")):
        await client.update_automation(kept.id, updated)
    return kept.id


def _retrain(project: Project, train: UUID) -> AutomationCore:
    cooldown = timedelta(minutes=0.9 * project.params.trigger.cooldown_minutes)
    return AutomationCore(
        name=f"{project.name}: retrain when asked",
        description="Runs the train deployment when monitor emits retrain.requested. The trigger's "
        "conditions were checked by monitor; the same event again is ignored for the cooldown.",
        trigger=EventTrigger(
            expect={REQUESTED},
            match={"prefect.resource.id": project.resource("*")},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=min(max(cooldown, _SHORTEST), _LONGEST),
        ),
        actions=[
            RunDeployment(
                deployment_id=train,
                parameters={name: _from_payload(name) for name in ("reason", "incident")},
            )
        ],
    )


def _from_payload(name: str) -> dict[str, object]:
    """Return Prefect's template for one value of the event, with its type: null stays null."""
    template = f"{{{{ event.payload.{name} | tojson }}}}"
    return {"__prefect_kind": "json", "value": {"__prefect_kind": "jinja", "template": template}}


def _zombies(project: Project, deployments: list[UUID]) -> AutomationCore:
    beat, ends = "prefect.flow-run.heartbeat", ("Completed", "Failed", "Cancelled", "Crashed")
    return AutomationCore(
        name=f"{project.name}: end dead runs",
        description="A run whose process and worker were both killed stays Running for ever and "
        "blocks the next one. Three missed heartbeats end it.",
        trigger=EventTrigger(
            after={beat},
            expect={beat, *(f"prefect.flow-run.{end}" for end in ends)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.id": sorted(f"prefect.deployment.{d}" for d in deployments),
                "prefect.resource.role": "deployment",
            },
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_DEAD_AFTER,
        ),
        actions=[ChangeFlowRunState(state="CRASHED", message="no heartbeat for three intervals")],
    )


def _plain(content: object) -> object:
    """Return JSON content without order where Prefect keeps none, and without its own ids."""
    if isinstance(content, dict):
        return {k: _plain(v) for k, v in content.items() if k not in ("id", "owner_resource")}
    if isinstance(content, list):
        return sorted((_plain(item) for item in content), key=repr)
    return content
