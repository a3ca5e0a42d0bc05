"""One verb per step; every one goes through `run_step`."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.site import Report


def _run(name: str, *, json: bool, options: frozenset[str] = frozenset()) -> int:
    from mlops.cli.post import MAILING, send_due
    from mlops.layout import Layout, find_root
    from mlops.log import configure
    from mlops.run import run_step
    from mlops.settings import load_settings

    layout = Layout(find_root())
    settings = load_settings(layout)
    configure(settings.log_level)
    report = run_step(name, layout, settings, options=options)
    _show(name, report, json=json)
    if name in MAILING:
        send_due(layout, settings)
    return report.exit_code


def _show(name: str, report: Report, *, json: bool) -> None:
    if json:
        content = {"step": name, **asdict(report)}
        del content["markdown"]
        print(json_lib.dumps(content, indent=2))
    else:
        print(f"{name}: {report.summary}")


def _flags(**given: bool) -> frozenset[str]:
    return frozenset(name.replace("_", "-") for name, value in given.items() if value)


def collect(*, json: bool = False) -> int:
    """Write labelled predictions, not yet collected, as one immutable shard of production rows.

    Args:
        json: Print the report as JSON.
    """
    return _run("collect", json=json)


def ingest(*, json: bool = False) -> int:
    """Read the source and production rows into a versioned snapshot.

    Args:
        json: Print the report as JSON.
    """
    return _run("ingest", json=json)


def validate(*, json: bool = False) -> int:
    """Check the snapshot with Great Expectations; bad data stops the loop with exit code 12.

    Args:
        json: Print the report as JSON.
    """
    return _run("validate", json=json)


def prepare(*, json: bool = False) -> int:
    """Split the snapshot into arrays; statistics come from training rows only.

    Args:
        json: Print the report as JSON.
    """
    return _run("prepare", json=json)


def tune(*, json: bool = False) -> int:
    """Search hyper-parameters with Optuna; resumes where it was killed.

    Args:
        json: Print the report as JSON.
    """
    return _run("tune", json=json)


def inherit(*, json: bool = False) -> int:
    """Bring the champion's weights to models/inherited, if train.start is warm or auto.

    Args:
        json: Print the report as JSON.
    """
    return _run("inherit", json=json)


def train(*, json: bool = False) -> int:
    """Train with the best trial's parameters and export one ONNX file; resumes.

    Args:
        json: Print the report as JSON.
    """
    return _run("train", json=json)


def evaluate(*, json: bool = False) -> int:
    """Score the exported file: metrics with intervals, slices, plots.

    Args:
        json: Print the report as JSON.
    """
    return _run("evaluate", json=json)


def register(*, json: bool = False) -> int:
    """Log the candidate to MLflow as a verified model version; once.

    Args:
        json: Print the report as JSON.
    """
    return _run("register", json=json)


def promote(
    *, again: bool = False, first: bool = False, exit_code: bool = False, json: bool = False
) -> int:
    """Judge the candidate against the champion; on `promote`, move the alias.

    Args:
        again: Judge a version anew that has been decided.
        first: Judge by the rule for a first model, after the champion was taken out of service.
        exit_code: End with 11 if the candidate was not promoted.
        json: Print the report as JSON.
    """
    return _run("promote", json=json, options=_flags(again=again, first=first, exit_code=exit_code))


def monitor(*, act: bool = False, exit_code: bool = False, json: bool = False) -> int:
    """Judge every complete window of predictions; open, update or close incidents.

    Args:
        act: Run the retrain that it asks for here, send mails, make their pages: no Prefect needed.
        exit_code: End with 10 if a window is in alarm.
        json: Print the report as JSON.
    """
    code = _run("monitor", json=json, options=_flags(exit_code=exit_code))
    if act:
        from mlops.cli.act import act_here

        act_here()
    return code


def announce(*, json: bool = False) -> int:
    """Tell an incident's mail thread what its retrain came to.

    Args:
        json: Print the report as JSON.
    """
    return _run("announce", json=json)


def reconcile(*, json: bool = False) -> int:
    """Make the registry's aliases agree with the ledger; record moves made by people.

    Args:
        json: Print the report as JSON.
    """
    return _run("reconcile", json=json)


def approve(version: str = "", *, actor: str = "", json: bool = False) -> int:
    """Put a version that waits for a person in service.

    Args:
        version: Which; the newest that waits if left out.
        actor: Who says so; your user name if left out.
        json: Print the report as JSON.
    """
    return _run("approve", json=json, options=_given(version=_number(version), actor=_who(actor)))


def reject(version: str = "", *, actor: str = "", json: bool = False) -> int:
    """Decline a version that waits for a person; what is in service stays.

    Args:
        version: Which; the newest that waits if left out.
        actor: Who says so; your user name if left out.
        json: Print the report as JSON.
    """
    return _run("reject", json=json, options=_given(version=_number(version), actor=_who(actor)))


def rollback(*, to: str = "", actor: str = "", reason: str = "", json: bool = False) -> int:
    """Put the previous version, or a named one, back in service.

    Args:
        to: Version to go back to; the previous champion if left out.
        actor: Who does so; your user name if left out.
        reason: Why, for `mlops history`.
        json: Print the report as JSON.
    """
    who = actor or f"{_who()} (mlops rollback)"
    return _run(
        "rollback", json=json, options=_given(to=_number(to, "--to"), actor=who, reason=reason)
    )


def _given(**options: str) -> frozenset[str]:
    return frozenset(f"{name}={value}" for name, value in options.items() if value)


def _who(actor: str = "") -> str:
    """Return who acts: as given, else the user of this machine."""
    import getpass

    try:
        return " ".join(actor.split()) or getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return "somebody at a terminal"


def _number(version: str, name: str = "version") -> str:
    """Return a version's number, or nothing.

    Raises:
        UsageError: if it is none.
    """
    from mlops.errors import UsageError

    if version and not (version.isascii() and version.isdigit() and len(version) < 10):
        msg = f"{name} {version[:40]!r} is no version number; look with: mlops history"
        raise UsageError(msg)
    return version
