"""How many labels settle a question, and what those that are here say whenever one looks."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import betaln
from scipy.stats import norm

ALPHA = 0.05
POWER = 0.8
_PRIOR = 0.5  # Jeffreys: bounds stay narrow for accuracies near 1
_TINY = 1e-12
_MOST, _LEAST = 0.99, 0.01  # a share of exactly 1 has no variance, which no sample can promise


def labels_needed(
    reference: float, margin: float, *, alpha: float = ALPHA, power: float = POWER
) -> int:
    """Return how many randomly chosen labels show a loss of `margin`, if there is one.

    One-sided test of one proportion at level `alpha`, which finds the loss with probability
    `power`. Source: Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions,
    3rd edition, 2003, section 2.5.

    Args:
        reference: accuracy without a loss, taken as known.
        margin: smallest loss that matters, above 0.
        alpha: chance of seeing a loss that is none.
        power: chance of seeing one of `margin`.
    """
    before = min(max(reference, _LEAST + margin), _MOST)
    after = max(before - margin, _LEAST)
    spread = norm.isf(alpha) * math.sqrt(before * (1 - before))
    spread += norm.isf(1 - power) * math.sqrt(after * (1 - after))
    return math.ceil((spread / (before - after)) ** 2)


def bounds(correct: int, labelled: int, *, alpha: float = ALPHA) -> tuple[float, float]:
    """Return an interval for a share that holds at every look at once.

    Labels trickle in and are looked at after each window; a fixed-sample interval would be left by
    chance at one of the looks. Source: Robbins, Statistical methods related to the law of the
    iterated logarithm, 1970; as beta-binomial mixture in Howard et al., Time-uniform,
    nonparametric, nonasymptotic confidence sequences, 2021.

    Args:
        correct: successes.
        labelled: trials.
        alpha: chance that it ever misses.
    """
    if not labelled:
        return 0.0, 1.0
    wrong = labelled - correct
    mixture = float(betaln(correct + _PRIOR, wrong + _PRIOR) - betaln(_PRIOR, _PRIOR))
    limit = math.log(1 / alpha)

    def excess(share: float) -> float:
        """Above 0 where the mixture has won against a share; least at the share seen."""
        return mixture - correct * math.log(share) - wrong * math.log1p(-share) - limit

    first, last = _TINY, 1 - _TINY
    seen = min(max(correct / labelled, first), last)
    low = brentq(excess, first, seen) if correct and excess(first) > 0 else 0.0
    high = brentq(excess, seen, last) if wrong and excess(last) > 0 else 1.0
    return float(low), float(high)
