from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlops.cli import config
from mlops.cli import main as cli
from mlops.cli import step as step_verbs
from mlops.errors import MlopsError, UsageError
from mlops.layout import Layout
from mlops.params.everything import Everything, advice
from mlops.params.load import load
from mlops.remote.address import find
from mlops.run import STEPS
from mlops.settings import load_settings
from tests.project import environment


def mlops(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(root), "PYTHONPATH": ""}
    command = [sys.executable, "-m", "mlops.cli.main", *words]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


def test_every_step_is_a_verb_and_every_verb_exists() -> None:
    assert set(cli._STEPS) == set(STEPS)
    for name in STEPS:
        assert callable(getattr(step_verbs, name))
    for target, text in cli._VERBS.values():
        module, _, attribute = target.partition(":")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)
        assert text


def test_help_lists_every_verb_and_imports_nothing_heavy(root: Path) -> None:
    shown = mlops(root, "--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in [*STEPS, *cli._VERBS])
    assert "\x1b[" not in shown.stdout
    code = (
        "import sys\nfrom mlops.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'torch', 'mlflow', 'sqlalchemy', 'pydantic') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "--colour"], "Unknown option"),
        (["fly"], "Unknown command"),
        (["promote", "--again=perhaps"], "again"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    root: Path, words: list[str], said: str
) -> None:
    done = mlops(root, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "--jso"], "Did you mean --json? See: mlops status --help"),
        (["label", "exprt"], "Available commands: export, import; see: mlops label --help"),
        (["why"], "; see: mlops why --help"),
    ],
)
def test_a_wrong_command_line_names_the_help_of_its_verb(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    told = capsys.readouterr().err
    assert said in told
    assert ".;" not in told
    assert "?;" not in told


def test_a_reader_that_goes_away_is_no_error(root: Path) -> None:
    told = f"{sys.executable} -m mlops.cli.main config show"
    script = f"{told} | head -1; {told} | true; echo ${{PIPESTATUS[0]}}"
    env = {**environment(root), "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        ["bash", "-c", script], cwd=root, env=env, capture_output=True, text=True, check=True
    )
    first, code = done.stdout.splitlines()
    assert first.startswith("project.name")
    assert (code, done.stderr) == ("141", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("reserve: 0.35", "reserve: lots", "params.yaml:11: data.reserve = 'lots' is text"),
        ("source: digits", "source: digits\n  source: digits", "data.source stands twice"),
        ("source: digits", "sauce: digits", "data.sauce is not a known key"),
        ("reserve: 0.35", "reserve: -1.0", "data.reserve = -1.0"),
        ("reserve: 0.35", "reserve: 1e-1", "write 0.1"),
    ],
)
def test_wrong_parameters_are_one_line_and_exit_2(
    root: Path, old: str, new: str, said: str
) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    (root / "dvc.yaml").write_text("stages: {}")
    done = mlops(root, "config", "check")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_outside_a_project_the_remedy_is_named(tmp_path: Path) -> None:
    env = {k: v for k, v in environment(tmp_path).items() if k != "MLOPS_ROOT"}
    done = subprocess.run(
        [sys.executable, "-m", "mlops.cli.main", "config", "check"],
        cwd=tmp_path, env={**env, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "run inside the project or set MLOPS_ROOT" in done.stderr


def test_secrets_are_masked(root: Path) -> None:
    env = {**environment(root), "MLOPS_TOKEN": "canary-7f3a", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "mlops.cli.main", "config", "show", "--origin"],
        cwd=root, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "canary-7f3a" not in done.stdout + done.stderr
    assert "MLOPS_TOKEN" in done.stdout
    assert "(environment)" in done.stdout


def test_passwords_in_plain_addresses_are_masked(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    monkeypatch.delenv("MLOPS_URL", raising=False)
    monkeypatch.setenv("MLOPS_PREFECT_API_URL", "https://me:hush-2@prefect/api")
    (root / ".env").write_text("MLOPS_SERVE_URL=http://me:hush-1@models:80/x\n")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["config", "show", "--json"])
    told = capsys.readouterr().out
    values = {one["key"]: one["value"] for one in json.loads(told)}
    assert values["MLOPS_SERVE_URL"] == "http://***@models:80/x"
    assert (values["data.reserve"], values["data.path"], values["data.drop"]) == (0.35, None, [])
    assert values["MLOPS_PREFECT_API_URL"] == "https://***@prefect/api"
    with pytest.raises(UsageError, match="models:80/x' is no address") as refused:
        find()
    assert "hush" not in told + str(refused.value) + repr(load_settings(Layout(root)))


def _take_data(root: Path, data: str) -> None:
    """Let `params.yaml` name other data, and write a small table beside it."""
    path = root / "params.yaml"
    text = re.sub(r"\n  (path|target|text):.*", "", path.read_text())
    path.write_text(text.replace("source: digits", data, 1))
    (root / "t.csv").write_text("x,y\n1,a\n")


@pytest.mark.parametrize(
    ("data", "env", "said"),
    [
        ("source: nosuch", {}, 'data.source = "nosuch" is unknown; write one of: digits'),
        ("source: table\n  target: y", {}, "reads files; name them in data.path"),
        ("source: table\n  path: nowhere.csv", {}, 'data.path = "nowhere.csv" does not exist'),
        ("source: table\n  path: t.csv\n  target: z", {}, 'data.target = "z" is no column'),
        ("source: text\n  path: t.csv\n  target: y", {}, "data.text is not set; columns: x, y"),
        (
            "source: digits",
            {"REDACT": "foo"},
            "'foo' is no field of a prediction (entity, features) and no column",
        ),
        ("source: digits", {"TLS_CERT": "cert.pem"}, "MLOPS_TLS_KEY is empty"),
        ("source: digits", {"HOST": "192.0.2.1"}, "is not loopback and there is no token"),
        ("source: digits", {"METRICS_HOST": "0.0.0.0"}, "MLOPS_METRICS_HOST=0.0.0.0 is not"),
    ],
)
def test_config_check_refuses_what_a_step_or_the_server_would(
    root: Path, data: str, env: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _take_data(root, data)
    for name, value in {"ROOT": str(root), **env}.items():
        monkeypatch.setenv(f"MLOPS_{name}", value)
    with pytest.raises(MlopsError, match=re.escape(said)) as refused:
        config.check()
    assert refused.value.exit_code == 2


def test_config_check_imports_the_network_that_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    path, own = root / "params.yaml", "mlops.core.networks.SmallCNN"
    whole = path.read_text()
    path.write_text(whole.replace("network: auto", f"network: {own}", 1))
    assert config.check() == 0
    path.write_text(whole.replace("network: auto", "network: foo.Bar", 1))
    with pytest.raises(MlopsError, match=r'model.network = "foo.Bar" cannot be imported'):
        config.check()


def test_config_check_names_variables_that_do_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _take_data(root, "source: table\n  path: t.csv\n  target: y")
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    monkeypatch.setenv("MLOPS_REDACTS", "entity")
    (root / ".env").write_text("MLOPS_COLOUR=red\n")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["config", "check"])
    told = capsys.readouterr().out
    assert "environment: MLOPS_REDACTS is no setting (did you mean MLOPS_REDACT?)" in told
    assert ".env: MLOPS_COLOUR is no setting" in told
    assert told.endswith("config: ok\n")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["config", "check", "--json"])
    advised = json.loads(capsys.readouterr().out)["advice"]
    assert [f"advice: {line}" for line in advised] == told.splitlines()[:-1]


def test_config_check_names_a_receiver_that_is_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _take_data(root, "source: table\n  path: t.csv\n  target: y")
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    monkeypatch.setenv("MLOPS_MAIL_TO", "ops@example.org ceo@example.org")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["config", "check"])
    assert "MLOPS_MAIL_TO: 'ops@example.org ceo@example.org' is no" in capsys.readouterr().err


