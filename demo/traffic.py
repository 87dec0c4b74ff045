"""Clients of an environment while a release moves there: a canary is judged by what they are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from demo.act import Event, JobEnded, StepEnded, StepStarted
from tests.harness.load import Load

PATHS = {"api": "/items", "web": "/"}
"""What the clients of each service ask for."""

ROLL_OUT = "Roll out"
"""The step of a deploy during which they ask."""


def clients(
    events: Iterable[Event], urls: Callable[[str], Mapping[str, str]], jobs: Callable[[str], bool], say: Callable[[str], None]
) -> Iterator[Event]:
    """Yields the events, and has clients ask an environment between the start and the end of its roll-out.

    `urls` returns where each service answers, by the name of a deploy's job, and `jobs` tells those jobs.
    """
    asking: dict[str, list[Load]] = {}

    def stop(job: str) -> None:
        for load in asking.pop(job, []):
            load.__exit__(None, None, None)
            say(f"Clients asked {load.url}: {sum(load.answers.values())} answers, {sum(load.failures.values())} errors.")

    try:
        for event in events:
            if isinstance(event, StepStarted) and event.step == ROLL_OUT and jobs(event.job):
                found = [Load(f"{url}{PATHS[name]}", 3, pause=0.01) for name, url in urls(event.job).items()]
                asking[event.job] = [load.__enter__() for load in found]
            elif isinstance(event, JobEnded) or (isinstance(event, StepEnded) and event.step == ROLL_OUT):
                stop(event.job)
            yield event
    finally:
        for job in list(asking):
            stop(job)
