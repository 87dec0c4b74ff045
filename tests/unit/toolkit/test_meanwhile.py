"""Work beside a program: its result, its error, and that it has begun before anybody asks."""

from __future__ import annotations

import threading

import pytest

from cicd_actions.toolkit.meanwhile import Meanwhile


def test_it_goes_on_meanwhile() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go_on.wait(60)
        return "done"

    working = Meanwhile(work)
    assert begun.wait(60)
    go_on.set()
    assert working.result() == working.result() == "done"


def test_its_error_is_raised_to_who_asks() -> None:
    with pytest.raises(ZeroDivisionError):
        Meanwhile(lambda: 1 // 0).result()
