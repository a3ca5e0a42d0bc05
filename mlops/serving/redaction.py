"""Redaction: what nobody may read in the prediction log is unreadable before it touches a disk."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from mlops.core.prediction import REDACTED
from mlops.core.redacted import blank_values, present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.schema import Schema
    from mlops.serving.config import ServingConfig


class Redaction:
    """Makes named fields unreadable, and named columns of a table missing.

    An entity becomes a keyed hash: logged rows of one entity still stay together in splits and
    canaries, but nobody can name it, nor try names, without the project's key. Base rows keep
    their plain entities, so `collect` takes no such row into a snapshot that has some. Features
    are left out, and the id of their example becomes a keyed hash, too: features could be tried
    against a plain one. Of a column nothing is left at all: the id of an example is that of what
    was kept.

    Args:
        fields: of `mlops.core.redacted.FIELDS`.
        key: the project's secret, see `mlops.serving.ids.load_key`.
        columns: names of columns; a version that lacks one has nothing to redact.

    Attributes:
        features: whether they are left out.
    """

    def __init__(self, fields: Sequence[str], key: bytes, columns: Sequence[str] = ()) -> None:
        self.features = "features" in fields
        self._entity = "entity" in fields
        self._columns = tuple(columns)
        self._key = hashlib.blake2b(b"redaction", key=key[:64], digest_size=32).digest()

    def entity(self, name: str) -> str:
        """Return an entity as it may be kept."""
        return REDACTED + self._hashed(name) if self._entity else name

    def example(self, name: str) -> str:
        """Return the id of an example whose features are not kept, as it may be kept."""
        return self._hashed(name) if self.features else name

    def columns(self, schema: Schema) -> tuple[str, ...]:
        """Return the columns of a version's examples that are blanked, in their order."""
        return present(self._columns, schema)

    def blank(self, values: Any, schema: Schema) -> Any:
        """Return examples, as in `mlops.core.features`, as they may be kept."""
        return blank_values(values, schema, self._columns)

    def _hashed(self, name: str) -> str:
        return hashlib.blake2b(name.encode(), key=self._key, digest_size=16).hexdigest()


def made(config: ServingConfig, key: bytes) -> Redaction | None:
    """Return what a serving process is told to redact with; None for nothing.

    Args:
        config: of the process.
        key: the project's secret.
    """
    if not (config.redact or config.redact_columns):
        return None
    return Redaction(config.redact, key, config.redact_columns)
