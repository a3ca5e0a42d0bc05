"""A transport that sends what is written in one turn of the event loop in one piece.

Uvicorn writes head and body of an answer apart. Each is a system call of the server and wakes the
client, and together they cost a third of a small request.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Joined:
    """The transport of one connection; what is not said here is the inner one's.

    Args:
        transport: of the connection.
    """

    __slots__ = ("_parts", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn."""
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(data)

    def flush(self) -> None:
        """Send what was written."""
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """Send what was written, then close."""
        self.flush()
        self._transport.close()
