"""A demo that runs in a separate process, and what it left behind."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 480
"""Seconds until a demo counts as hanging, before its test does; it takes about 150 on two idle cores."""


class Demo(contextlib.AbstractContextManager["Demo"]):
    """A demo that runs, and what it has said so far. Leaving its block ends it if it still runs."""

    def __init__(self, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "demo", "--plain", *arguments]
        environment = {**os.environ, **(variables or {})}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said: list[str] = []
        self._limit = threading.Timer(LIMIT, self.process.kill)
        self._limit.start()

    def lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            yield line

    def end(self) -> int:
        """Read to the end; the exit code."""
        for _ in self.lines():
            pass
        return self.process.wait()

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        # What it left behind may hold its output open: read no further.
        self.process.wait()
        self._limit.cancel()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def text(self) -> str:
        return "".join(self.said)

    def jobs(self) -> dict[str, list[str]]:
        """The table of the jobs: the sign of each commit's result, by job."""
        rows = [line.split("|") for line in self.text.splitlines() if line.startswith("| ")]
        return {row[1].strip(): [cell.strip()[:1] for cell in row[2:4]] for row in rows}

    @property
    def folder(self) -> Path:
        found = re.search(r"Logs and reports: (\S+)", self.text)
        assert found, self.text
        return ROOT / found[1]


def left_running(folder: Path) -> list[str]:
    """Command lines of processes that have to do with a demo's folder: by arguments, environment or working directory."""
    marker, found = str(folder).encode(), []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            about = (
                (process / "cmdline").read_bytes()
                + (process / "environ").read_bytes()
                + os.fsencode((process / "cwd").readlink())
            )
        except OSError:
            continue
        if marker in about:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found
