"""Runs the gate on reports in a folder, within this process."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
from pathlib import Path
from typing import Any

from cicd_actions.scan_gate.inputs import Inputs
from cicd_actions.scan_gate.run import run
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from tests.unit.scan_gate.samples import NOW, written


def gate(folder: Path, documents: dict[str, Any], *, event: str = "push", **inputs: str) -> Report:
    """Judges the reports by file name, at `NOW`; `reports` names them all unless it is given."""
    return gate_at(NOW, folder, documents, event, inputs)


def gate_at(at: dt.datetime, folder: Path, documents: dict[str, Any], event: str, inputs: dict[str, str]) -> Report:
    """Judges them at another moment."""
    for name, document in documents.items():
        written(folder, name, document)
    given = {"reports": "\n".join(documents)} | {name.replace("_", "-"): value for name, value in inputs.items()}
    runtime = Runtime({"GITHUB_EVENT_NAME": event, "RUNNER_TEMP": str(folder)}, io.StringIO(), wall=at.timestamp)
    before = Path.cwd()
    os.chdir(folder)
    try:
        return run(load(Inputs, given, runtime.redactor), runtime)
    finally:
        os.chdir(before)


def rules(report: Report) -> list[str]:
    """The rules that fail."""
    return [found.rule for found in report.findings if found.severity.value == "error"]


def document(report: Report, output: str) -> Any:
    """A file that an output names."""
    return json.loads(Path(str(report.outputs[output])).read_text())
