"""`mlops config`: what stands in `params.yaml` and in the environment, and where it came from."""

from __future__ import annotations

import json as json_lib
import os

import cyclopts

app = cyclopts.App(
    name="config", help="Show or check parameters and settings.", help_format="plaintext"
)


@app.command
def check() -> int:
    """Read params.yaml, what it names of the data, every setting; say what is wrong or unwise."""
    from mlops.adapters.declared import check_names
    from mlops.layout import Layout, find_root
    from mlops.params.everything import Everything, advice
    from mlops.params.load import load
    from mlops.settings import load_settings

    layout = Layout(find_root())
    params = load(layout.params, Everything)
    load_settings(layout)
    for line in (*check_names(layout, params), *advice(params)):
        print(f"advice: params.yaml: {line}")
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
        print(json_lib.dumps([dict(zip(("key", "value", "origin"), r, strict=True)) for r in rows]))
        return 0
    width = max(len(key) for key, _, _ in rows)
    for key, value, source in rows:
        print(f"{key:<{width}}  {value}" + (f"  ({source})" if origin else ""))
    return 0


def _rows() -> list[tuple[str, str, str]]:
    from dotenv import dotenv_values

    from mlops.layout import Layout, find_root
    from mlops.params.everything import Everything
    from mlops.params.load import load
    from mlops.settings import Settings, load_settings

    layout = Layout(find_root())
    params, settings = load(layout.params, Everything), load_settings(layout)
    rows = [
        (f"{section}.{key}", str(value), "params.yaml")
        for section, values in params.model_dump().items()
        for key, value in values.items()
    ]
    # As pydantic-settings reads them: in any case, the environment over the file.
    environment = {name.upper() for name in os.environ}
    read = dotenv_values(layout.root / ".env", encoding="utf-8")
    written = {name.upper() for name, value in read.items() if value is not None}
    for key in Settings.model_fields:
        name = f"MLOPS_{key.upper()}"
        source = "environment" if name in environment else ".env" if name in written else "default"
        rows.append((name, settings.shown(key), source))
    return rows
