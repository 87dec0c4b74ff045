"""The rules of the judge, at their limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.canary_analysis import judgement
from cicd_actions.canary_analysis.judgement import Judged
from cicd_actions.canary_analysis.proportions import Counted
from cicd_actions.toolkit.verdict import Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
COUNTS = st.integers(0, 3000).flatmap(lambda n: st.builds(Counted, st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("canary", "baseline", "verdict"),
    [
        ((0, 1000), (0, 9000), PASS),
        ((0, 999), (0, 9000), INCONCLUSIVE),  # too few to pass
        ((10, 1000), (90, 9000), PASS),  # 1 % is what it was
        ((35, 1000), (90, 9000), FAIL),
        ((3, 10), (0, 90), FAIL),  # failing needs no thousand requests
        ((2, 2), (0, 90), INCONCLUSIVE),  # two errors prove nothing
        ((3, 3000), (0, 27000), PASS),  # above nothing, and still no more than one in a thousand
        ((14, 1000), (10, 9000), FAIL),
        ((12, 1000), (54, 9000), INCONCLUSIVE),  # neither proven harmful nor proven harmless
        ((0, 0), (0, 9000), INCONCLUSIVE),
        ((5, 5), (0, 0), INCONCLUSIVE),
        ((500, 1000), (4500, 9000), PASS),  # the old release is as bad, so it is not kept for that
    ],
)
def test_errors_are_judged_by_the_interval(canary: tuple[int, int], baseline: tuple[int, int], verdict: Verdict) -> None:
    judged = judgement.errors(Counted(*canary), Counted(*baseline))
    assert judged.verdict is verdict, judged.reason


@given(COUNTS, COUNTS)
def test_errors_that_fail_still_fail_with_more_of_them(canary: Counted, baseline: Counted) -> None:
    if judgement.errors(canary, baseline).verdict is FAIL and canary.errors < canary.requests:
        assert judgement.errors(Counted(canary.errors + 1, canary.requests), baseline).verdict is FAIL


@given(COUNTS, COUNTS)
def test_errors_below_the_baselines_never_fail(canary: Counted, baseline: Counted) -> None:
    if canary.requests and baseline.requests and canary.share <= baseline.share:
        assert judgement.errors(canary, baseline).verdict is not FAIL


@pytest.mark.parametrize(
    ("canary", "baseline", "verdict"),
    [
        ([100, 150, 50], [100, 150, 50], PASS),
        ([99, 150, 50], [100, 150, 50], INCONCLUSIVE),  # 299 requests
        ([50, 150, 100], [100, 150, 50], FAIL),
        ([50, 150, 100], [1, 1, 1], INCONCLUSIVE),
        # Significant with ten thousand requests, and too small to matter.
        ([3200, 4900, 1900], [3333, 5000, 1667], PASS),
        ([150, 120, 30], [100, 150, 50], PASS),  # faster
    ],
)
def test_latency_fails_only_where_it_is_significant_and_matters(
    canary: list[int], baseline: list[int], verdict: Verdict
) -> None:
    judged = judgement.latency(canary, baseline)
    assert judged.verdict is verdict, judged.reason


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([], INCONCLUSIVE),
        ([PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([PASS, INCONCLUSIVE, FAIL], FAIL),
    ],
)
def test_together_takes_the_worst(parts: list[Verdict], verdict: Verdict) -> None:
    assert judgement.together([Judged(each, "") for each in parts]) is verdict


@given(st.integers(1, 5000))
def test_looks_come_rarely_and_one_of_them_at_the_requests_that_are_needed(needed: int) -> None:
    looks = [0]
    while looks[-1] < 10 * needed:
        looks.append(judgement.next_look(looks[-1], needed))
    assert needed in looks
    assert sorted(set(looks)) == looks
    assert len(looks) <= 6 + 120 * len(str(needed))
