"""Redaction: what nobody may read in the prediction log is unreadable before it touches a disk."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.prediction import REDACTED

if TYPE_CHECKING:
    from mlops.core.prediction import Prediction

FIELDS = ("entity", "features")
"""Fields of a prediction that callers fill, and that can be redacted."""


class Redaction:
    """Makes named fields unreadable.

    An entity becomes a keyed hash: logged rows of one entity still stay together in splits and
    canaries, but nobody can name it, nor try names, without the project's key. Base rows keep
    their plain entities, so `collect` takes no such row into a snapshot that has some. Features
    are left out.

    Args:
        fields: of `FIELDS`.
        key: the project's secret, see `mlops.serving.ids.load_key`.
    """

    def __init__(self, fields: tuple[str, ...], key: bytes) -> None:
        self.fields = fields
        self._entity = "entity" in fields
        self._features = "features" in fields
        self._key = hashlib.blake2b(b"redaction", key=key[:64], digest_size=32).digest()

    def redact(self, row: Prediction) -> Prediction:
        """Return a prediction as it may be kept."""
        if self._features and row.features is not None:
            row = replace(row, features=None)
        if self._entity and row.entity is not None:
            hashed = hashlib.blake2b(row.entity.encode(), key=self._key, digest_size=16)
            row = replace(row, entity=REDACTED + hashed.hexdigest())
        return row
