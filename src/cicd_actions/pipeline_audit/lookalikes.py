"""Tells deploys from what only looks like one: test clusters, backups, documentation, jobs that only a name makes a deploy."""

from __future__ import annotations

import re

from cicd_actions.pipeline_audit import known_actions
from cicd_actions.pipeline_audit.commands import shown
from cicd_actions.pipeline_audit.effects import COMPOSE, DOCKER, INFRASTRUCTURE, SERVER, Effect, Kind, Platform
from cicd_actions.pipeline_audit.model import JobRun, flat_text

_DEPLOY_NAME = re.compile(r"(?<![a-z])(deploy|roll-?out|release to|ship to)", re.IGNORECASE)


_BACKUP_NAME = re.compile(r"back-?up|restore|snapshot", re.IGNORECASE)


_ROLLBACK_NAME = re.compile(r"roll-?back", re.IGNORECASE)


_PUBLISHES_NAME = re.compile(r"deployment|pages|status|docs|storybook|npm|pypi|maven|crate", re.IGNORECASE)


_DOCUMENTS = re.compile(
    r"(?<![a-z])(docs?|documentation|storybook|playground|handbook|blog|mkdocs|sphinx|docusaurus)(?![a-z])", re.IGNORECASE
)
"""A site of these is published for readers: it is neither staged nor rolled back."""


_ASSETS = re.compile(r"(?<![a-z])(assets?|static|packs|media|uploads|sourcemaps?)(?![a-z])", re.IGNORECASE)
"""What is copied to a bucket beside the deploy of a service: files that the release serves, not a release."""


def _bucket(effect: Effect) -> str:
    return effect.detail if effect.what == "Amazon S3" else ""


_OF_PULL_REQUESTS = frozenset({"pull_request", "pull_request_target", "merge_group", "pull_request_review", "issue_comment"})


def settle(run: JobRun) -> None:
    """Drops what only looks like a deploy: test clusters, servers started for a test, backups."""
    kinds = {effect.kind for step in run.steps for effect in step.effects}
    serves = any(
        effect.kind is Kind.DEPLOY and effect.platform and effect.platform.service
        for step in run.steps
        for effect in step.effects
    )
    named = bool(_DEPLOY_NAME.search(run.words)) or bool(run.environments)
    testing = Kind.TEST_CLUSTER in kinds
    saving = bool(_BACKUP_NAME.search(run.words)) or (
        set(run.entry.triggers) <= {"schedule", "workflow_dispatch"} and Kind.BACKUP in kinds
    )
    restoring = bool(_ROLLBACK_NAME.search(run.words))
    pull_requests = set(run.entry.triggers) <= _OF_PULL_REQUESTS
    on_server = run.self_hosted() and named
    remote_docker = Kind.DEPLOY in kinds and (
        "ssh://" in flat_text(run.job.node.get("env"))
        or any(
            "ssh://" in command.text or command.text.startswith("docker context use")
            for step in run.steps
            for command, _ in step.commands
        )
    )
    for step in run.steps:
        if Kind.DEPLOY not in kinds and not step.uses:
            continue
        remote = remote_docker or "ssh://" in flat_text(step.step.node.get("env"))
        kept: list[Effect] = []
        for effect in step.effects:
            if effect.kind is not Kind.DEPLOY:
                kept.append(effect)
                continue
            if testing or saving or (serves and effect.platform is not None and _ASSETS.search(_bucket(effect))):
                continue
            if restoring:
                kept.append(effect.but(kind=Kind.ROLLBACK))
                continue
            one = effect
            if not one.sure and one.platform in {COMPOSE, DOCKER, SERVER}:
                one = one.but(sure=on_server or (remote and one.platform is not SERVER), remote=True)
                if not one.sure:
                    continue
            if (
                one.platform is not None
                and one.platform.files
                and _DOCUMENTS.search(f"{run.words} {step.step.label} {one.detail}")
            ):
                one = one.but(kind=Kind.PUBLISH)
            kept.append(one.but(preview=True) if pull_requests else one)
        step.effects = kept
        if (
            step.uses
            and not step.effects
            and _DEPLOY_NAME.search(known_actions.name_of(step.uses))
            and not step.uses.startswith(("./", "$/"))
            and not testing
        ) and not _PUBLISHES_NAME.search(step.uses):
            platform = Platform("an action that this audit does not know")
            step.effects.append(
                Effect(Kind.DEPLOY, platform.name, step.place, shown(step.uses), platform, sure=False, preview=pull_requests)
            )
    if named and not any(
        effect.kind in {Kind.DEPLOY, Kind.PUBLISH, Kind.ROLLBACK, Kind.DISPATCH} and effect.platform is not INFRASTRUCTURE
        for step in run.steps
        for effect in step.effects
    ):
        _guess(run, testing=testing, saving=saving, pull_requests=pull_requests)


_INFRASTRUCTURE_NAME = re.compile(
    r"(?<![a-z])(infra\w*|monitoring|network\w*|clusters?|dns|vpc|bootstrap)(?![a-z])", re.IGNORECASE
)
_PREPARES = frozenset(
    "echo cd mkdir ls cat cp mv rm git npm pnpm yarn curl wget gh printf test [ export set sed jq pip apt-get apt tar zip chmod"
    " docker read exit gcloud aws az sleep".split()
)
"""Programs that prepare a deploy; those of them that deploy are known by their words."""


def _guess(run: JobRun, *, testing: bool, saving: bool, pull_requests: bool) -> None:
    """A job that is called a deploy and runs a program that is not here: only its name says what it does."""
    if testing or saving or not _DEPLOY_NAME.search(run.words):
        return
    for step in run.steps:
        label = step.step.label
        if _INFRASTRUCTURE_NAME.search(label) or _PUBLISHES_NAME.search(label):
            continue
        for command, place in step.commands:
            said = _DEPLOY_NAME.match(label) or re.search(r"deploy", command.text, re.IGNORECASE)
            if said and command.program not in _PREPARES and not command.program.startswith("$"):
                platform = Platform("a program that this audit does not know")
                step.effects.append(
                    Effect(Kind.DEPLOY, platform.name, place, shown(command.text), platform, sure=False, preview=pull_requests)
                )
                return
