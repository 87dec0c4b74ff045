"""Shows on GitHub that a newer release takes the place of one that only waits for its approval; nothing else can show it.

`supersede.py WORKFLOW` starts the workflow twice by `gh`. The first run has to wait, and to be cancelled once the second one
waits. In the environment: GITHUB_REPOSITORY, GITHUB_REF_NAME, GH_TOKEN with `actions: write`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

PAUSE = float(os.environ.get("PAUSE", "5"))
LONGEST = 60 * PAUSE


def gh(*words: str) -> str:
    return subprocess.run(["gh", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def runs(workflow: str) -> list[dict[str, Any]]:
    """The newest runs, the newest first."""
    path = f"repos/{os.environ['GITHUB_REPOSITORY']}/actions/workflows/{workflow}/runs?per_page=10"
    found: list[dict[str, Any]] = json.loads(gh("api", path))["workflow_runs"]
    return found


def awaited(workflow: str, right: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """The run that fits, once there is one. Ends the program where there is none."""
    deadline, listed = time.monotonic() + LONGEST, list[dict[str, Any]]()
    while time.monotonic() < deadline:
        listed = runs(workflow)
        if found := next((run for run in listed if right(run)), None):
            return found
        time.sleep(PAUSE)
    shown = [(run["id"], run["status"], run["conclusion"]) for run in listed]
    sys.exit(f"::error::no run {what}; these are there: {shown}. The environment self-test-approval needs required reviewers.")


def waiting(workflow: str, known: set[int]) -> int:
    """Starts a run, and returns its number once it waits for a reviewer."""
    gh("workflow", "run", workflow, "--ref", os.environ["GITHUB_REF_NAME"])
    run = awaited(workflow, lambda each: each["id"] not in known and each["status"] == "waiting", "waits for an approval")
    return int(run["id"])


def main(workflow: str) -> int:
    known = {int(run["id"]) for run in runs(workflow)}
    first = waiting(workflow, known)
    second = waiting(workflow, known | {first})
    try:
        awaited(workflow, lambda each: each["id"] == first and each["conclusion"] == "cancelled", f"{first} was cancelled")
    finally:
        gh("run", "cancel", str(second), "--repo", os.environ["GITHUB_REPOSITORY"])
    print(f"Run {second} took the place of {first}, which waited.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
