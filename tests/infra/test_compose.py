"""No engine is needed: every path, port, variable and command that `infra/` names must exist."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops.settings import Settings

REPOSITORY = Path(__file__).parents[2]
INFRA = REPOSITORY / "infra"
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SETTINGS = {f"MLOPS_{name.upper()}" for name in Settings.model_fields} | {"MLOPS_ROOT"}
# Of the Compose specification, those that are used here.
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "healthcheck",
    "image", "ports", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs",
    "user", "volumes",
}  # fmt: skip
HEALTHCHECK_KEYS = {"interval", "retries", "start_period", "test", "timeout"}
ONE_SHOT = {"deploy"}


def _text() -> str:
    return (INFRA / "compose.yaml").read_text()


def _pairs(values: str) -> list[tuple[str, str]]:
    return [(name, value) for name in OURS for value in OURS[name].get(values, {})]


def test_the_file_has_the_shape_of_the_specification() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes"}
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_KEYS, name
        assert "image" in service, name
        assert set(service["healthcheck"] if name not in ONE_SHOT else ()) <= HEALTHCHECK_KEYS
        for value in service.get("environment", {}).values():
            assert isinstance(value, str), f"{name}: YAML reads {value!r} as no text; quote it"


def test_every_part_of_the_loop_is_there() -> None:
    assert {
        "postgres", "mlflow", "prefect", "worker", "server", "prometheus", "grafana", "mail",
    } <= set(SERVICES)  # fmt: skip


def test_what_is_waited_for_exists_and_can_say_that_it_is_ready() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert needed in ONE_SHOT, name
            else:
                assert how == {"condition": "service_healthy"}, name
                assert "healthcheck" in SERVICES[needed], needed


def test_ports_are_published_on_loopback_once_each() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    hosts, outside, _ = zip(*(port.split(":") for port in published), strict=True)
    assert set(hosts) == {"127.0.0.1"}
    assert len(set(outside)) == len(outside)


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("server", "MLOPS_SERVE_PORT"),
        ("mlflow", "MLFLOW_PORT"),
        ("prefect", "PREFECT_SERVER_API_PORT"),
    ],
)
def test_the_published_port_is_the_one_listened_on(service: str, variable: str) -> None:
    port = SERVICES[service]["environment"][variable]
    assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"127.0.0.1:{port}/" in SERVICES[service]["healthcheck"]["test"][-1]


def test_addresses_name_a_service_and_a_port_it_listens_on() -> None:
    listening: dict[str, set[str | None]] = {
        "postgres": {None}, "mlflow": {"5000"}, "prefect": {"4200"}, "mail": {"1025"},
        "prometheus": {"9090"}, "server": {"8000", "8001"},
    }  # fmt: skip
    texts = [_text(), *(path.read_text() for path in INFRA.rglob("grafana/**/*.yaml"))]
    found = [
        (host, port)
        for text in texts
        for host, port in re.findall(r"(?:://|@)([a-z]+)(?::(\d+))?[/?\"\n]", text)
        if host != "localhost"
    ]
    assert len(found) >= 8
    for host, port in found:
        assert (port or None) in listening[host], f"{host}:{port}"


def test_mounted_files_and_volumes_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (INFRA / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_no_secret_stands_in_the_file_and_every_variable_is_documented() -> None:
    example = (REPOSITORY / ".env.example").read_text()
    for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", _text()):
        assert re.search(rf"^# {name}=", example, re.MULTILINE), name
        if re.search("PASSWORD|AUTH|TOKEN", name):
            assert rest.startswith(":?"), f"{name} must have no default"
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH_STRING|TOKEN|SECRET", name):
                assert value.startswith("${"), name
    assert not re.search(r"://[^$\s\"]+:[^$\s\"@]+@", _text())


@pytest.mark.parametrize(("service", "name"), _pairs("environment"))
def test_every_variable_of_ours_is_one_that_is_read(service: str, name: str) -> None:
    if name.startswith("MLOPS_"):
        assert name in SETTINGS
    elif name.startswith("PREFECT_"):
        import prefect.settings

        assert hasattr(prefect.settings, name)
    else:
        spec = importlib.util.find_spec("mlflow")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        files = ("cli/__init__.py", "utils/cli_args.py", "environment_variables.py")
        named = "".join((package / file).read_text() for file in files)
        assert f'"{name}"' in named


@pytest.mark.parametrize("service", ["server", "worker"])
def test_settings_take_these_values(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES[service]["environment"].items():
        plain = re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)?\}", lambda m: m[1] or "x1", value)
        monkeypatch.setenv(name, plain)
    settings = Settings()
    assert settings.database_url.get_secret_value() == "postgresql://mlops:x1@postgres/mlops"
    if service == "worker":
        from mlops.adapters.mail.compose import compose
        from mlops.adapters.mail.sample import sample
        from mlops.adapters.mail.smtp import parse

        server = parse(settings.mail_url.get_secret_value())
        assert (server.host, server.port, server.tls) == ("mail", 1025, "none")
        mail = compose(sample("detected", 0.0), settings.mail_from, settings.mail_to.split(","))
        assert mail["To"] == "team@localhost"


def _commands() -> list[list[str]]:
    found = [service["command"] for service in OURS.values() if "command" in service]
    found += [s["healthcheck"]["test"][1:] for s in OURS.values() if "healthcheck" in s]
    text = (INFRA / "Dockerfile").read_text()
    return found + [json.loads(match) for match in re.findall(r"CMD (\[.*\])$", text, re.MULTILINE)]


@pytest.mark.parametrize("command", _commands(), ids=lambda command: " ".join(command[:4]))
def test_commands_exist(command: list[str]) -> None:
    if command[0] == "mlops":
        from mlops.cli.main import _app

        _app().parse_args(command[1:], exit_on_error=False, print_error=False)
    elif command[:2] == ["python", "-c"]:
        compile(command[2], "healthcheck", "exec")
    else:
        assert command[:2] == ["python", "-m"]
        assert importlib.util.find_spec(command[2]) is not None


def test_the_worker_takes_its_options() -> None:
    [command] = [c for c in _commands() if c[2:5] == ["prefect", "worker", "start"]]
    done = subprocess.run(
        [sys.executable, *command[1:5], "--help"], capture_output=True, text=True, check=True
    )
    for option in command[5:]:
        if option.startswith("--"):
            assert option in done.stdout
    from flows.deploy import POOL

    assert command[command.index("--pool") + 1] == POOL
