"""Fixtures that every part shares: a root folder, a site in it, a real Postgres."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops.layout import Layout
from mlops.log import quieten
from mlops.settings import Settings
from mlops.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

quieten()
os.environ.setdefault("MPLBACKEND", "agg")

REPOSITORY = Path(__file__).parent.parent
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's own settings out of every test."""
    for name in [n for n in os.environ if n.startswith("MLOPS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty project folder with the template's `params.yaml`."""
    folder = tmp_path / "project"
    (folder / "data" / "production").mkdir(parents=True)
    shutil.copy(REPOSITORY / "params.yaml", folder)
    return folder


@pytest.fixture
def site(root: Path) -> Site:
    """Return a site in `root` with default settings, at a fixed time."""
    layout = Layout(root)
    work = layout.work / "test"
    work.mkdir(parents=True)
    return Site(layout=layout, settings=Settings(), now=NOW, work=work)


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty MLflow database: copying it saves the six seconds of making one."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def mlflow_site(site: Site, mlflow_template: Path) -> Site:
    """Return a site whose MLflow is ready for use."""
    shutil.copy(mlflow_template, site.layout.mlflow_db)
    return site


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a real Postgres of its own on a Unix socket; skip where none is installed."""
    server, initdb = shutil.which("postgres"), shutil.which("initdb")
    if server is None or initdb is None:
        pytest.skip("no Postgres server on this machine (postgres and initdb on PATH)")
    # Directly below the temporary folder: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    if user:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    subprocess.run(
        [initdb, "-D", str(data), "-A", "trust", "-U", "mlops"],
        check=True, capture_output=True, **user,  # type: ignore[call-overload]
    )  # fmt: skip
    options = ["-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
    process = subprocess.Popen([server, "-D", str(data), *options], **user)  # type: ignore[call-overload]
    try:
        _await_postgres(folder)
        yield f"postgresql+psycopg://mlops@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown, whatever connections are left
        process.wait(30)
        shutil.rmtree(folder)


def _await_postgres(folder: Path) -> None:
    """Wait until the server takes connections; its socket is there a moment earlier."""
    import psycopg

    end_s = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user="mlops", dbname="postgres").close()
        except psycopg.OperationalError:
            assert time.monotonic() < end_s, "the Postgres server did not start"
            time.sleep(0.05)
        else:
            return
