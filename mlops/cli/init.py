"""`mlops init`: make a clone yours."""

from __future__ import annotations

import re


def init(name: str, *, source: str = "", path: str = "", remote: str = "") -> int:
    """Make this clone yours: its name, its source of data, its DVC remote.

    Edits params.yaml in place, keeping its comments, and checks the result before it is written.

    Args:
        name: Name of the registered model, lower case; prefix of deployments and tables.
        source: Module in mlops/adapters/sources/; unchanged if left out.
        path: Folder of the source's files; unchanged if left out.
        remote: Address of a DVC remote for data, such as s3://bucket/folder; none if left out.
    """
    from mlops.adapters.files import replacing
    from mlops.layout import Layout, find_root
    from mlops.params.everything import Everything
    from mlops.params.load import load

    layout = Layout(find_root())
    text = layout.params.read_text(encoding="utf-8")
    text = _set(text, "name", name)
    if source:
        text = _set(text, "source", source)
    if path:
        text = _set(text, "path", path)
    with replacing(layout.params) as fresh:
        fresh.write_text(text, encoding="utf-8")
        load(fresh, Everything)
    if remote:
        from mlops.adapters.dvc import set_remote

        set_remote(layout.root, remote)
    print(f"init: this clone is now {name}; next: dvc repro, or make demo to see the loop")
    return 0


def _set(text: str, key: str, value: str) -> str:
    """Replace the value of the first line with this key, keeping its comment in its column."""
    pattern = re.compile(rf"^(  {key}: )(\S+)( *)", re.MULTILINE)

    def line(match: re.Match[str]) -> str:
        gap = max(len(match[2]) + len(match[3]) - len(value), 2) if match[3] else 0
        return match[1] + value + " " * gap

    return pattern.sub(line, text, count=1)
