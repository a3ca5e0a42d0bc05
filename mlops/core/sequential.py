"""Is one side's rate worse than the other's, looked at as often as one likes?

A canary is watched every few seconds, so a test that holds at one moment only would raise a false
alarm sooner or later. These hold at every moment at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import betaln

if TYPE_CHECKING:
    from collections.abc import Callable

_PRIOR = 0.5
_STEPS = 60  # of bisection: a bound to 1e-18


@dataclass(frozen=True)
class Tally:
    """Outcomes of one side so far.

    Attributes:
        bad: requests with the outcome that is feared.
        n: all requests.
    """

    bad: int
    n: int

    @property
    def rate(self) -> float:
        """Share of bad outcomes; 0 before there are any."""
        return self.bad / self.n if self.n else 0.0


@dataclass(frozen=True)
class Comparison:
    """What is known of two rates at the time of looking.

    Attributes:
        worse: the challenger's rate is above the champion's by more than the margin.
        low: lower limit of the challenger's rate, at every look at once.
        high: upper limit of the champion's rate, likewise.
    """

    worse: bool
    low: float
    high: float


def limits(tally: Tally, alpha: float) -> tuple[float, float]:
    """Return limits that hold the true rate at all looks together with probability 1 - alpha.

    The outcomes' likelihood under a Beta(1/2, 1/2) mixture of rates, divided by that under one
    rate p, is a martingale if p is the truth, and by Ville's inequality ever exceeds 1 / alpha
    with probability alpha at most; the limits bound the rates for which it does not.

    Source: H. Robbins, Statistical methods related to the law of the iterated logarithm (1970);
    S. R. Howard, A. Ramdas, J. McAuliffe & J. Sekhon, Time-uniform, nonparametric, nonasymptotic
    confidence sequences (2021), beta-binomial mixture.

    Raises:
        ValueError: if not 0 <= bad <= n, or alpha is not between 0 and 1.
    """
    bad, n = tally.bad, tally.n
    if not 0 <= bad <= n or not 0.0 < alpha < 1.0:
        raise ValueError(f"bad = {bad} of n = {n}, alpha = {alpha}: no tally, or no level")
    if n == 0:
        return 0.0, 1.0
    mixture = float(betaln(bad + _PRIOR, n - bad + _PRIOR) - betaln(_PRIOR, _PRIOR))
    most = mixture + math.log(alpha)

    def held(rate: float) -> bool:
        """Say whether a rate is not refuted; the likelihood has one peak, at bad / n."""
        likelihood = (bad * math.log(rate) if bad else 0.0) + (
            (n - bad) * math.log1p(-rate) if n > bad else 0.0
        )
        return likelihood > most

    share = bad / n
    low = 0.0 if bad == 0 else _edge(held, inside=share, outside=0.0)
    high = 1.0 if bad == n else _edge(held, inside=share, outside=1.0)
    return low, high


def compare(champion: Tally, challenger: Tally, *, alpha: float, margin: float) -> Comparison:
    """Say whether the challenger's rate is above the champion's by more than a margin.

    Ask as often as you like: if it is not, all the answers together are wrong with probability
    alpha at most (a union over the two sides). What is assumed: whatever came before, a request
    turns out bad with the side's own rate. Sticky keys strain this where one caller's requests
    are all bad; the margin is for that.

    Args:
        champion: the side that is known.
        challenger: the side that is tried.
        alpha: probability of ever saying so wrongly.
        margin: difference of rates that is accepted.
    """
    low, _ = limits(challenger, alpha / 2.0)
    _, high = limits(champion, alpha / 2.0)
    return Comparison(low > high + margin, low, high)


def _edge(held: Callable[[float], bool], *, inside: float, outside: float) -> float:
    """Return where `held` turns false between a rate inside and one outside, by bisection."""
    for _ in range(_STEPS):
        middle = (inside + outside) / 2.0
        if middle in (inside, outside):
            break
        if held(middle):
            inside = middle
        else:
            outside = middle
    return outside
