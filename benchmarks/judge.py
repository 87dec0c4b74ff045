"""Measures how often the canary's judge is wrong, by simulation.

    python benchmarks/judge.py [RUNS]

Both releases answer requests with known shares of errors and known latencies, so the right verdict is known. A step of 10 %
ends at 1,000 requests of the canary, beside 9,000 of the baseline. The judge looks at the same counts as in a roll-out, and
fails at the first look that fails: looking often makes false fails more likely, so it is measured as it is used.
Targets: at most 3 % false fails, and errors that rise by 2 percentage points are found in 90 %. Exit code 1 when a target is
missed. Nothing but Python is needed; the same RUNS give the same figures.
"""

from __future__ import annotations

import bisect
import math
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

from cicd_actions.canary_analysis import judgement  # noqa: E402 - the path had to be set first
from cicd_actions.canary_analysis.judgement import Judged  # noqa: E402
from cicd_actions.canary_analysis.proportions import Counted, wilson  # noqa: E402
from cicd_actions.toolkit.verdict import Verdict  # noqa: E402

NEEDED, RATIO = 1000, 9
FALSE_FAILS, FOUND = 0.03, 0.90
# The default buckets of Prometheus' clients, in seconds.
BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
CHANCE = random.Random(7)  # noqa: S311 - a simulation that can be repeated


def errors_of(requests: int, share: float) -> int:
    """Returns how many of the requests fail: a binomial number, drawn by the gaps between failures."""
    failed, position, scale = 0, -1, math.log1p(-share) if share else 0.0
    while share:
        position += 1 + int(math.log(1 - CHANCE.random()) / scale)
        if position >= requests:
            break
        failed += 1
    return failed


def looks() -> Iterator[tuple[int, int]]:
    """Yields each look's number of requests of the canary, and how many came since the look before."""
    before = 0
    while before < NEEDED:
        requests = judgement.next_look(before, NEEDED)
        yield requests, requests - before
        before = requests


def error_looks(canary: float, baseline: float) -> Iterator[Judged]:
    """Yields the judge's word at each look; shares of errors from 0 to 1."""
    new = old = 0
    for requests, more in looks():
        new, old = new + errors_of(more, canary), old + errors_of(more * RATIO, baseline)
        yield judgement.errors(Counted(new, requests), Counted(old, requests * RATIO))


def latency_looks(factor: float) -> Iterator[Judged]:
    """Yields the judge's word at each look; the canary is slower by `factor`, of latencies around 80 ms (log-normal)."""
    new, old = [0] * (len(BUCKETS) + 1), [0] * (len(BUCKETS) + 1)
    for _, more in looks():
        for counts, requests, slower in ((new, more, factor), (old, more * RATIO, 1.0)):
            for _ in range(requests):
                counts[bisect.bisect_left(BUCKETS, slower * CHANCE.lognormvariate(math.log(0.08), 0.5))] += 1
        yield judgement.latency(new, old)


def ended(words: Iterator[Judged]) -> Verdict:
    """Returns the verdict of a step: the first fail, else the last word."""
    last = Verdict.INCONCLUSIVE
    for judged in words:
        last = judged.verdict
        if last is Verdict.FAIL:
            break
    return last


def rates(make: Callable[[], Iterator[Judged]], runs: int) -> dict[Verdict, float]:
    """Returns the share of each verdict."""
    found = [ended(make()) for _ in range(runs)]
    return {verdict: found.count(verdict) / runs for verdict in Verdict}


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    slow = max(100, runs // 10)
    # What the new release does, how a step is drawn, how many, and whether a fail is right (`None`: no target).
    shares = (0.0, 0.001, 0.003, 0.005, 0.01)
    cells: list[tuple[str, Callable[[], Iterator[Judged]], int, bool | None]] = [
        (f"errors {share:.1%}, as before", partial(error_looks, share, share), runs, False) for share in (*shares, 0.02, 0.05)
    ]
    for rise, right in ((0.01, None), (0.02, True), (0.05, True)):
        cells += [
            (f"errors {share:.1%}, now +{rise:.0%}", partial(error_looks, share + rise, share), runs, right) for share in shares
        ]
    cells.append(("latency as before", partial(latency_looks, 1.0), slow, False))
    cells += [(f"latency +{by:.0%}", partial(latency_looks, 1 + by), slow, right) for by, right in ((0.2, None), (0.5, True))]
    missed = False
    print("| what the new release does | fail | pass | inconclusive | target |")
    print("| --- | --- | --- | --- | --- |")
    for name, make, count, wanted in cells:
        found = rates(make, count)
        target = {None: "", False: f"at most {FALSE_FAILS:.0%} fail", True: f"at least {FOUND:.0%} fail"}[wanted]
        # The simulation is a sample itself, so a target is missed where its interval lies beyond.
        likely = wilson(Counted(round(found[Verdict.FAIL] * count), count), 0.98)
        wrong = likely.lower > FALSE_FAILS if wanted is False else wanted is True and likely.upper < FOUND
        missed |= wrong
        shown = " | ".join(f"{found[verdict]:.1%}" for verdict in (Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE))
        print(f"| {name} | {shown} | {target}{' **missed**' if wrong else ''} |")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
