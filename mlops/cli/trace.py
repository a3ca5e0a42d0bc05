"""`mlops trace`: one prediction, followed back to the bytes that it came from."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mlops.cli.clock import time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.adapters.lineage import Trace

_ABSENT = "not recorded"
_STAGES = ("data/snapshot", "data/prepared", "models/tuned", "models/candidate")


_Target = Annotated[str, Parameter(allow_leading_hyphen=True)]


def trace(prediction_id: str, *, json: bool = False, mermaid: _Target = "") -> int:
    """Follow a prediction to its model, run, commit, data, checks and decision.

    Args:
        prediction_id: As the server's reply holds it.
        json: Print everything as JSON.
        mermaid: Draw it as a Mermaid flowchart, into this file; - prints it instead of the text.
    """
    from pathlib import Path

    from mlops.adapters.files import write_text
    from mlops.adapters.lineage import trace as follow
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    found = follow(site, project_name(site.layout.params), prediction_id)
    if mermaid and mermaid != "-":
        write_text(Path(mermaid), chart(found))
    if json:
        print(json_lib.dumps(asdict(found), indent=2))
    elif mermaid == "-":
        print(chart(found), end="")
    else:
        for name, words in [*links(found), *(("missing", words) for words in found.missing)]:
            print(f"{name:<11}{words}")
    return 0


def links(found: Trace) -> Iterator[tuple[str, str]]:
    """Yield each link of the chain and what is known of it, in words."""
    from mlops.core import wording

    answer, model, run = found.answer, found.model, found.run
    label = "" if answer.label is None else f", labelled {_class(found, answer.label)}"
    guess = f"{_class(found, answer.index)} ({answer.probability:.1%}){label}"
    if found.run and found.run.regression:
        low, *_, high = answer.scores
        middle = answer.scores[len(answer.scores) // 2]
        guess = f"{middle:g} ({low:g} to {high:g}){label}"
    yield "prediction", f"{answer.id}, {time(answer.at_s)}: {guess}"
    digest = f", digest {model.digest[:12]}" if model else ""
    yield "model", f"{found.project} version {answer.version}{digest}"
    started = f"{run.id} ({run.name}), {run.status}, {time(run.start_s)}" if run else _ABSENT
    reason = f"; {wording.trained(model.reason)}" if model else ""
    incident = f", incident {model.incident}" if model and model.incident else ""
    yield "run", started + reason + incident
    changed = ", with changes that were not committed" if run and run.changed else ""
    yield "commit", (model.commit if model and model.commit else _ABSENT) + changed
    md5s = dict(run.md5s) if run else {}
    for path in _STAGES:
        yield path.rpartition("/")[2], f"md5 {md5s[path]}" if path in md5s else _ABSENT
    counts = sorted(run.counts, key=lambda count: count[0] != "rows") if run else ()
    yield "rows", ", ".join(f"{n} {name}" for name, n in counts) or _ABSENT
    yield "checks", _checks(found)
    move = found.move
    named = f"{move.decision}: " if move and move.decision else ""
    yield "decision", f"{named}{move.why}; {move.actor}, {time(move.at_s)}" if move else _ABSENT


def chart(found: Trace) -> str:
    """Return the chain as a Mermaid flowchart; what is not recorded has a dashed border."""
    nodes = list(links(found))
    lines = ["flowchart LR"]
    for number, (name, words) in enumerate(nodes):
        text = f"<b>{name}</b><br/>{_escaped(words)}"
        lines.append(f'  n{number}["{text}"]' + (":::absent" if _ABSENT in words else ""))
    place = {name: f"n{number}" for number, (name, _) in enumerate(nodes)}
    for one, two in (
        ("prediction", "model"), ("model", "run"), ("run", "commit"), ("run", "candidate"),
        ("candidate", "tuned"), ("candidate", "prepared"), ("tuned", "prepared"),
        ("prepared", "snapshot"), ("snapshot", "rows"), ("snapshot", "checks"),
        ("model", "decision"),
    ):  # fmt: skip
        lines.append(f"  {place[one]} --> {place[two]}")
    return "\n".join([*lines, "  classDef absent stroke-dasharray: 4 4"]) + "\n"


def _class(found: Trace, label: float) -> str:
    if found.run and found.run.regression:
        return f"{label:g}"
    names, index = found.run.classes if found.run else (), int(label)
    return f'"{names[index]}"' if 0 <= index < len(names) else f"class number {index}"


def _checks(found: Trace) -> str:
    checks = found.run.checks if found.run else None
    if checks is None:
        return _ABSENT
    failed = f"; failed: {', '.join(checks.failed)}" if checks.failed else ""
    return f"{checks.met} of {checks.expectations} expectations met{failed}"


def _escaped(words: str) -> str:
    """Keep words from acting as Mermaid or HTML: names come from data."""
    for character, code in (("#", "35"), ('"', "quot"), ("<", "lt"), (">", "gt"), ("`", "96")):
        words = words.replace(character, f"#{code};")
    return " ".join(words.split())
