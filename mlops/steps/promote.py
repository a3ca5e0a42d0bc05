"""Step `promote`: judge the candidate against the champion; on `promote`, move the alias."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops.adapters import decisions, evidence, publish
from mlops.adapters.contest import Contest, Entrant, hold, rows_of
from mlops.adapters.ledger import Entry, Ledger, Row
from mlops.adapters.reconcile import apply, is_pending, reconcile_held
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
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Site

_PLOTS = (("Confusion", "plots/confusion.png"), ("Calibration", "plots/calibration.png"))


class PromoteParams(View):
    """What `promote` sees: the name, the gate's rule, and the gap after training."""

    project: ProjectSection
    gate: GateSection
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
        standing = _standing(ledger, held[0], again="again" in site.options)
        if standing is not None and standing.verdict.outcome != "inconclusive":
            return _report(site, standing, fresh=False)
        if champion == held[0]:
            summary = f"already decided: version {champion} is the champion"
            return Report(summary, {"version": champion, "decided": False})
        decision, key, contest = _decide(params, site, ledger, champion, held)
        if ledger.find("decided", key) is not None:
            return _report(site, decision, fresh=False)
        recorded = _record(params, site, ledger, (decision, key, contest))
    return _report(site, recorded, fresh=recorded == decision)


def _standing(ledger: Ledger, version: str, *, again: bool) -> Decision | None:
    """Return the newest decision about a version, unless it is to be judged again."""
    if again:
        return None
    made = [from_json(Decision, e.body) for e in ledger.entries() if e.kind == "decided"]
    return next((d for d in reversed(made) if d.candidate.version == version), None)


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


def _record(
    params: PromoteParams, site: Site, ledger: Ledger, judged: tuple[Decision, str, Contest]
) -> Decision:
    """Append the decision if the champion compared is still in service, and move the alias."""
    decision, key, contest = judged
    project = decision.project
    before = decision.champion.version if decision.champion else None
    row = Row(
        kind="decided",
        key=key,
        at_s=decision.at_s,
        actor=decision.actor,
        from_version=before,
        to_version=decision.in_service,
        body=to_json(decision),
    )
    with ledger.exclusive():
        reconcile_held(site, project, ledger)
        if ledger.find("decided", key) is None and ledger.in_service() == before:
            evidence.keep(site, decision, contest.exam, _rules(params), params)
        entry: Entry = ledger.append(row, champion=before)
        if entry == ledger.last_move() and is_pending(ledger, entry):
            apply(site, project, ledger, entry)
    return from_json(Decision, entry.body)


def _report(site: Site, decision: Decision, *, fresh: bool) -> Report:
    """Show the decision on the version's page, and return it as the step's report."""
    markdown = wording.markdown(decision, _plots(decision))
    tags = (
        ("mlops.decision", decision.id),
        ("mlops.verdict", decision.verdict.outcome),
        ("mlops.compared", decision.champion.version if decision.champion else "none"),
    )
    publish.describe(site, decision.project, decision.candidate.version, markdown, tags)
    decisions.share(site, decision)
    refused = decision.verdict.outcome != "promote"
    summary = wording.summary(decision)
    return Report(
        summary=summary if fresh else f"already decided: {summary}",
        facts={
            "decision": decision.id,
            "decided": fresh,
            "outcome": decision.verdict.outcome,
            "version": decision.candidate.version,
            "champion": decision.in_service,
            "difference": decision.verdict.evidence.difference,
            "missing_labels": decision.verdict.missing_labels,
        },
        exit_code=EXIT_REFUSED if refused and "exit-code" in site.options else 0,
        markdown=markdown,
    )


def _plots(decision: Decision) -> tuple[tuple[str, str], ...]:
    """Return addresses that MLflow's own page can show."""
    run_id = decision.candidate.run_id
    return tuple((t, f"get-artifact?path={path}&run_id={run_id}") for t, path in _PLOTS)
