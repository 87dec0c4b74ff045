"""Compares two samples of ordered values by their ranks, so that no distribution has to be assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Ranked:
    """Says how the canary's values lie to the baseline's.

    - `p`: how likely ranks this high are, or higher, where both releases have the same distribution; from 0 to 1.
    - `above`: how often a value of the canary is above one of the baseline, ties counted half; 0.5 is the same as the other.
    """

    p: float
    above: float


def mann_whitney(canary: Sequence[int], baseline: Sequence[int]) -> Ranked:
    """Compares two histograms with the same buckets, the lowest first: how many values each bucket holds.

    One-sided (is the canary higher?), by the normal approximation with corrections for ties and for continuity.
    Raises `ValueError` where the buckets differ in number, or where a side is empty.

    Mann, H. B., Whitney, D. R. (1947), "On a test of whether one of two random variables is stochastically larger than the
    other", Annals of Mathematical Statistics 18, 50-60. https://doi.org/10.1214/aoms/1177730491
    Ties: Lehmann, E. L. (1975), "Nonparametrics: statistical methods based on ranks", section 1.4.
    """
    n, m = sum(canary), sum(baseline)
    if len(canary) != len(baseline) or not n or not m:
        raise ValueError("two histograms are compared that have the same buckets, and values in both")
    below, wins, tied = 0, 0.0, 0
    for own, other in zip(canary, baseline, strict=True):
        wins += own * (below + other / 2)
        below += other
        together = own + other
        tied += together**3 - together
    total = n + m
    variance = n * m / 12 * (total + 1 - tied / (total * (total - 1)))
    above = wins / (n * m)
    if variance <= 0:
        return Ranked(1.0, above)  # all values are equal
    return Ranked(NormalDist().cdf(-(wins - n * m / 2 - 0.5) / math.sqrt(variance)), above)
