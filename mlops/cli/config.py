"""`mlops config`: what stands in `params.yaml` and in the environment, and where it came from."""

from __future__ import annotations

import json as json_lib
import os
from typing import TYPE_CHECKING, Any

import cyclopts

if TYPE_CHECKING:
    from mlops.layout import Layout

_OWN = ("MLOPS_ROOT", "MLOPS_GROUP", "MLOPS_PART", "MLOPS_SERVING")
"""Variables that are no settings: where the root is, and what parts tell their children."""

app = cyclopts.App(
    name="config", help="Show or check parameters and settings.", help_format="plaintext"
)


@app.command
def check(*, json: bool = False) -> int:
    """Read params.yaml, what it names (data, network), every setting; say what is wrong or unwise.

    Args:
        json: Print the advice as JSON.
    """
    from mlops.adapters.declared import (
        check_names,
        check_network,
        check_redacted,
        check_source,
    )
    from mlops.adapters.mail import addresses
    from mlops.layout import Layout, find_root
    from mlops.params.everything import Everything, advice
    from mlops.params.load import load
    from mlops.serving.setup import serving_config
    from mlops.settings import load_settings

    layout = Layout(find_root())
    params, settings = load(layout.params, Everything), load_settings(layout)
    addresses.check(settings.mail_from, settings.mail_to)
    check_source(layout, params.data)
    check_network(params.model)
    serving_config(layout, settings, host=settings.host, workers=settings.serve_workers)
    named = (*check_names(layout, params), *advice(params))
    told = [*_unknown(layout), *(f"params.yaml: {line}" for line in named)]
    told += check_redacted(layout, params.data, settings.redact)
    if json:
        print(json_lib.dumps({"advice": told}, indent=2))
        return 0
    for line in told:
        print(f"advice: {line}")
    print("config: ok")
    return 0


@app.command
def show(*, origin: bool = False, json: bool = False) -> int:
    """Print every value; secrets are masked.

    Args:
        origin: Print beside each value where it came from.
        json: Print JSON.
    """
    rows = _rows()
    if json:
        names = ("key", "value", "origin")
        print(json_lib.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return 0
    width = max(len(key) for key, _, _ in rows)
    for key, value, source in rows:
        print(f"{key:<{width}}  {value}" + (f"  ({source})" if origin else ""))
    return 0


def _rows() -> list[tuple[str, Any, str]]:
    from mlops.layout import Layout, find_root
    from mlops.params.everything import Everything
    from mlops.params.load import load
    from mlops.settings import Settings, load_settings

    layout = Layout(find_root())
    params, settings = load(layout.params, Everything), load_settings(layout)
    rows: list[tuple[str, Any, str]] = [
        (f"{section}.{key}", value, "params.yaml")
        for section, values in params.model_dump(mode="json").items()
        for key, value in values.items()
    ]
    environment, written = _set_names(layout)
    for key in Settings.model_fields:
        name = f"MLOPS_{key.upper()}"
        source = "environment" if name in environment else ".env" if name in written else "default"
        rows.append((name, settings.shown(key), source))
    return rows


def _set_names(layout: Layout) -> tuple[set[str], set[str]]:
    """Return the names in the environment and in `.env`, as pydantic-settings reads them."""
    from dotenv import dotenv_values

    read = dotenv_values(layout.root / ".env", encoding="utf-8")
    written = {name.upper() for name, value in read.items() if value is not None}
    return {name.upper() for name in os.environ}, written


def _unknown(layout: Layout) -> list[str]:
    """Return one line per variable that looks like a setting and is none."""
    from difflib import get_close_matches

    from mlops.settings import Settings

    known = [f"MLOPS_{key.upper()}" for key in Settings.model_fields]
    environment, written = _set_names(layout)
    found = []
    for name in sorted(environment | written):
        if name.startswith("MLOPS_") and name not in known and name not in _OWN:
            near = get_close_matches(name, known, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            where = "environment" if name in environment else ".env"
            found.append(f"{where}: {name} is no setting{meant} and does nothing; see .env.example")
    return found
