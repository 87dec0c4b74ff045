"""Processes that outlive the program that starts them, and that are never mistaken for others.

A process records itself, in its own folder entry, before the program proper runs: it writes
`ID.json` with its pid and start time, takes away `ID.starting`, and becomes the program. So a
running process is always on record, whatever is killed. Stopping takes the
`.starting` files away first: a process that has not come so far ends by itself.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

if __name__ == "__main__":  # started with -I, as the first half of a process; see become()
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from state import read_json, write_json

_MARK = "TWO_LANE_PROCESS"
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A recorded process. `started` tells it from a later one that got the same pid."""

    record: Path
    pid: int
    started: str

    @property
    def id(self) -> str:
        return self.record.stem

    def alive(self) -> bool:
        return _started(self.pid) == self.started

    def stop(self, *, grace: float = 5.0) -> None:
        """End it and what it started: politely, after `grace` seconds by force. Then forget it."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            deadline = time.monotonic() + patience
            for pid in self._members():
                _signal(pid, number)
            while self._members():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            else:
                break
        self.record.unlink(missing_ok=True)

    def _members(self) -> list[int]:
        """It, while it lives, and everything that inherited its mark."""
        own = [self.pid] if self.alive() else []
        return own + [pid for pid in _marked(self.id) if pid not in own]


def new_id(role: str) -> str:
    """An id for start(): known before the process is there, so that it can be stopped always."""
    return f"{role}-{secrets.token_hex(8)}"


def start(
    folder: Path,
    identifier: str,
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    output: IO[bytes] | None,
) -> subprocess.Popen[bytes]:
    """Starts a program in a separate session.

    Args:
        folder: where processes are recorded.
        identifier: from new_id().
        output: where stdout and stderr go; None for those of this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{identifier}.starting").touch()
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(folder), identifier, *argv],
        env={**environment, _MARK: identifier},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
    )


def recorded(folder: Path, ids: str = "*") -> Iterator[Process]:
    """The processes that have a record, running or not, whose id matches a pattern."""
    for path in sorted(folder.glob(f"{ids}.json")):
        found = read_json(path)
        if found is not None:
            yield Process(path, found["pid"], found["started"])


def find(folder: Path, identifier: str) -> Process | None:
    return next(recorded(folder, identifier), None)


def stop(folder: Path, *, ids: str = "*", keep: str | None = None) -> None:
    """Stop the processes whose id matches a pattern, those that are only about to start as well."""
    for path in folder.glob(f"{ids}.starting"):
        path.unlink(missing_ok=True)
    for process in recorded(folder, ids):
        if process.id != keep:
            process.stop()


def become(folder: Path, identifier: str, argv: list[str]) -> None:
    """The first half of a started process: record, then turn into the program."""
    record = folder / f"{identifier}.json"
    write_json(record, {"pid": os.getpid(), "started": _started(os.getpid())})
    try:
        (folder / f"{identifier}.starting").unlink()
    except FileNotFoundError:
        record.unlink(missing_ok=True)
        sys.exit("stopped before it began")
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


def _started(pid: int) -> str | None:
    """When a process started, as text that no other process ever has; None if it does not run."""
    if not _PROC.is_dir():
        return _started_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # "pid (name) state …": the name may hold anything, so count from the last parenthesis.
    # State is field 3 and the start time, in ticks since boot, field 22 of proc_pid_stat(5).
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[19]}"


def _started_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = done.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _marked(identifier: str) -> list[int]:
    """Processes that descend from the one with this id. Needs /proc; elsewhere none are found."""
    mark = f"{_MARK}={identifier}".encode()
    found = []
    for folder in _PROC.glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                pid = int(folder.name)
                if _started(pid) is not None:
                    found.append(pid)
        except OSError:
            continue  # gone meanwhile, or another user's: not ours
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself


if __name__ == "__main__":
    become(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
