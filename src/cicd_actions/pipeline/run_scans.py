"""`run-scans`: runs the scanners of the pipeline file, so that each leaves a report or none."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.pipeline.scans import FOLDER
from cicd_actions.scan_gate.inputs import BASELINE
from cicd_actions.toolkit import git
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.grammar import argv, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.process import filled
from cicd_actions.toolkit.report import Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

TIMEOUT = 600.0
"""Seconds for one scanner."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the plan says of the scans."""

    scans: str = declare(string, "The scans as JSON, from the plan.", required=True)


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs every scanner, whatever the others do. scan-gate judges, so this passes."""
    settings: dict[str, Any] = json.loads(inputs.scans)
    # Not in the work tree, which a scanner of secrets reads.
    folder = (runtime.scratch or Path(tempfile.mkdtemp())) / "scan-reports"
    folder.mkdir(exist_ok=True)
    variables = runtime.environment.for_programs()
    rows = []
    for each in settings["commands"]:
        report = runtime.workspace / each["report"].replace(FOLDER, str(folder))
        rows.append((each["name"], _scan(each, report, variables, runtime)))
    outputs = {
        "reports": settings["reports"].replace(FOLDER, str(folder)),
        "baseline": _baseline(settings.get("base", ""), folder, runtime),
    }
    return Report(Verdict.PASS, f"{len(rows)} scans ran.", dict(outputs), blocks=[Table(("scan", "ended"), rows)])


def _scan(scan: Mapping[str, Any], report: Path, variables: Mapping[str, str], runtime: Runtime) -> str:
    """Returns how a scanner ended. One that failed leaves no report, whatever it wrote: its scan proves nothing."""
    report.unlink(missing_ok=True)
    if not scan["run"]:
        return "not run: this package manager's lock file has no usual audit; write a scan of `more`"
    words = filled(argv(scan["run"]), {"report": str(report)})
    # A file, not a pipe: a child that the scanner leaves running may keep its output open.
    with runtime.group(f"{scan['name']}: {scan['run']}"), tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                words,
                cwd=runtime.workspace / scan["directory"],
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _failed(report, f"it did not end within {TIMEOUT:g} s")
        except OSError as error:
            return _failed(report, f"`{words[0]}` could not be started: {error.strerror}")
        output.seek(0)
        printed = output.read()
        if scan.get("printed"):
            report.write_bytes(printed)
        elif printed:
            runtime.log(printed.decode("utf-8", "replace"))
    # Findings are exit code 1 for every scanner of ours.
    return "complete" if done.returncode in {0, 1} else _failed(report, f"it ended with exit code {done.returncode}")


def _failed(report: Path, why: str) -> str:
    report.unlink(missing_ok=True)
    return f"failed: {why}"


def _baseline(base: str, folder: Path, runtime: Runtime) -> str:
    """Returns the baseline of the commit that a change starts from: the change's own could accept what it adds."""
    if not base or base.startswith("-"):
        return BASELINE if (runtime.workspace / BASELINE).is_file() else ""
    words = git.command("show", f"{base}:{BASELINE}")
    done = subprocess.run(words, env=git.variables(os.environ), capture_output=True, timeout=30, check=False)
    if done.returncode:
        return ""
    path = folder / "baseline.json"
    path.write_bytes(done.stdout)
    return str(path)


ACTION = Action(
    name="run-scans",
    summary="Runs the security scanners of the pipeline file; scan-gate judges their reports.",
    inputs=Inputs,
    outputs=(
        Output("reports", "Lines of scan-gate's input `reports`."),
        Output("baseline", "Known findings of the commit that a change starts from; empty without a file."),
    ),
    run="cicd_actions.pipeline.run_scans.run",
    icon="shield",
    color="blue",
)
