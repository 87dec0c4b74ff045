"""Runs an action as a step does: a separate process, inputs in INPUTS, one JSON object on standard output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.background import Background
from tests.harness.measuring import MEASURED

ROOT = Path(__file__).resolve().parents[2]
UNTIL_SIGTERM = 7.5
"""Seconds from the SIGINT of GitHub's runner to its SIGTERM: the deadline of an action that is cancelled."""


@dataclass(frozen=True)
class Ended:
    """How it went: the exit code, the outputs, the findings, and everything it logged."""

    code: int
    outputs: dict[str, str]
    findings: list[dict[str, Any]]
    log: str


class Step:
    """One run of an action; `log` grows while it runs."""

    def __init__(self, name: str, inputs: Mapping[str, str], folder: Path | None = None, **variables: str) -> None:
        given = {"INPUTS": json.dumps(dict(inputs)), "PYTHONPATH": str(ROOT / "src"), **MEASURED}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cicd_actions", name, "--json"],
            env={**os.environ, **given, **variables},
            cwd=folder or ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        # Beside it: a process that a run leaves behind may hold its output open.
        self._said = Background(self._read_output)

    @property
    def log(self) -> str:
        """What it has logged so far."""
        with self._news:
            return "\n".join(self._lines)

    def await_log(self, text: str, seconds: float = 60) -> None:
        """Wait until it has logged `text`."""
        with self._news:
            assert self._news.wait_for(lambda: any(text in line for line in self._lines), seconds), "\n".join(self._lines)

    def cancel(self) -> None:
        """What GitHub's runner sends first."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it without a chance to clean up, as a lost runner does."""
        self._process.kill()
        self.end()

    def end(self, seconds: float = 180) -> Ended:
        """Wait for its end."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"it did not end:\n{self.log}") from None
        self._reader.join(60)
        text = self._said.result(60)
        said = json.loads(text) if text.strip() else {"outputs": {}, "findings": []}
        return Ended(self._process.returncode, said["outputs"], said["findings"], self.log)

    def _read_output(self) -> str:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            return stream.read()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()


def run(name: str, inputs: Mapping[str, str], folder: Path | None = None, **variables: str) -> Ended:
    """Run an action to its end."""
    return Step(name, inputs, folder, **variables).end()
