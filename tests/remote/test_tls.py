"""The clients against a real server with TLS: its certificate is checked, always."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mlops.client import Client, Retry
from mlops.errors import NoAnswer, UsageError
from mlops.remote.address import find
from tests.serving.certificates import certify
from tests.serving.conftest import Running, running
from tests.serving.tiny import images
from tests.test_client import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, int]]:
    """Give a server whose certificate names localhost and 127.0.0.1, and its port."""
    folder = tmp_path_factory.mktemp("tls")
    with running(folder, tls=certify(folder, 1, "127.0.0.1")) as server:
        yield server, int(server.url.rsplit(":", 1)[1])


@pytest.fixture
def own(
    root: Path, secured: tuple[Running, int], monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    """Stand in a project whose server that is; give its `.env` and the certificate."""
    server, port = secured
    cert, key = server.config.tls
    (root / ".env").write_text(
        f"MLOPS_TLS_CERT={cert}\nMLOPS_TLS_KEY={key}\nMLOPS_SERVE_PORT={port}\n"
    )
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    for name in ("MLOPS_SERVE_URL", "MLOPS_TOKEN", "MLOPS_TLS_CA"):
        monkeypatch.delenv(name, raising=False)
    return root / ".env", cert


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_projects_own_server_is_asked_by_https(kind: str, own: tuple[Path, str]) -> None:
    settings, cert = own
    with settings.open("a") as lines:
        lines.write(f"MLOPS_TLS_CA={cert}\n")
    assert find().url.startswith("https://127.0.0.1:")
    assert ask(kind, None, ("predict", images(1)[0])).model_version == "1"  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_unknown_certificate_is_refused_at_once(kind: str, own: tuple[Path, str]) -> None:
    assert own
    began_s = time.monotonic()
    with pytest.raises(NoAnswer, match=r"not trusted.*set MLOPS_TLS_CA") as caught:
        ask(kind, None, ("version",), retry=Retry(30.0))  # type: ignore[arg-type]
    assert caught.value.code == "certificate"
    assert time.monotonic() - began_s < 5.0


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    cert, key = certify(tmp_path, 2)  # names localhost alone
    with running(tmp_path, tls=(cert, key)) as server:
        port = server.url.rsplit(":", 1)[1]
        with (
            Client(f"https://127.0.0.1:{port}", ca=cert) as client,
            pytest.raises(NoAnswer, match="not trusted"),
        ):
            client.version()
        with Client(f"https://localhost:{port}", ca=cert) as client:
            assert client.health().ready


def test_the_environment_may_name_the_certificates(
    secured: tuple[Running, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, port = secured
    monkeypatch.setenv("MLOPS_TLS_CA", server.config.tls[0])
    with Client(f"https://127.0.0.1:{port}") as client:
        assert client.version() == "1"
    for wrong in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").write_text("nothing")
        monkeypatch.setenv("MLOPS_TLS_CA", str(wrong))
        with pytest.raises(UsageError, match=r"MLOPS_TLS_CA=.*give a PEM file"):
            Client(f"https://127.0.0.1:{port}")
