"""Shares of the traffic by counts of replicas, where clients choose one of all replicas with equal chances."""

from __future__ import annotations

import math


def percent(new: int, old: int) -> float:
    """Returns the share of the new release's replicas in all of them."""
    return 100 * new / (new + old) if new else 0.0


def smallest(old: int) -> float:
    """Returns the share that one new replica gets beside the old ones, in percent."""
    return 100 / (old + 1)


def replicas(wanted: float, old: int) -> int:
    """Returns how many new replicas get at most this share, in percent and below 100, beside the old ones; at least 1."""
    # 50 % beside 4 is 4.0 and not 3.9999…: a part of a replica that small is an error of the arithmetic.
    return max(1, math.floor(wanted * old / (100 - wanted) + 1e-9))
