"""Intervals for shares, against published values and by laws that hold for all counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.canary_analysis.proportions import Counted, newcombe, wilson

COUNTS = st.integers(1, 5000).flatmap(lambda n: st.builds(Counted, st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("canary", "baseline", "lower", "upper"),
    [
        # Newcombe (1998), table II, method 10: the score method without continuity correction, 95 %.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_of_published_examples_gives_the_published_interval(
    canary: tuple[int, int], baseline: tuple[int, int], lower: float, upper: float
) -> None:
    found = newcombe(Counted(*canary), Counted(*baseline), 0.95)
    assert found.lower == pytest.approx(lower, abs=5e-5)
    assert found.upper == pytest.approx(upper, abs=5e-5)


@pytest.mark.parametrize(
    ("counted", "lower", "upper"),
    [
        # scipy 1.17.1: binomtest(k, n).proportion_ci(0.98, "wilson")
        ((0, 10), 0.0, 0.35115049971725687),
        ((3, 1000), 0.0008527113312922557, 0.010497755571142929),
        ((81, 263), 0.24618854780655275, 0.3775241039219146),
        ((1, 29), 0.004757435494967682, 0.2106301377147659),
        ((10, 10), 0.6488495002827432, 1.0),
    ],
)
def test_wilson_gives_what_scipy_gives(counted: tuple[int, int], lower: float, upper: float) -> None:
    found = wilson(Counted(*counted), 0.98)
    assert [found.lower, found.upper] == pytest.approx([lower, upper], abs=1e-12)


@given(COUNTS, COUNTS)
def test_newcombe_holds_the_difference_and_turns_with_its_sides(one: Counted, other: Counted) -> None:
    found, turned = newcombe(one, other, 0.98), newcombe(other, one, 0.98)
    assert -1 - 1e-9 <= found.lower <= one.share - other.share <= found.upper <= 1 + 1e-9
    assert [found.lower, found.upper] == pytest.approx([-turned.upper, -turned.lower], abs=1e-9)


@given(COUNTS, COUNTS)
def test_newcombe_of_ten_times_the_requests_is_narrower(one: Counted, other: Counted) -> None:
    few = newcombe(one, other, 0.98)
    many = newcombe(Counted(10 * one.errors, 10 * one.requests), Counted(10 * other.errors, 10 * other.requests), 0.98)
    assert many.upper - many.lower < few.upper - few.lower


def test_counted_of_more_errors_than_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        Counted(3, 2)
