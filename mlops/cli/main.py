"""The one command. Verbs are listed as text and imported when called, so that help is instant."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlops.errors import EXIT_USAGE, MlopsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import cyclopts

_SIGPIPE = 141  # what a shell gives for a process that this signal ended

_STEPS = {
    "collect": "Write labelled predictions, not yet collected, as a shard of production rows",
    "ingest": "Read the source and production rows into a versioned snapshot",
    "validate": "Check the snapshot with Great Expectations; stop on bad data (exit 12)",
    "prepare": "Split the snapshot; compute statistics on training rows only",
    "tune": "Search hyper-parameters with Optuna",
    "inherit": "Bring the champion's weights for a warm start (train.start: warm, auto)",
    "train": "Train the model and export it to one ONNX file",
    "evaluate": "Score the exported file: metrics, intervals, slices, plots",
    "register": "Log the candidate to MLflow as a verified model version",
    "promote": "Judge the candidate against the champion and move the alias (--exit-code: 11)",
    "approve": "Say yes to a version that waits for a person (promote.approval: required)",
    "reject": "Say no to it; what is in service stays",
    "monitor": "Judge every complete window of predictions (--exit-code: 10 on drift)",
    "announce": "Tell an incident's thread what its retrain came to",
    "reconcile": "Repair aliases after a crash; record moves made in the MLflow UI",
    "rollback": "Put the previous (or a named) version back in service",
}
_VERBS = {
    "serve": ("mlops.cli.serve:serve", "Serve the champion over HTTP and follow its alias"),
    "predict": ("mlops.cli.predict:predict", "Ask the running server about files"),
    "score": ("mlops.cli.score:score", "Score a file or folder in bulk, into Parquet; resumes"),
    "canary": ("mlops.cli.canary:canary", "Give a challenger a share of the traffic, or end it"),
    "token": ("mlops.cli.token:app", "Add, list or remove bearer tokens of the server"),
    "up": ("mlops.cli.up:up", "Start Prefect, MLflow, the scoring server and the monitors"),
    "status": ("mlops.cli.status:status", "Say what is in service, since when, why; what is wrong"),
    "doctor": ("mlops.cli.doctor:doctor", "Check versions, ports, disk, locks, mail, GPU"),
    "history": ("mlops.cli.history:history", "List every decision: who, when, why, from, to"),
    "why": ("mlops.cli.why:why", "Tell how a version came about: what, when, compared, decided"),
    "trace": ("mlops.cli.trace:trace", "Follow a prediction to its model, run, code, data, checks"),
    "replay": (
        "mlops.cli.replay:replay",
        "Derive a past decision again: identical, or what differs",
    ),
    "backtest": (
        "mlops.cli.backtest:backtest",
        "Walk through history: what the loop would have done",
    ),
    "simulate": (
        "mlops.cli.simulate.verb:simulate",
        "Drill the alarm: shifted traffic through the model in service, in a scratch copy",
    ),
    "report": ("mlops.cli.report:report", "Make the Evidently report of windows that lack one"),
    "incidents": ("mlops.cli.incidents:incidents", "List what alarmed: open, and lately resolved"),
    "incident": ("mlops.cli.incidents:incident", "Tell one incident, and write its page"),
    "label": ("mlops.cli.label:app", "Give predictions out for labelling; take labels back"),
    "silence": ("mlops.cli.silence:silence", "Hold back the mails of one incident for a while"),
    "mail": ("mlops.cli.mail:app", "Preview a mail; deliver what waits in the outbox"),
    "config": ("mlops.cli.config:app", "Show or check parameters and settings"),
    "init": ("mlops.cli.init:init", "Make this clone yours: name, source"),
    "demo": ("mlops.cli.demo.story:demo", "Run the whole story in .mlops/demo/, in minutes"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run one verb and exit: 0 ok, 1 error, 2 usage, 10 drift, 11 refused, 12 check failed."""
    import cyclopts

    from mlops.log import quieten

    quieten()
    app = _app()
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()  # here, where a reader that has gone is met without a word
    except cyclopts.UnknownCommandError as error:
        if error.command_chain:
            _fail(_misused(str(error), error.command_chain), EXIT_USAGE)
        _fail(_unknown(str((error.unused_tokens or [""])[0])), EXIT_USAGE)
    except cyclopts.CycloptsError as error:
        _fail(_misused(str(error), error.command_chain or ()), EXIT_USAGE)
    except MlopsError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:  # as of `mlops config show | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_SIGPIPE)
    sys.exit(code if isinstance(code, int) else 0)


def _app() -> cyclopts.App:
    import cyclopts

    app = cyclopts.App(
        name="mlops",
        help="The model that keeps itself right.",
        version=_version,
        result_action="return_value",
        help_format="plaintext",
    )
    loop = cyclopts.Group("Steps", sort_key=0)
    verbs = cyclopts.Group("Verbs", sort_key=1)
    for name, text in _STEPS.items():
        app.command(f"mlops.cli.step:{name}", name=name, help=text, group=loop)
    for name, (target, text) in _VERBS.items():
        app.command(target, name=name, help=text, group=verbs)
    app.register_install_completion_command(group=verbs)
    return app


def _unknown(word: str) -> str:
    """Name the nearest verb; the library's own message would import every one of them."""
    import difflib

    near = difflib.get_close_matches(word, [*_STEPS, *_VERBS], n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"Unknown command {word!r}{guess}; see: mlops --help"


def _misused(said: str, verb: Sequence[str]) -> str:
    """Add to the library's sentence the help that says better."""
    line = " ".join(said.split()).rstrip(".")
    joint = " See" if line.endswith("?") else "; see"
    return f"{line}{joint}: {' '.join(['mlops', *verb])} --help"


def _version() -> str:
    from importlib.metadata import version

    return version("mlops")


def _fail(message: str, code: int) -> None:
    """Print one line to stderr and exit."""
    print("error: " + message.replace("\n", " "), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
