"""Probes a service without HTTP by running a program: exit code 0 is healthy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.expectations import SHOWN, Undecidable
from cicd_actions.health_gate.http_probe import PATIENCE
from cicd_actions.health_gate.limits import TimeIsUp, TimeLimit, TooSlow, alarm
from cicd_actions.health_gate.observation import Observation, Outcome, Trouble, cut_off, undecided_at_the_deadline, unjudged
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import beginning

OUTPUT = 64 * 1024
"""Bytes of its output that are kept; the rest is read and dropped."""


LAST_WORDS = 0.5
"""Seconds for the output of a program that has ended."""


@dataclass(eq=False, repr=False)
class CommandProber:
    """Runs a target's command in a separate process group, and ends the group with the probe."""

    target: Target
    variables: Mapping[str, str]
    clock: Callable[[], float]
    deciding: asyncio.Lock

    async def probe(self, deadline: float) -> Observation:
        """Returns one observation, at the latest at `deadline`. Raises `UnusableInput` when the program does not start."""
        started = self.clock()
        allowed = self.target.request_timeout
        try:
            try:
                async with TimeLimit(min(allowed, deadline - started)):
                    code, output = await self._run()
            except TimeIsUp:
                trouble = Trouble("timeout", "timeout", f"the gate ended the program after {self.clock() - started:.1f} s")
                raise cut_off(trouble) if deadline - started < allowed else trouble from None
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
                f"Could not start the command of {self.target.name}: {words[0]}: {_said(error)}.",
                cause="The program is not installed, not on PATH, or not executable. Paths start at the working directory.",
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
            # A program with another user's rights (`sudo`) takes no signal: the gate does not wait for its end.
            with contextlib.suppress(PermissionError):
                transport.close()
            with contextlib.suppress(TimeIsUp):
                async with TimeLimit(LAST_WORDS):
                    await output.exited.wait()  # at once, after SIGKILL; so that nothing of it is left behind

    async def _judged(self, code: int, output: bytes, started: float, deadline: float) -> Observation:
        text = output.decode("utf-8", "replace").strip()
        seen = Observation(started, self.clock(), Outcome.RIGHT, "right", "0", expected="exit code 0", came=f"exit code {code}")
        if code != 0:
            came = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
            return replace(
                seen, outcome=Outcome.WRONG, kind="exit", label=f"exit {code}", came=came, excerpt=beginning(text, SHOWN)
            )
        async with self.deciding:
            self.target.expectations.prepare()
            try:
                with alarm(PATIENCE, deadline - self.clock()):
                    wrong, version = self.target.expectations.check(Answer(200, (), output), self.clock() - started)
            except TooSlow:
                if self.clock() >= deadline:
                    raise undecided_at_the_deadline() from None
                raise unjudged("undecided", "slow", "could not decide in time whether its output is right") from None
            except Undecidable as error:
                raise unjudged("undecided", "undecided", str(error)) from None
        if not wrong:
            return replace(seen, version=version)
        return replace(
            seen, outcome=Outcome.WRONG, kind=wrong[0].kind, label=wrong[0].label, expected=wrong[0].expected,
            came=wrong[0].came, also=tuple((each.expected, each.came) for each in wrong[1:]),
            excerpt=beginning(text, SHOWN), version=version,
            elsewhere=next((each.elsewhere for each in wrong if each.elsewhere), ""),
        )  # fmt: skip


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class _Output(asyncio.SubprocessProtocol):
    """Keeps the beginning of what a program writes."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:  # asyncio calls it so
        assert isinstance(data, bytes)  # noqa: S101 - the pipes of asyncio have no text mode
        self.kept += data[: OUTPUT - len(self.kept)]

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # asyncio calls it so
        self.closed.set()


def _end(group: int) -> None:
    """Ends the program and its children, also after it succeeded: one in the background would outlive the gate."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(group, signal.SIGKILL)
