"""`mlops why`: how a version came about, in ten lines at most."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlops.cli.clock import time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.adapters.causes import Chain

_TOP = 2


def why(version: str, *, json: bool = False) -> int:
    """Tell what drifted or arrived, when, which mails and run, what was compared, the verdict.

    Args:
        version: Its number; see: mlops history.
        json: Print everything as JSON.
    """
    from mlops.adapters.causes import why as gather
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    chain = gather(site, project_name(site.layout.params), version.removeprefix("v"))
    if json:
        print(json_lib.dumps(asdict(chain), indent=2))
        return 0
    for name, words in lines(chain):
        print(f"{name:<13}{words}")
    return 0


def lines(chain: Chain) -> Iterator[tuple[str, str]]:
    """Yield the chain in the order of time, ten links at most: name, and what is known of it."""
    from mlops.core import wording

    known = chain.registration
    yield (
        "version",
        f"{chain.project} {chain.version}, {wording.trained(known.reason)}",
    )
    yield from _incident(chain)
    yield "arrived", f"{chain.arrived} labelled predictions collected since the version before"
    made = chain.retrain
    if made is not None:
        ended = f", ended {time(made.ended_s)}: {made.outcome}" if made.ended_s else ", not ended"
        yield "retrain", f"{made.id}, asked for {time(made.requested_s)}{ended}"
    if known.start:
        yield "start", known.start
    commit, data = known.commit[:12] or "unknown", known.data or "unknown"
    made_s = time(chain.registered_s)
    yield "run", f"{known.run_id}, commit {commit}, snapshot md5 {data}; registered {made_s}"
    yield from _decision(chain)
    yield "in service", _service(chain)


def _incident(chain: Chain) -> Iterator[tuple[str, str]]:
    found = chain.incident
    told = ", ".join(f"{m.stage} {time(m.sent_s) if m.sent_s else '(waits)'}" for m in chain.mails)
    if found is None and chain.registration.incident:
        yield "missing", "; ".join(chain.missing)
        yield "mails", told or "none"
    if found is not None:
        body = found.body
        columns = "; ".join(f"{c.column}: {c.words}" for c in body.columns[:_TOP])
        what = "; ".join(body.breaks[:_TOP]) or columns or found.cause
        worth = f"; {body.advice}" if body.advice else ""
        yield "what", f"{found.kind}: {what}{worth}"
        closed = f", resolved {time(found.resolved_s)}" if found.resolved_s else ", still open"
        opened = f"{found.id}, opened {time(found.opened_s)}{closed}"
        yield "incident", f"{opened}; mails: {told or 'none'}"


def _decision(chain: Chain) -> Iterator[tuple[str, str]]:
    from mlops.core import wording

    if not chain.decisions:
        yield "verdict", "not judged yet; run: mlops promote"
        return
    decision = chain.decisions[-1]
    evidence = decision.verdict.evidence
    rival = f"version {decision.champion.version}" if decision.champion else "no champion"
    rows = f"{evidence.recent_rows} recent and {evidence.base_rows} base rows"
    count = len(chain.decisions)
    times = f" (the last of {count})" if count > 1 else ""
    by = f"decision {decision.id}{times} by {decision.actor}, {time(decision.at_s)}"
    yield "compared", f"with {rival} on {rows}; {by}"
    yield "verdict", f"{decision.verdict.outcome}: {wording.real(decision)}"


def _service(chain: Chain) -> str:
    if not chain.periods:
        return "never"
    begun, ended = chain.periods[-1].begun, chain.periods[-1].ended
    by = f" by decision {begun.decision}" if begun.decision else f" ({begun.why})"
    until = f"until {time(ended.at_s)}: {ended.why}" if ended else "still"
    earlier = len(chain.periods) - 1
    first = f"; {earlier} times before, first {time(chain.periods[0].begun.at_s)}"
    return f"since {time(begun.at_s)}{by}, {until}{first if earlier else ''}"
