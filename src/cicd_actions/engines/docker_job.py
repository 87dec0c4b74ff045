"""A one-shot job on a Docker Engine, plain or Swarm: watched, ended in time, read to its last line, and removed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Protocol

from docker.errors import NotFound

from cicd_actions.engines.docker_api import LAST_WORDS, DockerApi, Log
from cicd_actions.engines.protocol import EngineUnreachable, Job, JobEnd
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.lines import Line

POLL = 0.2


class Started(Protocol):
    """A job that was started."""

    def ended(self) -> tuple[int | None, str] | None:
        """The exit code and the engine's word, once it has ended; else `None`."""
        ...

    def log(self) -> Log | None:
        """Where its lines are, once there are any."""
        ...

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        ...

    def kill(self) -> None:
        """Kill it (SIGKILL) and leave it there, so that its log can still be read."""
        ...

    def remove(self) -> None:
        """Kill it if it still runs, and remove everything of it."""
        ...


def unique_name(prefix: str, job: Job) -> str:
    """A name that no earlier job has, so that a stale one never blocks the next."""
    return f"{prefix}{job.name}-{secrets.token_hex(4)}"


def merged(inherited: Iterable[str], own: Mapping[str, str]) -> list[str]:
    """Variables as Docker wants them (`NAME=value`): the inherited ones, the job's own on top."""
    values = dict(entry.partition("=")[::2] for entry in inherited)
    return [f"{name}={value}" for name, value in {**values, **own}.items()]


def to_the_end(started: Started, job: Job, api: DockerApi, deadline: Deadline, on_line: Line) -> JobEnd:
    """Watch a job to its end, whichever comes first: its own, the deadline, or a cancellation. It is removed in any case."""
    begun = api.runtime.clock()
    watch = _Watch(started, api, on_line)
    timed_out = False
    try:
        try:
            end = watch.to(deadline)
            if end is None:
                timed_out = True
                end = watch.end_early(job.grace) or (None, "it did not end on SIGTERM and was killed")
        except BaseException:
            api.deadline = Deadline(job.grace + LAST_WORDS, api.runtime.clock)
            with contextlib.suppress(ActionError):  # what interrupted is what has to be said
                watch.end_early(job.grace)
            raise
    finally:
        cleaned = _removed(started, api)
    exit_code, detail = end
    return JobEnd(exit_code, api.runtime.clock() - begun, timed_out, detail, cleaned)


class _Watch:
    def __init__(self, started: Started, api: DockerApi, on_line: Line) -> None:
        self._started = started
        self._api = api
        self._on_line = on_line
        self._log: Log | None = None

    def to(self, deadline: Deadline) -> tuple[int | None, str] | None:
        """How it ended; `None` at the deadline."""
        while True:
            # Asked before the log is read: what was written before the end is then in the log.
            end = self._api.retried("ask how the job is", self._started.ended, deadline)
            if end is None and deadline.expired:
                return None
            last_words = LAST_WORDS if end is not None else 0.0
            self._read(Deadline(max(deadline.remaining, last_words), self._api.runtime.clock), last=end is not None)
            if end is not None or deadline.expired:
                return end
            self._api.runtime.sleep(POLL)

    def end_early(self, grace: float) -> tuple[int | None, str] | None:
        """Ends the job, SIGTERM and then SIGKILL, before anything of its log is read: reading takes time, and a job that
        was told to end must not outlive a run that is killed meanwhile. Returns `None` when it did not end on SIGTERM."""
        deadline = Deadline(grace, self._api.runtime.clock)
        with contextlib.suppress(ActionError, NotFound):  # it may have ended just now
            self._started.terminate()
        while (end := self._started.ended()) is None and not deadline.expired:
            self._api.runtime.sleep(deadline.timeout(POLL))
        if end is None:
            with contextlib.suppress(ActionError, NotFound):
                self._started.kill()
        self._read(Deadline(LAST_WORDS, self._api.runtime.clock), last=True)
        return end

    def _read(self, until: Deadline, *, last: bool) -> None:
        with contextlib.suppress(EngineUnreachable):  # read again in the next turn; whether the engine lives is asked elsewhere
            self._log = self._log or self._started.log()
            if self._log is not None:
                self._log.pass_on(self._on_line, until, last=last)


def _removed(started: Started, api: DockerApi) -> bool:
    try:
        started.remove()
    except ActionError as error:
        api.runtime.log(f"The job could not be removed: {error.what}")
        return False
    return True
