"""Which status check a branch rule has to require, by the workflow that calls verify.yml or pipeline.yml.

GitHub names the check of a called workflow's job after every call on the way: `verify / check`, or `deploy / verify / check`
through pipeline.yml. A rule that requires another name waits for it forever.
"""

from __future__ import annotations

import re

from cicd_actions.workflows.files import read, scalar_text

_CALLED = re.compile(r"(?:.+/)?\.github/workflows/(verify|pipeline)\.ya?ml(?:@.*)?")
_JOB = {"verify": "check", "pipeline": "verify / check"}


def of_caller(text: str) -> str:
    """Returns the check's name by the text of the caller's file; empty where it calls neither, or the name is computed."""
    for job in read("", text).jobs.values():
        called = _CALLED.fullmatch(job.uses)
        name = scalar_text(job.node.get("name")) or job.id
        if called and "${{" not in name and job.node.get("strategy") is None:
            return f"{name} / {_JOB[called[1]]}"
    return ""
