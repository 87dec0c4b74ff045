from __future__ import annotations

import io

from cicd_actions.engines.docker_api import DockerApi, Log
from cicd_actions.engines.docker_job import to_the_end
from cicd_actions.engines.protocol import Image, Job
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.lines import Line
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


def test_job_that_prints_without_end_is_told_to_end_at_its_deadline() -> None:
    time = Time()
    api = DockerApi(Runtime({}, io.StringIO(), clock=time, sleep=time.sleep))
    job = Printing(time)
    end = to_the_end(job, JOB, api, Deadline(5, time), lambda _stream, _text: None)
    assert end.timed_out
    assert job.told == [("terminate", 5), ("kill", 6), ("remove", 8)]
