"""Redaction: what nobody may read in the prediction log is unreadable before it touches a disk."""

from __future__ import annotations

import hashlib

from mlops.core.prediction import REDACTED

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

    Attributes:
        features: whether they are left out.
    """

    def __init__(self, fields: tuple[str, ...], key: bytes) -> None:
        self.features = "features" in fields
        self._entity = "entity" in fields
        self._key = hashlib.blake2b(b"redaction", key=key[:64], digest_size=32).digest()

    def entity(self, name: str) -> str:
        """Return an entity as it may be kept."""
        if not self._entity:
            return name
        hashed = hashlib.blake2b(name.encode(), key=self._key, digest_size=16)
        return REDACTED + hashed.hexdigest()
