"""Makes a verdict of what two releases answered: *fail* and *pass* only where the numbers prove it, else *inconclusive*.

The thresholds were chosen by simulation. `benchmarks/judge.py` prints how often they are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cicd_actions.canary_analysis.proportions import Counted, newcombe
from cicd_actions.canary_analysis.ranks import in_buckets, mann_whitney
from cicd_actions.toolkit.verdict import Verdict

CONFIDENCE = 0.98
"""Two-sided confidence of the interval for the difference of errors."""

FEWEST_ERRORS = 3
"""Errors of the canary below which nothing is proven against it."""

HARMFUL = 0.001
"""The least rise of the share of errors that counts: 0.1 percentage points, or half of the baseline's share if that is more."""

HARMLESS = 0.01
"""The rise that is certainly not exceeded in a pass: 1 percentage point, or twice the baseline's share if that is more."""

ENOUGH = 1000
"""Requests of the canary from which its errors can pass."""

ALPHA = 0.01
"""Significance of a rise of the latency."""

EFFECT = 0.56
"""P(canary > baseline) from which a rise of the latency matters. With thousands of requests any difference is significant."""

LATENCIES = 300
"""Requests of each release from which latencies are compared."""

POINTS = 20
"""Independent points of each release from which two series are compared."""

_LATE = 400
"""Requests of the canary from which looks are frequent."""

WARM_UP = 60.0
"""Seconds at the start of a stage that a series leaves out: caches are cold, and connections are new."""


@dataclass(frozen=True)
class Judged:
    """A verdict and the sentence that explains it, with its numbers."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Point:
    """One value of a series, and when it was measured: seconds since the canary got its first request."""

    at: float
    value: float


def next_look(requests: int, needed: int) -> int:
    """Returns at how many requests of the canary to judge again, after a look at `requests`; `needed` ends the step.

    Each look is another chance for a false fail, most of all the early ones. So there are few of them (10, 60, 360), to find a
    release that is broken outright, and from 400 requests on one after each fiftieth more.
    """
    following = requests + requests // 50 if requests >= _LATE else min(max(10, 6 * requests), _LATE)
    return min(following, needed) if requests < needed else following


def errors(canary: Counted, baseline: Counted) -> Judged:
    """Judges the canary's share of errors. Failing is possible at any time, passing from `ENOUGH` requests."""
    if not canary.requests or not baseline.requests:
        who = "new" if not canary.requests else "old"
        return Judged(Verdict.INCONCLUSIVE, f"Errors: the {who} release answered no request.")
    interval = newcombe(canary, baseline, CONFIDENCE)
    shares = f"Errors: {_share(canary)} with the new release, {_share(baseline)} with the old one"
    between = f"the difference is {interval.lower * 100:+.2f} to {interval.upper * 100:+.2f} percentage points"
    if canary.errors >= FEWEST_ERRORS and interval.lower > (limit := max(HARMFUL, baseline.share / 2)):
        return Judged(Verdict.FAIL, f"{shares}; {between}, all of it above {limit * 100:.2f}.")
    limit = max(HARMLESS, 2 * baseline.share)
    if canary.requests < ENOUGH:
        return Judged(Verdict.INCONCLUSIVE, f"{shares}; {ENOUGH} requests of the new release are needed to pass.")
    if interval.upper <= limit:
        return Judged(Verdict.PASS, f"{shares}; {between}, none of it above {limit * 100:.2f}.")
    return Judged(Verdict.INCONCLUSIVE, f"{shares}; {between}, and a pass needs all of it at or below {limit * 100:.2f}.")


def latency(canary: Sequence[int], baseline: Sequence[int]) -> Judged:
    """Judges latencies by two histograms with the same buckets, the fastest first: how many requests each bucket holds."""
    return _compared("Latency", "requests", canary, baseline, LATENCIES)


def series(canary: Sequence[Point], baseline: Sequence[Point], window: float) -> Judged:
    """Judges two series, such as the 95th percentile of each scrape.

    `window` is how many seconds one point looks back: points that are closer share requests, so only one of them counts.
    """
    return _compared("Series", "points", *in_buckets(_independent(canary, window), _independent(baseline, window)), POINTS)


def together(parts: Sequence[Judged]) -> Verdict:
    """Returns fail when one part failed, else inconclusive when one is (or there is none), else pass."""
    verdicts = {part.verdict for part in parts} or {Verdict.INCONCLUSIVE}
    return next(verdict for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if verdict in verdicts)


def _compared(title: str, unit: str, canary: Sequence[int], baseline: Sequence[int], enough: int) -> Judged:
    counts = f"{sum(canary)} {unit} of the new release, {sum(baseline)} of the old one"
    if min(sum(canary), sum(baseline)) < enough:
        return Judged(Verdict.INCONCLUSIVE, f"{title}: {counts}; {enough} of each are needed.")
    ranked = mann_whitney(canary, baseline)
    higher = f"{title}: the new release is higher in {ranked.above:.0%} of all pairs (p = {ranked.p:.2g}; {counts})"
    if ranked.p < ALPHA and ranked.above >= EFFECT:
        return Judged(Verdict.FAIL, f"{higher}.")
    return Judged(Verdict.PASS, f"{higher}; below {EFFECT:.0%}, or by chance.")


def _independent(points: Sequence[Point], window: float) -> list[float]:
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: each.at):
        if point.at >= WARM_UP + window and (not kept or point.at - kept[-1].at >= window):
            kept.append(point)
    return [point.value for point in kept]


def _share(counted: Counted) -> str:
    return f"{counted.errors} of {counted.requests} ({counted.share:.2%})"
