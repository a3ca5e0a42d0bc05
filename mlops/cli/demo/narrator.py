"""How the story is told: seconds since the start, one event a line."""

from __future__ import annotations

import email
import time
from email import policy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_WIDTH = 96


class Narrator:
    """Prints chapters and events, each with its second."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def chapter(self, text: str) -> None:
        """Open a chapter."""
        print(f"\n── {text} ".ljust(_WIDTH, "─"), flush=True)

    def say(self, text: str) -> None:
        """Print one event."""
        print(f"{time.monotonic() - self._started:5.0f} s  {text}", flush=True)

    def task(self, name: str, state: str) -> None:
        """Print that a task of a flow has ended."""
        self.say(f"{name:<10} {state.lower()}")

    def mail(self, page: Path) -> None:
        """Print a mail's subject, its first lines and where its page lies."""
        content = page.with_suffix(".eml").read_bytes()
        message = email.message_from_bytes(content, policy=policy.default)
        body = message.get_body(("plain",))
        lines = body.get_content().splitlines() if body else []
        self.say(f"mail: {message['subject']}")
        for line in [text for text in lines if text.strip()][:4]:
            self.say(f"  | {line}")
        self.say(f"  {page}")

    def decision(self, path: Path) -> None:
        """Print a decision as every surface words it."""
        from mlops.core.canonical import from_json
        from mlops.core.decision import Decision
        from mlops.core.wording import lines

        for line in lines(from_json(Decision, path.read_text(encoding="utf-8"))):
            self.say(f"  | {line}")
