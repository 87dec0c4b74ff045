"""Tells which stage a job deploys to, from its environment, its targets and the events that start it."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from cicd_actions.toolkit.yaml12 import Mapping, Sequence
from cicd_actions.workflows.files import File, scalar_text

if TYPE_CHECKING:
    from cicd_actions.pipeline_audit.model import JobRun


class Stage(str, Enum):
    """Where a release runs. `IMPLIED` is production that no name says: a deploy of the default branch without a stage."""

    PREVIEW = "preview"
    STAGING = "staging"
    PRODUCTION = "production"
    IMPLIED = "production (implied)"

    def __str__(self) -> str:
        return self.value


_BOUND = r"(?:^|[^a-z]|(?<=[a-z])(?=[A-Z]))"
_STAGING = re.compile(
    (
        r"(?<![a-z])(stag(e|ing)?|stg|pre-?prod(uction)?|uat|qa|test(ing)?|integration|int|acc(eptance)?"
        r"|canary|dev(elop(ment)?)?|sandbox|demo|beta|nonprod|non-prod|lab|nightly|edge)(?![a-z])"
    ),
    re.IGNORECASE,
)
_PREVIEW = re.compile(r"(?<![a-z])(preview|review|pr-?\d*|pull-?request|ephemeral)(?![a-z])", re.IGNORECASE)
_PRODUCTION = re.compile(r"(?<![a-z])(prod(uction)?|prd|live)(?![a-z])", re.IGNORECASE)


def of_name(name: str) -> Stage | None:
    """Returns the stage that a name says; `None` when it says none."""
    if _PREVIEW.search(name):
        return Stage.PREVIEW
    if _STAGING.search(name):
        return Stage.STAGING
    return Stage.PRODUCTION if _PRODUCTION.search(name) else None


def of_job(job: JobRun) -> frozenset[Stage]:
    """Returns the stages of a job's deploys; empty for a job without a deploy."""
    if not job.deploys:
        return frozenset()
    if job.environments:
        named = {stage for name in job.environments if (stage := of_name(name))}
        if named:
            return frozenset(named)
    written = job.job.environment.text if job.job.environment else ""
    found = of_name(re.sub(r"\$\{\{.*?\}\}", " ", written)) if written else None
    if found is None and "${{" in written and job.environments is None:
        called = of_name(job.caller.id) if job.caller else None
        if called:
            return frozenset({called})
        # The name is chosen when the workflow runs: it may be any.
        choices = _choices(written)
        return frozenset(choices) if choices else frozenset({Stage.STAGING, Stage.PRODUCTION})
    if found is None:
        found = of_name(f"{job.job.id} {job.name} {job.caller.id if job.caller else ''}")
    if found is None:
        targets = " ".join(word for _, effect in job.deploys for word in effect.targets)
        found = of_name(targets) or of_name(job.entry.path.rpartition("/")[2])
    if found is None:
        found = _of_events(job)
    return frozenset({found})


def _choices(written: str) -> set[Stage]:
    found = set()
    for word in re.findall(r"'([^']*)'", written):
        stage = of_name(word)
        if stage:
            found.add(stage)
    return found


def branches(file: File, trigger: str) -> list[str]:
    """Returns the branches and tags that a trigger names; tags with the prefix `tags:`."""
    root = file.document.root
    on = root.get("on") if isinstance(root, Mapping) else None
    node = on.get(trigger) if isinstance(on, Mapping) else None
    found: list[str] = []
    for key, prefix in (("branches", ""), ("tags", "tags:")):
        listed = node.get(key) if isinstance(node, Mapping) else None
        if isinstance(listed, Sequence):
            found += [prefix + scalar_text(item) for item in listed.items]
        elif listed is not None:
            found.append(prefix + scalar_text(listed))
    return found


def _of_events(job: JobRun) -> Stage:
    names = [name for name in branches(job.entry, "push") if not name.startswith("tags:")]
    stages = {of_name(name) for name in names}
    conditions = " ".join(job.conditions)
    if re.search(r"refs/heads/(dev|develop|development|staging|stage|test)\b|ref_name == '(dev|develop|staging)", conditions):
        return Stage.STAGING
    if names and stages <= {Stage.STAGING, Stage.PREVIEW}:
        return Stage.STAGING
    return Stage.IMPLIED
