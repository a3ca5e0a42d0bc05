"""Step `promote`: judge the candidate against the champion; on `promote`, move the alias."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

from mlops.adapters import answered, evidence, judgement, precedents
from mlops.adapters.ledger import Ledger
from mlops.adapters.reconcile import reconcile_held
from mlops.adapters.record import Judged, record, recorded
from mlops.adapters.registry import Registration, candidate_digest, registered_as
from mlops.adapters.sql.engine import database
from mlops.adapters.verdicts import newest, read
from mlops.adapters.version_page import draw
from mlops.core import wording
from mlops.core.canonical import to_json
from mlops.core.decision import Decision, Version
from mlops.core.gate import judge
from mlops.errors import EXIT_REFUSED, StepError
from mlops.params.promote import PromoteSection
from mlops.site import Report

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.judgement import Case
    from mlops.site import Site


class PromoteParams(judgement.Sections):
    """What `promote` sees: what a verdict depends on, and who has the last word."""

    promote: PromoteSection


def promote(params: PromoteParams, site: Site) -> Report:
    """Judge the registered candidate once per champion, rows and rule; promote it if it passes.

    A decided version is not judged again, except with the option `again`, or after
    `inconclusive` when the rows have changed. The champion compared must still be in service
    when the decision enters the ledger.

    Raises:
        StepError: if the candidate is not registered, or the champion's alias was removed.
        LedgerError: if another version came into service meanwhile; nothing is recorded.
        DataError: if prepared rows are missing.
        Unavailable: if MLflow or the database does not answer.
    """
    project = params.project.name
    held = registered_as(site, project, candidate_digest(site))
    if held is None:
        raise StepError("the candidate is not registered; run: mlops register")
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive():
            reconcile_held(site, project, ledger)
        champion = ledger.in_service()
        _need_champion(ledger, site)
        known = None if "again" in site.options else newest(ledger.entries(), held[0])
        if known is not None and known.verdict.outcome != "inconclusive":
            return _report(site, ledger, known, fresh=False)
        if champion == held[0]:
            summary = f"already decided: version {champion} is the champion"
            return Report(summary, {"version": champion, "decided": False})
        decision, key, case = _decide(params, site, engine, champion, held)
        known = recorded(ledger, key)
        if known is not None:
            return _report(site, ledger, known, fresh=False)
        exam, rules = case.contest.exam, case.rules
        keep = functools.partial(evidence.keep, site, exam=exam, rules=rules, params=params)
        made, fresh = record(
            site, ledger, Judged(decision, key, params.promote.approval, exam.looks, keep)
        )
        return _report(site, ledger, made, fresh=fresh)


def _need_champion(ledger: Ledger, site: Site) -> None:
    """Refuse the rule for a first model where there was a champion and somebody removed it."""
    gone = precedents.removed(ledger.entries())
    if gone is not None and "first" not in site.options:
        msg = (
            f"version {gone} was in service and the alias champion was removed: nothing is left "
            f"to compare with; put it back (mlops rollback --to {gone}), or judge this one as a "
            "first model: mlops promote --first"
        )
        raise StepError(msg)


def _decide(
    params: PromoteParams,
    site: Site,
    engine: sa.Engine,
    champion: str | None,
    held: tuple[str, Registration],
) -> tuple[Decision, str, Case]:
    """Score, judge, and word the decision; nothing is recorded yet."""
    version, known = held
    ledger = Ledger(engine, params.project.name)
    case = judgement.assemble(site, engine, params, version, champion)
    rival, contest = case.champion, case.contest
    params_digest = hashlib.sha256(to_json(case.rules).encode()).hexdigest()
    key = _key(
        ledger, site, known.digest, (rival.digest or rival.version) if rival else "None",
        contest.data_digest, params_digest, "covered" if case.covered else "not covered",
    )  # fmt: skip
    entry = ledger.find("decided", key)
    if entry is not None:
        return read(entry.body), key, case
    decision = Decision(
        id=key[:12],
        project=params.project.name,
        at_s=site.now.timestamp(),
        actor=site.option("actor", "mlops promote"),
        reason=known.reason,
        incident=known.incident,
        candidate=Version(version, known.digest, known.run_id),
        champion=rival,
        data_digest=contest.data_digest,
        params_digest=params_digest,
        commit=known.commit,
        verdict=judge(contest.exam, case.rules),
    )
    return decision, key, case


def _key(ledger: Ledger, site: Site, *parts: str) -> str:
    """Return the idempotency key; judging again counts on, so that it makes a row of its own."""
    base = "\n".join(parts)
    key, count = hashlib.sha256(base.encode()).hexdigest(), 0
    while "again" in site.options and ledger.find("decided", key) is not None:
        count += 1
        key = hashlib.sha256(f"{base}\nagain {count}".encode()).hexdigest()
    return key


def _report(site: Site, ledger: Ledger, decision: Decision, *, fresh: bool) -> Report:
    """Return the decision as the step's report; what stood before is shown again."""
    if not fresh:
        answered.publish(site, ledger, decision)
    refused = decision.verdict.outcome != "promote"
    summary = wording.summary(decision)
    return Report(
        summary=summary if fresh else f"already decided: {summary}",
        facts={
            "decision": decision.id,
            "decided": fresh,
            "outcome": decision.verdict.outcome,
            "approval": decision.approval,
            "version": decision.candidate.version,
            "champion": decision.in_service,
            "difference": decision.verdict.evidence.difference,
            "missing_labels": decision.verdict.missing_labels,
        },
        exit_code=EXIT_REFUSED if refused and "exit-code" in site.options else 0,
        markdown=draw(site, decision),
    )
