"""The flow `score`: score a file or folder in bulk, as `mlops score` does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger

from flows.artifacts import publish
from flows.project import open_project
from mlops.batch.score import Progress, Request, ScoreParams
from mlops.batch.score import score as run
from mlops.log import quieten
from mlops.params.load import load
from mlops.run import run_step
from mlops.site import Site


@flow(name="score", flow_run_name="score: {source}", persist_result=False, validate_parameters=True)
def score(source: str, output: str, version: str = "", alias: str = "champion") -> str:
    """Score a file or folder into Parquet; a run that was killed is gone on with when run again.

    Args:
        source: Parquet, CSV, .npy or a folder of images; relative to the project's root.
        output: Folder for the parts; new, or of the same job; relative likewise.
        version: Of the model; the one that the alias names if left out.
        alias: Of the registry: champion, challenger, previous.
    """
    quieten()
    project = open_project()
    layout, logger = project.layout, get_run_logger()

    def told(seen: Progress) -> None:
        logger.info("%d of %d parts, %d rows", seen.parts, seen.of_parts, seen.rows)

    # An alias that somebody moved, or a promotion that was killed halfway, must not pick the model.
    logger.info(run_step("reconcile", layout, project.settings).summary)
    site = Site(layout, project.settings, datetime.now(UTC), layout.work / "score")
    request = Request(layout.root / Path(source), layout.root / Path(output), version, alias)
    report = run(load(layout.params, ScoreParams), site, request, told)
    logger.info(report.summary)
    publish(project, "score", report)
    return report.summary
