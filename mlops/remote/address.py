"""Whom to ask, and with which token: argument, environment, or the project that one stands in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlops.errors import UsageError

URL, TOKEN, CA = "MLOPS_SERVE_URL", "MLOPS_TOKEN", "MLOPS_TLS_CA"


@dataclass(frozen=True)
class Address:
    """A scoring server.

    Attributes:
        url: without a trailing slash.
        token: bearer token; empty for none.
        ca: file of the certificates that it is trusted by; empty for the usual authorities.
    """

    url: str
    token: str = field(repr=False)
    ca: str = ""

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine, so that no proxy stands in between."""
        return (urlsplit(self.url).hostname or "") in ("127.0.0.1", "localhost", "::1")


def find(url: str | None = None, token: str | None = None, ca: str | None = None) -> Address:
    """Return where to ask.

    Args:
        url: of the server; else `MLOPS_SERVE_URL`; else, in a project's folder, the port that its
            own server has or would have.
        token: bearer token; else `MLOPS_TOKEN`; else, in a project's folder, its `.env`. A
            project's token goes to nobody but the server that its settings name.
        ca: file of the certificates that an https server is trusted by; else `MLOPS_TLS_CA`; else,
            for a project's own server, its `.env`; else the usual authorities.

    Raises:
        UsageError: if there is no address, or it is none.
    """
    url, token = url or os.environ.get(URL), token or os.environ.get(TOKEN)
    ca = ca or os.environ.get(CA)
    if not url:
        own = _own()
        url, token, ca = own.url, token or own.token, ca or own.ca
    check_url(url)
    return Address(url.rstrip("/"), token or "", ca or "")


def _own() -> Address:
    """Return the server of the project that `MLOPS_ROOT` or the working directory names."""
    from mlops.adapters.ports import LOOPBACK, read_ports
    from mlops.layout import Layout, find_root
    from mlops.settings import load_settings

    try:
        layout = Layout(find_root())
    except UsageError:
        msg = f"no server is named: pass url=…, set {URL}, or call it inside a project's folder"
        raise UsageError(msg) from None
    settings = load_settings(layout)
    port = read_ports(layout, settings).serve
    host = LOOPBACK if settings.host in ("", "0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    host = f"[{host}]" if ":" in host else host
    url = settings.serve_url or f"{settings.scheme}://{host}:{port}"
    return Address(url, settings.token.get_secret_value(), settings.tls_ca)


def check_url(url: str) -> None:
    """Check the address of a server.

    Raises:
        UsageError: if it is none.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username:
        shown = url.rpartition("@")[2]  # what stands before may be a secret
        msg = f"{shown[:80]!r} is no address of a server; write http://HOST:PORT"
        raise UsageError(msg)
