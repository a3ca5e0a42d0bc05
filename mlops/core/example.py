"""What an example is: its canonical bytes, its identity, its side of the split."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Side = Literal["train", "validation", "test"]

_RESERVE_SALT = "reserve:1"
_LABELS_SALT = "labels:1"


def example_id(features: bytes, shape: Sequence[int | str]) -> str:
    """Return the identity of an example: a hash of its features and nothing else.

    A label that comes late, a time or an origin does not make a new example. The one function
    for both the snapshot and the prediction log; `mlops.core.features.identities` calls it.

    Args:
        features: canonical bytes, of `mlops.core.features.canonical`.
        shape: shape of an image, so that equal bytes of other images differ; else the kind.
    """
    head = "x".join(str(n) for n in shape).encode()
    return hashlib.blake2b(head + b"\0" + features, digest_size=16).hexdigest()


def key_hash(split_key: str) -> int:
    """Return a split key as 64 bits without a salt: what a model records of rows it has seen."""
    return int.from_bytes(hashlib.blake2b(split_key.encode(), digest_size=8).digest(), "little")


def position(split_key: str, salt: str) -> float:
    """Return where a split key stands in [0, 1): uniform, and the same for ever."""
    whole = hashlib.blake2b(f"{salt}\0{split_key}".encode(), digest_size=8).digest()
    return (int.from_bytes(whole, "little") >> 11) / float(1 << 53)


def side(split_key: str, *, salt: str, validation: float, test: float) -> Side:
    """Return the side of the split for a key; a row never changes sides as data grows."""
    at = position(split_key, f"split:{salt}")
    if at < test:
        return "test"
    return "validation" if at < test + validation else "train"


def reserved(split_key: str, *, share: float) -> bool:
    """Say whether a key is kept out of the base snapshot, as traffic for demo and simulate.

    The salt is fixed and none of the split's: what is reserved does not depend on the sides.
    """
    return position(split_key, _RESERVE_SALT) < share


def label_order(identity: str) -> float:
    """Return an example's place in the order in which a random sample is labelled.

    The first of them are exactly those that `sampled` calls so, for every share.
    """
    return position(identity, _LABELS_SALT)


def sampled(identity: str, *, share: float) -> bool:
    """Say whether an example belongs to the random sample that is to be labelled.

    By hash of its id: at random, by nobody's choice, and anyone can check it.
    """
    return position(identity, _LABELS_SALT) < share
