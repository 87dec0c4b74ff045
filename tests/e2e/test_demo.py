"""The demo itself, for real: the example's own tools, its own engine, the actions as they are."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1800
"""Seconds until a demo counts as hanging; it takes about 150 on two idle cores."""

pytestmark = [pytest.mark.network, pytest.mark.node]


class Demo(contextlib.AbstractContextManager["Demo"]):
    """A demo that runs, and what it has said so far. Leaving its block ends it if it still runs."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "demo", "--plain", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
        self.process.communicate()
        self._limit.cancel()

    @property
    def text(self) -> str:
        return "".join(self.said)

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


def test_a_broken_contract_is_red_where_it_has_to_be_and_the_first_release_still_runs() -> None:
    with Demo("--break", "contract") as demo:
        assert demo.end() == 0, demo.text
    text = demo.text
    assert "The pipeline was red, as it had to be." in text
    table = {
        line.split("|")[1].strip(): [cell.strip()[:1] for cell in line.split("|")[2:4]]
        for line in text.splitlines()
        if line.startswith("| ")
    }
    assert table["verify / api"] == ["✓", "✓"]
    assert table["verify / web"] == ["✓", "✗"]
    assert table["build / api"] == ["✓", "–"]
    assert table["production / deploy"] == ["✓", "–"]
    assert re.search(r"The committed client is the generated one", text)
    assert (demo.folder / "report.md").read_text().count("✗") >= 2
    assert "==" in (demo.folder / "logs" / "run-1.log").read_text()
    assert left_running(demo.folder) == []


def test_a_release_that_never_becomes_ready_is_taken_back() -> None:
    with Demo("--break", "health") as demo:
        assert demo.end() == 0, demo.text
    assert "The pipeline was red, as it had to be." in demo.text
    assert "SEARCH_URL is not set" in demo.text
    assert left_running(demo.folder) == []


def test_interrupted_in_the_middle_of_a_deployment_it_leaves_nothing_running() -> None:
    with Demo() as demo:
        for line in demo.lines():
            if "staging / deploy" in line and "Roll out" in line:
                assert left_running(demo.folder), "the environment should be up by now"
                demo.process.send_signal(signal.SIGINT)
                break
        assert demo.end() == 130, demo.text
    assert "nothing is left running" in demo.text
    assert left_running(demo.folder) == []
