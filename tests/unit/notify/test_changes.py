"""What is news, from what was before and what is now."""

from __future__ import annotations

import pytest

from cicd_actions.notify.changes import Before, fault_of, news

FAILED, UNCLEAR, FINE = Before("failed", "api: 503"), Before("inconclusive", "no answer"), Before("passed")


@pytest.mark.parametrize(
    ("before", "event", "fault", "told"),
    [
        (None, "failed", "x", "failed"), (FINE, "failed", "x", "failed"), (FAILED, "failed", "api: 503", ""),
        (FAILED, "failed", "web: 404", "failed"), (FAILED, "failed", "", ""), (UNCLEAR, "failed", "no answer", "failed"),
        (FAILED, "inconclusive", "x", "inconclusive"), (UNCLEAR, "inconclusive", "no answer", ""), (FINE, "passed", "", ""),
        (None, "passed", "", ""), (FAILED, "passed", "", "recovered"), (UNCLEAR, "passed", "", "recovered"),
        (FAILED, "rolled-back", "api: 503", "rolled-back"), (FINE, "waiting", "", "waiting"),
        (FAILED, "refused", "api: 503", ""), (Before("red"), "inconclusive", "x", ""),
    ],
)  # fmt: skip
def test_news_is_what_people_do_not_know(before: Before | None, event: str, fault: str, told: str) -> None:
    assert news(event, fault, before) == told


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("api (http://10.0.0.1:8080/): 503 for 4.2 s (12 times)", "api (http://10.0.0.1:9090/): 503 for 9 s (3 times)"),
        ("api: 503", "api: 503\nThe rollback failed: the image is gone."),
        ("version 1a7b9c4d5e6f expected", "version 00aa11bb22cc expected"),
        ("wrong since 2026-01-01T00:00:00Z", "wrong since 2026-02-03T10:20:30Z"),
    ],
)  # fmt: skip
def test_fault_is_the_same_at_another_time(one: str, other: str) -> None:
    assert fault_of(one) == fault_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("api: status 503", "api: status 404"), ("api: status 503", "web: status 503"), ("timed out", "refused")],
)
def test_another_answer_or_target_is_another_fault(one: str, other: str) -> None:
    assert fault_of(one) != fault_of(other)


def test_reason_that_a_record_cut_is_the_same_fault() -> None:
    reason = "The migration 0042 failed: relation orders does not exist, and so on and so on and so on"
    before = Before("failed", fault_of(reason[:60] + "… (28 more characters)"))
    assert news("failed", fault_of(reason), before) == ""
