"""Work beside a program: its result, its error, and that it has begun before anybody asks."""

from __future__ import annotations

import threading

import pytest

from cicd_actions.toolkit.background import Background, within


def test_background_work_goes_on_beside_its_caller() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go_on.wait(60)
        return "done"

    working = Background(work)
    assert begun.wait(60)
    go_on.set()
    assert working.result() == working.result() == "done"


def test_background_work_that_fails_raises_for_its_result() -> None:
    with pytest.raises(ZeroDivisionError):
        Background(lambda: 1 // 0).result()


def test_within_call_that_is_late_is_left_alone() -> None:
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        assert go_on.wait(60)
        done.set()

    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        within(0.01, work)
    go_on.set()
    assert done.wait(60)
    assert within(60, lambda: 1) == 1
