"""`mlops status`: what is in service, since when and why, and whether anything is wrong."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlops.cli.clock import time
from mlops.core.share import write_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.adapters.situation import Situation


_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Server:
    """The scoring server, asked now.

    Attributes:
        url: where it was looked for.
        version: that it serves; empty if it serves none.
        digest: of that version's manifest; empty where it does not tell.
        why: why it serves none; empty if it does.
        up: whether it answered, and is this project's.
    """

    url: str
    version: str = ""
    digest: str = ""
    why: str = ""
    up: bool = True


def status(*, json: bool = False) -> int:
    """Say what is in service, since when and why, and what is wrong.

    Args:
        json: Print everything as JSON.
    """
    from mlops.adapters.situation import look
    from mlops.layout import Layout, find_root
    from mlops.params.base import View
    from mlops.params.load import load
    from mlops.params.monitoring import MonitoringSection
    from mlops.params.project import ProjectSection
    from mlops.settings import load_settings

    class Params(View):
        project: ProjectSection
        monitoring: MonitoringSection

    layout = Layout(find_root())
    params = load(layout.params, Params)
    server = ask()
    seen = look(
        layout, load_settings(layout), params.project.name, params.monitoring, server.version
    )
    server = ours(server, seen)
    if json:
        content = {**_content(seen), "server": asdict(server), "wrong": wrong(seen, server)}
        print(json_lib.dumps(content, indent=2))
        return 0
    for line in lines(seen, server):
        print(line)
    return 0


def ask() -> Server:
    """Ask the scoring server of this project which version it serves; waits two seconds at most.

    Raises:
        UsageError: if MLOPS_SERVE_URL is no address.
    """
    from mlops.client import Client, Retry
    from mlops.errors import CallFailed, NoAnswer

    with Client(retry=Retry(_PATIENCE_S)) as client:
        try:
            health = client.health()
        except NoAnswer:
            return Server(client.url, why=f"no server answers at {client.url}", up=False)
        except CallFailed as error:
            return Server(client.url, why=str(error))
        return Server(client.url, health.model_version, health.model_digest, health.why)


def ours(server: Server, seen: Situation) -> Server:
    """Take no other project's server for this one's: what it serves, this ledger has not."""
    if not server.version or seen.foreign or server.digest == seen.digest != "":
        return server
    if not server.digest and (seen.champion or seen.service.version):
        return server  # of a release that tells no digest
    why = f"the server at {server.url} is another project's: it serves version {server.version}"
    return Server(server.url, why=why, up=False)


def wrong(seen: Situation, server: Server) -> list[str]:
    """Return one line for everything that a person should look at; empty if all is well."""
    from mlops.adapters.effect import not_measured

    found = [
        f"{i.kind} incident {i.id}: {i.cause}; {not_measured(i) or i.body.triage}; "
        f"see: mlops incident {i.id}"
        for i in seen.incidents
    ]
    if seen.foreign:
        found.append(
            f"MLOPS_SERVE_MODEL={seen.foreign}: it is served in the champion's place, not gated "
            "and not logged; take the setting away to serve the champion"
        )
    if not (seen.champion or seen.service.version or server.version):
        found.append("no model is in service; train one: dvc repro, mlops register, mlops promote")
    elif not server.version and server.up:
        found.append(f"the server at {server.url} has taken up no version yet: {server.why}")
    elif not server.version:
        found.append(f"{server.why}; start one: mlops up, or mlops serve")
    if seen.waiting:
        found.append(
            f"version {seen.waiting} waits for approval: mlops approve {seen.waiting}, "
            f"or mlops reject {seen.waiting}"
        )
    if not seen.running:
        found.append("mlops up does not run; start it: mlops up")
    else:
        found += [
            f"{part.name} is {part.state}; see .mlops/logs/{part.name}.log"
            for part in seen.parts
            if not part.up
        ]
    if seen.pages:
        found.append(
            f"the pages of {len(seen.pages)} windows could not be made, or disagree with their "
            f"verdict: the page says why; try again: mlops report {seen.pages[0]}"
        )
    if seen.outbox:
        found.append(f"{seen.outbox} mails wait to be sent; see: mlops mail")
    return found


def lines(seen: Situation, server: Server) -> Iterator[str]:
    """Yield the report for a terminal."""
    yield from _service(seen, server)
    yield from _beside(seen)
    for part in seen.parts:
        state = part.state if part.up or part.state not in ("up", "done") else "no answer"
        restarts = f", started again {part.restarts} ×" if part.restarts else ""
        yield f"  {part.name:<10} {state}{restarts}  {part.url}".rstrip()
    for window in seen.windows:
        yield (
            f"  window {window.id}: {window.cut.rows} rows, "
            f"{'ALARM' if window.verdict.alarm else 'no alarm'}, {window.figures}"
        )
    if seen.windows and seen.windows[-1].fixed is not None:
        yield f"  {seen.windows[-1].fixed}"
    if seen.windows and seen.windows[-1].unwatched:
        yield f"  {seen.windows[-1].unwatched}"
    yield f"  alarms: {seen.alarms}"
    if seen.retrain:
        yield f"  retrain {seen.retrain.id} {seen.retrain.state}: {seen.retrain.reason}"
    problems = wrong(seen, server)
    yield "all is well" if not problems else f"{len(problems)} to look at:"
    yield from (f"  - {problem}" for problem in problems)


def _service(seen: Situation, server: Server) -> Iterator[str]:
    """Yield what is in service: what a server answers with, and not what one served once."""
    service, name = seen.service, seen.project
    if server.version:
        here = service.version == server.version
        since = f" since {time(service.since_s)}" if here else ""
        yield f"{name} version {server.version} in service at {server.url}{since}"
    elif seen.champion:
        yield f"{name} version {seen.champion} is the champion, and not served: {server.why}"
    elif service.version:
        yield f"{name} version {service.version} was served last, and is not now: {server.why}"
    else:
        yield f"{name}: nothing in service"
    if service.version and service.version == (server.version or seen.champion or service.version):
        yield f"  why: {service.why}"


def _beside(seen: Situation) -> Iterator[str]:
    """Yield what runs beside the version in service."""
    if (canary := seen.canary) is not None and canary.state != "off":
        gets = f"gets {write_share(canary.share)} of the keys" if canary.state == "running" else ""
        yield (
            f"  canary: version {canary.version} {gets or canary.state} since "
            f"{time(canary.since_s)}" + (f": it {canary.reason}" if canary.reason else "")
        )
        for n, side in enumerate(("champion", "challenger")):
            looks = f"{canary.races} looks at the same rows"
            slow = f", slow at {canary.slow[n]} of {looks}" if canary.races else ""
            yield (f"    {side:<10} {canary.requests[n]} requests, {canary.failed[n]} failed{slow}")
    shadow = seen.shadow
    if seen.shadowed and (shadow is None or shadow.version != seen.shadowed):
        yield f"  shadow: version {seen.shadowed} by its alias; no server here has taken it up"
    if shadow is not None:
        if not shadow.rows:
            yield f"  shadow: version {shadow.version}: nothing seen yet"
        else:
            share = f"{shadow.agreed / shadow.rows:.1%} of the newest {shadow.rows} rows"
            if shadow.apart is None:
                yield f"  shadow: version {shadow.version}: {share} agree"
            else:
                within = "its median is within the served quantiles, 5 % to 95 %"
                yield f"  shadow: version {shadow.version}: in {share} {within}"
                yield f"    on average it is {shadow.apart:.4g} from the served median"
            yield (
                f"    p50 {shadow.latency_ms[0]:.1f} ms, p95 {shadow.latency_ms[1]:.1f} ms; "
                f"served: {shadow.served_ms[0]:.1f} ms, {shadow.served_ms[1]:.1f} ms"
            )


def _content(seen: Situation) -> dict[str, object]:
    content = asdict(seen)
    for window, shown in zip(seen.windows, content["windows"], strict=True):
        shown["id"], shown["alarm"] = window.id, window.verdict.alarm
    content["alarms"]["within"] = seen.alarms.within
    return content
