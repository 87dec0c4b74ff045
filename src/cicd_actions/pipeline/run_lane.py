"""`run-lane`: installs a lane, prepares it, and runs each of its checks whatever the others do."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cicd_actions.pipeline.reports import NotAReport, Tests, coverage, junit
from cicd_actions.pipeline_file.rules import PLACEHOLDER
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.grammar import argv, choice, duration, string
from cicd_actions.toolkit.inputs import declare, load
from cicd_actions.toolkit.process import filled
from cicd_actions.toolkit.report import Block, Code, Heading, Inline, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_migrations import inputs as migrations
from cicd_actions.verify_migrations import run as verify_migrations

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL: within the 7.5 s that GitHub's runner gives a cancelled job."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The job's settings, as the plan made them."""

    job: str = declare(string, "Settings of the job as JSON, from the output `jobs` of the plan.", required=True)
    services: str = declare(string, "The context `job.services` as JSON.", default="{}")
    part: str = declare(
        choice("checks", "openapi", "migrations"),
        "`checks` runs the lane; `openapi` installs it and exports its document; `migrations` verifies the migrations of a lane"
        " that is installed.",
        default="checks",
    )
    base: str = declare(string, "`migrations`: the commit that runs now.")
    root: str = declare(string, "Folder of the repository.", default=".")
    spec: str = declare(string, "Where `openapi` writes the document.")


@dataclass
class Outcome:
    """How a check ended. `why` is empty where it passed; `percent` is its coverage, `None` where it tells none."""

    name: str
    why: str = ""
    seconds: float = 0.0
    tests: Tests | None = None
    percent: float | None = None
    findings: list[Finding] = field(default_factory=list)


