from __future__ import annotations

import json
import os
import resource
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from mlops.adapters import mlflow, registry, seal, store
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.registry import Registration
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json
from mlops.errors import NotAdmitted, RegistryError, Unavailable, UnverifiedModel
from mlops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.site import Site

PROJECT = "digits"


def add_version(site: Site, *, vouched: bool = True) -> tuple[str, Path]:
    """Put a sealed folder into the store, and return its version and where it lies there."""
    api = mlflow.client(site)
    if not api.search_registered_models(f"name = '{PROJECT}'"):
        api.create_registered_model(PROJECT)
    count = len(api.search_model_versions(f"name = '{PROJECT}'"))
    folder = site.layout.mlartifacts / f"model{count}"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(bytes(range(200)))
    (folder / "deep" / "seen.npy").write_bytes(b"numbers")
    digest = seal.write_manifest(folder)
    version = str(api.create_model_version(PROJECT, str(folder)).version)
    if vouched:
        known = Registration(digest, "c" * 64, "run", "manual", "", "", "")
        with database(site) as engine:
            row = Row("registered", f"k{version}", 1.0, "me", None, version, to_json(known))
            Ledger(engine, PROJECT).append(row)
    return version, folder


def test_no_store_no_model_and_no_alias_are_all_nobody_in_service(
    site: Site, mlflow_template: Path
) -> None:
    assert registry.champion(site, PROJECT) is None
    assert not site.layout.mlflow_db.exists()
    site.layout.mlflow_db.write_bytes(mlflow_template.read_bytes())
    assert registry.champion(site, PROJECT) is None
    version, _ = add_version(site)
    assert registry.champion(site, PROJECT) is None
    registry.set_alias(site, PROJECT, "champion", version)
    assert registry.champion(site, PROJECT) == version
    with pytest.raises(RegistryError, match="not found"):
        registry.set_alias(site, PROJECT, "champion", "99")


def test_a_verified_copy_is_whole_and_kept(mlflow_site: Site) -> None:
    version, stored = add_version(mlflow_site)
    folder = registry.fetch(mlflow_site, PROJECT, version)
    assert folder == mlflow_site.layout.serving / PROJECT / version
    assert (folder / "deep" / "seen.npy").read_bytes() == b"numbers"
    (stored / "model.onnx").write_bytes(b"poison")
    assert registry.fetch(mlflow_site, PROJECT, version) == folder
    with pytest.raises(UnverifiedModel, match=r"model\.onnx"):
        registry.fetch(mlflow_site, PROJECT, version, fresh=True)
    assert [p.name for p in folder.parent.iterdir()] == [version]


def test_two_who_fetch_at_once_share_one_copy(
    mlflow_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, _ = add_version(mlflow_site)
    copied: list[str] = []
    original, both = store.copy, threading.Barrier(2)

    def slow(site: Site, source: str, scratch: Path) -> Path:
        copied.append(source)
        time.sleep(0.1)  # the other one comes meanwhile
        return original(site, source, scratch)

    def fetch() -> Path:
        both.wait()
        return registry.fetch(mlflow_site, "digits", version, fresh=True)

    monkeypatch.setattr(store, "copy", slow)
    with ThreadPoolExecutor(2) as pool:
        folders = [one.result() for one in [pool.submit(fetch) for _ in range(2)]]
    assert len(copied) == 1
    assert folders[0] == folders[1]
    assert seal.is_verified(
        folders[0], registry.registration(mlflow_site, "digits", version).digest
    )


def test_a_damaged_copy_is_fetched_anew(mlflow_site: Site) -> None:
    version, _ = add_version(mlflow_site)
    folder = registry.fetch(mlflow_site, PROJECT, version)
    (folder / "model.onnx").write_bytes(b"rot")
    registry.fetch(mlflow_site, PROJECT, version)
    assert (folder / "model.onnx").read_bytes() == bytes(range(200))


def test_mlflows_own_note_in_the_store_is_no_damage(mlflow_site: Site) -> None:
    version, stored = add_version(mlflow_site)
    (stored / "registered_model_meta").write_text("model_name: digits\n")
    folder = registry.fetch(mlflow_site, PROJECT, version)
    assert not (folder / "registered_model_meta").exists()


def _flip(folder: Path, name: str, place: int) -> None:
    content = bytearray((folder / name).read_bytes())
    content[place] ^= 1
    (folder / name).write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: _flip(f, "model.onnx", 0), r"model\.onnx"),
        (lambda f: _flip(f, "model.onnx", 199), r"model\.onnx"),
        (lambda f: _flip(f, "deep/seen.npy", 3), r"deep/seen\.npy"),
        (lambda f: (f / "deep" / "seen.npy").unlink(), r"deep/seen\.npy"),
        (lambda f: (f / "loader.py").write_text("import os"), r"loader\.py"),
        (lambda f: (f / "deep" / "manifest.json").write_text("{}"), r"deep/manifest\.json"),
        (lambda f: (f / "manifest.json").unlink(), r"manifest\.json"),
        (lambda f: (f / "manifest.json").write_text("[]"), r"manifest\.json"),
        (lambda f: (f / "manifest.json").write_text("{}"), "does not match"),
        (lambda f: ((f / "model.onnx").write_bytes(b"new"), seal.write_manifest(f)), "ledger"),
    ],
)
def test_one_changed_byte_anywhere_refuses(mlflow_site: Site, damage: object, words: str) -> None:
    version, stored = add_version(mlflow_site)
    assert callable(damage)
    damage(stored)
    with pytest.raises(UnverifiedModel, match=words):
        registry.fetch(mlflow_site, PROJECT, version)
    home = mlflow_site.layout.serving / PROJECT
    assert list(home.iterdir()) == []


