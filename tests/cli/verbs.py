"""Every verb of the command line, found by walking it, and how to call each."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import cyclopts

from mlops.cli import main as cli
from mlops.run import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable


def every() -> dict[str, Callable[..., object]]:
    """Return each verb as it is typed, `label export`, and the function behind it."""
    found: dict[str, Callable[..., object]] = {}
    targets = {name: f"mlops.cli.step:{name}" for name in STEPS}
    targets |= {name: target for name, (target, _) in cli._VERBS.items()}
    for name, target in targets.items():
        module, _, attribute = target.partition(":")
        verb = getattr(importlib.import_module(module), attribute)
        if not isinstance(verb, cyclopts.App):
            found[name] = verb
            continue
        for word in verb:
            if not word.startswith("-"):
                function = verb[word].default_command
                assert function is not None
                found[f"{name} {word}"] = function
    return found
