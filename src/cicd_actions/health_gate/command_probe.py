"""Probes what has no HTTP with a program: exit 0 is healthy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.expectations import SHOWN, Undecidable
from cicd_actions.health_gate.http_probe import PATIENCE
from cicd_actions.health_gate.limits import TimeIsUp, TimeLimit, TooSlow, alarm
from cicd_actions.health_gate.observation import Observation, Outcome, Trouble, unjudged
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import beginning

OUTPUT = 64 * 1024
"""Bytes of its output that are kept; the rest is read and dropped."""


LAST_WORDS = 0.5
"""Seconds for the output of a program that has ended."""


@dataclass(eq=False)
class CommandProber:
    """Runs a target's command in a process group of its own, which is ended with the probe."""

    target: Target
    variables: Mapping[str, str]
    clock: Callable[[], float]
    deciding: asyncio.Lock

    async def probe(self, deadline: float) -> Observation:
        """One observation, at the latest at `deadline`. Raises `UnusableInput` when the program cannot be started."""
        started = self.clock()
        allowed = self.target.request_timeout
        try:
            try:
                async with TimeLimit(min(allowed, deadline - started)):
                    code, output = await self._run()
            except TimeIsUp:
                cut = deadline - started < allowed
                raise Trouble(
                    "timeout", "timeout", f"it had not ended after {self.clock() - started:.1f} s, and was ended",
                    outcome=Outcome.UNFINISHED if cut else Outcome.BROKEN,
                ) from None  # fmt: skip
            return await self._judged(code, output, started, deadline)
        except Trouble as trouble:
            return Observation(
                started, self.clock(), trouble.outcome, trouble.kind, trouble.label, expected="exit code 0", came=trouble.came
            )

    async def _run(self) -> tuple[int, bytes]:
        words = self.target.command
        loop = asyncio.get_running_loop()
        try:
            transport, output = await loop.subprocess_exec(
                _Output,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self.variables),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise UnusableInput(
                f"The command of {self.target.name} cannot be started: {words[0]}: {_said(error)}.",
                cause="It is not installed, not on PATH, or not executable; a path is taken from the working directory.",
            ) from None
        try:
            await output.exited.wait()
            _end(transport.get_pid())
            # What it wrote last may still be on the way; a child that got away must not keep the gate waiting.
            with contextlib.suppress(TimeIsUp):
                async with TimeLimit(LAST_WORDS):
                    await output.closed.wait()
            return transport.get_returncode() or 0, bytes(output.kept)
        finally:
            if not output.exited.is_set():
                _end(transport.get_pid())
            transport.close()
            await output.exited.wait()  # at once, after SIGKILL; so that nothing of it is left behind

    async def _judged(self, code: int, output: bytes, started: float, deadline: float) -> Observation:
        text = output.decode("utf-8", "replace").strip()
        seen = Observation(started, self.clock(), Outcome.RIGHT, "right", "0", expected="exit code 0", came=f"exit code {code}")
        if code != 0:
            came = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
            return _replace(seen, Outcome.WRONG, "exit", f"exit {code}", "exit code 0", came, text)
        async with self.deciding:
            self.target.expectations.prepare()
            try:
                with alarm(PATIENCE, deadline - self.clock()):
                    wrong, version = self.target.expectations.check(Answer(200, (), output), self.clock() - started)
            except (TooSlow, Undecidable):
                raise unjudged("undecided", "slow", "whether its output is right was not decided in time") from None
        if wrong:
            first = wrong[0]
            return _replace(seen, Outcome.WRONG, first.kind, first.label, first.expected, first.came, text, version)
        return _replace(seen, Outcome.RIGHT, "right", "0", "exit code 0", seen.came, "", version)


def _replace(
    seen: Observation, outcome: Outcome, kind: str, label: str, expected: str, came: str, text: str, version: str | None = None
) -> Observation:
    return Observation(seen.started, seen.ended, outcome, kind, label, expected, came, beginning(text, SHOWN), version)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class _Output(asyncio.SubprocessProtocol):
    """Keeps the beginning of what a program writes."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:  # noqa: ARG002 - asyncio calls it so
        assert isinstance(data, bytes)  # noqa: S101 - the pipes of asyncio have no text mode
        self.kept += data[: OUTPUT - len(self.kept)]

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it so
        self.closed.set()


def _end(group: int) -> None:
    """End the program and its children, also after a good end: one in the background would outlive the gate."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(group, signal.SIGKILL)