def test_a_link_a_pipe_or_a_missing_folder_in_the_store_is_refused(mlflow_site: Site) -> None:
    version, stored = add_version(mlflow_site)
    registry.fetch(mlflow_site, PROJECT, version)  # a sound copy lies here: it must not matter
    real = stored / "model.onnx"
    elsewhere = real.rename(stored.parent / "elsewhere")
    real.symlink_to(elsewhere)
    with pytest.raises(UnverifiedModel, match=r"model\.onnx: is no plain file"):
        registry.fetch(mlflow_site, PROJECT, version, fresh=True)
    real.unlink()
    os.mkfifo(real)  # who reads it waits for ever
    with pytest.raises(UnverifiedModel, match=r"model\.onnx: is no plain file"):
        registry.fetch(mlflow_site, PROJECT, version, fresh=True)
    shutil.rmtree(stored)
    with pytest.raises(UnverifiedModel, match="files are not there"):
        registry.fetch(mlflow_site, PROJECT, version, fresh=True)


@pytest.mark.parametrize("left", ["an empty folder", "nothing"])
def test_a_store_that_is_not_mounted_says_nothing_of_its_versions(
    mlflow_site: Site, left: str
) -> None:
    version, _ = add_version(mlflow_site)
    root = mlflow_site.layout.mlartifacts
    away = root.rename(root.with_name("away"))
    if left != "nothing":
        root.mkdir()
    digest = registry.registration(mlflow_site, PROJECT, version).digest
    source = registry.source_of(mlflow_site, PROJECT, version)
    assert source is not None
    with pytest.raises(Unavailable, match="is it mounted"):
        registry.fetch(mlflow_site, PROJECT, version)
    with pytest.raises(Unavailable, match="is it mounted"):
        store.prove(mlflow_site, source, digest)
    if left != "nothing":
        root.rmdir()
    away.rename(root)
    registry.fetch(mlflow_site, PROJECT, version)


