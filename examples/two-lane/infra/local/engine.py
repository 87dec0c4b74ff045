#!/usr/bin/env python3
"""Run the example's releases as local processes: no Docker, no account, only the standard library.

It has the shape of the programs that the `command` engine calls. State, releases and databases
live in the folder that TWO_LANE_STATE names. RELEASE_ENV may hold an environment's variables in
dotenv form. Results are JSON on stdout, progress goes to stderr.

Exit codes: 0 done, 1 failed, 2 unusable input, 130/143 stopped by a signal.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

# So that it also runs as `python3 -I`, which leaves the program's own folder out of the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from environments import Environment
from problems import EngineError, Stopped, UnusableInput
from releases import Releases
from rollout import run_job, roll_out
from state import State

EXAMPLE = Path(__file__).resolve().parents[2]


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    arguments = _parser().parse_args()
    try:
        state = State.from_environment(os.environ)
        return int(arguments.run(state, arguments))
    except EngineError as error:
        print(f"engine.py: {error}", file=sys.stderr)
        return error.exit_code
    except Stopped as stopped:
        print(f"engine.py: stopped by {stopped.signal.name}", file=sys.stderr)
        return 128 + stopped.signal


def _stop(number: int, _frame: FrameType | None) -> None:
    # Cleaning up must not be interrupted by the second of two signals.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise Stopped(signal.Signals(number))


def _build(state: State, arguments: argparse.Namespace) -> int:
    release = Releases(state).build(arguments.service, arguments.sha, EXAMPLE)
    return _print({"service": release.service, "image": release.image, "digest": release.digest})


def _exists(state: State, arguments: argparse.Namespace) -> int:
    release = Releases(state).find(arguments.image)
    if release is None:
        return 1
    print(release.digest)
    return 0


def _roll_out(state: State, arguments: argparse.Namespace) -> int:
    release = Releases(state).of(arguments.image, service=arguments.service, sha=arguments.sha)
    environment = Environment(state, arguments.environment)
    return _print(roll_out(environment, release, os.environ, timeout=arguments.timeout))


def _running(state: State, arguments: argparse.Namespace) -> int:
    return _print(Environment(state, arguments.environment).running())


def _job(state: State, arguments: argparse.Namespace) -> int:
    release = Releases(state).of(arguments.image, service=arguments.service, sha=arguments.sha)
    environment = Environment(state, arguments.environment)
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise UnusableInput("a job needs a command: … ENVIRONMENT -- alembic upgrade head")
    return run_job(environment, release, argv, os.environ)


def _logs(state: State, arguments: argparse.Namespace) -> int:
    for line in Environment(state, arguments.environment).log(arguments.service, arguments.lines):
        print(line)
    return 0


def _urls(state: State, arguments: argparse.Namespace) -> int:
    return _print(Environment(state, arguments.environment).urls())


def _stop_all(state: State, arguments: argparse.Namespace) -> int:
    names = [arguments.environment] if arguments.environment else state.environment_names()
    for name in names:
        Environment(state, name).stop()
    return 0


def _print(value: object) -> int:
    print(json.dumps(value, sort_keys=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="engine.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, *positional: str, about: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=about, description=about)
        one.set_defaults(run=run)
        for argument in positional:
            one.add_argument(argument.lower(), metavar=argument)
        return one

    four = ("SERVICE", "IMAGE", "SHA", "ENVIRONMENT")
    command("build", _build, "SERVICE", "SHA", about="make a release from the work tree")
    command("exists", _exists, "IMAGE", about="print an image's digest; 1 if it is not there")
    out = command("roll-out", _roll_out, *four, about="start a release beside the old, then switch")
    out.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="default: 60")
    command("running", _running, "ENVIRONMENT", about="what runs now, as JSON")
    job = command("job", _job, *four, about="run one command in an image, to its end")
    job.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- ARGV...")
    logs = command("logs", _logs, "SERVICE", "ENVIRONMENT", about="the last lines of a service")
    logs.add_argument("-n", dest="lines", type=int, default=50, help="how many; default: 50")
    command("urls", _urls, "ENVIRONMENT", about="where an environment answers, as JSON")
    stop = command("stop", _stop_all, about="stop an environment, or all of them")
    stop.add_argument("environment", nargs="?", metavar="ENVIRONMENT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
