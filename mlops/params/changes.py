"""`-S section.key=value`: parameters that stand in place of the file's, where nothing is recorded.

The changed parameters are written to a file of their own and read back by the one loader, so that
a wrong value meets the same rules and the same words as in `params.yaml`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from mlops.errors import ParamsError
from mlops.params.everything import Everything
from mlops.params.load import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FORM = re.compile(r"([a-z]\w*(?:\.[a-z]\w*)+)=([^\r\n]*)")
_PLACE = "value-{}-of-a-change"


def write_changed(params: Everything, changes: Sequence[str], target: Path) -> Everything:
    """Write parameters with changes to a file, and return them as the file says.

    Args:
        params: as `params.yaml` says.
        changes: `section.key=value` each, the value as it would stand in the file.
        target: where to; its folder exists.

    Raises:
        ParamsError: naming key, value and remedy.
    """
    tree: dict[str, Any] = params.model_dump(mode="json")
    values: list[str] = []
    for change in changes:
        found = _FORM.fullmatch(change)
        if found is None:
            msg = f"-S {change[:60]}: write section.key=value, as in -S monitoring.min_effect=0.2"
            raise ParamsError(msg)
        *sections, last = found[1].split(".")
        place = tree
        for part in sections:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ParamsError(f"-S {found[1]}: {part} holds no keys; see: mlops config show")
        place[last] = _PLACE.format(len(values))
        values.append(found[2])
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    for number, value in enumerate(values):
        # In place of a text, so that the loader reads the value as it reads the file's.
        text = text.replace(_PLACE.format(number), value or "null")
    target.write_text(text, encoding="utf-8")
    try:
        return load(target, Everything)
    except ParamsError as error:
        where = re.compile(rf"{re.escape(target.name)}(:\d+)?: ")
        raise ParamsError(where.sub("-S ", str(error), count=1)) from None
