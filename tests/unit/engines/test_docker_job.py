from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

from cicd_actions.engines.docker_api import DockerApi, Log
from cicd_actions.engines.docker_job import to_the_end
from cicd_actions.engines.protocol import Image, Job
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.lines import LAST, Line
from cicd_actions.toolkit.runtime import Runtime

JOB = Job("migrate", Image("app", "sha256:" + "0" * 64), grace=1.0)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Endless(Log):
    """A log that grows faster than it is read."""

    def __init__(self, time: Time) -> None:
        self.time = time

    def pass_on(self, on_line: Line, until: Deadline, *, last: bool = False) -> None:
        del last
        on_line("stdout", "y")
        self.time.now += until.remaining


class Printing:
    """A job that prints until it is killed."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.told: list[tuple[str, float]] = []

    def ended(self) -> None:
        return None

    def log(self) -> Log:
        return Endless(self.time)

    def terminate(self) -> None:
        self.told.append(("terminate", self.time.now))

    def kill(self) -> None:
        self.told.append(("kill", self.time.now))

    def remove(self) -> None:
        self.told.append(("remove", self.time.now))


class Engine:
    """An engine whose log has always another line. It counts the looks at the log, each with how many lines it asked for."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.asked: list[object] = []
        self.runtime = Runtime({}, io.StringIO(), clock=time, sleep=time.sleep)
        self.client = SimpleNamespace(frames=self.frames)

    def asking(self, _what: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def frames(self, _path: str, _name: str, params: dict[str, object]) -> Iterator[tuple[str, bytes]]:
        self.asked.append(params["tail"])
        while True:
            self.time.now += 0.01
            yield "stdout", b"2026-01-01T00:00:00.0Z y\n"


def test_log_that_grows_faster_than_it_is_read_is_read_to_its_end_within_the_time() -> None:
    time = Time()
    engine = Engine(time)
    log = Log(cast("DockerApi", engine), "", "migrate")
    log.pass_on(lambda _stream, _text: None, Deadline(2, time), last=True)
    assert time.now <= 2.02
    assert engine.asked == ["all", LAST]


def test_job_that_prints_without_end_is_told_to_end_at_its_deadline() -> None:
    time = Time()
    api = DockerApi(Runtime({}, io.StringIO(), clock=time, sleep=time.sleep))
    job = Printing(time)
    end = to_the_end(job, JOB, api, Deadline(5, time), lambda _stream, _text: None)
    assert end.timed_out
    assert job.told == [("terminate", 5), ("kill", 6), ("remove", 8)]
