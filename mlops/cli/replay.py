"""`mlops replay`: a past decision, derived again."""

from __future__ import annotations

import json as json_lib
import math
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.adapters.rebuild import Rebuilt
    from mlops.adapters.replay import Replay
    from mlops.site import Site


def replay(
    decision: str, *, retrain: bool = False, tolerance: float | None = None, json: bool = False
) -> int:
    """Derive a past decision's verdict again from its lockfile; exit 1 if it differs.

    Args:
        decision: Its id, or the beginning of one; see: mlops history.
        retrain: Also train and evaluate the candidate again, in a scratch copy.
        tolerance: Largest difference of a metric after retraining; relative for one above 1.
            The default stands in params.yaml: replay.tolerance.
        json: Print everything as JSON.
    """
    from mlops.adapters.rebuild import rebuild
    from mlops.adapters.replay import replay as judge_again
    from mlops.cli.here import open_site
    from mlops.errors import EXIT_ERROR, EXIT_OK, UsageError
    from mlops.params.name import project_name

    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"--tolerance {tolerance}: must be a number, 0 or above")
    site = open_site()
    done = judge_again(site, project_name(site.layout.params), decision)
    if not json:
        print(*lines(done), sep="\n", flush=True)
    rebuilt = None
    if retrain:
        allowed = declared_tolerance(site) if tolerance is None else tolerance
        rebuilt = rebuild(site, done.decision, allowed)
    if json:
        print(json_lib.dumps(_content(done, rebuilt), indent=2))
    elif rebuilt is not None:
        print(*rebuilt_lines(rebuilt), sep="\n")
    fine = done.identical and (rebuilt is None or rebuilt.within)
    return EXIT_OK if fine else EXIT_ERROR


def declared_tolerance(site: Site) -> float:
    """Return what `params.yaml` allows a metric to differ by after retraining."""
    from mlops.params.base import View
    from mlops.params.load import load
    from mlops.params.replay import ReplaySection

    class Params(View):
        replay: ReplaySection

    return load(site.layout.params, Params).replay.tolerance


def lines(done: Replay) -> Iterator[str]:
    """Yield the answer for a terminal: `identical`, or every difference and where to look."""
    decision = done.decision
    evidence = decision.verdict.evidence
    what = (
        f"decision {decision.id} ({decision.verdict.outcome}, version {decision.candidate.version})"
    )
    if done.identical:
        rows = f"{evidence.recent_rows} recent and {evidence.base_rows} base rows"
        yield f"identical: {what}, judged again on {rows}"
        return
    yield f"different: {what}, in {len(done.differences)} values"
    for one in done.differences:
        yield f"  {one.field}: recorded {one.recorded}, replayed {one.replayed}"
    yield "look at:" if done.hints else f"look at: {done.folder}; packages and code are the same"
    yield from (f"  - {hint}" for hint in done.hints)


def rebuilt_lines(rebuilt: Rebuilt) -> Iterator[str]:
    """Yield what training again came to: every figure that moved."""
    judged, wrong = rebuilt.judged, [f for f in rebuilt.judged if not f.within]
    word = "reproduced" if rebuilt.within else "not reproduced"
    yield (
        f"{word}: version {rebuilt.version} at commit {rebuilt.commit[:12]}; "
        f"{len(judged) - len(wrong)} of {len(judged)} metrics within {rebuilt.tolerance:g}"
    )
    if not rebuilt.vouched:
        yield (
            "  nobody vouches for the run's diff, params.yaml and dvc.lock: the version was "
            "registered before the ledger kept their hashes"
        )
    for figure in rebuilt.figures:
        if figure.recorded == figure.rebuilt:
            continue
        note = "not judged: it measures the machine" if figure.allowed is None else ""
        note = note or ("within" if figure.within else f"more than {figure.allowed:g} apart")
        yield f"  {figure.name}: recorded {figure.recorded}, rebuilt {figure.rebuilt} ({note})"


def _content(done: Replay, rebuilt: Rebuilt | None) -> dict[str, object]:
    found = None
    if rebuilt is not None:
        figures = [{**asdict(f), "within": f.within} for f in rebuilt.figures]
        found = {**asdict(rebuilt), "figures": figures, "within": rebuilt.within}
    return {"identical": done.identical, **asdict(done), "rebuilt": found}
