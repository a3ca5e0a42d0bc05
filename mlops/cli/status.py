"""`mlops status`: what is in service, since when and why, and whether anything is wrong."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlops.cli.clock import time
from mlops.core.share import write_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.adapters.situation import Situation


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
    seen = look(layout, load_settings(layout), params.project.name, params.monitoring)
    if json:
        print(json_lib.dumps({**_content(seen), "wrong": wrong(seen)}, indent=2))
        return 0
    for line in lines(seen):
        print(line)
    return 0


def wrong(seen: Situation) -> list[str]:
    """Return one line for everything that a person should look at; empty if all is well."""
    found = [
        f"{i.kind} incident {i.id}: {i.cause}; {i.body.triage}; see: mlops incident {i.id}"
        for i in seen.incidents
    ]
    if seen.foreign:
        found.append(
            f"MLOPS_SERVE_MODEL={seen.foreign}: it is served in the champion's place, not gated "
            "and not logged; take the setting away to serve the champion"
        )
    if not seen.service.version and seen.champion:
        found.append(
            f"version {seen.champion} is the champion, but no server has taken it up; "
            "start one: mlops up, or mlops serve"
        )
    elif not seen.service.version:
        found.append("no model is in service; train one: dvc repro, mlops register, mlops promote")
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
    if seen.outbox:
        found.append(f"{seen.outbox} mails wait to be sent; see: mlops mail")
    return found


def lines(seen: Situation) -> Iterator[str]:
    """Yield the report for a terminal."""
    service = seen.service
    if service.version:
        yield f"{seen.project} version {service.version} in service since {time(service.since_s)}"
        yield f"  why: {service.why}"
    else:
        yield f"{seen.project}: nothing in service"
    yield from _beside(seen)
    for part in seen.parts:
        state = part.state if part.up or part.state not in ("up", "done") else "no answer"
        restarts = f", {part.restarts} restarts" if part.restarts else ""
        yield f"  {part.name:<10} {state}{restarts}  {part.url}".rstrip()
    for window in seen.windows:
        accuracy = f"{window.correct / window.labelled:.1%}" if window.labelled else "unknown"
        yield (
            f"  window {window.id}: {window.cut.rows} rows, "
            f"{'ALARM' if window.verdict.alarm else 'no alarm'}, accuracy {accuracy}"
        )
    if seen.windows and seen.windows[-1].fixed is not None:
        yield f"  {seen.windows[-1].fixed}"
    yield f"  alarms: {seen.alarms}"
    if seen.retrain:
        yield f"  retrain {seen.retrain.id} {seen.retrain.state}: {seen.retrain.reason}"
    problems = wrong(seen)
    yield "all is well" if not problems else f"{len(problems)} to look at:"
    yield from (f"  - {problem}" for problem in problems)


def _beside(seen: Situation) -> Iterator[str]:
    """Yield what runs beside the version in service."""
    if (canary := seen.canary) is not None and canary.state != "off":
        gets = f"gets {write_share(canary.share)} of the keys" if canary.state == "running" else ""
        yield (
            f"  canary: version {canary.version} {gets or canary.state} since "
            f"{time(canary.since_s)}" + (f": it {canary.reason}" if canary.reason else "")
        )
        for n, side in enumerate(("champion", "challenger")):
            slow = f", {canary.slow[n]} above {canary.slow_s * 1000:g} ms" if canary.slow_s else ""
            yield (f"    {side:<10} {canary.requests[n]} requests, {canary.failed[n]} failed{slow}")
    shadow = seen.shadow
    if seen.shadowed and (shadow is None or shadow.version != seen.shadowed):
        yield f"  shadow: version {seen.shadowed} by its alias; no server here has taken it up"
    if shadow is not None:
        if not shadow.rows:
            yield f"  shadow: version {shadow.version}: nothing seen yet"
        else:
            share = f"{shadow.agreed / shadow.rows:.1%} of the newest {shadow.rows} rows agree"
            yield f"  shadow: version {shadow.version}: {share}"
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
