"""The words of a version's reference: what it has never read is told by them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

UNKNOWN_WORDS = "unknown_words"
"""Name of the column: the share of a text's words that no reference text has."""
_WORD = re.compile(rb"[0-9a-z\x80-\xff]+")


@dataclass(frozen=True)
class Vocabulary:
    """The words that stand in at least one reference text."""

    known: frozenset[bytes]

    def unknown(self, byte_NL: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the share of each text's words that are not known, 0 of no words; float64 (N,)."""
        return _shares((words(row) for row in byte_NL), self.known)


def words(byte_L: NDArray[np.uint8]) -> list[bytes]:
    """Return the words of a text, capitals made small: runs of letters and digits of UTF-8."""
    return _WORD.findall(byte_L.tobytes().lower())


def learn_words(byte_NL: NDArray[np.uint8]) -> tuple[Vocabulary, NDArray[np.float64]]:
    """Return the words of a reference, and the share that each text's *others* do not have.

    Were a text held against its own words, none of the reference's would be unknown, and every
    window would seem to have drifted: so each is left out, as it will be with a new text.

    Args:
        byte_NL: uint8, (N, L).

    Returns:
        The vocabulary, and float64 (N,).
    """
    texts = [words(row) for row in byte_NL]
    counts = Counter(word for text in texts for word in set(text))
    shared = frozenset(word for word, count in counts.items() if count > 1)
    return Vocabulary(frozenset(counts)), _shares(texts, shared)


def distinct(byte_NL: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how many of each text's words are different ones, as a share; 1 of no words."""
    texts = (words(row) for row in byte_NL)
    return np.array([len(set(text)) / len(text) if text else 1.0 for text in texts])


def _shares(texts: Iterable[list[bytes]], known: frozenset[bytes]) -> NDArray[np.float64]:
    found = [sum(w not in known for w in text) / max(len(text), 1) for text in texts]
    return np.array(found, dtype=np.float64)
