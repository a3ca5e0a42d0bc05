"""The gate's parameters, frozen: what `params.yaml` declares before any row is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlops.core.canonical import ADDED

Limits = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Rules:
    """What a candidate must show (see `mlops.params.gate`, which names each the same).

    Attributes:
        margin: δ on accuracy; 0 asks for superiority.
        alpha: one-sided level that all verdicts on the same rows share.
        power: at which missing labels are counted.
        effect: gain in accuracy worth finding.
        min_rows: fewest recent rows.
        min_coverage: least share of a matured cohort's predictions that have labels.
        anchor_margin: accuracy that may be lost, all promotions together, against the anchor.
        non_inferiority: metric → how much of it the candidate may lose, in its own unit.
        floors: metric → its lowest value.
        ceilings: metric → its highest value.
        slices: columns whose thirds are slices, beside the classes.
        class_slices: whether the classes are slices at all; `auto`: but for those that the champion
            answers too often (see `mlops.core.harm`).
        protected: columns whose thirds, or `class`, must not differ by more than `group_gap`.
        required_slices: slices that must be assessable.
        min_slice_rows: fewest rows of a slice that is assessed.
        resamples: of the bootstrap.
        seed: of the bootstrap, and of the halves on which weak slices are found and tested.
        gap_s: seconds between the last trained row and the first that counts.
        block_s: rows within so many seconds depend on each other; 0 if only those of one key do.
    """

    margin: float
    alpha: float
    power: float
    effect: float
    min_rows: int
    min_coverage: float
    anchor_margin: float
    non_inferiority: Limits
    floors: Limits
    ceilings: Limits
    slices: tuple[str, ...]
    protected: tuple[str, ...]
    required_slices: tuple[str, ...]
    min_slice_rows: int
    resamples: int
    seed: int
    gap_s: float
    block_s: float
    class_slices: bool | Literal["auto"] = field(default=True, metadata=ADDED)


def level(alpha: float, look: int) -> float:
    """Return what the `look`-th verdict on overlapping rows may spend of alpha: alpha / (i (i+1)).

    The shares of all looks add up to alpha, however many there will be, so that a series of
    verdicts on the same rows promotes wrongly with probability alpha at most. A first look that
    took the whole of alpha, the later ones taking these shares, would add up to 1.5 alpha. Rows
    that no verdict has looked at start a series of their own, with the full alpha to spend.

    Source: alpha spending as in D. P. Foster, R. A. Stine (2008), J. R. Stat. Soc. B 70; why
    looks must be paid for: A. Blum, M. Hardt (2015), ICML 37; C. Dwork et al. (2015), Science 349.
    """
    if look < 1:
        raise ValueError(f"look = {look}: looks count from 1")
    return alpha / (look * (look + 1))