def test_a_file_that_cannot_be_copied_says_nothing_of_its_version(
    mlflow_site: Site, tmp_path: Path
) -> None:
    version, _ = add_version(mlflow_site)
    source = registry.source_of(mlflow_site, PROJECT, version)
    assert source is not None
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # bytes that a file may have
    try:
        with pytest.raises(Unavailable, match=r"cannot be read or copied .*too large"):
            store.copy(mlflow_site, source, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.copy(mlflow_site, source, tmp_path / "again").is_dir()


def test_a_version_that_the_ledger_does_not_know_is_refused(mlflow_site: Site) -> None:
    version, _ = add_version(mlflow_site, vouched=False)
    with pytest.raises(UnverifiedModel, match="not in the ledger"):
        registry.fetch(mlflow_site, PROJECT, version)


def test_a_deleted_version_is_said(mlflow_site: Site) -> None:
    version, _ = add_version(mlflow_site)
    mlflow.client(mlflow_site).delete_model_version(PROJECT, version)
    assert registry.source_of(mlflow_site, PROJECT, version) is None
    with pytest.raises(RegistryError, match="mlops history"):
        registry.fetch(mlflow_site, PROJECT, version)


@pytest.mark.parametrize("version", ["", "..", "1/..", "-1", "²", "1" * 30, "champion"])
def test_a_version_that_is_no_number_never_becomes_a_path(mlflow_site: Site, version: str) -> None:
    with pytest.raises(RegistryError, match="no version number"):
        registry.fetch(mlflow_site, PROJECT, version)


@pytest.mark.parametrize(
    "source",
    [
        "http://host/model", "https://host/model", "ftp://host/m", "file:///etc", "/etc/ssl",
        "{root}/../outside", "{root}/%2e%2e/outside", "{root}/%252e%252e/x", "file://{root}/../x",
        "s3://bucket/../x", "mlflow-artifacts://elsewhere/1/model", "dbfs:/model", "model",
        "mlflow-artifacts:/1/../2", "file://host{root}/model", "s3://bucket/x?y=../..",
        "models:/m-123", "runs:/1/model", "{root}\\..\\x", "",
    ],
)  # fmt: skip
def test_a_source_outside_our_stores_is_refused(site: Site, source: str) -> None:
    named = source.replace("{root}", str(site.layout.mlartifacts))
    with pytest.raises(UnverifiedModel, match="refused"):
        seal.refuse_odd_source(site, named)


@pytest.mark.parametrize(
    "source",
    [
        "{root}/1/models/m-1/artifacts",
        "file://{root}/1",
        "s3://bucket/1/m",
        "mlflow-artifacts:/1/m",
    ],
)
def test_a_source_in_our_stores_is_taken(site: Site, source: str) -> None:
    seal.refuse_odd_source(site, source.replace("{root}", str(site.layout.mlartifacts)))


class _Api(BaseHTTPRequestHandler):
    """As much of MLflow's REST API as aliases need, with the answers of the real one."""

    aliases: dict[str, str]
    broken = False
    refused: ClassVar = {
        "odd": (400, "BAD_REQUEST"), "401": (401, "UNAUTHENTICATED"),
        "403": (403, "PERMISSION_DENIED"), "429": (429, "REQUEST_LIMIT_EXCEEDED"),
    }  # fmt: skip

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if self.broken:
            return self._answer(503, "down")
        query = parse_qs(urlsplit(self.path).query)
        name = query["alias"][0] if "alias" in query else "plain403"  # a file of the store
        if name in self.aliases:
            return self._answer(200, {"model_version": {"version": self.aliases[name]}})
        if name.startswith("plain"):
            self.send_response(int(name.removeprefix("plain")))
            return self.end_headers()
        message = f"Registered model alias {name} not found."
        status, code = self.refused.get(name, (400, "INVALID_PARAMETER_VALUE"))
        return self._answer(status, {"error_code": code, "message": message})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["version"] == "99":
            return self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "-"})
        self.aliases[body["alias"]] = body["version"]
        return self._answer(200, {})

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def remote(site: Site) -> Iterator[Site]:
    _Api.aliases, _Api.broken = {}, False
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    uri = SecretStr(f"http://user:s3cret@127.0.0.1:{server.server_port}")
    yield replace(site, settings=Settings(mlflow_uri=uri))
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http_aliases_are_read_and_moved_without_mlflows_client(remote: Site) -> None:
    assert registry.champion(remote, PROJECT) is None
    registry.set_alias(remote, PROJECT, "champion", "3")
    assert registry.champion(remote, PROJECT) == "3"
    with pytest.raises(RegistryError, match="no version 99"):
        registry.set_alias(remote, PROJECT, "champion", "99")
    with pytest.raises(RegistryError, match="HTTP 400 Registered"):
        registry.alias(remote, PROJECT, "odd")


@pytest.mark.parametrize("status", ["401", "403", "429"])
def test_who_is_not_let_in_has_learnt_nothing_of_the_version(remote: Site, status: str) -> None:
    told = f"HTTP {status}.*; check MLFLOW_TRACKING_TOKEN"
    with pytest.raises(NotAdmitted, match=told):
        registry.alias(remote, PROJECT, status)
    with pytest.raises(Unavailable, match=told):  # as MLflow's own front door says it
        registry.alias(remote, PROJECT, f"plain{status}")


def test_neither_has_mlflows_client(remote: Site) -> None:
    from mlflow.artifacts import download_artifacts

    api, uri = mlflow.client(remote), remote.settings.tracking(remote.layout)
    for name in ("401", "403", "plain403"):  # of 429 it makes an answer that does not come
        with pytest.raises(NotAdmitted, match="check MLFLOW_TRACKING_TOKEN"), mlflow.errors():
            api.get_model_version_by_alias(PROJECT, name)
    with pytest.raises(Unavailable, match="HTTP 404; look at its log"), mlflow.errors():
        api.get_model_version_by_alias(PROJECT, "plain404")
    with pytest.raises(Unavailable, match="HTTP 403; check"), mlflow.errors():
        download_artifacts(artifact_uri="mlflow-artifacts:/1/x", tracking_uri=uri)


def test_a_server_that_is_ill_or_gone_is_unavailable_and_its_password_unsaid(remote: Site) -> None:
    _Api.broken = True
    with pytest.raises(Unavailable, match="HTTP 503") as ill:
        registry.champion(remote, PROJECT)
    gone_uri = SecretStr("http://user:s3cret@127.0.0.1:9")
    gone = replace(remote, settings=Settings(mlflow_uri=gone_uri))
    with pytest.raises(Unavailable, match="check MLOPS_MLFLOW_URI") as dead:
        registry.champion(gone, PROJECT)
    assert "s3cret" not in f"{ill.value}{dead.value}"
