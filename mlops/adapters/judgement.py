"""What a verdict needs: who enters, on which rows, after which earlier looks, by which rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters.chain import since_renumbered
from mlops.adapters.cohort import count_cohort, matured_until_s
from mlops.adapters.contest import Contest, Entered, Entrant, hold, rows_of
from mlops.adapters.ledger import Ledger
from mlops.adapters.precedents import anchor_of, heir_of, looks_of
from mlops.adapters.registry import fetch, registration, source_of
from mlops.core.decision import Version
from mlops.core.exam import since_s
from mlops.core.rules import Rules
from mlops.errors import RegistryError
from mlops.params.base import View
from mlops.params.gate import GateSection
from mlops.params.holdout import HoldoutSection
from mlops.params.labels import LabelsSection
from mlops.params.project import ProjectSection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from mlops.adapters.ledger import Entry
    from mlops.site import Site

_DAY_S = 86_400.0


class Sections(View):
    """The sections of `params.yaml` that a verdict depends on."""

    project: ProjectSection
    labels: LabelsSection
    gate: GateSection
    holdout: HoldoutSection


@dataclass(frozen=True)
class Case:
    """All that a verdict is derived from.

    Attributes:
        contest: the models' answers, with proof.
        rules: what is asked of them.
        champion: the version in service as it was compared; nothing if none is.
        covered: whether the cohort has labels enough; part of the decision's identity, so that
            a verdict that waited for labels is made anew once they are here.
    """

    contest: Contest
    rules: Rules
    champion: Version | None
    covered: bool


def assemble(
    site: Site,
    engine: sa.Engine,
    params: Sections,
    candidate: str,
    champion: str | None,
) -> Case:
    """Fetch and score the versions, and count what their rows stand for.

    Args:
        site: where to fetch from, and the prepared rows.
        engine: the project's database: earlier verdicts, and the predictions.
        params: rules.
        candidate: version to be judged.
        champion: version in service, if any.

    Raises:
        DataError: if prepared rows are missing.
        Unavailable: if MLflow or the database does not answer.
    """
    project, rules = params.project.name, rules_of(params)
    entries, now_s = Ledger(engine, project).entries(), site.now.timestamp()
    first, _ = _entrant(site, project, "candidate", candidate)
    second, rival = (None, None) if champion is None else _entrant(
        site, project, "champion", champion
    )  # fmt: skip
    third, lost = None, ""
    if rules.margin > 0.0 and champion is not None:
        anchor, lost = _anchor(site, project, entries, candidate)
        if anchor not in (None, champion):
            third, _ = _entrant(site, project, "anchor", str(anchor))
    until_s = matured_until_s(engine, project, params.labels, now_s=now_s)
    days = params.gate.recent_days
    rows = rows_of(site, days, sample=params.labels.sample, until_s=until_s)
    contest = hold(site, rows, Entered(first, second, third), looks_of(entries))
    after_s = since_s(contest.exam.memories, contest.exam.looks, rules.gap_s)
    cohort = count_cohort(
        engine, project, params.labels,
        since_s=max(after_s, now_s - days * _DAY_S), until_s=until_s,
    )  # fmt: skip
    contest = replace(contest, exam=replace(contest.exam, cohort=cohort, lost=lost))
    covered = cohort.labelled >= rules.min_coverage * cohort.predictions > 0
    return Case(contest, rules, rival, covered)


def _anchor(
    site: Site, project: str, entries: Sequence[Entry], candidate: str
) -> tuple[str | None, str]:
    """Return the anchor, and the one in whose place it stands if that one was deleted.

    Without this, no candidate could ever pass again: evidence would be missing for good.
    """
    vouched = {e.to_version for e in since_renumbered(entries) if e.kind == "registered"}

    def there(version: str) -> bool:
        return version in vouched and source_of(site, project, version) is not None

    anchor = anchor_of(entries, candidate)
    if anchor is None or there(anchor):
        return anchor, ""
    return heir_of(entries, anchor, candidate, there), anchor


def rules_of(params: Sections) -> Rules:
    """Return the gate's rules as `params.yaml` declares them."""
    gate, asked = params.gate, params.gate.non_inferiority.model_dump()
    nested = {"recent_days", "block_minutes", "floors", "ceilings", "non_inferiority"}
    return Rules(
        **gate.model_dump(exclude=nested),
        floors=tuple(sorted((n, v) for n, v in gate.floors.model_dump().items() if v is not None)),
        ceilings=tuple(sorted(gate.ceilings.model_dump().items())),
        non_inferiority=tuple(sorted((n, v) for n, v in asked.items() if v is not None)),
        min_coverage=params.labels.min_coverage,
        gap_s=params.holdout.gap_s,
        block_s=60.0 * gate.block_minutes,
    )


def _entrant(site: Site, project: str, who: str, version: str) -> tuple[Entrant, Version]:
    """Fetch a version's verified files from the registry; a refusal is a fault, not a stop."""
    try:
        known = registration(site, project, version)
        folder = fetch(site, project, version, fresh=True)
    except RegistryError as error:
        fault = f"the {who}'s files: {error}"
        if who == "anchor":
            fault += (
                "; restore them, or delete that version in MLflow: the oldest one promoted after "
                "it takes its place"
            )
        return Entrant(who, version, "", None, fault), Version(version, "", "")
    return Entrant(who, version, known.digest, folder), Version(
        version, known.digest, known.run_id
    )  # fmt: skip
