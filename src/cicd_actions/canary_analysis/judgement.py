"""Makes a verdict of what two releases answered: *fail* and *pass* only where the numbers prove it, else *inconclusive*.

The thresholds were chosen by simulation. `benchmarks/judge.py` prints how often they are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cicd_actions.canary_analysis.proportions import Counted, newcombe
from cicd_actions.canary_analysis.ranks import mann_whitney
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

_LATE = 400
"""Requests of the canary from which looks are frequent."""


@dataclass(frozen=True)
class Judged:
    """A verdict and the sentence that explains it, with its numbers."""

    verdict: Verdict
    reason: str


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
    counts = f"{sum(canary)} requests of the new release, {sum(baseline)} of the old one"
    if min(sum(canary), sum(baseline)) < LATENCIES:
        return Judged(Verdict.INCONCLUSIVE, f"Latency: {counts}; {LATENCIES} of each are needed.")
    ranked = mann_whitney(canary, baseline)
    higher = f"Latency: the new release is higher in {ranked.above:.0%} of all pairs (p = {ranked.p:.2g}; {counts})"
    if ranked.p < ALPHA and ranked.above >= EFFECT:
        return Judged(Verdict.FAIL, f"{higher}.")
    return Judged(Verdict.PASS, f"{higher}; below {EFFECT:.0%}, or by chance.")


def together(parts: Sequence[Judged]) -> Verdict:
    """Returns fail when one part failed, else inconclusive when one is (or there is none), else pass."""
    verdicts = {part.verdict for part in parts} or {Verdict.INCONCLUSIVE}
    return next(verdict for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if verdict in verdicts)


def _share(counted: Counted) -> str:
    return f"{counted.errors} of {counted.requests} ({counted.share:.2%})"
