"""Brings outputs of the infrastructure to later steps of the same job, in a file that only the runner's user can read.

Neither GITHUB_ENV, which reaches every program of the job, nor a step's output, which the log of the next step shows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime

_FILE = "cicd-actions-infrastructure.json"


def write(runtime: Runtime, values: Mapping[str, str]) -> None:
    """Keeps the variables for later steps of this job, masked. Raises `UnusableInput` outside of a runner."""
    if runtime.scratch is None:
        raise UnusableInput("Could not hand the outputs on: RUNNER_TEMP is not set.")
    for value in values.values():
        for line in value.splitlines():
            runtime.mask(line)
    path = runtime.scratch / _FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(dict(values), file)


def read(runtime: Runtime) -> dict[str, str]:
    """Returns the variables that an earlier step of this job kept, masked; none where there was none."""
    path = runtime.scratch / _FILE if runtime.scratch else Path(_FILE)
    if runtime.scratch is None or not path.is_file():
        return {}
    found: dict[str, str] = json.loads(path.read_text("utf-8"))
    for value in found.values():
        runtime.redactor.add(value)
    return found
