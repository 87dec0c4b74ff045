"""Runs a program given as a list of arguments: never through a shell, with a time limit, its output bounded.

The program gets its own process group, and the whole group is ended: a child that it left behind would hold the
deploy's locks, ports and files.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from cicd_actions.toolkit.background import Background
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.lines import Line, Lines
from cicd_actions.toolkit.redaction import CUT, Redactor

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL: within the 7.5 s that GitHub's runner gives a cancelled job."""

_RUNNING: set[subprocess.Popen[bytes]] = set()


def filled(words: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Replaces `{name}` by values, each within its word: a value can never become a second argument."""
    return tuple(_filled(word, values) for word in words)


def _filled(word: str, values: Mapping[str, str]) -> str:
    # One pass from the left, so that a value which looks like a placeholder is not filled in turn.
    out: list[str] = []
    at = 0
    while at < len(word):
        end = word.find("}", at)
        name = word[at + 1 : end] if word[at] == "{" and end > at else ""
        if name and name in values:
            out.append(values[name])
            at = end + 1
        else:
            out.append(word[at])
            at += 1
    return "".join(out)


@dataclass(frozen=True)
class Finished:
    """How a program ended. `exit_code` is negative for the signal that ended it; `cut` says that output was dropped.

    A program that no signal of this user reaches counts as ended by SIGTERM, although it may still run.
    """

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool
    cut: bool


def run(  # noqa: PLR0913 - a program's surroundings are many
    words: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    on_line: Line | None = None,
    redactor: Redactor | None = None,
    limit: int = 4 * 1024 * 1024,
    grace: float = GRACE,
    gently: bool = False,
) -> Finished:
    """Runs the program for at most `timeout` seconds and keeps at most `limit` characters of each of its streams.

    Whatever ends the call early (the deadline, a cancellation) ends the program and its children too: SIGTERM, and SIGKILL
    `grace` seconds later. `gently` interrupts the program alone first: one with helpers (Terraform has) ends them itself.
    `on_line` gets the lines within the bounds of `lines.Lines`; `redactor` keeps the cuts of a very long line out of its
    secrets. Raises `UnusableInput` when the program cannot be started.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise UnusableInput(
            f"Could not start the program `{words[0]}`: {getattr(error, 'strerror', None) or error}.",
            cause="It is not installed, not on PATH, or not executable; a path is taken from the working directory.",
        ) from None
    streams = {"stdout": _Stream(process.stdout, limit), "stderr": _Stream(process.stderr, limit)}
    given = _Input(process.stdin)
    lines = {name: Lines(name, on_line, redactor) for name in streams} if on_line is not None else {}
    readers: dict[str, Background[None]] = {}
    timed_out = False
    try:
        _RUNNING.add(process)
        for name, stream in streams.items():
            readers[name] = Background(partial(stream.read, lines.get(name)))
        Background(partial(given.write, stdin))
        # `process.wait` with a time limit looks every 50 ms; without one, in a thread, it knows at once.
        timed_out = not Background(process.wait).wait(max(timeout - (time.monotonic() - started), 0.001))
    finally:
        if gently and process.poll() is None:
            _interrupt(process, grace)
        # Also after a good end: a child in the background would keep the pipes open, and the readers waiting.
        end(process, grace)
        _RUNNING.discard(process)
        given.close()
        # Also when cancelled: what the program says on SIGTERM is still handed over.
        last = time.monotonic() + GRACE
        for name, stream in streams.items():
            # The cancellation may come before a reader was started, or just as it was: the first one has the pipe.
            if name in readers:
                readers[name].wait(max(last - time.monotonic(), 0))
            else:
                stream.close()
    for reader in readers.values():
        if reader.wait(0):
            reader.result()  # raises what `on_line` raised
    return Finished(
        argv=tuple(words),
        exit_code=-signal.SIGTERM if process.returncode is None else process.returncode,
        stdout=streams["stdout"].text,
        stderr=streams["stderr"].text,
        seconds=time.monotonic() - started,
        timed_out=timed_out,
        cut=any(stream.cut for stream in streams.values()),
    )


def end(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """Ends the program's whole group: SIGTERM, and SIGKILL after `grace` seconds.

    A program with another user's rights (`sudo`) takes neither, and is left alone after as long again.
    """
    running = process.poll() is None
    _signal(process, signal.SIGTERM)
    if running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    _signal(process, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def _end_all() -> None:
    """Ends what threads in the background still run when the action exits: nothing would hold it to its time limit."""
    for process in list(_RUNNING):
        end(process, 0)


atexit.register(_end_all)


def _interrupt(process: subprocess.Popen[bytes], grace: float) -> None:
    process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        if os.name == "posix":
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    except (ProcessLookupError, PermissionError):
        return  # the group is gone already, or is another user's


class _Pipe:
    """One end of a pipe that a thread works on: only the first to ask for it has it, and closes it.

    A second thread must not close it meanwhile: closing waits for the one that reads or writes. That may be forever where a
    child in another session, which outlived the program, has the other end.
    """

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = cast("IO[bytes]", pipe)
        self._owned = threading.Lock()

    def close(self) -> None:
        """Closes the pipe, unless another thread has it: then that one closes it."""
        if self._owned.acquire(blocking=False):
            self._pipe.close()


class _Input(_Pipe):
    def write(self, text: str) -> None:
        """Writes the text and closes the pipe. A program may end, or close its input, without reading it."""
        # Closing flushes, so it can meet the same.
        if self._owned.acquire(blocking=False):
            with contextlib.suppress(BrokenPipeError), self._pipe as pipe:
                pipe.write(text.encode())


class _Stream(_Pipe):
    def __init__(self, pipe: IO[bytes] | None, limit: int) -> None:
        super().__init__(pipe)
        self._left = limit
        self._parts: list[str] = []
        self.cut = False

    @property
    def text(self) -> str:
        """Returns what was kept; the mark of a cut at its end lets the redactor find the beginning of a secret there."""
        return "".join(self._parts) + (CUT if self.cut else "")

    def read(self, lines: Lines | None) -> None:
        """Reads to the end of the pipe, in pieces: a program that never ends a line cannot fill the memory."""
        if not self._owned.acquire(blocking=False):
            return
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with cast("io.BufferedReader", self._pipe) as pipe:
            while piece := pipe.read1(65536):
                self._take(decoder.decode(piece), lines)
            self._take(decoder.decode(b"", final=True), lines)
            if lines is not None:
                lines.close()

    def _take(self, text: str, lines: Lines | None) -> None:
        if self._left > 0:
            self._parts.append(text[: self._left])
        self.cut = self.cut or len(text) > self._left
        self._left = max(self._left - len(text), 0)
        if lines is not None:
            lines.feed(text)
