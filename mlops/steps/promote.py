"""Step `promote`: judge the candidate against the champion; on `promote`, move the alias."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops.adapters import answered, files
from mlops.adapters.contest import Contest, Entrant, hold, rows_of, write_scores
from mlops.adapters.ledger import Ledger
from mlops.adapters.reconcile import reconcile_held
from mlops.adapters.record import Judged, record, recorded, standing
from mlops.adapters.registry import (
    Registration,
    candidate_digest,
    fetch,
    registered_as,
    registration,
)
from mlops.adapters.sql.engine import database
from mlops.core import wording
from mlops.core.canonical import from_json, to_json
from mlops.core.decision import Decision, Version
from mlops.core.exam import Rules
from mlops.core.gate import judge
from mlops.errors import EXIT_REFUSED, RegistryError, StepError
from mlops.params.base import View
from mlops.params.gate import GateSection
from mlops.params.holdout import HoldoutSection
from mlops.params.project import ProjectSection
from mlops.params.promote import PromoteSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Site


class PromoteParams(View):
    """What `promote` sees: the name, the rule, who has the last word, the gap after training."""

    project: ProjectSection
    gate: GateSection
    promote: PromoteSection
    holdout: HoldoutSection


def promote(params: PromoteParams, site: Site) -> Report:
    """Judge the registered candidate once per champion, rows and rule; promote it if it passes.

    A decided version is not judged again, except with the option `again`, or after
    `inconclusive` when the rows have changed. The champion compared must still be in service
    when the decision enters the ledger.

    Raises:
        StepError: if the candidate is not registered.
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
        known = None if "again" in site.options else standing(ledger, held[0])
        if known is not None and known.verdict.outcome != "inconclusive":
            return _report(site, ledger, known, fresh=False)
        if champion == held[0]:
            summary = f"already decided: version {champion} is the champion"
            return Report(summary, {"version": champion, "decided": False})
        decision, key, contest = _decide(params, site, ledger, champion, held)
        known = recorded(ledger, key)
        if known is not None:
            return _report(site, ledger, known, fresh=False)
        judged = Judged(
            decision, key, params.promote.approval,
            lambda made: _keep(params, site, made, contest),
        )  # fmt: skip
        made, fresh = record(site, ledger, judged)
        return _report(site, ledger, made, fresh=fresh)


def _decide(
    params: PromoteParams,
    site: Site,
    ledger: Ledger,
    champion: str | None,
    held: tuple[str, Registration],
) -> tuple[Decision, str, Contest]:
    """Score both, judge, and word the decision; nothing is recorded yet."""
    project, (version, known) = params.project.name, held
    recent, base = rows_of(site, params.gate.recent_days)
    candidate, _ = _entrant(site, project, "candidate", version)
    rival, rival_known = None, None
    if champion is not None:
        rival, rival_known = _entrant(site, project, "champion", champion)
    contest = hold(site, recent, base, candidate, rival)
    rules = _rules(params)
    params_digest = hashlib.sha256(to_json(rules).encode()).hexdigest()
    key = _key(
        ledger, site, known.digest, rival_known.digest if rival_known else str(champion),
        contest.data_digest, params_digest,
    )  # fmt: skip
    entry = ledger.find("decided", key)
    if entry is not None:
        return from_json(Decision, entry.body), key, contest
    decision = Decision(
        id=key[:12],
        project=project,
        at_s=site.now.timestamp(),
        actor=site.option("actor", "mlops promote"),
        reason=known.reason,
        incident=known.incident,
        candidate=Version(version, known.digest, known.run_id),
        champion=_champion(champion, rival_known),
        data_digest=contest.data_digest,
        params_digest=params_digest,
        commit=known.commit,
        verdict=judge(contest.exam, rules),
    )
    return decision, key, contest


def _champion(version: str | None, known: Registration | None) -> Version | None:
    if version is None:
        return None
    return Version(version, known.digest, known.run_id) if known else Version(version, "", "")


def _entrant(
    site: Site, project: str, who: str, version: str
) -> tuple[Entrant, Registration | None]:
    """Fetch a version's verified files from the registry; a refusal is a fault, not a stop."""
    try:
        known = registration(site, project, version)
        return Entrant(who, fetch(site, project, version, fresh=True)), known
    except RegistryError as error:
        return Entrant(who, None, f"the {who}'s files: {error}"), None


def _rules(params: PromoteParams) -> Rules:
    gate = params.gate.model_dump(exclude={"recent_days", "floors"})
    floors = tuple(sorted(params.gate.floors.model_dump().items()))
    return Rules(**gate, floors=floors, gap_s=params.holdout.gap_s)


def _key(ledger: Ledger, site: Site, *parts: str) -> str:
    """Return the idempotency key; judging again counts on, so that it makes a row of its own."""
    base = "\n".join(parts)
    key, count = hashlib.sha256(base.encode()).hexdigest(), 0
    while "again" in site.options and ledger.find("decided", key) is not None:
        count += 1
        key = hashlib.sha256(f"{base}\nagain {count}".encode()).hexdigest()
    return key


def _keep(params: PromoteParams, site: Site, decision: Decision, contest: Contest) -> None:
    """Write the decision's folder: `decision.json`, and what a replay needs."""
    target = site.layout.decisions / decision.id
    fresh = target.with_name(f".{decision.id}.new")
    files.remove(fresh)
    fresh.mkdir(parents=True)
    files.write_text(fresh / "decision.json", to_json(decision) + "\n")
    write_scores(fresh / "scores.npz", contest.exam)
    exam = contest.exam
    files.write_json(fresh / "lock.json", {
        "params": params.model_dump(mode="json"),
        "now_s": site.now.timestamp(),
        "data": decision.data_digest,
        "latency_ms": exam.latency_ms,
        "faults": list(exam.faults),
        "trained_until_s": {
            "candidate": exam.candidate.trained_until_s,
            "champion": exam.champion.trained_until_s if exam.champion else None,
        },
        "scores": files.sha256(fresh / "scores.npz"),
    })  # fmt: skip
    files.swap_folder(fresh, target)


def _report(site: Site, ledger: Ledger, decision: Decision, *, fresh: bool) -> Report:
    """Show the decision where people look, and return it as the step's report."""
    markdown = answered.show(site, decision)
    if decision.approval == "pending":
        answered.ask(site, ledger.engine, decision)
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
        markdown=markdown,
    )
