"""Bring a model from elsewhere here and try it: `python -m mlops.serving.foreign.bring URI`.

A process of its own, because MLflow's import stays in memory, and because a model may end it. It
prints one line of JSON: what was brought, or `fault` with a sentence and `code`, an exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from mlops.errors import EXIT_ERROR, MlopsError, UnverifiedModel, UsageError

if TYPE_CHECKING:
    from mlops.layout import Layout
    from mlops.settings import Settings
    from mlops.site import Site

Brought = dict[str, str]


def brought(layout: Layout, uri: str) -> Brought:
    """Run this module on a URI; return `name`, `version`, `folder`, `digest` and `flavour`.

    Raises:
        UsageError: if what was asked for is none.
        UnverifiedModel: if it is refused, or does not work here.
    """
    command = [sys.executable, "-m", "mlops.serving.foreign.bring", uri]
    environment = {**os.environ, "MLOPS_ROOT": str(layout.root)}
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    try:
        told: Brought = json.loads(ran.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        msg = f"{uri}: the process that tried it ended with code {ran.returncode}"
        raise UnverifiedModel(msg) from None
    if "fault" in told:
        kind = UsageError if told["code"] == str(UsageError.exit_code) else UnverifiedModel
        raise kind(told["fault"])
    return told


def bring(site: Site, settings: Settings, uri: str) -> Brought:
    """Copy a model, load it, and let it answer the example that was logged with it, if one was.

    Raises:
        MlopsError: if any of it fails.
    """
    from mlops.adapters.foreign import ForeignModel
    from mlops.adapters.foreign_copy import fetch, keep

    copy = fetch(site, uri, settings.serve_digest)
    sys.dont_write_bytecode = True  # what the model imports would add files to the sealed folder
    model = ForeignModel(copy.folder, code=settings.serve_code)
    took = ""
    if model.example is not None:
        started = time.perf_counter()
        model.plain(model.predict(model.example))
        took = f"{(time.perf_counter() - started) * 1000:.3g} ms for its example"
    keep(site, copy)
    return {
        "uri": copy.uri, "name": copy.name, "version": copy.version, "folder": str(copy.folder),
        "digest": copy.digest, "flavour": model.flavour, "took": took,
        "pinned": "just now" if copy.fresh else "",
    }  # fmt: skip


def main() -> int:
    """Bring what the only argument names."""
    from datetime import UTC, datetime

    from mlops.layout import Layout, find_root
    from mlops.log import quieten
    from mlops.settings import load_settings
    from mlops.site import Site

    quieten()
    try:
        layout = Layout(find_root())
        settings = load_settings(layout)
        site = Site(layout, settings, datetime.now(UTC), layout.work / "foreign")
        with contextlib.redirect_stdout(sys.stderr):  # the model's code may print
            told = bring(site, settings, sys.argv[1])
    except MlopsError as error:
        told = {"fault": str(error), "code": str(error.exit_code)}
    except Exception as error:  # noqa: BLE001 - whatever a foreign model raises about its example
        what = " ".join(str(error).split())[:300]
        fault = f"{sys.argv[1]}: fails on its own example ({type(error).__name__}: {what})"
        told = {"fault": fault, "code": str(EXIT_ERROR)}
    print(json.dumps(told))  # noqa: T201 - its one line of output
    return EXIT_ERROR if "fault" in told else 0


if __name__ == "__main__":
    sys.exit(main())
