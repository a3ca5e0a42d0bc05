"""Keyed Prefect artifacts: what a person looks at after a run, under the same key every time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from mlops.site import Site

if TYPE_CHECKING:
    from flows.project import Project
    from mlops.site import Report

KEYS = {
    "validate": "data-checks", "promote": "decision", "monitor": "drift", "score": "scores"
}  # fmt: skip
"""Step → key of the artifact that its report's text becomes."""
COMPARISON = "champion-vs-candidate"
LINKS = "links"


def publish(project: Project, step: str, report: Report) -> None:
    """Publish a step's report under its key, if it has one; `promote` also gives the comparison.

    A decision is shown in the very words of its page in MLflow, with MLflow's pictures.
    """
    from mlops.core.page import anchored

    key = KEYS.get(step)
    if key is None:
        return
    text = report.markdown or f"# {step}\n\n{report.summary}\n"
    text = anchored(text, _mlflow_url(project))
    create_markdown_artifact(key=_key(project, key), markdown=text, description=report.summary)
    if step == "promote":
        rows = _compared(project, str(report.facts.get("decision", "")))
        create_table_artifact(key=_key(project, COMPARISON), table=rows, description=report.summary)


def publish_unchanged(project: Project, step: str) -> None:
    """Publish what a stage found when it last ran: nothing has changed, so it still holds."""
    if step != "validate":
        return
    from mlops.steps.validate import read_table

    checks = project.layout.checks
    note = f"{step}: not run again, nothing has changed since its last run"
    text = f"{note[:1].upper()}{note[1:]}: `{checks / 'index.html'}`\n\n{read_table(checks)}\n"
    create_markdown_artifact(key=_key(project, KEYS[step]), markdown=text, description=note)


def publish_links(project: Project, facts: dict[str, str | int | float | bool | None]) -> None:
    """Publish where to look: MLflow's pages, reports on disk, the scoring server."""
    from mlops.adapters.ports import read_ports

    layout, ports = project.layout, read_ports(project.layout, project.settings)
    model = f"{_mlflow_url(project)}/#/models/{project.name}"
    lines = ["# Links", "", f"- [Model versions in MLflow]({model})"]
    if version := facts.get("version"):
        lines.append(f"- [Version {version}]({model}/versions/{version})")
    lines += [
        f"- Scoring server: {project.settings.scheme}://{project.settings.host}:{ports.serve}",
        f"- Data checks: `{layout.checks}`",
        f"- Evaluation: `{layout.evaluation}`",
        f"- Decisions: `{layout.decisions}`",
        f"- Mailbox: `{layout.mailbox}`",
    ]
    create_markdown_artifact(
        key=_key(project, LINKS), markdown="\n".join(lines) + "\n",
        description=f"Where to look: MLflow, the scoring server, reports of {project.name}",
    )  # fmt: skip


def _mlflow_url(project: Project) -> str:
    """Return where people open MLflow, without a slash at its end."""
    from mlops.adapters.ports import LOOPBACK, read_ports

    port = read_ports(project.layout, project.settings).mlflow
    return (project.settings.mlflow_ui_url or f"http://{LOOPBACK}:{port}").rstrip("/")


def _key(project: Project, key: str) -> str:
    """Return the artifact's key; clones that share a server must not share a page."""
    return f"{project.name}-{key}"


def _compared(project: Project, decision_id: str) -> list[dict[str, str]]:
    """Return the metrics of a decision, from the ledger; none where nothing was decided."""
    from mlops.adapters.history import find_decision
    from mlops.core.page import comparison

    site = Site(project.layout, project.settings, datetime.now(UTC), project.layout.work / "flow")
    decision = find_decision(site, project.name, decision_id)
    return comparison(decision) if decision else []
