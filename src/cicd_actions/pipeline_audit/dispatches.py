"""Finds the workflows that steps start with `workflow_dispatch` or `repository_dispatch`, here and in other repositories."""

from __future__ import annotations

import re

from cicd_actions.pipeline_audit.effects import Effect, Kind, Platform
from cicd_actions.pipeline_audit.model import JobRun, Pipeline, StepRun
from cicd_actions.toolkit.yaml12 import Mapping
from cicd_actions.workflows.files import File, scalar_text

_FILE = re.compile(r"(?<![\w.-])([\w.-]+\.ya?ml)\b")
_REPOSITORY = re.compile(
    r"(?:repos/|--repo[= ]|-R )([\w.-]+/[\w.-]+)|^([\w.-]+/[\w.-]+)$|\brepo: *['\"]([\w.-]+)['\"]", re.MULTILINE
)
_SAYS_DEPLOY = re.compile(r"deploy|roll-?out|gitops|promot|release|image[_-]?tag|docker[_-]?(tag|sha)", re.IGNORECASE)
_ELSEWHERE = Platform("a workflow of another repository", later=True)


def resolve(pipeline: Pipeline) -> None:
    """Links each dispatch to the workflow that it starts. A deploy that another repository makes is not sure."""
    for job in pipeline.jobs:
        for step in job.steps:
            if any(effect.kind is Kind.DISPATCH for effect in step.effects):
                step.effects = [_resolved(pipeline, job, step, effect) for effect in step.effects]


def _resolved(pipeline: Pipeline, job: JobRun, step: StepRun, effect: Effect) -> Effect:
    if effect.kind is not Kind.DISPATCH:
        return effect
    text = "\n".join(effect.targets)
    found = (
        [] if _other(text, pipeline.repository.name) else [file for file in pipeline.workflows if _starts(file, effect, text)]
    )
    for file in found:
        pipeline.started.setdefault(file.path, []).append((job, step))
    if found or not _SAYS_DEPLOY.search(f"{text} {step.step.label}"):
        return effect
    return effect.but(kind=Kind.DEPLOY, what=_ELSEWHERE.name, platform=_ELSEWHERE, sure=False)


def _other(text: str, own: str) -> bool:
    """Whether the words name another repository."""
    for found in _REPOSITORY.finditer(text):
        name = found[1] or found[2] or found[3]
        if name.lower() not in {own.lower(), own.rpartition("/")[2].lower()} and not name.endswith((".yml", ".yaml")):
            return True
    return False


def _starts(file: File, effect: Effect, text: str) -> bool:
    root = file.document.root
    name = scalar_text(root.get("name")) if isinstance(root, Mapping) else ""
    if "workflow_dispatch" in file.triggers:
        return file.path.rpartition("/")[2] in _FILE.findall(text) or bool(name and name in effect.targets)
    if "repository_dispatch" not in file.triggers:
        return False
    on = root.get("on") if isinstance(root, Mapping) else None
    node = on.get("repository_dispatch") if isinstance(on, Mapping) else None
    types = node.get("types") if isinstance(node, Mapping) else None
    listed = [scalar_text(item) for item in getattr(types, "items", [types])] if types is not None else []
    return not listed or any(one and one in text for one in listed)
