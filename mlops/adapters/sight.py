"""How the rows of a version are seen: by themselves, against its reference, and by its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.adapters.embedding import Embedding, read_embedding
from mlops.core.columns import Columns, columns
from mlops.core.redacted import without
from mlops.core.relations import Relations, relate
from mlops.core.schema import TextSchema
from mlops.core.vocabulary import UNKNOWN_WORDS, Vocabulary, learn_words

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.schema import Schema


@dataclass(frozen=True)
class Sight:
    """What turns rows into a version's monitored columns.

    Attributes:
        schema: of the version.
        relations: between the columns of its reference.
        vocabulary: of its reference's texts; none of other kinds.
        embedding: of its model; none where it was registered without one.
        redacted: columns of a table that are blank in every row, and not watched.
    """

    schema: Schema
    relations: Relations
    vocabulary: Vocabulary | None
    embedding: Embedding | None
    redacted: tuple[str, ...] = ()

    def see(self, features: NDArray[Any], answers: NDArray[np.float32]) -> Columns:
        """Return the columns of a window's rows.

        Args:
            features: (N, *shape) of the schema.
            answers: (N, K), sound.
        """
        rows = _own(features, answers, self.schema, self.embedding, self.redacted)
        if self.vocabulary is not None:
            rows = rows.join((UNKNOWN_WORDS,), self.vocabulary.unknown(features)[:, None])
        return self.relations.extend(rows)


def learn(
    features: NDArray[Any],
    answers: NDArray[np.float32],
    key: NDArray[np.uint64],
    schema: Schema,
    folder: Path,
    *,
    redacted: tuple[str, ...] = (),
) -> tuple[Sight, Columns]:
    """Learn from a version's reference how its windows are seen; return the reference's columns.

    Args:
        features: (N, *shape) of the reference.
        answers: (N, K), sound.
        key: (N,): equal for rows of one entity.
        schema: of the version.
        folder: of the version.
        redacted: columns of a table that are blank in every row.

    Raises:
        DataError: if the version's embedding is damaged.
    """
    embedding, vocabulary = read_embedding(folder), None
    rows = _own(features, answers, schema, embedding, redacted)
    if isinstance(schema, TextSchema):
        vocabulary, unknown = learn_words(features)
        rows = rows.join((UNKNOWN_WORDS,), unknown[:, None])
    relations, seen = relate(rows, key)
    return Sight(schema, relations, vocabulary, embedding, redacted), seen


def _own(
    features: NDArray[Any],
    answers: NDArray[np.float32],
    schema: Schema,
    embedding: Embedding | None,
    redacted: tuple[str, ...],
) -> Columns:
    rows = without(columns(features, answers, schema), schema, redacted)
    return rows if embedding is None else rows.join(embedding.names, embedding.of(features))
