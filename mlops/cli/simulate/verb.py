"""`mlops simulate`: a fire drill on the real configuration, in a scratch copy."""

from __future__ import annotations

import json as json_lib
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.cli.simulate.drill import Drill
    from mlops.cli.simulate.outcome import Outcome
    from mlops.core.drill import Shift
    from mlops.params.everything import Everything
    from mlops.site import Site

Changes = Annotated[tuple[str, ...], cyclopts.Parameter(name=["-S", "--set"])]
_LEAST, _MOST = 3, 1000


def simulate(
    *,
    shift: str = "",
    windows: int = 20,
    rows: int = 0,
    labels: Literal["on", "off"] = "on",
    changes: Changes = (),
    retrain: bool = False,
    seed: int = 1,
    list: bool = False,  # noqa: A002 - the flag's name
    json: bool = False,
) -> int:
    """Send shifted traffic through the model in service, in a scratch copy; see what would happen.

    Args:
        shift: What happens to the traffic: NAME:STRENGTH, or NAME@COLUMN:STRENGTH; see --list.
        windows: How many windows; the first third stays clean.
        rows: Predictions of a window; monitoring.window_rows if left out.
        labels: Whether labels arrive, as params.yaml: labels says.
        changes: section.key=value in place of what params.yaml says; may be repeated.
        retrain: Also run the retrain that the trigger asks for, up to the gate's verdict.
        seed: Of the traffic.
        list: List the shifts that this project's data may meet, and end.
        json: Print everything as JSON.
    """
    from mlops.cli.here import open_site
    from mlops.errors import UsageError
    from mlops.params.everything import Everything
    from mlops.params.load import load

    site = open_site()
    params = load(site.layout.params, Everything)
    if list:
        return _list(site, params, json=json)
    if not shift:
        raise UsageError("--shift is missing, as in --shift fog:0.4; see: mlops simulate --list")
    if not _LEAST <= windows <= _MOST:
        raise UsageError(f"--windows {windows}: must be {_LEAST} to {_MOST}; a third stays clean")
    if rows:
        least = min(params.monitoring.min_rows, rows)
        changes = (*changes, f"monitoring.window_rows={rows}", f"monitoring.min_rows={least}")
    params = load(site.layout.params, Everything, changes)
    asked = _Asked(shift, windows, labels == "on", retrain, seed, quiet=json)
    with _alone(site):
        done = _run(site, params, asked)
    if json:
        print(json_lib.dumps(asdict(done), indent=2, default=str))
    else:
        from mlops.cli.simulate.words import summary

        print("", *summary(done), sep="\n")
    return 0


@dataclass(frozen=True)
class _Asked:
    shift: str
    windows: int
    labelled: bool
    retrain: bool
    seed: int
    quiet: bool

    def say(self, text: str) -> None:
        """Print a line as it happens, unless only JSON is wanted."""
        if not self.quiet:
            print(text, flush=True)


def _list(site: Site, params: Everything, *, json: bool) -> int:
    from mlops.adapters.sources.base import load as load_source
    from mlops.cli.simulate.words import listed
    from mlops.core.drill import known_shifts, targets

    schema = load_source(params.data, site.layout.root).schema
    found = [(known, targets(known, schema)) for known in known_shifts(schema)]
    if json:
        print(json_lib.dumps([{**asdict(known), "targets": on} for known, on in found], indent=2))
        return 0
    print(f"shifts of this project's {schema.kind}s, as --shift NAME:STRENGTH or NAME@…:STRENGTH")
    for known, on in found:
        print(f"  {listed(known, on)}")
    return 0


@contextmanager
def _alone(site: Site) -> Iterator[None]:
    """Hold the one scratch copy; a killed drill's lock ends with its process.

    Raises:
        Busy: if another drill is going on.
    """
    from filelock import FileLock, Timeout

    from mlops.errors import Busy

    site.layout.locks.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(site.layout.locks / "simulate.lock").acquire(timeout=0):
            yield
    except Timeout:
        msg = f"another drill is going on in {site.layout.simulation}; wait for its end"
        raise Busy(msg) from None


def _run(site: Site, params: Everything, asked: _Asked) -> Outcome:
    """Make the scratch copy anew, drill, and sum up."""
    from mlops.cli.simulate.outcome import summarise
    from mlops.cli.simulate.picture import draw
    from mlops.cli.simulate.retrain import Retrain
    from mlops.cli.simulate.words import header, line

    drill, shift, traffic = _prepare(site, params, asked)
    asked.say(f"drill    version {drill.scratch.version} of {drill.scratch.project}: {shift.words}")
    traffic += drill.repeats
    asked.say(f"traffic  {traffic}\n")
    asked.say(header(drill.measure, shift.text))
    retrain, seen = Retrain(drill, asked.say), []
    for window in drill.run():
        seen.append(window)
        asked.say(line(window, shift.text))
        if "retrain.requested" in window.events:
            (retrain.run if asked.retrain else retrain.leave)(window.number)
    done = summarise(drill, shift, traffic, seen, tuple(retrain.told))
    draw(done)
    return done


def _prepare(site: Site, params: Everything, asked: _Asked) -> tuple[Drill, Shift, str]:
    """Make the scratch copy and open the traffic; whatever is wrong leaves no copy behind."""
    from mlops.adapters import files, scratch
    from mlops.adapters.snapshot import read_schema
    from mlops.cli.simulate.drill import Drill, Plan
    from mlops.cli.simulate.traffic import Traffic, open_pool
    from mlops.core.drill import parse_shift
    from mlops.core.redacted import parse_redact
    from mlops.errors import MlopsError

    # What is wrong with the question leaves the last drill where it is.
    if (site.layout.snapshot / "schema.json").is_file():
        parse_shift(asked.shift, read_schema(site.layout.snapshot))
    folder = site.layout.simulation
    files.remove(folder)
    folder.mkdir(parents=True)
    try:
        changed = _absolute(params, site)
        write_params(changed, folder / site.layout.params.name)
        made = scratch.make(site, params.project.name, folder)
        shift = parse_shift(asked.shift, made.schema)
        parse_redact(site.settings.redact).need(made.schema, f"version {made.version}")
        pool = open_pool(params.data, site.layout.root, made.folder, made.schema)
        plan = Plan(asked.windows, asked.windows // 3, asked.labelled)
        return Drill(made, changed, Traffic(pool, shift, asked.seed), plan), shift, pool.words
    except MlopsError:
        files.remove(folder)
        raise


def write_params(params: Everything, target: Path) -> None:
    """Write parameters as a file that the loader reads back as the same."""
    import yaml

    tree = params.model_dump(mode="json")
    target.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _absolute(params: Everything, site: Site) -> Everything:
    """Return the parameters with `data.path` as it is from anywhere."""
    if params.data.path is None:
        return params
    data = params.data.model_copy(update={"path": str(site.layout.root / params.data.path)})
    return params.model_copy(update={"data": data})
