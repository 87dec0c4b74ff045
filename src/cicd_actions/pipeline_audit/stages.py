"""Tells which stage a job deploys to, from its environment, its targets and the events that start it."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from cicd_actions.toolkit.yaml12 import Mapping, Sequence
from cicd_actions.workflows.files import File, scalar_text
from cicd_actions.workflows.values import Known, possible

if TYPE_CHECKING:
    from cicd_actions.pipeline_audit.effects import Effect
    from cicd_actions.pipeline_audit.model import JobRun, StepRun


class Stage(str, Enum):
    """Where a release runs. `IMPLIED` is production that no name says: a deploy of the default branch without a stage.

    `DEMO` is neither staging nor production: what it shows does not have to be right before a release.
    """

    DEMO = "demo"
    PREVIEW = "preview"
    STAGING = "staging"
    PRODUCTION = "production"
    IMPLIED = "production (implied)"

    def __str__(self) -> str:
        return self.value


_EXPRESSION = re.compile(r"\$\{\{.*?\}\}")
_STAGING = re.compile(
    (
        r"(?<![a-z])(stag(e|ing)?|stg|pre-?prod(uction)?|uat|qa|test(ing)?|integration|int|acc(eptance)?"
        r"|canary|dev(elop(ment)?)?|sandbox|beta|nonprod|non-prod|lab|nightly|edge)(?![a-z])"
    ),
    re.IGNORECASE,
)
_PREVIEW = re.compile(r"(?<![a-z])(preview|review|pr-?\d*|pull-?request|ephemeral)(?![a-z])", re.IGNORECASE)
_DEMO = re.compile(r"(?<![a-z])demo(?![a-z])", re.IGNORECASE)
_PRODUCTION = re.compile(r"(?<![a-z])(prod(uction)?|prd|live)(?![a-z])", re.IGNORECASE)
_TOP_LEVEL = re.compile(
    r"(https?://[\w.-]+|(?<![\w.-])(?:[\w.-]+\.(?:pkg|fly|pages|workers)|[\w-]+(?:\.[\w-]+)+(?=\.dev[/:]\S)))\.dev\b"
)
"""A host below the top-level domain `dev`, such as Google's Artifact Registry (`pkg.dev`): that names no stage."""


def of_name(name: str) -> Stage | None:
    """Returns the stage that a name says; `None` when it says none."""
    name = _TOP_LEVEL.sub(r"\1", name)
    if _PREVIEW.search(name):
        return Stage.PREVIEW
    if _STAGING.search(name):
        return Stage.STAGING
    if _DEMO.search(name):
        return Stage.DEMO
    return Stage.PRODUCTION if _PRODUCTION.search(name) else None


_ANY = frozenset({Stage.STAGING, Stage.PRODUCTION})
_CHOSEN = re.compile(r"\$\{\{[^}]*inputs\.[\w-]*(env|stage|target)")
"""An input that names the stage when the workflow runs."""


def of_text(text: str, known: Known) -> frozenset[Stage]:
    """Returns the stages that a text can name; several where inputs choose it."""
    values = possible(text, known)
    if values is None:
        return _ANY if _CHOSEN.search(text) else frozenset()
    return frozenset(stage for value in values if (stage := of_name(value)))


def of_job(job: JobRun) -> frozenset[Stage]:
    """Returns the stages of a job's deploys; empty for a job without a deploy."""
    if not job.deploys:
        return frozenset()
    if job.environments:
        named = {stage for name in job.environments if (stage := of_name(name))}
        if named:
            return frozenset(named)
    written = job.job.environment.text if job.job.environment else ""
    found = of_name(_EXPRESSION.sub(" ", written)) if written else None
    if found is None and "${{" in written and job.environments is None:
        called = of_name(job.caller.id) if job.caller else None
        if called:
            return frozenset({called})
        # The name is chosen when the workflow runs: it may be any.
        choices = _choices(written)
        return frozenset(choices) if choices else _ANY
    if found is None:
        found = of_name(f"{job.job.id} {_EXPRESSION.sub(' ', job.name)} {job.caller.id if job.caller else ''}")
    if found is None:
        targets = [word for _, effect in job.deploys for word in effect.targets]
        chosen = frozenset[Stage]().union(*(of_text(word, job.known) for word in [job.name, *targets] if "${{" in word))
        if chosen:
            return chosen
        found = of_name(" ".join(targets)) or of_name(job.entry.path.rpartition("/")[2])
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


def tag_only(job: JobRun) -> bool:
    """Returns whether only pushes of tags start the job's workflow, so that the ref is a tag."""
    names = branches(job.entry, "push")
    return bool(names) and all(name.startswith("tags:") for name in names)


def of_step(step: StepRun, effect: Effect) -> Stage | None:
    """Returns the stage that one step of a job deploys to, by its name, its targets and its variables."""
    env = step.step.node.get("env")
    values = [scalar_text(value) for _, value in env.entries] if isinstance(env, Mapping) else []
    return of_name(step.step.label) or of_name(" ".join([*effect.targets, *values]))


def _of_events(job: JobRun) -> Stage:
    names = [name for name in branches(job.entry, "push") if not name.startswith("tags:")]
    stages = {of_name(name) for name in names}
    conditions = " ".join(job.conditions)
    if re.search(r"refs/heads/(dev|develop|development|staging|stage|test)\b|ref_name == '(dev|develop|staging)", conditions):
        return Stage.STAGING
    if names and stages <= {Stage.STAGING, Stage.PREVIEW}:
        return Stage.STAGING
    return Stage.IMPLIED
