"""Tells the jobs of runs that were killed from those of runs that are alive, by labels that each job carries."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from cicd_actions.toolkit.grammar import is_whole

OWNER = "org.cicd-actions.job-owner"
"""The process that waits for the job: `boot id/process namespace/process id/start time`. Empty outside of Linux."""

RUN = "org.cicd-actions.job-run"
"""`repository/run/job/attempt` of GitHub. Two attempts of one run's job never run at the same time."""

UNTIL = "org.cicd-actions.job-until"
"""Seconds since 1970 after which no run waits for the job any more."""

_SLACK = 60.0
"""Seconds that the clocks of two runners may differ."""


def labels(variables: Mapping[str, str], seconds: float) -> dict[str, str]:
    """Returns the labels of a job that this process waits for, for at most `seconds` from now."""
    return {OWNER: _owner(os.getpid()), RUN: _run(variables), UNTIL: str(int(time.time() + seconds))}


def abandoned(found: Mapping[str, str], variables: Mapping[str, str]) -> bool:
    """Whether the run that started a job with these labels is certainly over.

    It is when its time is up, when its process on this machine is gone, or when this is a later attempt of the same job. A
    run on another machine whose time is not up may be alive: two repositories can share an engine.
    """
    until = found.get(UNTIL, "")
    if is_whole(until) and time.time() > int(until) + _SLACK:
        return True
    return _process_is_gone(found.get(OWNER, "")) or _is_earlier(found.get(RUN, ""), _run(variables))


def _run(variables: Mapping[str, str]) -> str:
    names = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB", "GITHUB_RUN_ATTEMPT")
    values = [variables.get(name, "") for name in names]
    return "/".join(values) if all(values) else ""


def _is_earlier(run: str, ours: str) -> bool:
    job, _, attempt = run.rpartition("/")
    our_job, _, our_attempt = ours.rpartition("/")
    numbers = is_whole(attempt) and is_whole(our_attempt)
    return bool(job) and job == our_job and numbers and int(attempt) < int(our_attempt)


def _process_is_gone(owner: str) -> bool:
    ours = _owner(os.getpid())
    place, _, process = owner.rpartition("/")[0].rpartition("/")
    if not ours or place != ours.rpartition("/")[0].rpartition("/")[0] or not is_whole(process):
        return False  # another machine, or another container of this one: its processes cannot be seen from here
    return _owner(int(process)) != owner


def _owner(process: int) -> str:
    with contextlib.suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        # The process's name, in parentheses, may hold spaces; the start time is field 22 (proc_pid_stat(5)).
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if status[0] != "Z":
            return f"{boot}/{namespace}/{process}/{status[19]}"
    return ""
