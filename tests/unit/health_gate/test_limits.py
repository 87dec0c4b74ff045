"""Time limits at their edges."""

from __future__ import annotations

import signal

import pytest

from cicd_actions.health_gate import limits


def test_alarm_that_rings_before_its_block_leaves_no_timer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine, where the deadline passes before the next line."""
    setitimer, handler = signal.setitimer, signal.getsignal(signal.SIGVTALRM)

    def late(timer: int, seconds: float) -> None:
        setitimer(timer, seconds)
        if timer == signal.ITIMER_REAL and seconds:
            signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(signal, "setitimer", late)
    with pytest.raises(limits.TooSlow), limits.alarm(60, 60):
        pytest.fail("the block began")
    assert [signal.getitimer(each)[0] for each in (signal.ITIMER_VIRTUAL, signal.ITIMER_REAL)] == [0, 0]
    assert signal.getsignal(signal.SIGVTALRM) is handler
