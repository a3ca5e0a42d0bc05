"""What goes on to the end of a worker, whatever goes wrong in one of its turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from types import TracebackType


class Trouble:
    """A context for one turn of what goes on to the end: errors are logged, not raised.

    One that is the last turn's again is no news.

    Args:
        what: goes on.
    """

    def __init__(self, what: str) -> None:
        self._what, self._said = what, ""

    def __enter__(self) -> None:
        """Begin a turn."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        """End it; what cancels or ends the process is raised."""
        found = "" if error is None else repr(error)
        if isinstance(error, Exception) and found != self._said:
            structlog.get_logger().error("failed", what=self._what, exc_info=error)
        self._said = found
        return isinstance(error, Exception)
