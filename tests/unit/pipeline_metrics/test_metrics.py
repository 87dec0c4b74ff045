from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline_metrics.metrics import BANDS, METRICS, Figure, duration, quantile, shown

VALUES = st.lists(st.integers(0, 10**7), min_size=1, max_size=60)


@given(VALUES)
def test_quantile_half_is_the_median(values: list[int]) -> None:
    assert quantile(values, 0.5) == pytest.approx(statistics.median(values))


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=60))
def test_quantile_is_what_the_standard_library_computes(values: list[int]) -> None:
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    assert quantile(values, 0.9) == pytest.approx(tenths[8])


@given(VALUES, st.floats(0, 1))
def test_quantile_lies_between_the_smallest_and_the_largest(values: list[int], q: float) -> None:
    found = quantile(values, q)
    assert found is not None
    assert min(values) <= found <= max(values)


def test_quantile_of_nothing_is_none() -> None:
    assert quantile([], 0.5) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (59.4, "59 s"), (59.6, "1 m"), (61, "1 m 1 s"), (3599.7, "1 h"), (3600, "1 h"), (5400, "1 h 30 m"),
        (84_700, "23 h 32 m"), (86_399, "1 d"), (90_000, "1 d 1 h"), (86_400 * 3, "3 d"),
    ],
)  # fmt: skip
def test_duration_reads_as_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_figure_with_too_few_samples_is_not_a_number() -> None:
    figure = Figure.of("success-rate", 50.0, 9)
    assert figure.value is None
    assert str(figure) == "too few (n = 9, needs 10)"
    assert str(Figure.of("success-rate", None, 0)) == "none"
    assert str(Figure.of("success-rate", 50.0, 10)) == "50.0 %"


@pytest.mark.parametrize(
    ("name", "value", "band"),
    [
        ("deployments-per-week", 14.0, "elite"), ("deployments-per-week", 3.0, "high"), ("deployments-per-week", 0.5, "medium"),
        ("deployments-per-week", 0.1, "low"), ("lead-time-p50", 3600.0, "elite"), ("lead-time-p50", 5e6, "low"),
        ("change-failure-rate", 5.0, "elite"), ("change-failure-rate", 12.0, "medium"), ("restore-p50", 7200.0, "high"),
    ],
)  # fmt: skip
def test_band_is_dora_s(name: str, value: float, band: str) -> None:
    assert Figure.of(name, value, 100).band == band


def test_every_metric_says_what_it_is_not() -> None:
    for metric in METRICS.values():
        assert metric.definition.endswith(".")
        assert metric.is_not.endswith(".")
        assert metric.source.endswith(".")
        assert shown(1.5, metric.unit)
    assert set(BANDS) <= set(METRICS)
