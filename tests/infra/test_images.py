"""The Dockerfile, Prometheus's targets, Grafana's dashboard and `.env.example` match the code."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker, default_environment
from prometheus_client import Counter, Gauge, Histogram
from pydantic import SecretStr

from mlops.log import QUIET
from mlops.serving import metrics
from mlops.settings import Settings

REPOSITORY = Path(__file__).parents[2]
INFRA = REPOSITORY / "infra"
DOCKERFILE = (INFRA / "Dockerfile").read_text()
SERVICES = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
DASHBOARD = json.loads((INFRA / "grafana" / "dashboard.json").read_text())


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    ignore = (INFRA / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert copied == let_in
    for name in copied:
        assert (REPOSITORY / name).exists(), name
    assert not any(fnmatch.fnmatch(".env", name) for name in let_in)


@pytest.mark.parametrize(
    "lock", sorted(REPOSITORY.glob("requirements*.lock")), ids=lambda p: p.name
)
def test_a_lock_pins_by_hash_for_every_python_and_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index" not in text
    pins = re.findall(r"^([\w.-]+)==\S+(?: ; (.+?))? \\$", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^\S", text, re.MULTILINE))
    assert text.count("--hash=sha256:") >= len(pins)
    every = {name for name, _ in pins}
    for version in ("3.11", "3.12", "3.13"):
        given = {str(name): str(value) for name, value in default_environment().items()}
        given |= {"python_version": version, "python_full_version": f"{version}.0"}
        here = [name for name, when in pins if not when or Marker(when).evaluate(given)]
        assert len(here) == len(set(here)), version
        assert {"mlflow", "torch", "prefect"} & every <= set(here)


def test_the_targets_that_compose_builds_run_without_rights() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    named = {re.split(r"\s+", stage)[2]: stage for stage in stages}
    built = {s["build"]["target"] for s in SERVICES.values() if "build" in s}
    assert built == {"server", "worker"} <= set(named)
    for target in built:
        users = re.findall(r"^USER (\S+)", named[target], re.MULTILINE)
        # `worker` installs git as root: the last word counts
        assert users[-1] == "10001:10001"
        assert named[target].rstrip().splitlines()[-1].startswith("CMD [")
    assert "--require-hashes requirements.lock" in named["build"]
    for service in SERVICES.values():
        if "build" in service:
            assert (INFRA / service["build"]["context"]).resolve() == REPOSITORY
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DVC_SITE_CACHE_DIR", "/tmp/dvc"),  # noqa: S108 - the container's own
        ("USER", "mlops"),
        ("LOGNAME", "mlops"),
    ],
)
def test_dvc_runs_on_a_read_only_root_as_a_user_without_a_name(name: str, value: str) -> None:
    base = DOCKERFILE.split(" AS base\n")[1].split("\nFROM ")[0]
    assert re.search(rf"^\s+{name}={re.escape(value)} \\$", base, re.MULTILINE)
    for service in SERVICES.values():
        if "build" in service:
            assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - likewise


def test_what_builds_the_project_is_pinned_with_hashes() -> None:
    assert "--build-constraints requirements-dev.lock --editable ." in DOCKERFILE
    lock = (REPOSITORY / "requirements-dev.lock").read_text()
    for name in ("hatchling", "editables"):
        assert re.search(rf"^{name}==\S+ \\\n\s+--hash=sha256:", lock, re.MULTILINE)


def test_uv_itself_is_pinned_with_hashes_wherever_it_is_fetched() -> None:
    lock = (REPOSITORY / "requirements-uv.lock").read_text()
    assert re.match(r"uv==\d+\.\d+\.\d+ \\\n", lock)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", lock)) > 10
    for text in (DOCKERFILE, (INFRA / "setup.sh").read_text()):
        [line] = re.findall(r"pip install (?:.*\\\n)*.*requirements-uv\.lock", text)
        assert "--require-hashes" in line


@pytest.mark.parametrize(("name", "value"), QUIET.items())
def test_the_images_are_as_quiet_as_the_command(name: str, value: str) -> None:
    assert re.search(rf"^\s+{name}={re.escape(value)}( \\)?$", DOCKERFILE, re.MULTILINE)


def test_prometheus_asks_services_at_ports_where_they_listen() -> None:
    jobs = yaml.safe_load((INFRA / "prometheus.yml").read_text())["scrape_configs"]
    targets = {t for job in jobs for c in job["static_configs"] for t in c["targets"]}
    environment = SERVICES["server"]["environment"]
    assert environment["MLOPS_METRICS_HOST"] == "0.0.0.0"
    assert targets == {f"server:{environment['MLOPS_METRICS_PORT']}", "localhost:9090"}


def test_prometheus_shows_the_token_that_the_servers_metrics_ask_for(tmp_path: Path) -> None:
    service, [job, _] = (
        SERVICES["prometheus"],
        yaml.safe_load((INFRA / "prometheus.yml").read_text())["scrape_configs"],
    )
    assert job["authorization"] == {"credentials_file": "/tmp/token"}  # noqa: S108 - a container's own
    assert service["environment"]["MLOPS_TOKEN"] == SERVICES["server"]["environment"]["MLOPS_TOKEN"]
    [line] = service["command"]
    script = line.replace("$$", "$").replace("/tmp/token", str(tmp_path / "token"))  # noqa: S108 - likewise
    said = subprocess.run(
        [*service["entrypoint"], script.replace("exec /bin/prometheus", "exec echo")],
        env={"MLOPS_TOKEN": "a secret"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (tmp_path / "token").read_text() == "a secret"
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    assert said.stdout.split()[0] == "--config.file=/etc/prometheus/prometheus.yml"


def _series() -> set[str]:
    """Return every time series that the serving processes export."""
    found: set[str] = set()
    for metric in vars(metrics).values():
        if isinstance(metric, (Counter, Gauge, Histogram)):
            [described] = metric.describe()
            endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            found |= {described.name + e for e in endings.get(described.type, [""])}
    return found


def test_the_dashboard_shows_series_that_exist() -> None:
    shown = [t["expr"] for panel in DASHBOARD["panels"] for t in panel["targets"]]
    shown += [a["expr"] for a in DASHBOARD["annotations"]["list"]]
    named = {name for expr in shown for name in re.findall(r"\bmlops_\w+", expr)}
    assert named <= _series()
    assert len(named) >= 10
    for expr in shown:
        for counter in re.findall(r"rate\((\w+)", expr):
            assert counter.endswith(("_total", "_bucket"))


def test_the_dashboard_is_laid_out_on_the_grid_and_finds_its_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    [source] = yaml.safe_load(
        (INFRA / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )["datasources"]
    assert {p["datasource"]["uid"] for p in DASHBOARD["panels"]} == {source["uid"]}
    [provider] = yaml.safe_load((INFRA / "grafana/provisioning/dashboards/files.yaml").read_text())[
        "providers"
    ]
    mounts = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounts
    assert home.startswith(provider["options"]["path"])


def test_the_example_environment_documents_every_setting_with_its_default(tmp_path: Path) -> None:
    text = (REPOSITORY / ".env.example").read_text()
    documented = dict(re.findall(r"^# (MLOPS_\w+)=(.*)$", text, re.MULTILINE))
    documented.pop("MLOPS_ROOT")
    expected = {}
    for name, field in Settings.model_fields.items():
        value = field.default
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        expected[f"MLOPS_{name.upper()}"] = str(plain)
        assert f"# {field.description}\n# MLOPS_{name.upper()}=" in text
    assert documented == expected
    (tmp_path / ".env").write_text("\n".join(f"{k}={v}" for k, v in documented.items()))
    assert Settings(_env_file=tmp_path / ".env") == Settings()
