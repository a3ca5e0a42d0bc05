"""Where everything lies, relative to one root folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import UsageError

PARAMS_FILE = "params.yaml"


def find_root(start: Path | None = None) -> Path:
    """Return the project's root: `MLOPS_ROOT`, else the nearest parent with a `params.yaml`.

    Raises:
        UsageError: if neither exists.
    """
    declared = os.environ.get("MLOPS_ROOT")
    if declared:
        root = Path(declared).resolve()
        if not (root / PARAMS_FILE).is_file():
            msg = f"MLOPS_ROOT={declared} holds no {PARAMS_FILE}; point it at the project's folder"
            raise UsageError(msg)
        return root
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / PARAMS_FILE).is_file():
            return folder
    msg = f"no {PARAMS_FILE} in {here} or above; run inside the project or set MLOPS_ROOT"
    raise UsageError(msg)


@dataclass(frozen=True)
class Layout:
    """Every path of the project; nothing else builds one by hand.

    `data/`, `models/` and `reports/` belong to DVC; everything under `.mlops/` is local state.
    """

    root: Path

    # -- inputs, versioned by git -----------------------------------------------------------
    @property
    def params(self) -> Path:
        """`params.yaml`: what the loop does."""
        return self.root / PARAMS_FILE

    # -- DVC's files ------------------------------------------------------------------------
    @property
    def production(self) -> Path:
        """Production rows: immutable Parquet shards written by `collect`."""
        return self.root / "data" / "production"

    @property
    def snapshot(self) -> Path:
        """The snapshot: `schema.json` and Parquet shards, written by `ingest`."""
        return self.root / "data" / "snapshot"

    @property
    def prepared(self) -> Path:
        """Splits as arrays, written by `prepare`."""
        return self.root / "data" / "prepared"

    @property
    def checks(self) -> Path:
        """Data checks: `checks.json` and Data Docs, written by `validate`."""
        return self.root / "reports" / "checks"

    @property
    def checked(self) -> Path:
        """Which snapshot has passed its checks, and nothing of how: written by `validate`."""
        return self.root / "reports" / "checked.json"

    @property
    def tuned(self) -> Path:
        """The best trial and the table of trials, written by `tune`."""
        return self.root / "models" / "tuned"

    @property
    def inherited(self) -> Path:
        """The champion's weights for a warm start, written by `inherit`; else empty."""
        return self.root / "models" / "inherited"

    @property
    def candidate(self) -> Path:
        """The model file and its weights, written by `train`."""
        return self.root / "models" / "candidate"

    @property
    def evaluation(self) -> Path:
        """Metrics, tables and plots of the candidate, written by `evaluate`."""
        return self.root / "reports" / "evaluation"

    @property
    def backtest(self) -> Path:
        """The newest backtest: table and picture; ignored by git and DVC."""
        return self.root / "reports" / "backtest"

    # -- local state ------------------------------------------------------------------------
    @property
    def state(self) -> Path:
        """`.mlops/`: everything that neither git nor DVC keeps."""
        return self.root / ".mlops"

    @property
    def work(self) -> Path:
        """Half-done work of steps (checkpoints, studies), keyed by what it was made from."""
        return self.state / "work"

    @property
    def probe(self) -> Path:
        """The newest probe of what a retrain would gain; safe to delete."""
        return self.state / "probe.json"

    @property
    def locks(self) -> Path:
        """File locks, one per step."""
        return self.state / "locks"

    @property
    def logs(self) -> Path:
        """Log files of the process group."""
        return self.state / "logs"

    @property
    def mailbox(self) -> Path:
        """Mails as `.eml` and `.html` files, when no SMTP server is set."""
        return self.state / "mailbox"

    @property
    def decisions(self) -> Path:
        """One folder per decision: `decision.json` and its lockfile."""
        return self.state / "decisions"

    @property
    def agreed(self) -> Path:
        """When ledger and alias were last seen to agree, one file per project."""
        return self.state / "agreed"

    @property
    def windows(self) -> Path:
        """One folder per window: Evidently's report as HTML and JSON, and our verdict."""
        return self.state / "windows"

    @property
    def incidents(self) -> Path:
        """One page per incident, as `ID.html`."""
        return self.state / "incidents"

    @property
    def serving(self) -> Path:
        """Verified local copies of served versions, and the pointer to the one in service."""
        return self.state / "serving"

    @property
    def foreign(self) -> Path:
        """Copies of models that MLOPS_SERVE_MODEL named, and the digests they were pinned to."""
        return self.state / "foreign"

    @property
    def spool(self) -> Path:
        """Predictions on their way to the database."""
        return self.state / "spool"

    @property
    def tokens(self) -> Path:
        """Hashed bearer tokens of the server."""
        return self.state / "tokens"

    @property
    def prefect_home(self) -> Path:
        """Prefect's own folder."""
        return self.state / "prefect"

    @property
    def mlflow_db(self) -> Path:
        """MLflow's default SQLite database."""
        return self.state / "mlflow.db"

    @property
    def mlartifacts(self) -> Path:
        """MLflow's default artifact store."""
        return self.state / "mlartifacts"

    @property
    def database(self) -> Path:
        """The project's own default SQLite database."""
        return self.state / "mlops.db"

    @property
    def ports(self) -> Path:
        """Ports, chosen once and kept so that links in mails stay valid."""
        return self.state / "ports.json"

    @property
    def simulation(self) -> Path:
        """The scratch copy of the last fire drill; safe to delete."""
        return self.state / "simulate"

    @property
    def parts(self) -> Path:
        """What `mlops up` knows of its parts; absent while it does not run."""
        return self.state / "parts.json"
