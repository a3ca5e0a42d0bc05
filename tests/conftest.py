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
from typing import TYPE_CHECKING, Any

import pytest

from mlops.layout import Layout
from mlops.log import quieten
from mlops.settings import Settings
from mlops.site import Site
from tests.kept import copy_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

quieten()
os.environ.setdefault("MPLBACKEND", "agg")

REPOSITORY = Path(__file__).parent.parent
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


_LONGEST = (
    "test_loop.py", "flows", "test_register_promote.py", "test_rebuild.py", "test_train_step.py",
    "test_great_expectations.py", "test_poisoned_candidates.py", "test_review_page.py",
    "test_benchmarks.py", "test_approve_step.py", "test_replay.py", "test_mlflow_serving.py",
    "test_live_registry.py",
)  # fmt: skip
"""Pieces of work of 15 s and more, longest first."""


def _piece(path: str) -> str:
    """Return what is given to one worker whole: a file; the flows, which share a Prefect server."""
    return "flows" if "/flows/" in path else path.rpartition("/")[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that no worker is left alone with one of them at the end."""
    rank = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(_piece(item.path.as_posix()), len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Deal out those pieces (`--dist loadgroup` has no effect under pytest 9.2)."""
    from xdist.scheduler import LoadFileScheduling

    class Pieces(LoadFileScheduling):  # type: ignore[misc] # xdist ships no types
        def _split_scope(self, nodeid: str) -> str:
            return _piece(nodeid.partition("::")[0])

    return Pieces(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True, scope="session")
def _plain_session() -> None:
    """Keep the caller's own settings out of what is made for many tests."""
    for name in [n for n in os.environ if n.startswith("MLOPS_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's own settings out of every test."""
    for name in [n for n in os.environ if n.startswith("MLOPS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty project folder with the template's `params.yaml`."""
    return make_root(tmp_path)


@pytest.fixture
def site(root: Path) -> Site:
    """Return a site in `root` with default settings, at a fixed time."""
    return make_site(root)


def make_root(folder: Path) -> Path:
    """Make an empty project below a folder."""
    root = folder / "project"
    (root / "data" / "production").mkdir(parents=True)
    shutil.copy(REPOSITORY / "params.yaml", root)
    return root


def make_site(root: Path) -> Site:
    """Return a site with default settings, at a fixed time."""
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


@pytest.fixture(scope="session")
def keep(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> Callable[[], Site]:
    """Return a function that makes a site to be kept for many tests, its MLflow ready for use."""

    def make() -> Site:
        site = make_site(make_root(tmp_path_factory.mktemp("kept")))
        shutil.copy(mlflow_template, site.layout.mlflow_db)
        return site

    return make


@pytest.fixture(scope="session")
def kept_first(keep: Callable[[], Site]) -> Site:
    """Keep a site whose weaker model has been promoted; to be copied, never changed."""
    from tests import entrants, judged

    site = keep()
    judged.begin(site)
    judged.enter(site, entrants.corner_weights())
    assert judged.judge(site).facts["outcome"] == "promote"
    return site


@pytest.fixture(scope="session")
def kept_second(keep: Callable[[], Site], kept_first: Site) -> Site:
    """Keep a site where, after that, the better model was registered and not yet judged."""
    from tests import entrants, judged

    site = copy_state(kept_first, keep())
    judged.enter(site, entrants.block_weights())
    return site


@pytest.fixture(scope="session")
def kept_both(keep: Callable[[], Site], kept_second: Site) -> Site:
    """Keep a site where, after that, the better model was promoted, too."""
    from tests import judged

    site = copy_state(kept_second, keep())
    assert judged.judge(site).facts["outcome"] == "promote"
    return site


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give Debian's Chromium; skip where it is not installed."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium on this machine (chromium on PATH)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # As root, as in a container, Chromium runs without a sandbox only.
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()
