"""Shows a run while it runs: a table that redraws itself in a terminal, one line per step elsewhere."""

from __future__ import annotations

import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

from demo.act import Annotated, Event, JobEnded, JobStarted, StartedAgain, StepEnded
from demo.picture import Job, Picture

MARKS = {"success": ("✓", "32"), "failure": ("✗", "31"), "cancelled": ("■", "33"), "skipped": ("–", "90"), "": ("●", "33")}
WORDS = {"success": "passed", "failure": "failed", "": "running"}
QUIET = "actions/checkout@"
"""Steps that only say that a tool is there; a plain log is better without them."""


class Screen:
    """Where the demo writes. `live` is a terminal that can be redrawn."""

    def __init__(self, stream: TextIO | None = None, *, live: bool | None = None) -> None:
        self.stream = stream or sys.stdout
        able = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.live = able if live is None else live
        self.colour = able and "NO_COLOR" not in os.environ

    def say(self, text: str = "") -> None:
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def title(self, text: str) -> None:
        self.say()
        self.say(self.paint(f"== {text}", "1"))

    def mark(self, result: str) -> str:
        sign, code = MARKS.get(result, MARKS["failure"])
        return self.paint(sign, code)


def seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 60 else f"{int(value // 60)}m{value % 60:04.1f}s"


CALLER = "pipeline / "
"""The example's only job, which calls everything: its name in front of the others' tells nothing."""


def short(job: str) -> str:
    return job.removeprefix(CALLER)


def watch(run: Iterable[Event], picture: Picture, planned: list[str], screen: Screen) -> None:
    """Feed *picture* from *run* until it ends, and show it meanwhile."""
    view = Live(screen, picture, planned) if screen.live else Plain(screen, picture)
    for event in ticking(run):
        if event is not None:
            picture.apply(event)
            view.event(event)
        view.tick()
    view.end()


def ticking(run: Iterable[Event], every: float = 0.2) -> Iterator[Event | None]:
    """The run's events, and None in between so that clocks can move."""
    found: queue.Queue[Event | BaseException | None] = queue.Queue()

    def read() -> None:
        try:
            for event in run:
                found.put(event)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that shows it
            found.put(error)
        found.put(None)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    while True:
        try:
            event = found.get(timeout=every)
        except queue.Empty:
            yield None
            continue
        if event is None:
            return
        if isinstance(event, BaseException):
            raise event
        yield event


class Plain:
    """For a log: a line when something ended."""

    def __init__(self, screen: Screen, picture: Picture) -> None:
        self.screen = screen
        self.picture = picture
        self.began = time.monotonic()

    def event(self, event: Event) -> None:
        if isinstance(event, JobStarted):
            self.line(event.job, "", "started")
        elif isinstance(event, JobEnded):
            job = self.picture.jobs[event.job]
            self.line(
                event.job, event.result, f"{WORDS.get(event.result, event.result)} in {seconds((job.ended or 0) - job.started)}"
            )
        elif isinstance(event, StepEnded) and not event.step.startswith(QUIET) and event.result != "skipped":
            step = self.picture.jobs[event.job].steps[event.step]
            self.line(event.job, event.result, f"{step_name(event.step)}  {seconds((step.ended or 0) - step.started)}")
        elif isinstance(event, Annotated) and event.level == "error":
            self.line(event.job, "failure", event.message.splitlines()[0][:300] if event.message else "")
        elif isinstance(event, StartedAgain):
            self.line("act", "cancelled", f"ended itself ({event.reason}), which is not a step's fault: the same run again")

    def line(self, job: str, result: str, text: str) -> None:
        self.screen.say(f"{seconds(time.monotonic() - self.began):>7}  {self.screen.mark(result)} {short(job):<20} {text}")

    def tick(self) -> None:
        """A log has no clock that moves."""

    def end(self) -> None:
        """Everything has been said."""


class Live:
    """For a terminal: one line a job, with the step it is at."""

    def __init__(self, screen: Screen, picture: Picture, planned: list[str]) -> None:
        self.screen = screen
        self.picture = picture
        self.planned = planned
        self.drawn = 0
        self.at = 0.0

    def event(self, event: Event) -> None:
        """Drawn with the next tick."""

    def tick(self) -> None:
        if time.monotonic() - self.at >= 0.1:
            self.draw()

    def end(self) -> None:
        self.draw()

    def draw(self) -> None:
        self.at = time.monotonic()
        width, height = shutil.get_terminal_size()
        names = [*self.planned, *(name for name in self.picture.jobs if name not in self.planned)]
        lines = [self.line(name, width - 1) for name in names][: height - 1]
        up = f"\x1b[{self.drawn}F" if self.drawn else ""
        self.screen.stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        self.screen.stream.flush()
        self.drawn = len(lines)

    def line(self, name: str, width: int) -> str:
        job = self.picture.jobs.get(name)
        if job is None:
            return self.screen.paint(f"  {short(name)}"[:width], "90")
        took = seconds((job.ended or time.monotonic()) - job.started)
        text = f" {short(name):<20} {took:>7}  {detail(job)}"
        return self.screen.mark(job.result) + text[: max(width - 2, 10)]


def detail(job: Job) -> str:
    """What the job is at, or what went wrong in it."""
    steps = list(job.steps.values())
    failed = [step_name(step.name) for step in steps if step.result == "failure"]
    if failed:
        return "failed: " + ", ".join(failed)
    running = [step_name(step.name) for step in steps if not step.result]
    if running:
        return f"{running[-1]} …"
    return "" if job.result else "…"


def step_name(name: str) -> str:
    """A step without a name is called after its action, without the commit."""
    return name.partition("@")[0]
