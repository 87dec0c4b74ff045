"""Runs the gate: probes every target by itself until all critical ones stand passed at once, or the deadline passes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

from cicd_actions.health_gate import command_probe, http_probe, metric_probe, tcp_probe
from cicd_actions.health_gate.history import History, source
from cicd_actions.health_gate.judge import Judge, State
from cicd_actions.health_gate.network import Network
from cicd_actions.health_gate.observation import Observation
from cicd_actions.health_gate.schedule import Schedule
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit.verdict import Verdict

if sys.platform != "win32":
    import resource

HEARTBEAT = 30.0
"""Seconds between two lines that name the targets which the gate still waits for."""

MOST_LINES = 300
"""Changes that the log names; with hundreds of changing targets the report has the rest."""

PROGRAMS = 16
"""Commands that run at the same time."""

CONNECTIONS = 1000
"""Probes that run at the same time; fewer where the machine allows fewer open files."""

GRACE = 0.4
"""Seconds after a deadline in which probes that end by it may still report."""

TOLD_WAIT = 1.0
"""Seconds of a `Retry-After` from which on the log names the wait."""

PREPARATION = 0.05
"""Seconds until JSONPath is loaded, unless an answer needs it sooner: the first requests are on the wire by then."""


class Prober(Protocol):
    """Makes one observation, at the latest at `deadline` (seconds on the gate's clock)."""

    async def probe(self, deadline: float) -> Observation: ...


@dataclass(eq=False, repr=False)
class Watched:
    """One target and its observations."""

    target: Target
    judge: Judge
    schedule: Schedule
    history: History = field(default_factory=History)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it passed a first time: targets that come after it may start."""
    asked: float | None = None
    """When the probe started that has no answer yet."""
    finished: bool = False
    """Whether no probe follows."""

    @property
    def settled(self) -> bool:
        """Returns whether the gate need not wait for it. A wrong answer to a later probe changes that."""
        return self.finished or self.judge.passed

    @property
    def verdict(self) -> Verdict:
        return self.judge.verdict()

    @property
    def failed(self) -> bool:
        """Returns whether no later answer can change the failure."""
        return self.judge.state is State.FAILED or (self.finished and self.verdict is Verdict.FAIL)


@dataclass(eq=False, repr=False)
class Gate:
    """One gate over its targets. `timeout` in seconds; `log` takes lines for people."""

    targets: Sequence[Target]
    timeout: float
    variables: Mapping[str, str]
    log: Callable[[str], None]
    chance: Callable[[], float] | None = None
    """Numbers from 0 to 1, for the jitter."""
    watched: list[Watched] = field(default_factory=list)
    cancelled_by: int | None = None
    began: float = field(default_factory=time.time)
    """Seconds of the wall clock since 1970 at which the gate started."""
    elapsed: float = 0.0
    _error: BaseException | None = None
    _closing: bool = False
    """Whether all targets are settled, and the gate waits only for answers that they owe."""
    _settled_at: float = 0.0
    """When a critical target last passed or ended."""
    _lines: int = 0
    _started: float = 0.0
    _ended: bool = False
    _loop: asyncio.AbstractEventLoop | None = None

    def clock(self) -> float:
        """Seconds since the gate started."""
        return time.monotonic() - self._started

    async def run(self) -> None:
        """Runs until the end; `watched` then holds the results. Raises `UnusableInput` for what only shows while probing."""
        self._started, self.began = time.monotonic(), time.time()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._network = Network(self.variables)
        self._deciding = asyncio.Lock()
        self._programs = asyncio.Semaphore(PROGRAMS)
        self._connections = asyncio.Semaphore(_room())
        self.watched = [self._watched(target) for target in self.targets]
        if any(target.expectations.max_latency is not None for target in self.targets):
            self._prepare()  # loading it later would slow the answers whose latency counts
        by_name = {each.target.name: each for each in self.watched}
        tasks = [asyncio.ensure_future(self._guarded(each, by_name)) for each in self.watched]
        preparation = asyncio.get_running_loop().call_later(PREPARATION, self._prepare)
        try:
            await self._until_over()
        finally:
            self.elapsed, self._ended = self.clock(), True
            preparation.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def cancel(self, signum: int) -> None:
        """Ends the gate at once; may be called from a signal's handler."""
        self.cancelled_by = signum
        if self._loop is not None:  # else the gate has not started, and looks before it waits
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def verdict(self) -> Verdict:
        """Returns fail when a critical target failed, else inconclusive when one is, else pass."""
        verdicts = {each.verdict for each in self._decisive}
        for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
            if verdict in verdicts:
                return verdict
        return Verdict.PASS

    def moment(self, seconds: float) -> datetime:
        """Returns the time in UTC at which the gate had run for `seconds`."""
        return datetime.fromtimestamp(self.began + seconds, timezone.utc)

    @property
    def attempts(self) -> int:
        return sum(each.judge.probes for each in self.watched)

    @property
    def _decisive(self) -> list[Watched]:
        return [each for each in self.watched if each.target.critical]

    def _watched(self, target: Target) -> Watched:
        schedule = Schedule(
            target.interval,
            target.rules.stable_for,
            target.request_timeout,
            targets=len(self.targets),
            steady=target.metric is not None,
        )
        return Watched(target, Judge(target.rules), schedule)

    def _prepare(self) -> None:
        try:
            for target in self.targets:
                target.expectations.prepare()
        except Exception as error:  # noqa: BLE001 - `run` raises it again, outside of the loop's callback
            self._stop(error)

    def _stop(self, error: BaseException) -> None:
        self._error = self._error or error
        self._wake.set()

    async def _until_over(self) -> None:
        end = self.timeout + GRACE
        beat = HEARTBEAT
        while not self._over():
            now = self.clock()
            if now >= end:
                return
            if now >= beat:
                self._heartbeat(now)
                beat += HEARTBEAT
                continue
            handle = asyncio.get_running_loop().call_later(
                max(0.0, min(end, beat, self._patience() or end) - now), self._wake.set
            )
            await self._wake.wait()
            handle.cancel()
            self._wake.clear()

    def _over(self) -> bool:
        if self._error is not None or self.cancelled_by is not None or any(each.failed for each in self._decisive):
            return True
        self._closing = all(each.settled for each in self.watched)
        if self._closing and not self._owing():
            return True
        patience = self._patience()
        return patience is not None and self.clock() >= patience

    def _owing(self) -> list[Watched]:
        """Returns the critical targets that owe the answer to a probe from before the last pass.

        The gate waits for it: a target that hangs by then did not pass together with the last one.
        """
        return [each for each in self._decisive if each.asked is not None and each.asked < self._settled_at]

    def _patience(self) -> float | None:
        """Returns until when the gate waits for other targets, once all critical ones are settled: one probe's time."""
        decisive = self._decisive
        if not decisive or not all(each.settled for each in decisive):
            return None
        return self._settled_at + max(each.target.request_timeout for each in decisive) + GRACE

    async def _guarded(self, each: Watched, by_name: Mapping[str, Watched]) -> None:
        try:
            for name in each.target.after:
                await by_name[name].opened.wait()
            await self._watch(each, await self._prober(each.target))
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._stop(error)
        finally:
            each.finished = True
            self._settle(each)

    def _settle(self, each: Watched) -> None:
        if each.target.critical:
            self._settled_at = self.clock()
        self._wake.set()

    async def _prober(self, target: Target) -> Prober:
        if target.tcp is not None:
            return tcp_probe.TcpProber(target, target.tcp, self._network.resolver, self.clock)
        if target.request is None:
            return command_probe.CommandProber(target, self.variables, self.clock, self._deciding)

        if target.metric is not None:
            # Any address of the metric's server will do: it is not the service that is gated.
            return metric_probe.MetricProber(target, target.request, self._network, self.clock, self._deciding, addresses=None)
        return http_probe.HttpProber(target, target.request, self._network, self.clock, self._deciding)

    async def _watch(self, each: Watched, prober: Prober) -> None:
        judge, end = each.judge, min(self.timeout, each.target.timeout)
        room = self._programs if each.target.command else self._connections
        while True:
            async with room:
                if self.clock() >= end:
                    return
                each.asked, passed, passed_at = self.clock(), judge.passed, judge.passed_at
                probed = await prober.probe(end)
                if self._ended:  # Python 3.10 loses a cancellation that comes in the same moment as a `TimeLimit`'s own
                    return
                seen = judge.see(probed)
                each.asked = None
            self._tell(each, seen)
            if passed_at is not None and judge.passed_at is None:
                self._log(seen.ended, f"{each.target.name}: its pass at {passed_at:.1f} s no longer counts")
            if judge.opened:
                each.opened.set()
            if judge.passed:
                end = self.timeout  # its own is for the first pass
                if not passed:
                    self._settle(each)
                if self._closing:
                    self._wake.set()
            if judge.state is State.FAILED or (judge.passed and each.target.command) or self.clock() >= end:
                return
            at = each.schedule.next_probe(
                seen,
                end,
                holds_until=judge.holds_until,
                random=self._chance(),
                hurried=judge.hurried,
                passed=judge.passed,
                least=judge.least(each.target.interval),
            )
            if at is None:
                return
            self._tell_wait(each, seen, at)
            await asyncio.sleep(max(0.0, at - self.clock()))

    def _chance(self) -> Callable[[], float]:
        if self.chance is None:
            self.chance = random.random
        return self.chance

    def _tell(self, each: Watched, seen: Observation) -> None:
        news, before = each.history.add(seen)
        if not news:
            return
        said = seen.came if not seen.right or not seen.version else f"{seen.came}, version {seen.version}"
        change = seen.label
        if before and before.label != seen.label:
            change = f"{before.label}{f' ×{before.count}' if before.count > 1 else ''} → {seen.label}"
        self._log(seen.ended, f"{each.target.name}: {change}{source(seen, seen.peers)} ({said})")

    def _tell_wait(self, each: Watched, seen: Observation, at: float) -> None:
        waits = at - seen.ended
        run = each.history.tally(each.history.runs[-1]).run
        if seen.retry_after and waits >= TOLD_WAIT and run and run.count == 1:
            asked = f"the answer asked for {seen.retry_after:g} s in Retry-After"
            self._log(seen.ended, f"{each.target.name}: the next probe is in {waits:.1f} s ({asked})")

    def _log(self, at: float, line: str) -> None:
        self._lines += 1
        if self._lines <= MOST_LINES:
            self.log(f"{at:6.1f} s  {line}")
        elif self._lines == MOST_LINES + 1:
            self.log("The log leaves out further changes; the report has them.")

    def _heartbeat(self, now: float) -> None:
        waiting = [each for each in self.watched if not each.settled] or self._owing()
        shown = ", ".join(f"{each.target.name} ({_standing(each, now)})" for each in waiting[:5])
        more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
        self.log(f"{now:6.1f} s  waiting for {shown}{more}; {max(0.0, self.timeout - now):.0f} s left")


def _standing(each: Watched, now: float) -> str:
    if not each.history.runs:
        return "no answer yet" if not each.target.after or each.opened.is_set() else "not sampled before its targets pass"
    run, judge = each.history.runs[-1], each.judge
    before = f", after a pass at {judge.revoked_pass:.1f} s" if judge.revoked_pass is not None else ""
    if judge.streak and judge.first_right is not None:
        return f"right for {now - judge.first_right:.0f} s{before}"
    wrong = each.history.evidence(judge.addresses, wrong=True)
    if wrong and (since := each.history.tally(wrong).wrong_from) is not None:
        return f"{wrong.label}{source(wrong.last, wrong.last.peers)} for {now - since:.0f} s{before}"
    return f"{run.label} for {now - run.started:.0f} s"


def _room() -> int:
    """Returns how many connections may be open. Raises the soft limit of open files as far as the hard one allows."""
    if sys.platform == "win32":
        return 400
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, soft - 64))
