from __future__ import annotations

import pytest

from cicd_actions.pipeline_metrics.metrics import METRICS, Figure
from cicd_actions.pipeline_metrics.thresholds import rate, threshold
from cicd_actions.toolkit.grammar import NotUnderstood


@pytest.mark.parametrize(
    ("text", "value", "broken"),
    [
        ("success-rate < 95%", 94.9, True), ("success-rate < 95%", 95.0, False), ("success-rate<95", 94.0, True),
        ("duration-p90 > 15m", 901.0, True), ("duration-p90 >= 15m", 900.0, True), ("deployments-per-week <= 2", 2.5, False),
        ("flaky-rate > 0.5%", 0.6, True),
    ],
)  # fmt: skip
def test_threshold_holds_a_figure_to_its_limit(text: str, value: float, broken: bool) -> None:
    found = threshold(text)
    assert found.broken(Figure.of(found.metric, value, 100)) is broken
    assert METRICS[found.metric].title in str(found)


def test_threshold_on_too_few_samples_is_neither_kept_nor_broken() -> None:
    assert threshold("success-rate < 95%").broken(Figure.of("success-rate", 10.0, 3)) is None


@pytest.mark.parametrize(
    "text",
    [
        "success < 95%",
        "success-rate = 95%",
        "success-rate <",
        "duration-p90 > 15",
        "duration-p50 < 95%",
        "cost > 10%",
        "",
        "a" * 9000,
    ],
)
def test_threshold_that_cannot_be_read_is_refused_with_an_example_that_can(text: str) -> None:
    with pytest.raises(NotUnderstood) as raised:
        threshold(text)
    assert threshold(raised.value.example).metric in METRICS


def test_rate_is_a_pattern_and_the_price_of_a_minute() -> None:
    assert rate("ubuntu-*=0.006") == ("ubuntu-*", 0.006)
    for text in ("ubuntu", "=1", "ubuntu=x", "ubuntu=-1"):
        with pytest.raises(NotUnderstood):
            rate(text)