def test_init_renames_the_clone_and_keeps_comments(root: Path) -> None:
    done = mlops(root, "init", "my-model", "--source", "fashion_mnist", "--path", "data/raw")
    assert done.returncode == 0, done.stderr
    text = (root / "params.yaml").read_text()
    assert "  name: my-model" in text
    assert "# registered model" in text
    assert "source: fashion_mnist" in text
    params = load(root / "params.yaml", Everything)
    assert (params.card.intended_use, params.card.licence) == ("", "")
    assert [line for line in advice(params) if "card.intended_use" in line]
    (root / "params.yaml").write_text(text.replace('intended_use: ""', "intended_use: Shirts"))
    assert mlops(root, "init", "again", "--source", "fashion_mnist").returncode == 0
    params = load(root / "params.yaml", Everything)
    assert params.card.intended_use == "Shirts"
    assert advice(params) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["My Model"], "init: name = 'My Model': String should match pattern"),
        (["x  # c"], "init: name = 'x  # c'"),
        (["x", "--source", "../y"], "init: source = '../y'"),
    ],
)
def test_init_refuses_what_no_section_takes_and_writes_nothing(
    root: Path, words: list[str], said: str
) -> None:
    before = (root / "params.yaml").read_text()
    refused = mlops(root, "init", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert (root / "params.yaml").read_text() == before


def test_init_quotes_what_yaml_would_read_otherwise_and_can_be_repeated(root: Path) -> None:
    for name, path in (("true", "my data # 1"), ("null", "3")):
        done = mlops(root, "init", name, "--path", path)
        assert done.returncode == 0, done.stderr
        assert f"this clone is now {name};" in done.stdout
        params = load(root / "params.yaml", Everything)
        assert (params.project.name, params.data.path) == (name, path)


def test_init_names_params_yaml_when_another_line_is_wrong(root: Path) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("trials: 6", "trials: six"))
    refused = mlops(root, "init", "mine")
    assert refused.returncode == 2
    assert "params.yaml:" in refused.stderr
    assert "tune.trials = 'six'" in refused.stderr
    assert ".tmp" not in refused.stderr


def test_the_origin_of_a_setting_is_the_line_that_sets_it(root: Path) -> None:
    (root / ".env").write_text("# MLOPS_HOST=0.0.0.0\nMLOPS_MAIL_TO=MLOPS_TOKEN\nmlops_poll_s=3\n")
    done = mlops(root, "config", "show", "--json")
    assert done.returncode == 0, done.stderr
    origins = {one["key"]: one["origin"] for one in json.loads(done.stdout)}
    assert {origins[f"MLOPS_{key}"] for key in ("HOST", "TOKEN")} == {"default"}
    assert {origins[f"MLOPS_{key}"] for key in ("MAIL_TO", "POLL_S")} == {".env"}


@pytest.mark.parametrize("to", ["../x", "latest", "-1"])
def test_a_rollback_to_no_version_is_refused_before_anything_is_made(root: Path, to: str) -> None:
    before = sorted(root.rglob("*"))
    refused = mlops(root, "rollback", f"--to={to}")
    assert refused.returncode == 2
    assert f"--to {to!r} is no version number" in refused.stderr
    assert sorted(root.rglob("*")) == before
