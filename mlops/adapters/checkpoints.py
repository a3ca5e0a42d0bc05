"""Checkpoints that are whole or absent, newest first, each with its checksum beside it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from mlops.adapters.files import sha256, write_bytes, write_text

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".ckpt"
CHECKSUM = ".sha256"


class AtomicCheckpoints(CheckpointIO):
    """Lightning's checkpoint files, written so that a crash or a power cut leaves no half of one.

    Lightning's own save renames across file systems where TMPDIR lies on another one (a copy, no
    rename) and never syncs.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the checksum, then the checkpoint: a checkpoint that is there can be checked."""
        from hashlib import sha256 as new_sha256
        from pathlib import Path

        if storage_options is not None:
            raise TypeError(f"storage_options = {storage_options!r}: this plugin takes none")
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getvalue()
        target = Path(path)
        write_text(checksum_of(target), new_sha256(content).hexdigest() + "\n")
        write_bytes(target, content)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = "cpu",
        weights_only: bool | None = None,  # noqa: FBT001 - Lightning's signature
    ) -> dict[str, Any]:
        """Read a checkpoint; never runs code from it, whatever Lightning asks for."""
        del weights_only
        content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its checksum."""
        from pathlib import Path

        remove(Path(path))


def checksum_of(checkpoint: Path) -> Path:
    """Return where a checkpoint's checksum lies."""
    return checkpoint.with_name(checkpoint.name + CHECKSUM)


def is_whole(checkpoint: Path) -> bool:
    """Say whether a checkpoint's bytes are those that were saved."""
    beside = checksum_of(checkpoint)
    if not beside.is_file():
        return False
    return beside.read_text(encoding="utf-8", errors="replace").strip() == sha256(checkpoint)


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint and its checksum, if they are there."""
    checkpoint.unlink(missing_ok=True)
    checksum_of(checkpoint).unlink(missing_ok=True)


def newest_whole(folder: Path) -> Path | None:
    """Return the newest checkpoint whose checksum holds, None if there is none.

    Damaged checkpoints and temporary files that a kill left behind are removed.
    """
    from structlog import get_logger

    for orphan in folder.glob(".*.tmp"):
        orphan.unlink(missing_ok=True)
    for checkpoint in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        if is_whole(checkpoint):
            return checkpoint
        get_logger().warning(
            "checkpoint is damaged; falling back to the one before", path=str(checkpoint)
        )
        remove(checkpoint)
    return None


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the newest `count` checkpoints."""
    for checkpoint in sorted(folder.glob(f"*{SUFFIX}"), reverse=True)[count:]:
        remove(checkpoint)
