"""What the workflow that calls ours says: the check that a branch rule requires, and what would stop a run before it starts.

GitHub names the check of a called workflow's job after every call on the way: `verify / check`, or `deploy / verify / check`
through pipeline.yml. A rule that requires another name waits for it forever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.toolkit.yaml12 import Mapping, Node
from cicd_actions.workflows.files import Job, read, scalar_text

_CALLED = re.compile(r"(?:.+/)?\.github/workflows/(verify|release|pipeline)\.ya?ml(?:@.*)?")
_JOB = {"verify": "check", "pipeline": "verify / check"}


def required_check(text: str) -> str:
    """Returns the check's name by the text of the caller's file; empty where it calls neither, or the name is computed."""
    for name, job in _calls(text):
        label = scalar_text(job.node.get("name")) or job.id
        if name in _JOB and "${{" not in label and job.node.get("strategy") is None:
            return f"{label} / {_JOB[name]}"
    return ""


def silent(text: str) -> str:
    """Returns the job whose condition, or whose dependency, can keep the required check from ever reporting; empty for none."""
    return next((job.id for name, job in _calls(text) if name in _JOB and (job.node.get("if") or job.node.get("needs"))), "")


def held(text: str, repository: str) -> set[str]:
    """Returns the concurrency groups that a run holds while ours run in it.

    GitHub ends a run at once whose called job asks for a group that its caller holds: a deadlock.
    """
    root = read("", text).document.root
    nodes = [root.get("concurrency")] if isinstance(root, Mapping) else []
    nodes += [job.node.get("concurrency") for _, job in _calls(text)]
    return {re.sub(r"\$\{\{\s*github\.repository\s*\}\}", repository, group) for group in map(_group, nodes) if group}


def _group(node: Node | None) -> str:
    return scalar_text(node.get("group") if isinstance(node, Mapping) else node)


def _calls(text: str) -> Iterator[tuple[str, Job]]:
    for job in read("", text).jobs.values():
        if called := _CALLED.fullmatch(job.uses):
            yield called[1], job
