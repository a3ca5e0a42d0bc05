"""`mlops init`: make a clone yours."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.params.everything import Everything

_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
_NO_TEXT = ("null", "true", "false")


def init(name: str, *, source: str = "", path: str = "", remote: str = "") -> int:
    """Make this clone yours: its name, its source of data, its DVC remote.

    Edits params.yaml in place, keeping its comments, and checks the result before it is written.

    Args:
        name: Name of the registered model, lower case; prefix of deployments and tables.
        source: Module in mlops/adapters/sources/; unchanged if left out.
        path: Folder of the source's files; unchanged if left out.
        remote: Address of a DVC remote for data, such as s3://bucket/folder; none if left out.

    Raises:
        UsageError: if an argument cannot stand in params.yaml; nothing is written.
        ParamsError: if params.yaml is wrong elsewhere; nothing is written.
    """
    from mlops.layout import Layout, find_root

    _check(name, source, path)
    layout = Layout(find_root())
    text = layout.params.read_text(encoding="utf-8")
    text = _set(text, "name", name)
    if source and (other := _set(text, "source", source)) != text:
        text = other
        for stated in ("intended_use", "licence"):  # they were said of the other data
            text = _set(text, stated, "")
    if path:
        text = _set(text, "path", path)
    written = _write(layout.params, text)
    if remote:
        from mlops.adapters.dvc import set_remote

        set_remote(layout.root, remote)
    now = written.project.name
    print(f"init: this clone is now {now}; next: mlops config check, then dvc repro")
    return 0


def _check(name: str, source: str, path: str) -> None:
    """Refuse what the sections `project` and `data` would refuse, naming the argument."""
    from pydantic import ValidationError

    from mlops.errors import UsageError
    from mlops.params.data import DataSection
    from mlops.params.project import ProjectSection

    try:
        ProjectSection(name=name)
        DataSection(source=source or "digits", path=path or None)
    except ValidationError as error:
        first = error.errors()[0]
        shown = repr(str(first["input"])[:40])
        msg = f"init: {first['loc'][0]} = {shown}: {first['msg']}; nothing was written"
        raise UsageError(msg) from None


def _write(target: Path, text: str) -> Everything:
    """Write the parameter file if it loads; an error names it, not the file beside it."""
    from mlops.adapters.files import replacing
    from mlops.errors import ParamsError
    from mlops.params.everything import Everything
    from mlops.params.load import load

    with replacing(target) as fresh:
        fresh.write_text(text, encoding="utf-8")
        try:
            return load(fresh, Everything)
        except ParamsError as error:
            raise ParamsError(str(error).replace(fresh.name, target.name)) from None


def _set(text: str, key: str, value: str) -> str:
    """Replace the value of the first line with this key, keeping its comment in its column."""
    pattern = re.compile(rf"""^(  {key}: )("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\S+)( *)""", re.MULTILINE)
    if not _PLAIN.fullmatch(value) or value.lower() in _NO_TEXT:
        value = json.dumps(value)

    def line(match: re.Match[str]) -> str:
        gap = max(len(match[2]) + len(match[3]) - len(value), 2) if match[3] else 0
        return match[1] + value + " " * gap

    return pattern.sub(line, text, count=1)
