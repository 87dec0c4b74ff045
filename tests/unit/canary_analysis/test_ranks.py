"""Mann-Whitney on histograms, against scipy's values, a count of all pairs, and laws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.canary_analysis.ranks import mann_whitney


def in_buckets(canary: Sequence[float], baseline: Sequence[float]) -> tuple[list[int], list[int]]:
    """Two samples as histograms with one bucket a value."""
    one, other = Counter(canary), Counter(baseline)
    values = sorted({*one, *other})
    return [one[value] for value in values], [other[value] for value in values]


VALUES = st.lists(st.integers(0, 12), min_size=1, max_size=25)


@pytest.mark.parametrize(
    ("canary", "baseline", "p", "above"),
    [
        # scipy 1.17.1: mannwhitneyu(x, y, alternative="greater", method="asymptotic", use_continuity=True)
        ([0, 3, 5, 2], [4, 4, 1, 1], 0.011179484665037188, 0.795),
        ([10, 200, 60, 20, 10], [15, 230, 40, 10, 5], 0.00031330802236594096, 0.5638888888888889),
        ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1], 0.5422350133116141, 0.5),
        ([0, 0, 7], [9, 0, 0], 6.906095436236016e-05, 1.0),
    ],
)
def test_mann_whitney_gives_what_scipy_gives(canary: list[int], baseline: list[int], p: float, above: float) -> None:
    found = mann_whitney(canary, baseline)
    assert [found.p, found.above] == pytest.approx([p, above], abs=1e-12)


@given(VALUES, VALUES)
def test_mann_whitney_above_is_the_share_of_pairs(canary: list[int], baseline: list[int]) -> None:
    pairs = [(x > y) + (x == y) / 2 for x in canary for y in baseline]
    found = mann_whitney(*in_buckets(canary, baseline))
    assert found.above == pytest.approx(sum(pairs) / len(pairs))
    assert 0 <= found.p <= 1


@given(VALUES, VALUES)
def test_mann_whitney_of_higher_values_is_no_less_significant(canary: list[int], baseline: list[int]) -> None:
    # All values of the canary are moved above those of the baseline.
    raised = [value + 20 for value in canary]
    assert mann_whitney(*in_buckets(raised, baseline)).above == 1
    assert mann_whitney(*in_buckets(baseline, raised)).above == 0


@given(VALUES, VALUES)
def test_mann_whitney_does_not_depend_on_the_scale(canary: list[int], baseline: list[int]) -> None:
    stretched = in_buckets([value**3 for value in canary], [value**3 for value in baseline])
    assert mann_whitney(*stretched) == mann_whitney(*in_buckets(canary, baseline))


@pytest.mark.parametrize(("canary", "baseline"), [([1, 2], [1, 2, 3]), ([0, 0], [1, 2]), ([1, 2], [0, 0]), ([], [])])
def test_mann_whitney_of_what_cannot_be_compared_is_refused(canary: list[int], baseline: list[int]) -> None:
    with pytest.raises(ValueError, match="same buckets"):
        mann_whitney(canary, baseline)
