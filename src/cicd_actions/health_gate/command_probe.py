"""Probes what has no HTTP with a program: exit 0 is healthy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cicd_actions.health_gate.exchange import Answer
from cicd_actions.health_gate.expectations import SHOWN, Undecidable
from cicd_actions.health_gate.http_probe import PATIENCE
from cicd_actions.health_gate.limits import TimeIsUp, TimeLimit, TooSlow, alarm
from cicd_actions.health_gate.observation import Observation, Outcome, Trouble, unjudged
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit.errors import UnusableInput

OUTPUT = 64 * 1024
"""Bytes of its output that are kept; the rest is read and dropped."""


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
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # The inputs of the action are no business of the program's.
                env={name: value for name, value in self.variables.items() if name != "INPUTS"},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise UnusableInput(
                f"The command of {self.target.name} cannot be started: {words[0]}: {_said(error)}.",
                cause="It is not installed, not on PATH, or not executable; a path is taken from the working directory.",
            ) from None
        try:
            output = await _kept(process)
            return await process.wait(), output
        finally:
            _end(process)

    async def _judged(self, code: int, output: bytes, started: float, deadline: float) -> Observation:
        text = output.decode("utf-8", "replace").strip()
        seen = Observation(started, self.clock(), Outcome.RIGHT, "right", "0", expected="exit code 0", came=f"exit code {code}")
        if code != 0:
            came = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
            return _replace(seen, Outcome.WRONG, "exit", f"exit {code}", "exit code 0", came, text)
        async with self.deciding:
            self.target.expectations.prepare()
            try:
                with alarm(min(PATIENCE, max(deadline - self.clock(), 0.01))):
                    wrong, version = self.target.expectations.check(Answer(200, (), output), self.clock() - started)
            except (TooSlow, Undecidable):
                raise unjudged("undecided", "slow", "whether its output is right was not decided in time") from None
        if wrong:
            first = wrong[0]
            label = "old version" if first.kind == "version" else first.kind
            return _replace(seen, Outcome.WRONG, first.kind, label, first.expected, first.came, text, version)
        return _replace(seen, Outcome.RIGHT, "right", "0", "exit code 0", seen.came, "", version)


def _replace(
    seen: Observation, outcome: Outcome, kind: str, label: str, expected: str, came: str, text: str, version: str | None = None
) -> Observation:
    return Observation(seen.started, seen.ended, outcome, kind, label, expected, came, text[:SHOWN], version)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


async def _kept(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    kept = bytearray()
    while piece := await process.stdout.read(16384):
        kept += piece[: OUTPUT - len(kept)]
    return bytes(kept)


def _end(process: asyncio.subprocess.Process) -> None:
    """Also after a good end: a child in the background would outlive the gate."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()