class Lane:
    """One job of a lane on this machine."""

    def __init__(self, inputs: Inputs, runtime: Runtime) -> None:
        self.settings: dict[str, Any] = json.loads(inputs.job)
        self.root = (runtime.workspace / inputs.root).resolve()
        self.directory = self.root / self.settings["directory"]
        self.runtime = runtime
        self.variables = {**runtime.environment.for_programs(), **self._env(json.loads(inputs.services or "null") or {})}
        if not self.directory.is_dir():
            raise UnusableInput(
                f"Could not run the lane `{self.settings['lane']}`: the folder {self.settings['directory']} does not exist.",
                fix=f"    lanes:\n      {self.settings['lane']}:\n        directory: apps/api",
            )

    def _env(self, services: Mapping[str, Any]) -> dict[str, str]:
        """Returns the lane's variables, with the addresses of its containers filled in. Raises `UnusableInput`."""
        addresses: dict[str, tuple[str, str]] = {}
        for name, port in self.settings.get("backing", {}).items():
            ports = (services.get(name) or {}).get("ports") or {}
            if not ports.get(str(port)):
                raise UnusableInput(
                    f"Could not reach the container `{name}` of `{self.settings['lane']}`: this runner did not start it.",
                    cause="Containers need a Linux runner with Docker.",
                    fix=f"    lanes:\n      {self.settings['lane']}:\n        runs-on: ubuntu-latest",
                )
            # Containers of one network know each other by name, and no published port leads from one to the other.
            inside = bool(self.settings.get("container"))
            addresses[name] = (name, str(port)) if inside else ("127.0.0.1", str(ports[str(port)]))

        def filled_in(match: re.Match[str]) -> str:
            address = addresses.get(match[1])
            if address is None:
                return match[0]
            return {".host": address[0], ".port": address[1]}.get(match[2] or "", ":".join(address))

        return {name: PLACEHOLDER.sub(filled_in, text) for name, text in self.settings.get("env", {}).items()}

    def install(self) -> None:
        """Installs. Raises `Failed`."""
        for each in self.settings.get("install", []):
            self._must(each["run"], "Install", self.root / each["directory"])

    def prepare(self) -> None:
        """Prepares. Raises `Failed`."""
        for command in self.settings.get("prepare", []):
            self._must(command, "Prepare", self.directory)

    def export(self, path: Path) -> None:
        """Exports the OpenAPI document. Raises `Failed`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._must(self.settings["openapi"], "Export the OpenAPI document", self.directory, {"spec": str(path)})
        if not path.is_file() or not path.stat().st_size:
            raise Failed(
                f"`openapi` of the lane `{self.settings['lane']}` succeeded but did not write the OpenAPI document.",
                fix=f"Let the command write the file `{{spec}}`:\n\n    openapi: {self.settings['openapi']}",
            )

    def check(self, name: str, settings: Mapping[str, Any]) -> Outcome:
        """Runs a check and reads its reports."""
        outcome = Outcome(name)
        reports = {kind: self.directory / settings[kind] for kind in ("junit", "coverage") if kind in settings}
        before = {kind: _written(path) for kind, path in reports.items()}
        variables = {**self.variables, **settings.get("env", {})}
        timeout = duration(settings["timeout"]) if "timeout" in settings else None
        started = time.monotonic()
        with self.runtime.group(f"{name}: {settings['run']}"):
            outcome.why = self._run(settings["run"], self.directory, variables, timeout)
        outcome.seconds = time.monotonic() - started
        fresh = {kind: path for kind, path in reports.items() if _written(path) != before[kind]}
        if "junit" in reports:
            self._read_tests(outcome, reports["junit"], written="junit" in fresh)
        if "coverage" in reports:
            self._read_coverage(outcome, reports["coverage"], settings.get("minimum-coverage"), written="coverage" in fresh)
        if outcome.why and not outcome.findings:
            outcome.findings.append(self._finding(name, f"{name}: {outcome.why}"))
        return outcome

    def _read_tests(self, outcome: Outcome, path: Path, *, written: bool) -> None:
        try:
            if not written:
                raise NotAReport(f"{path.name} was not written by this run")
            outcome.tests = junit(path, self.directory)
        except NotAReport as error:
            outcome.findings.append(self._finding(outcome.name, f"{outcome.name}: {error}", Severity.WARNING))
            return
        for each in outcome.tests.failures:
            place = (self.directory / each.file).relative_to(self.root).as_posix() if each.file else ""
            message = f"{each.test}: {each.message}"
            outcome.findings.append(Finding(f"lane/{outcome.name}", Severity.ERROR, message, place, each.line))
        if outcome.tests.failures and not outcome.why:
            outcome.why = f"{path.name} reports {len(outcome.tests.failures)} failed tests, though the command succeeded"

    def _read_coverage(self, outcome: Outcome, path: Path, least: float | None, *, written: bool) -> None:
        try:
            if not written:
                raise NotAReport(f"{path.name} was not written by this run")
            outcome.percent = coverage(path)
        except NotAReport as error:
            severity = Severity.WARNING if least is None or outcome.why else Severity.ERROR
            outcome.findings.append(self._finding(outcome.name, f"{outcome.name}: {error}", severity))
            outcome.why = outcome.why or (f"its coverage is not known: {error}" if least is not None else "")
            return
        if least is not None and outcome.percent < least:
            # Rounded down: 79.96 % of a minimum of 80 % must not read as 80.0 %.
            short = f"{int(outcome.percent * 10) / 10:.1f} % of the lines are covered, and {least:g} % are the minimum"
            outcome.findings.append(self._finding(outcome.name, f"{outcome.name}: {short}"))
            outcome.why = outcome.why or short

    def _finding(self, name: str, message: str, severity: Severity = Severity.ERROR) -> Finding:
        return Finding(f"lane/{name}", severity, message)

    def _must(self, command: str, what: str, folder: Path, values: Mapping[str, str] | None = None) -> None:
        with self.runtime.group(f"{what}: {command}"):
            why = self._run(command, folder, self.variables, None, values)
        if why:
            raise Failed(
                f"{what} failed in the lane `{self.settings['lane']}`: {why}.",
                cause=f"The command was `{command}`, run in {folder.relative_to(self.root).as_posix() or '.'}.",
            )

    def _run(
        self,
        command: str,
        folder: Path,
        variables: Mapping[str, str],
        timeout: float | None,
        values: Mapping[str, str] | None = None,
    ) -> str:
        """Runs a command, its output as it is in the log; returns why it failed, or nothing."""
        words = filled(argv(command), values or {})
        try:
            process = subprocess.Popen(
                words, cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, stdout=self._log(), start_new_session=True
            )
        except OSError as error:
            return f"`{words[0]}` could not be started: {error.strerror}"
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"it did not end within {timeout:g} s"
        except BaseException:
            _end(process)
            raise
        return "" if code == 0 else f"it ended with exit code {code}" if code > 0 else f"it was ended by signal {-code}"

    def _log(self) -> int:
        """Returns where programs print to: where the log goes."""
        try:
            return self.runtime.log_stream.fileno()
        except OSError:
            return subprocess.DEVNULL


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the program and the programs that it started. (One that ended by itself may leave a server for the next command.)"""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            return


