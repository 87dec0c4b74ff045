"""`python -m demo`: two commits through the example's pipeline, on this machine; `--help` lists what may differ.

Exit codes: 0 everything was as the story says (with --break: the pipeline was red where it had to be, and what ran before still
runs), 1 it was not, 2 something that is needed is missing, 130 and 143 stopped by a signal. Nothing is left running.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from demo import postgres, report
from demo.described import STRATEGIES
from demo.engines import Local
from demo.measured import measure, page
from demo.messages import Messages, messages
from demo.records import records
from demo.story import BROKEN, Story, expected
from demo.swarm.engine import BASE, Swarm
from demo.tools import SetupError, prepare
from demo.view import Screen, seconds
from demo.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = Path("examples", "two-lane")


class Stopped(BaseException):
    """A signal ended the demo."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="Run the example's pipeline end to end on this machine."
    )
    parser.add_argument("--break", dest="broken", choices=sorted(BROKEN), help="make the second commit a broken one")
    parser.add_argument(
        "--engine",
        choices=[Local.name, Swarm.name],
        default=Local.name,
        help="where the releases run: local processes with SQLite (the default), or stacks of a Docker Swarm with PostgreSQL",
    )
    parser.add_argument(
        "--strategy", choices=STRATEGIES, default="", help="on a Swarm: move the second release beside the old one"
    )
    parser.add_argument("--base", default=BASE, help=f"the image that the demo's own are built on for Swarm; default: {BASE}")
    parser.add_argument(
        "--quick",
        nargs="?",
        const="both",
        default="",
        choices=["both", "first"],
        help="run no checks of the lanes, to save time; `first`: of the first release only",
    )
    parser.add_argument("--plain", action="store_true", help="one line per step, also in a terminal")
    chosen = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    screen = Screen(live=False if chosen.plain else None)
    began = time.monotonic()
    try:
        wanted = expected(chosen.engine, chosen.strategy, chosen.broken)
        # First of all: where it cannot run, nothing is prepared for it.
        engine = Swarm(screen.say, chosen.base) if chosen.engine == Swarm.name else Local()
        screen.say(wanted.promise)
        tools = prepare(ROOT, ROOT / EXAMPLE / "apps" / "web" / "package.json", screen.say)
        with postgres.server() if wanted.postgres else contextlib.nullcontext("") as database:
            workspace = Workspace(ROOT, tools, database, quick=chosen.quick)
            screen.say(f"Logs and reports: {workspace.folder.relative_to(ROOT)}")
            try:
                with records(workspace.app) as kept, messages() as received:
                    screen.say(
                        f"GitHub is not available here: a stand-in for its Deployments API keeps the records, at {kept.url}"
                    )
                    story = Story(workspace, engine, screen, wanted, time.monotonic, kept, received.url)
                    right = story.tell()
                    close(story, screen, received, right=right, broken=bool(chosen.broken))
            finally:
                engine.stop()
                workspace.tidy()
    except SetupError as error:
        screen.say(f"The demo cannot go on. {error}")
        return 2
    except Stopped as stopped:
        screen.say(f"\nStopped by {stopped}; nothing is left running.")
        return 128 + stopped.number
    screen.say(f"{seconds(time.monotonic() - began)} in all.")
    return 0 if right else 1


def close(story: Story, screen: Screen, received: Messages, *, right: bool, broken: bool) -> None:
    report.write(story)
    for title, lines in (
        ("Jobs", report.results(story)),
        ("What runs where", report.environments(story)),
        ("Gates", report.gates(story)),
        ("Records", report.records(story)),
        ("What people were told, and the figures", measure(story, received)),
    ):
        screen.title(title)
        for line in lines:
            screen.say(line)
    screen.say()
    for wrong in story.wrong:
        screen.say(f"{screen.mark('failure')} {wrong}")
    if right and broken:
        screen.say(f"{screen.mark('success')} The pipeline was red, as it had to be. {story.expected.promise}")
    elif right:
        screen.say(f"{screen.mark('success')} Green: this commit is what runs, everywhere.")
    else:
        screen.say(f"{screen.mark('failure')} It did not happen as the story says.")
    folder = story.workspace.folder.relative_to(ROOT)
    screen.say(f"Report: {folder / 'report.md'}. What every step printed: {folder / 'logs'}.")
    screen.say(f"Dashboard of these runs: {page(story).relative_to(ROOT)}.")


def stop(number: int, _frame: FrameType | None) -> None:
    # Once is enough: what follows is tidying up, which must not be interrupted.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise Stopped(number)


if __name__ == "__main__":
    sys.exit(main())
