"""`mlops token`: bearer tokens of the server, kept as hashes, changed while it runs."""

from __future__ import annotations

import json as json_lib
from typing import TYPE_CHECKING

import cyclopts

if TYPE_CHECKING:
    from pathlib import Path

app = cyclopts.App(name="token", help="Bearer tokens of the server: add, list, remove.")


@app.command
def add(name: str, *, rate: float | None = None) -> int:
    """Make a token and print it, this once; a name that is there gets a new one.

    Args:
        name: Whose it is; letters, digits, dot, dash, underscore.
        rate: Requests per second that it may make; left out, MLOPS_RATE_LIMIT.
    """
    import math
    import secrets

    from mlops.errors import UsageError
    from mlops.serving.tokens import NAME, Token, digest

    if not NAME.match(name):
        raise UsageError(f"name = {name!r}: letters, digits, dot, dash, underscore, at most 40")
    if rate is not None and not 0 < rate < math.inf:
        raise UsageError(f"rate = {rate}: requests per second, above 0")
    path, others = _file(without=name)
    secret = secrets.token_urlsafe(32)
    _write(path, [*others, Token(name, digest(secret), rate).line()])
    print(secret)
    return 0


@app.command(name="list")
def show(*, json: bool = False) -> int:
    """List the names and rates; the tokens themselves are nowhere.

    Args:
        json: Print JSON.
    """
    from mlops.serving.tokens import read_tokens

    path, _ = _file()
    tokens = read_tokens(path)
    if json:
        print(json_lib.dumps([{"name": t.name, "rate": t.rate} for t in tokens], indent=2))
        return 0
    if not tokens:
        print("token: none yet; make one: mlops token add NAME")
    for token in tokens:
        print(token.name if token.rate is None else f"{token.name}  {token.rate:g} requests/s")
    return 0


@app.command
def remove(name: str) -> int:
    """Take a token away; running servers refuse it within a second.

    Args:
        name: Whose.
    """
    from mlops.errors import Unknown
    from mlops.serving.tokens import read_tokens

    path, others = _file(without=name)
    if len(others) == len(read_tokens(path)):
        raise Unknown(f"{path} holds no token named {name!r}; see: mlops token list")
    _write(path, others)
    return 0


def _file(without: str = "") -> tuple[Path, list[str]]:
    """Return the file of tokens, and its lines but one."""
    from pathlib import Path

    from mlops.layout import Layout, find_root
    from mlops.serving.tokens import read_tokens
    from mlops.settings import load_settings

    layout = Layout(find_root())
    path = Path(load_settings(layout).tokens_file or layout.tokens)
    return path, [token.line() for token in read_tokens(path) if token.name != without]


def _write(path: Path, lines: list[str]) -> None:
    from mlops.adapters import files

    files.write_text(path, "".join(f"{line}\n" for line in lines))  # readable by its owner only