def _written(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs the lane, or exports its document. Raises `Failed` where it could not be installed, and `UnusableInput`."""
    lane = Lane(inputs, runtime)
    if inputs.part == "migrations":
        return _verified(lane, inputs.base, runtime)
    lane.install()
    if inputs.part == "openapi":
        path = Path(inputs.spec).absolute()
        lane.export(path)
        return Report(Verdict.PASS, f"Exported the OpenAPI document of `{lane.settings['lane']}`.", {"installed": True})
    try:
        lane.prepare()
    except Failed as error:
        # Not raised: what follows in the job (the client's check) needs only what was installed.
        finding = Finding("lane/prepare", Severity.ERROR, f"{error.what}\n{error.cause}")
        return Report(Verdict.FAIL, f"{error.what} No check ran.", {"installed": True}, [finding])
    outcomes = [lane.check(each["name"], each) for each in lane.settings.get("checks", [])]
    failed = [each.name for each in outcomes if each.why]
    headline = (
        f"{len(failed)} of {len(outcomes)} checks failed: {', '.join(failed)}." if failed else f"{len(outcomes)} checks passed."
    )
    findings = [finding for each in outcomes for finding in each.findings]
    verdict = Verdict.FAIL if failed else Verdict.PASS
    return Report(verdict, headline, {"installed": True}, findings, _blocks(outcomes))


def _verified(lane: Lane, base: str, runtime: Runtime) -> Report:
    """Runs verify-migrations with the lane's variables: an env.py may read any of them."""
    settings = lane.settings["migrations"]
    given = {
        "working-directory": lane.settings["directory"],
        "command": settings["command"],
        "database-url-variable": settings["variable"],
        "base-ref": base,
        "base-install-command": settings["base-install-command"],
        # The lane's checks have used the server, and the databases of this check are separate.
        "allow-other-data": "true",
    }
    inputs = load(migrations.Inputs, given, runtime.redactor)
    surroundings = dataclasses.replace(runtime, variables={**runtime.variables, **lane.variables})
    report = verify_migrations.run(inputs, surroundings)
    return dataclasses.replace(report, outputs={"installed": True})


def _blocks(outcomes: list[Outcome]) -> list[Block]:
    rows: list[tuple[Inline, ...]] = [
        (each.name, f"❌ {each.why}" if each.why else "✅", f"{each.seconds:.1f} s", _tests(each.tests), _percent(each.percent))
        for each in sorted(outcomes, key=lambda each: not each.why)
    ]
    blocks: list[Block] = [Table(("check", "result", "time", "tests", "coverage"), rows)] if rows else []
    slowest = [(seconds, test) for each in outcomes if each.tests for seconds, test in each.tests.slowest()]
    if slowest:
        table = [(Code(test), f"{seconds:.2f} s") for seconds, test in sorted(slowest, reverse=True)[:5]]
        blocks += [Heading("Slowest tests"), Table(("test", "time"), table)]
    return blocks


def _tests(tests: Tests | None) -> str:
    if tests is None:
        return ""
    words = [f"{tests.total - tests.skipped - len(tests.failures)} passed"]
    words += [f"{len(tests.failures)} failed"] if tests.failures else []
    words += [f"{tests.skipped} skipped"] if tests.skipped else []
    return ", ".join(words)


def _percent(percent: float | None) -> str:
    return "" if percent is None else f"{int(percent * 10) / 10:.1f} %"


ACTION = Action(
    name="run-lane",
    summary="Installs a lane, prepares it, and runs each of its checks whatever the others do.",
    inputs=Inputs,
    outputs=(Output("installed", "`true` once the packages are installed."),),
    run="cicd_actions.pipeline.run_lane.run",
    icon="check",
    color="blue",
)
