"""Runs one gate from inputs to report, and ends it on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from cicd_actions.health_gate import reading, report
from cicd_actions.health_gate.gate import Gate
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.toolkit.errors import Cancelled

if TYPE_CHECKING:
    from cicd_actions.toolkit.report import Report
    from cicd_actions.toolkit.runtime import Runtime


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs the gate. See `action.run`."""
    targets = reading.targets(inputs, runtime.environment, runtime.workspace)
    file = runtime.place(inputs.report, input="report") if inputs.report else None
    gate = Gate(targets, inputs.timeout, runtime.environment.for_programs(), runtime.log)
    with _signals(gate):
        asyncio.run(gate.run())

    made = report.report(gate, runtime, inputs.report, file)
    if gate.cancelled_by is not None:
        cancelled = Cancelled(gate.cancelled_by)
        cancelled.report = made
        raise cancelled
    return made


@contextlib.contextmanager
def _signals(gate: Gate) -> Iterator[None]:
    """Lets a signal end the gate instead of raising while the loop runs: asyncio would swallow the exception."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        # The runner sends SIGTERM after SIGINT, while the gate writes the report: only the first one counts.
        for each in before:
            signal.signal(each, lambda *_: None)  # programs that roll back then would inherit SIG_IGN
        gate.cancel(signum)

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, on_signal)
    try:
        yield
    finally:
        if gate.cancelled_by is None:
            for each, handler in before.items():
                signal.signal(each, handler)
