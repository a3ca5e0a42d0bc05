from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from mlops.adapters.mail.chat import channels
from mlops.adapters.mail.notify import notify
from mlops.adapters.mail.outbox import deliver, waiting
from mlops.adapters.mail.sample import sample
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import outbox
from mlops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.site import Site

AT_S = 1_767_614_400.0


@contextmanager
def channel(status: int = 200) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """Run an HTTP server as a chat has one; give what it received and its Apprise address."""
    received: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield received, f"json://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def engine(site: Site) -> Iterator[sa.Engine]:
    made = open_database(site.settings.database(site.layout))
    yield made
    made.dispose()


def test_the_chat_hears_all_and_the_pager_what_needs_a_person(
    site: Site, engine: sa.Engine
) -> None:
    with channel() as (chat, chat_url), channel() as (pager, pager_url):
        settings = Settings(chat_urls=SecretStr(chat_url), pager_urls=SecretStr(pager_url))
        told = replace(site, settings=settings)
        notify(told, engine, replace(sample("detected", AT_S), cause="{{7*7}} <script>"))
        notify(told, engine, sample("needs you", AT_S))
        assert deliver(told, engine, AT_S) == 5
        assert deliver(told, engine, AT_S + 1e6) == 0
    assert [m["title"].split("]")[0] for m in chat] == ["[DRIFT:3", "[QUALITY:5"]
    assert "{{7*7}} <script>" in chat[0]["title"]
    assert chat[0]["message"].startswith("Real")
    assert [m["title"].split("]")[0] for m in pager] == ["[QUALITY:5"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"https://pages.example.org/{'long/' * 40}incidents/drift-digits-1-9.html", True),
        ("file:///srv/project/.mlops/incidents/drift-digits-1-9.html", False),
    ],
)
def test_a_chat_shows_the_page_where_the_web_has_it(
    site: Site, engine: sa.Engine, address: str, shown: bool
) -> None:
    with channel() as (chat, url):
        told = replace(site, settings=Settings(chat_urls=SecretStr(url)))
        notify(told, engine, replace(sample("detected", AT_S), links=(("The incident", address),)))
        assert deliver(told, engine, AT_S) == 2
    assert (chat[0]["message"].splitlines()[-1] == address) == shown
    assert chat[0]["message"].count("://") == int(shown)
    [mail] = site.layout.mailbox.glob("*.eml")
    assert b"X-Mlops" not in mail.read_bytes()


def test_a_dead_chat_holds_up_no_mail_and_is_tried_again(site: Site, engine: sa.Engine) -> None:
    with channel(status=500) as (_, url):
        told = replace(site, settings=Settings(chat_urls=SecretStr(url)))
        notify(told, engine, sample("detected", AT_S))
        assert deliver(told, engine, AT_S) == 1
        [(key, attempts, why)] = waiting(engine, "digits")
        assert (key.endswith("@chat"), attempts) == (True, 1)
        assert url not in why


@pytest.mark.parametrize("dead", ["json://127.0.0.1:1", "nonsense://secret-token@x"])
def test_a_channel_gets_a_message_once_though_others_are_dead(
    site: Site, engine: sa.Engine, dead: str
) -> None:
    with channel() as (first, first_url), channel() as (last, last_url):
        for setting in (f"{first_url} {dead} {last_url}", f"{dead} {last_url}", last_url):
            told = replace(site, settings=Settings(chat_urls=SecretStr(setting)))
            notify(told, engine, sample("detected", AT_S))
            deliver(told, engine, AT_S)
            for hours in range(1, 9):
                if setting != last_url:
                    deliver(told, engine, AT_S + 3600 * hours)
                    [(_, _, why)] = waiting(engine, "digits")
                    assert why.startswith("channel ")
        deliver(told, engine, AT_S + 1e6)  # the dead one is no channel any more
    assert waiting(engine, "digits") == []
    assert (len(first), len(last)) == (1, 1)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(outbox.c.message, outbox.c.error)).all()
    kept = "".join(f"{bytes(row.message)!r}{row.error}" for row in rows)
    assert not [secret for secret in ("json://", "secret-token") if secret in kept]


def test_an_address_that_is_none_is_not_repeated(
    site: Site, engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    told = replace(site, settings=Settings(chat_urls=SecretStr("nonsense://secret-token@x")))
    notify(told, engine, sample("detected", AT_S))
    assert deliver(told, engine, AT_S) == 1
    [(_, _, why)] = waiting(engine, "digits")
    assert "none that Apprise knows" in why
    assert "secret" not in why + caplog.text


def test_addresses_are_separated_by_blanks() -> None:
    assert channels("") == []
    assert channels(" slack://a,b/c\n json://x ") == ["slack://a,b/c", "json://x"]
