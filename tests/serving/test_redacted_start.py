"""A start with redacted columns: a typo is refused, and nothing else is in the way."""

from __future__ import annotations

import re
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from mlops.adapters import files
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.registry import Registration
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json
from mlops.errors import UsageError
from mlops.serving import setup as module
from mlops.serving.supervisor import Supervisor
from tests.serving.kinds import make_table_version
from tests.serving.tiny import make_version, point

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.site import Site


def _start(site: Site, text: str, url: str = "") -> None:
    told = {"redact": text, "database_url": SecretStr(url)}
    settings = site.settings.model_copy(update=told)
    Supervisor(site.layout, settings, host="127.0.0.1", port=0, workers=1)._listener.close()


@pytest.fixture
def home(site: Site) -> Path:
    return site.layout.serving / "digits"


@pytest.fixture
def silent() -> Iterator[str]:
    """Give a database that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield f"postgresql://mlops:secret@127.0.0.1:{port}/mlops"


def test_a_typo_is_refused_at_the_start(site: Site, home: Path) -> None:
    _start(site, "aeg")  # nothing is in service yet: whoever comes first is looked at
    make_table_version(home, "1")
    point(home, "1")
    for right in ("age,city", "entity, size of shoe", "features", ""):
        _start(site, right)
    said = "'aeg' is no field of a prediction (entity, features) and no column of version 1"
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        _start(site, "entity,aeg")
    assert "which has age, city, size of shoe" in str(refused.value)
    assert "MLOPS_REDACT = 'entity,aeg'" in str(refused.value)
    make_version(home, "2")  # of images
    point(home, "2")
    with pytest.raises(UsageError, match="no column of version 2, which has none"):
        _start(site, "age")
    _start(site, "entity,features")


def test_the_ledger_may_know_a_newer_version_that_has_the_column(site: Site, home: Path) -> None:
    make_version(home, "1")
    point(home, "1")
    make_table_version(home, "2")
    digest = str(files.read_json(home / "2" / "manifest.json")["digest"])
    known = Registration(digest, "c" * 64, "run", "manual", "", "", "")
    with database(site) as engine:
        ledger = Ledger(engine, "digits")
        ledger.append(Row("registered", "2", 1.0, "test", None, "2", to_json(known)))
        ledger.append(Row("observed", "2", 2.0, "test", "1", "2", "{}"))
    _start(site, "age")
    with pytest.raises(UsageError, match=r"'aeg' is no field .* no column of version 2"):
        _start(site, "aeg")


@pytest.mark.parametrize("what", ["silent", "garbage"])
def test_no_database_keeps_a_typo_or_a_start_waiting(
    what: str, site: Site, home: Path, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEDGER_S", 0.5)
    site.layout.database.write_bytes(b"no database" * 1000)
    url = silent if what == "silent" else ""
    make_table_version(home, "1")
    pointer = home / "current.json"
    model = home / "1" / "model.json"
    whole = model.read_bytes()
    for state in ("sound", "no pointer", "no copy"):
        point(home, "1")
        if state == "no pointer":
            pointer.write_text("{}")
        if state == "no copy":
            model.write_bytes(whole[:-1])
        assert _within(5.0, site, "age", url) is None
        model.write_bytes(whole)
    point(home, "1")
    assert isinstance(_within(5.0, site, "aeg", url), UsageError)


def _within(seconds: float, site: Site, text: str, url: str) -> Exception | None:
    """Return why a start is refused, if it is; fail if it is not through in time."""
    refused: list[Exception] = []

    def start() -> None:
        try:
            _start(site, text, url)
        except Exception as error:  # noqa: BLE001 - whoever asks looks at it
            refused.append(error)

    thread = threading.Thread(target=start, daemon=True)
    started = time.monotonic()
    thread.start()
    thread.join(seconds)
    assert time.monotonic() - started < seconds
    return refused[0] if refused else None
