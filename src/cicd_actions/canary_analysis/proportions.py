"""Compares two shares of failed requests by an interval for their difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Counted:
    """`errors` of `requests`; both whole numbers, and never more errors than requests."""

    errors: int
    requests: int

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.requests:
            raise ValueError(f"{self.errors} of {self.requests} is not a share")

    @property
    def share(self) -> float:
        """Returns the share of errors, from 0 to 1. Raises `ZeroDivisionError` without a request."""
        return self.errors / self.requests


@dataclass(frozen=True)
class Interval:
    """Two bounds, the lower one first."""

    lower: float
    upper: float


def wilson(counted: Counted, confidence: float) -> Interval:
    """Returns Wilson's score interval for one share, two-sided, with `confidence` from 0 to 1.

    Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22, 209-212. https://doi.org/10.1080/01621459.1927.10502953
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, n = counted.share, counted.requests
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # With no error, or nothing else, rounding would leave 1e-18 where the bound is exact.
    lower = 0.0 if counted.errors == 0 else (middle - half) / scale
    upper = 1.0 if counted.errors == n else (middle + half) / scale
    return Interval(lower, upper)


def newcombe(canary: Counted, baseline: Counted, confidence: float) -> Interval:
    """Returns the interval for `canary.share - baseline.share` by Newcombe's hybrid score method (his method 10).

    It keeps its promise for rare errors, where the usual normal interval has no width at all.
    Newcombe, R. G. (1998), "Interval estimation for the difference between independent proportions: comparison of eleven
    methods", Statistics in Medicine 17, 873-890.
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I
    """
    one, other = wilson(canary, confidence), wilson(baseline, confidence)
    difference = canary.share - baseline.share
    down = math.hypot(canary.share - one.lower, other.upper - baseline.share)
    up = math.hypot(one.upper - canary.share, baseline.share - other.lower)
    return Interval(difference - down, difference + up)
