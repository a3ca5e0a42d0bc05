"""Verb `label`: give predictions out for labelling, take their labels back."""

from __future__ import annotations

import json as json_lib
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotation
from typing import TYPE_CHECKING

import cyclopts

from mlops.errors import EXIT_OK

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.label_pool import Wanted
    from mlops.core.schema import Schema
    from mlops.site import Site

app = cyclopts.App(name="label", help="Give predictions out for labelling; take labels back.")
_RANDOM = 100


@app.command
def export(
    folder: Path | None = None,
    *,
    incident: str = "",
    random: int | None = None,
    hard: int | None = None,
    json: bool = False,
) -> int:
    """Write predictions to be labelled: `labels.csv`, the images, contact sheets with numbers.

    Part of them is drawn at random, which alone measures and judges; part are those of the newest
    20,000 that the model is unsure of, unlike each other, which only train. What was given out
    before and never answered comes first. Fill in the column `label`, then import.

    Args:
        folder: Where to write; it is made. A new one in `.mlops/labelling/` if left out.
        incident: Only predictions since this incident began; as many as it wants.
        random: How many at random; 100, or what the incident wants, if left out.
        hard: How many hard ones; half as many, or what the trigger waits for, if left out.
        json: Print the figures as JSON.
    """
    from mlops.adapters.labelling import ask
    from mlops.adapters.labelling_sheet import refuse_taken, write_sheet
    from mlops.adapters.sql.engine import database
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    project = project_name(site.layout.params)
    target = folder or _fresh(site, incident)
    refuse_taken(target)
    with database(site) as engine:
        wanted = _wanted(engine, project, incident, random, hard)
        schema = _schema(site, wanted.version)
        tasks = ask(engine, project, wanted, schema, site.now.timestamp())
    path = write_sheet(target, tasks, schema)
    count = sum(task.chosen == "random" for task in tasks)
    again = sum(task.again for task in tasks)
    facts = {"file": str(path), "random": count, "hard": len(tasks) - count, "again": again}
    if json:
        print(json_lib.dumps(facts))
    else:
        print(f"label: {count} at random and {len(tasks) - count} for being hard → {path}")
        if again:
            print(f"  {again} of them were given out before, and nobody answered")
        names = f"one of {', '.join(schema.classes[:20])}" if schema.classes else "the number"
        print(f"  write {names} into the column label, then:")
        print(f"  mlops label import {path}")
    return EXIT_OK


@app.command(name="import")
def take(file: Path, *, json: bool = False) -> int:
    """Take the labels of a file that `mlops label export` wrote; all or none, and only once.

    Args:
        file: The CSV; lines without a label are left for later.
        json: Print the figures as JSON.
    """
    from dataclasses import asdict

    from mlops.adapters.labelling import take as take_in
    from mlops.adapters.sql.engine import database
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    project = project_name(site.layout.params)
    with database(site) as engine:
        taken = take_in(
            engine, project, file, lambda version: _schema(site, version).classes,
            site.now.timestamp(),
        )  # fmt: skip
    if json:
        print(json_lib.dumps(asdict(taken)))
    else:
        print(
            f"label: {taken.new} new ({taken.random} measure, {taken.active} only train), "
            f"{taken.known} known already, {taken.blank} left blank"
            + (f", {taken.gone} of predictions that the log holds no more" if taken.gone else "")
        )
    return EXIT_OK


def _fresh(site: Site, incident: str) -> Path:
    """Return a folder that does not exist yet: labels half filled in are never written over."""
    name = f"{incident or 'labels'}-{site.now.strftime('%Y%m%dT%H%M%S%f')}"
    return site.layout.state / "labelling" / name


def _wanted(
    engine: sa.Engine, project: str, incident: str, random: int | None, hard: int | None
) -> Wanted:
    from mlops.adapters import incidents, windows
    from mlops.adapters.label_pool import Wanted
    from mlops.adapters.ledger import Ledger
    from mlops.errors import DataError

    training = 0
    with engine.connect() as connection:
        if incident:
            held = incidents.get(connection, project, incident)
            version, since, most = held.version, held.body.since_seq, held.body.wanted
            training = held.body.labels_wanted
            if held.body.unmeasured_labels:  # what came after the loss is what nobody measured
                since, most = held.body.opened_seq + 1, held.body.unmeasured_labels
                version = Ledger(engine, project).in_service() or version
        else:
            seen = windows.versions(connection, project)
            if not seen:
                msg = f"{project}: no prediction is logged yet; start the server: mlops serve"
                raise DataError(msg)
            serving = Ledger(engine, project).in_service()
            # Under a canary the version that predicted last is either of two.
            version, since, most = serving if serving in seen else seen[-1], 0, _RANDOM
    count = random if random is not None else most or _RANDOM
    rest = max(count // 2, training - count) if hard is None else hard
    return Wanted(version, since, max(count, 0), max(rest, 0))


def _schema(site: Site, version: str) -> Schema:
    """Return the schema of a version: its labels are kept as places in its list of classes.

    That of the snapshot if nobody registered the version.

    Raises:
        DataError: if there is none.
        MlopsError: if the version cannot be fetched.
    """
    from mlops.adapters import registry
    from mlops.adapters.files import read_json
    from mlops.adapters.ledger import Ledger
    from mlops.adapters.sql.engine import database
    from mlops.core.schema import parse_schema
    from mlops.errors import DataError
    from mlops.params.name import project_name

    project = project_name(site.layout.params)
    model = site.layout.serving / project / version / "model.json"
    with database(site) as engine:
        registered = Ledger(engine, project).registered(version) is not None
    if registered and not model.is_file():
        registry.fetch(site, project, version)
    if model.is_file():
        return parse_schema(read_json(model).get("schema"), str(model))
    path = site.layout.snapshot / "schema.json"
    if not path.is_file():
        msg = f"{path}: missing, so labels have no names; run: mlops ingest"
        raise DataError(msg)
    return parse_schema(read_json(path), str(path))
