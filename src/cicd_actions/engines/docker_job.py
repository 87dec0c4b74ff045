"""A one-shot job on a Docker Engine, plain or Swarm: watched, ended in time, read to its last line, and removed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Protocol

from cicd_actions.engines.docker_api import DockerApi, Log
from cicd_actions.engines.protocol import EngineUnreachable, Job, JobEnd
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.process import Line

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
    timed_out = False
    try:
        try:
            end = _watched(started, api, deadline, on_line)
            if end is None:
                timed_out = True
                end = _ended_early(started, job, api, on_line) or (None, "it did not end on SIGTERM and was killed")
        except BaseException:
            with contextlib.suppress(ActionError):  # what interrupted is what has to be said
                _ended_early(started, job, api, on_line)
            raise
    finally:
        cleaned = _removed(started, api)
    exit_code, detail = end
    return JobEnd(exit_code, api.runtime.clock() - begun, timed_out, detail, cleaned)


def _watched(started: Started, api: DockerApi, deadline: Deadline, on_line: Line) -> tuple[int | None, str] | None:
    log: Log | None = None
    while True:
        # Asked before the log is read: what was written before the end is then in the log.
        end = api.retried("ask how the job is", started.ended, deadline)
        log = log or started.log()
        if log is not None:
            _read(log, on_line, last=end is not None)
        if end is not None or deadline.expired:
            return end
        api.runtime.sleep(POLL)


def _ended_early(started: Started, job: Job, api: DockerApi, on_line: Line) -> tuple[int | None, str] | None:
    deadline = Deadline(job.grace, api.runtime.clock)
    started.terminate()
    log = started.log()
    while True:
        end = started.ended()
        if log is not None:
            _read(log, on_line, last=end is not None or deadline.expired)
        if end is not None or deadline.expired:
            return end
        api.runtime.sleep(deadline.timeout(POLL))


def _read(log: Log, on_line: Line, *, last: bool) -> None:
    with contextlib.suppress(EngineUnreachable):  # read again in the next turn; whether the engine lives is asked elsewhere
        log.pass_on(on_line, last=last)


def _removed(started: Started, api: DockerApi) -> bool:
    try:
        started.remove()
    except ActionError as error:
        api.runtime.log(f"The job could not be removed: {error.what}")
        return False
    return True
