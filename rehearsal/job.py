"""Runs a job of a workflow file on this machine as a runner does: its steps in their order, each under its own condition.

The steps come from the file, so a rehearsal runs what a deploy runs. A step that uses this repository's actions is a process;
third-party actions (checkout, the clouds' logins) are skipped. A cancelled step gets SIGINT, SIGTERM 7.5 s later and SIGKILL
2.5 s after that, as GitHub documents it, and then the steps run whose condition asks for it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.yaml12 import plain, read
from rehearsal.evaluation import condition, filled

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 180.0
"""Seconds for one step: a runner ends a job at its own limit, minutes later."""


@dataclass
class Step:
    """A step: its times on the monotonic clock, and what it said. One that was skipped has no end."""

    name: str
    began: float
    outcome: str = "skipped"
    ended: float | None = None
    code: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""


@dataclass
class Job:
    """A job while it runs, and afterwards. `on_step` is called with a step's id before each step that runs.

    `contexts` has `inputs`, `secrets`, `vars`, `github` and `needs`.
    """

    workflow: Path
    name: str
    contexts: dict[str, Any]
    environment: Mapping[str, str]
    folder: Path
    on_step: Callable[[str], None] = lambda _: None
    status: str = "success"
    steps: dict[str, Step] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.killed = False

    def run(self) -> None:
        """Runs the job to its end."""
        described: Any = plain(read(self.workflow.read_text("utf-8")).root)["jobs"][self.name]
        for number, step in enumerate(described["steps"]):
            ours = str(step.get("uses", "$/")).startswith("$/")
            contexts = self._contexts()
            key = step.get("id") or str(step.get("name") or number)
            if self.killed or not ours or not condition(str(step.get("if", "")), contexts, self.status):
                self.steps[key] = Step(key, time.monotonic())
                continue
            self.on_step(key)
            self._run(key, step, contexts)
        found = self._contexts()
        self.outputs = {key: filled(str(text), found, self.status) for key, text in described.get("outputs", {}).items()}

    @property
    def log(self) -> str:
        """What each step that ran said."""
        ran = {key: step for key, step in self.steps.items() if step.ended}
        return "\n".join(f"--- {key}: {step.outcome} {step.outputs}\n{step.log}" for key, step in ran.items())

    def cancel(self) -> None:
        """Cancels the job, as a person does on GitHub's page: the step that runs is told, and then given up."""
        self.status = "cancelled"
        for number, patience in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 0.0)):
            process = self._process
            if process is None or process.poll() is not None:
                return
            process.send_signal(number)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue

    def kill(self) -> None:
        """Ends the job as a runner that is lost does: nothing is told, and no later step runs."""
        self.killed = True
        if self._process is not None:
            self._process.kill()

    def _contexts(self) -> dict[str, Any]:
        steps = {
            key: {"outputs": step.outputs, "outcome": step.outcome, "conclusion": step.outcome}
            for key, step in self.steps.items()
        }
        return {**self.contexts, "steps": steps, "job": {"status": self.status}}

    def _run(self, key: str, step: Mapping[str, Any], contexts: Mapping[str, Any]) -> None:
        ran = self.steps[key] = Step(str(step.get("name", key)), time.monotonic())
        variables = {name: filled(str(text), contexts, self.status) for name, text in step.get("env", {}).items()}
        if "run" in step:
            self._program(ran, step["run"], variables, ROOT)
        else:
            self._action(ran, step, variables, contexts)
        ran.ended = time.monotonic()
        ran.outcome = "success" if not ran.code else "cancelled" if self.status == "cancelled" else "failure"
        if ran.code and self.status == "success" and not step.get("continue-on-error"):
            self.status = "failure"

    def _action(self, ran: Step, step: Mapping[str, Any], variables: dict[str, str], contexts: Mapping[str, Any]) -> None:
        """Runs a composite action of one step."""
        folder = ROOT / step["uses"].removeprefix("$/")
        action: Any = plain(read((folder / "action.yml").read_text("utf-8")).root)
        given = {name: filled(str(text), contexts, self.status) for name, text in step.get("with", {}).items()}
        inner = {**contexts, "inputs": {}}
        inputs = {
            name: given.get(name, filled(str(each.get("default", "")), inner))
            for name, each in action.get("inputs", {}).items()
        }
        (only,) = action["runs"]["steps"]
        inner = {**contexts, "inputs": inputs}
        more = {name: filled(str(text), inner) for name, text in only.get("env", {}).items()}
        self._program(ran, only["run"], {**variables, **more}, folder)
        inner = {**contexts, "steps": {only.get("id", ""): {"outputs": ran.outputs}}}
        ran.outputs = {name: filled(str(each["value"]), inner) for name, each in action.get("outputs", {}).items()}

    def _program(self, ran: Step, script: str, variables: Mapping[str, str], folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            output, summary, said = Path(name, "output"), Path(name, "summary"), Path(name, "said")
            output.touch()
            environment = {
                **self.environment,
                **variables,
                "GITHUB_ACTION_PATH": str(folder),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
            }
            # `set -e` as GitHub starts it. A separate session: an interrupt of the rehearsal is the rehearsal's.
            words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
            with said.open("wb") as log:
                process = subprocess.Popen(
                    words,
                    cwd=self.folder,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
                self._process = process
                try:
                    ran.code = process.wait(LIMIT)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    ran.code = process.wait()
                self._process = None
            ran.outputs = outputs(output.read_text("utf-8"))
            ran.log = said.read_text("utf-8", "replace")


def outputs(text: str) -> dict[str, str]:
    """Reads a file of outputs: `name=value`, or several lines between a delimiter."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if several := re.fullmatch(r"([^=\s]+)<<(.+)", line):
            value = []
            for each in lines:
                if each == several[2]:
                    break
                value.append(each)
            found[several[1]] = "\n".join(value)
        else:
            name, _, value_ = line.partition("=")
            found[name] = value_
    return found
