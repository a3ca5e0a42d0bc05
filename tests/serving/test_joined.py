from __future__ import annotations

import asyncio

from mlops.serving.joined import Joined


class Wire:
    """A transport that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.told.append("paused")


def test_what_is_written_in_one_turn_is_sent_in_one_piece() -> None:
    async def play() -> list[bytes | str]:
        wire = Wire()
        joined = Joined(wire)  # type: ignore[arg-type]
        joined.write(b"head ")
        joined.write(b"body")
        assert wire.told == []
        await asyncio.sleep(0)
        joined.write(b"next")
        joined.pause_reading()
        await asyncio.sleep(0)
        joined.write(b"last")
        joined.close()
        joined.write(b"too late")
        await asyncio.sleep(0)
        return wire.told

    assert asyncio.run(play()) == [b"head body", "paused", b"next", b"last", "closed"]
