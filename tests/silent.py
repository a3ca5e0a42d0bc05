"""A server that takes connections and says nothing, as behind a firewall that drops."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def silent_database() -> Iterator[str]:
    """Return the address of such a Postgres; the system takes the connections, nobody reads."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"postgresql://u:p@127.0.0.1:{listener.getsockname()[1]}/x"
