"""Rules about how a release is rolled out: staging, verification, rollback, approval, concurrency."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.effects import Effect, Kind
from cicd_actions.pipeline_audit.facts import NO_DEPLOY, Facts, at, once
from cicd_actions.pipeline_audit.model import JobRun
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.stages import Stage, branches, of_name
from cicd_actions.toolkit.yaml12 import Mapping, Sequence
from cicd_actions.workflows.files import scalar_text

_HEAD = """\
name: Deploy
on:
  push:
    branches: [main]
permissions:
  contents: read
concurrency:
  group: deploy
  cancel-in-progress: false
jobs:
"""


def _deploy(*steps: str, job: str = "production", environment: str = "production", extra: str = "") -> str:
    """A job of the examples."""
    lines = "".join("      " + line + "\n" for step in steps for line in step.strip("\n").split("\n"))
    return (
        f"  {job}:\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n{extra}"
        + (f"    environment: {environment}\n" if environment else "")
        + f"    steps:\n{lines}"
    )


_SET_IMAGE = "- run: kubectl set image deployment/api api=ghcr.io/org/api@${{ vars.DIGEST }}"
_STATUS = "- run: kubectl rollout status deployment/api --timeout=2m"
_UNDO = "- if: failure()\n  run: kubectl rollout undo deployment/api"


_ROLLBACK = re.compile(r"roll-?back", re.IGNORECASE)


def _no_rollback(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    documented = _documented(facts)
    prepared = [job for job, _ in facts.pipeline.all(Kind.ROLLBACK)]
    prepared += [job for job in facts.pipeline.jobs if _ROLLBACK.search(job.words)]
    by_run: dict[str, list[JobRun]] = {}
    for one in prepared:
        by_run.setdefault(one.entry.path, []).append(one)
    for job in once(facts.deploying):
        _, effect = facts.deploys_of(job)[0]
        in_run = by_run.get(job.entry.path)
        if all(one.rolls_back or (one.platform and one.platform.rolls_back) for _, one in facts.deploys_of(job)):
            yield Held(f"{effect.what} keeps the previous release and returns to it.", effect.place)
        elif in_run:
            yield Held("The run rolls back when something fails.", in_run[0].place)
        elif _swarm_rolls_back(facts, job):
            yield Held("The stack file says `failure_action: rollback`.", effect.place)
        elif prepared:
            yield Held("A workflow rolls back on request.", prepared[0].place)
        elif (chosen := _chosen_version(job)) is not None:
            yield Held(f"A manual run deploys an earlier version: the input `{chosen}`.", job.place)
        elif documented is not None:
            yield Held(f"{documented} describes how to roll back.")
        else:
            message = (
                f"This deploy ({effect.what}: `{effect.detail}`) has no rollback: neither a step, a workflow nor"
                " documented steps."
            )
            yield Broken(effect.place, message, via=job.via, key=job.job.id)


_HEADING = re.compile(r"^(?:#{1,6} |=+ )[^\n]{0,200}\broll(?:ing)?[ -]?backs?\b", re.IGNORECASE | re.MULTILINE)
_STEPS = re.compile(r"\bto roll ?back\b[^\n]{0,200}?[`:]", re.IGNORECASE)


def _documented(facts: Facts) -> str | None:
    for path, text in facts.repository.documents:
        name = path.rpartition("/")[2].lower()
        if "changelog" in name or "history" in name:
            continue
        if re.match(r"(roll-?back|disaster-recovery|runbook)", name) and "roll" in text.lower():
            return path
        if _HEADING.search(text) or _STEPS.search(text):
            return path
    return None


_VERSION_INPUT = re.compile(
    r"^(version|tag|image[_-]?tag|sha|ref|commit|release|digest|image|git[_-]?ref|revision)s?$", re.IGNORECASE
)


def _chosen_version(job: JobRun) -> str | None:
    if "workflow_dispatch" not in job.entry.triggers:
        return None
    return next((name for name in job.entry.inputs if _VERSION_INPUT.match(name)), None)


def _swarm_rolls_back(facts: Facts, job: JobRun) -> bool:
    for _, effect in facts.deploys_of(job):
        for path in effect.files:
            if re.search(r"failure_action:\s*rollback", facts.repository.text(path) or ""):
                return True
    return False


NO_ROLLBACK = Rule(
    "no-rollback",
    Tier.CRITICAL,
    "A deploy has an automated rollback, or documented manual steps.",
    "A release that breaks production has to be replaced within minutes, by someone who did not write it.",
    (
        "# `gate` is the step that verifies the release; a gate that cannot judge proves nothing against it.\n"
        "- if: ${{ always() && steps.gate.outputs.verdict == 'fail' }}\n"
        "  uses: org/cicd-actions/rollback-to-previous-sha@<sha>"
    ),
    _no_rollback,
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS)},
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    "Platforms that keep the previous release (ECS, Render, Argo CD, Fly.io, Cloud Run, Vercel and others) count, and so do"
    " `helm --atomic`, `failure_action: rollback`, a rollback workflow, a manual run with a version, and"
    " a section in the documentation.",
)


def _unverified(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    for job in once(facts.deploying):
        yield from _verified(facts, job)


def _verified(facts: Facts, job: JobRun) -> Iterator[Answer]:
    last = max(number for number, (index, effect) in enumerate(job.effects) if (index, effect) in job.deploys)
    _, deploy = job.effects[last]
    later = [effect for _, effect in job.effects[last + 1 :]]
    later += [effect for one in facts.after(job) for _, effect in one.effects]
    checks = [
        effect for effect in later if effect.kind is Kind.VERIFY or (effect.kind is Kind.TEST and effect.what == "end to end")
    ]
    checks += [effect for one in facts.after(job) if _smoke(one) for effect in one.of(Kind.TEST)]
    good = [
        effect
        for effect in checks
        if not effect.tolerated and (effect.waits or effect.facts.get("strict") or effect.kind is Kind.TEST)
    ]
    if good:
        yield Held(f"`{good[0].detail}` verifies the release.", good[0].place)
    elif all(effect.waits for _, effect in facts.deploys_of(job)):
        yield Held(f"{deploy.what} waits until the new release is healthy.", deploy.place)
    elif deploy.platform is not None and deploy.platform.later:
        yield Unknown(f"{deploy.what} rolls out after this step, so the run cannot see the result.", deploy.place)
    elif _platform_checks(facts, deploy):
        yield Held(f"{deploy.what} checks the new release by its configuration.", deploy.place)
    elif checks:
        why = (
            "its failure is ignored" if checks[0].tolerated else "it succeeds whatever the status is (`curl` without `--fail`)"
        )
        yield Broken(checks[0].place, f"The check after the deploy cannot fail: {why}.", via=job.via, key=job.job.id)
    elif named := [step for step in job.steps[max(job.effects[last][0], 0) + 1 :] if _smoke_words(step.step.label)]:
        yield Unknown(
            f"The step “{named[0].step.label}” may verify the release; this audit does not know its program.", named[0].place
        )
    else:
        message = f"This deploy ({deploy.what}: `{deploy.detail}`) is not followed by a check of `/health/ready` or `/`."
        yield Broken(deploy.place, message, via=job.via, key=job.job.id)


def _smoke_words(text: str) -> bool:
    return _CHECK_WORDS.search(text) is not None


def _smoke(job: JobRun) -> bool:
    return _SMOKE.search(job.words) is not None


_CHECK_WORDS = re.compile(r"smoke|health|verif|e2e|end-to-end|ready|\bping\b|\bcheck(s|ing)?\b", re.IGNORECASE)
_SMOKE = re.compile(r"smoke|health|verif|e2e|end-to-end|post-?deploy|acceptance", re.IGNORECASE)


def _platform_checks(facts: Facts, deploy: Effect) -> bool:
    if deploy.what == "Fly.io":
        return any(
            re.search(r"^[ \t]{0,20}\[[^\n\]]*checks", facts.repository.text(path) or "", re.MULTILINE)
            for path in facts.repository.named("fly*.toml")
        )
    return False


UNVERIFIED = Rule(
    "unverified-deploy",
    Tier.CRITICAL,
    "`/health/ready` on the api and `/` on the web are checked right after every roll-out, within a deadline.",
    "A roll-out command succeeds when the platform accepted it. Only an answer of the new release shows that it works.",
    (
        "- uses: org/cicd-actions/health-gate@<sha>\n  with:\n    url:"
        " https://api.example.com/health/ready\n    expect-version: ${{ github.sha }}\n    timeout: 2m"
    ),
    _unverified,
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _UNDO)},
    {
        ".github/workflows/deploy.yml": _HEAD
        + _deploy(_SET_IMAGE, "- run: curl --fail --retry 10 --max-time 5 https://api.example.com/health/ready", _UNDO)
    },
    "`kubectl rollout status`, `helm --wait`, ECS `wait-for-service-stability` and the like count: they"
    " wait for the platform's health"
    " checks. A deploy hook or GitOps commit is inconclusive, because the roll-out happens later.",
)


def _no_staging(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    if not facts.production:
        yield NotApplicable("No job deploys to production.")
        return
    staged_files = {_workflow_name(job) for job in facts.staging}
    told: set[str] = set()
    for job in once(facts.production):
        answer = facts.inside(job) or _staged(facts, job, staged_files)
        if isinstance(answer, Broken):
            if job.entry.path in told:
                continue
            told.add(job.entry.path)
        yield answer


def _workflow_name(job: JobRun) -> str:
    root = job.entry.document.root
    return (scalar_text(root.get("name")) if isinstance(root, Mapping) else "") or job.entry.path


def _staged(facts: Facts, job: JobRun, staged_files: set[str]) -> Answer:
    _, effect = facts.deploys_of(job)[0]
    before = [one for one in job.ancestors if Stage.STAGING in one.stages]
    if before:
        return Held(f"`{job.job.id}` waits for `{before[0].job.id}`.", job.place)
    if Stage.STAGING in job.stages:
        return _both(job)
    if "workflow_run" in job.entry.triggers and set(_awaited(job)) & staged_files:
        return Held("The workflow starts when the staging workflow has ended.", at(job.entry, "on", "workflow_run"))
    if any(
        effect.platform and effect.platform.name == "cicd-actions" and effect.facts.get("requires") for _, effect in job.deploys
    ):
        return Held("The deploy requires a record of the environment before.", job.place)
    beside = [one for one in facts.run_of(job) if Stage.STAGING in one.stages and not _exclusive(one, job)]
    if beside:
        message = f"`{job.job.id}` deploys to production without waiting for `{beside[0].job.id}`, which deploys to staging."
        fix = f"jobs:\n  {job.job.id}:\n    needs: {beside[0].job.id}"
        return Broken(job.place, message, fix, job.via, job.job.id)
    if facts.staging:
        return Unknown(
            f"Staging is deployed by another run ({facts.staging[0].place}); nothing shows that production waits for it.",
            job.place,
        )
    previews = [one for one in facts.pipeline.jobs for one_effect in one.of(Kind.DEPLOY) if one_effect.preview]
    if previews and effect.platform and not effect.platform.service:
        return Unknown("Pull requests get a preview; nothing shows that production waits for it.", job.place)
    stage = "production" if Stage.PRODUCTION in job.stages else "the only environment"
    return Broken(
        job.place, f"`{job.job.id}` deploys to {stage}, and no job deploys to staging before.", "", job.via, job.job.id
    )


def _awaited(job: JobRun) -> list[str]:
    root = job.entry.document.root
    on = root.get("on") if isinstance(root, Mapping) else None
    node = on.get("workflow_run") if isinstance(on, Mapping) else None
    listed = node.get("workflows") if isinstance(node, Mapping) else None
    return [scalar_text(item) for item in listed.items] if isinstance(listed, Sequence) else [scalar_text(listed)]


def _both(job: JobRun) -> Answer:
    """A job that may deploy to staging and to production."""
    strategy = job.job.node.get("strategy")
    matrix = isinstance(strategy, Mapping) and strategy.get("matrix") is not None
    written = job.job.environment.text if job.job.environment else ""
    if matrix and "matrix." in written and isinstance(strategy, Mapping):
        alone = scalar_text(strategy.get("max-parallel")) == "1" and scalar_text(strategy.get("fail-fast")) != "false"
        if alone:
            return Held("The matrix deploys one environment after the other, and stops at the first failure.", job.place)
        message = f"The matrix of `{job.job.id}` deploys to staging and production at the same time."
        return Broken(job.place, message, "strategy:\n  max-parallel: 1\n  fail-fast: true", job.via, job.job.id)
    return Unknown("The environment is chosen when the workflow runs: production can be chosen without staging.", job.place)


def _exclusive(one: JobRun, other: JobRun) -> bool:
    """Whether two jobs never run in the same run: their conditions name different refs, events or inputs."""

    def chosen(job: JobRun) -> set[str]:
        text = " ".join(job.conditions)
        return set(re.findall(r"==\s*'([^']+)'|startsWith\([^,]+,\s*'([^']+)'", text) and re.findall(r"'([^']+)'", text))

    first, second = chosen(one), chosen(other)
    return bool(first and second and not first & second) or (
        bool(first) != bool(second) and bool(first ^ second) and _negated(one, other)
    )


def _negated(one: JobRun, other: JobRun) -> bool:
    return "!=" in " ".join([*one.conditions, *other.conditions])


_STAGING_JOB = _deploy(_SET_IMAGE, _STATUS, job="staging", environment="staging")

NO_STAGING = Rule(
    "no-staging",
    Tier.CRITICAL,
    "Production is reached only through staging.",
    "A fault that staging would have shown reaches users first.",
    "jobs:\n  staging:\n    environment: staging\n  production:\n    needs: staging\n    environment: production",
    _no_staging,
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    {".github/workflows/deploy.yml": _HEAD + _STAGING_JOB + _deploy(_SET_IMAGE, _STATUS, _UNDO, extra="    needs: staging\n")},
    "Staging in another run (another branch, a manual choice) is inconclusive: nothing shows that production waits for it.",
)


def _unapproved(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    if not facts.production:
        yield NotApplicable("No job deploys to production.")
        return
    for job in once(facts.production):
        inside = facts.inside(job)
        if inside is not None:
            yield inside
            continue
        guard = next((one for one in [job, *job.ancestors] if one.job.environment is not None and _guards(one)), None)
        if guard is None:
            message = f"`{job.job.id}` deploys to production without `environment:`, so GitHub cannot ask for an approval."
            yield Broken(job.place, message, via=job.via, key=job.job.id)
            continue
        names = guard.environments or ()
        known = [facts.settings.reviewers.get(name) for name in names] if facts.settings else []
        if known and all(one is True for one in known):
            yield Held(f"The environment {', '.join(names)} has required reviewers.", guard.place)
        elif any(one is False for one in known):
            message = f"The environment `{', '.join(names)}` has no required reviewers: any push deploys to production."
            yield Broken(guard.place, message, "Settings → Environments → Required reviewers.", job.via, job.job.id)
        else:
            why = (
                "the token cannot read the environment"
                if facts.settings
                else "give a `github-token` that can read environments"
            )
            yield Unknown(
                (
                    f"Could not determine whether the environment {', '.join(names) or 'of the job'} has required"
                    f" reviewers: {why}."
                ),
                guard.place,
            )


def _guards(job: JobRun) -> bool:
    names = job.environments or (job.job.environment.text if job.job.environment else "",)
    return all(of_name(name) is not Stage.STAGING for name in names) or job.environments is None or len(names) > 1


UNAPPROVED = Rule(
    "unapproved-production",
    Tier.MAJOR,
    "Production is a protected environment with required reviewers.",
    "Without a protected environment, everyone who can push can deploy.",
    "jobs:\n  production:\n    environment: production   # with required reviewers, in Settings → Environments",
    _unapproved,
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO, environment="")},
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    "An approval job before the deploy job counts. Whether the environment has reviewers is a setting:"
    " without a token that reads it,"
    " the answer is inconclusive.",
)


def _ungated(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    for job in once(facts.deploying):
        inside = facts.inside(job)
        if inside is not None:
            yield inside
        else:
            yield from _gated(facts, job)


def _gated(facts: Facts, job: JobRun) -> Iterator[Answer]:  # noqa: PLR0912 - one branch for each case
    if not job.call.via and job.entry.callable and not job.entry.starts_itself:
        yield Unknown("The workflow is only called; its callers decide what it waits for.", job.place)
        return
    conditions = " ".join(job.conditions)
    ends = re.search(r"\balways\(\)", conditions) and not re.search(r"result|success\(\)|outputs\.", conditions)
    if ends and job.needs:
        yield Broken(
            job.place,
            f"`{job.job.id}` deploys with `if: always()`, also when what it needs has failed.",
            via=job.via,
            key=job.job.id,
        )
        return
    first = next(number for number, one in enumerate(job.effects) if one in job.deploys)
    checks = (Kind.TEST, Kind.LINT, Kind.TYPES)
    own = [effect for _, effect in job.effects[:first] if effect.kind in checks]
    before = [effect for one in job.ancestors for effect in one.of(*checks)]
    beside = [
        one
        for one in facts.run_of(job)
        if one.of(Kind.TEST) and not one.deploys and not job.waits_for(one) and not one.waits_for(job)
    ]
    beside = [one for one in beside if not _smoke(one) and not _exclusive(one, job)]
    push = "push" in job.entry.triggers
    if (
        push
        and not branches(job.entry, "push")
        and not re.search(r"ref|default_branch|event_name|tag|release|branch|inputs", conditions)
    ):
        place = at(job.entry, "on", "push")
        yield Broken(
            place,
            f"Every push to any branch deploys: neither `on.push.branches` nor the `if:` of `{job.job.id}` names one.",
            via=job.via,
            key=job.job.id,
        )
    elif own or before:
        if beside and before:
            yield Broken(
                job.place,
                f"`{job.job.id}` deploys without waiting for the lane `{beside[0].job.id}`.",
                _needs(job, beside[0]),
                job.via,
                job.job.id,
            )
        else:
            yield Held(f"`{job.job.id}` runs only after the checks passed.", job.place)
    elif any(
        re.search(r"wait-on-check|wait-for-check|release-gate|check-jobs|wait-for-status", step.uses)
        for one in [job, *job.ancestors]
        for step in one.steps
    ):
        yield Held("The run waits for the checks of the commit.", job.place)
    elif "workflow_run" in job.entry.triggers:
        if re.search(
            r"workflow_run\.conclusion\s*==\s*'success'|conclusion\s*!=\s*'failure'",
            " ".join(c for one in [job, *job.ancestors] for c in one.conditions),
        ):
            yield Held("The workflow starts when CI has ended, and checks that it succeeded.", job.place)
        else:
            yield Broken(
                job.place,
                "The workflow starts when another one has ended, whether that one succeeded or not.",
                "if: github.event.workflow_run.conclusion == 'success'",
                job.via,
                job.job.id,
            )
    elif push and beside:
        yield Broken(
            job.place,
            f"`{job.job.id}` deploys without waiting for `{beside[0].job.id}`.",
            _needs(job, beside[0]),
            job.via,
            job.job.id,
        )
    elif push and not _tag_only(job):
        elsewhere = facts.lanes
        why = f"the checks run in another workflow ({elsewhere[0].place}), beside it" if elsewhere else "no job checks the code"
        yield Broken(job.place, f"`{job.job.id}` deploys without a release gate: {why}.", via=job.via, key=job.job.id)
    else:
        yield Unknown(
            "A person or a release starts this deploy; nothing shows that the checks of the commit passed.", job.place
        )


def _tag_only(job: JobRun) -> bool:
    names = branches(job.entry, "push")
    return bool(names) and all(name.startswith("tags:") for name in names)


def _needs(job: JobRun, lane: JobRun) -> str:
    names = list(dict.fromkeys([*(one.job.id for one in job.needs), lane.job.id]))
    return f"jobs:\n  {job.job.id}:\n    needs: [{', '.join(names)}]"


_LANE = """\
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - run: pytest
"""

UNGATED = Rule(
    "ungated-release",
    Tier.MAJOR,
    "A deploy needs a release gate that needs every lane, on the branches or tags named for it.",
    "A commit whose tests fail must not reach users because the deploy did not wait.",
    "jobs:\n  deploy:\n    needs: [api, web]\n    if: github.ref == 'refs/heads/main'",
    _ungated,
    {".github/workflows/deploy.yml": _HEAD + _LANE + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    {".github/workflows/deploy.yml": _HEAD + _LANE + _deploy(_SET_IMAGE, _STATUS, _UNDO, extra="    needs: test\n")},
)


def _cancellable(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    for job in once(facts.deploying):
        inside = facts.inside(job)
        if inside is not None:
            yield inside
            continue
        if not job.entry.starts_itself:
            own = [group for group in job.groups if group.cancels]
            if not own and not job.groups:
                yield Unknown("The workflow is only called; a group of its callers may protect it.", job.place)
                continue
        sure = [group for group in job.groups if group.cancels == "true"]
        maybe = [
            group for group in job.groups if group.cancels and group.cancels != "true" and not _only_elsewhere(group.cancels)
        ]
        if sure:
            message = f"A newer run cancels this deploy half-way: `cancel-in-progress: true` covers `{job.job.id}`."
            yield Broken(sure[0].place, message, via=job.via, key=job.job.id)
        elif not job.groups:
            message = f"`{job.job.id}` deploys without a `concurrency:` group, so two runs can deploy at the same time."
            yield Broken(job.place, message, via=job.via, key=job.job.id)
        elif maybe:
            yield Unknown(f"Could not determine when `cancel-in-progress: {maybe[0].cancels}` is true.", maybe[0].place)
        elif all(
            "github.run_id" in group.name or "github.sha" in group.name or "github.run_number" in group.name
            for group in job.groups
        ):
            group = job.groups[0]
            yield Broken(
                group.place,
                f"The group `{group.name}` is different in every run, so deploys do not wait for each other.",
                via=job.via,
                key=job.job.id,
            )
        else:
            yield Held("Deploys wait for each other and are not cancelled.", job.groups[-1].place)


def _only_elsewhere(text: str) -> bool:
    """Whether an expression is true for pull requests or other branches only."""
    return bool(
        re.search(
            (
                r"pull_request|head_ref|!=\s*'?refs/(heads/(main|master)|tags)|ref_name\s*!="
                r"|!\s*startsWith\([^)]*refs/tags|default_branch|merge_group"
            ),
            text,
        )
    )


CANCELLABLE = Rule(
    "cancellable-deploy",
    Tier.MAJOR,
    "CI runs cancel their predecessors; deploys and migrations never do, they queue.",
    "A deploy that is cancelled half-way leaves old and new replicas, or half of a migration.",
    "concurrency:\n  group: deploy-production\n  cancel-in-progress: false\n  queue: max",
    _cancellable,
    {".github/workflows/deploy.yml": _HEAD.replace("false", "true") + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    "Groups of callers and of the workflow count. By default a third run cancels the one that waits: `queue: max` keeps it.",
)


def _push_only(facts: Facts) -> Iterator[Answer]:
    if facts.repository.deploys is False:
        yield NotApplicable("`.github/cicd.yml` says `deploys: false`.")
        return
    pushes = facts.pipeline.all(Kind.PUSH)
    if facts.pipeline.deploys:
        yield Held("A job rolls out.", facts.pipeline.deploys[0][2].place)
    elif facts.pipeline.guessed_deploys:
        job, effect = facts.pipeline.guessed_deploys[0]
        yield Unknown(
            f"`{effect.detail}` may deploy. Write `deploys: true` or `deploys: false` in .github/cicd.yml.", effect.place
        )
    elif not pushes:
        yield NO_DEPLOY
    else:
        named = [(job, effect) for job, effect in pushes if facts.repository.deploys or _called_deploy(job)]
        for job, effect in named[:1]:
            message = f"`{job.job.id}` pushes an image (`{effect.detail}`), and no job of this repository rolls it out."
            yield Broken(effect.place, message, via=job.via, key=job.job.id)
        if not named:
            yield NO_DEPLOY


def _called_deploy(job: JobRun) -> bool:
    """Whether the job says that it deploys: by its environment, or by its name together with the events of a deploy."""
    if any(of_name(name) for name in job.environments or ()):
        return True
    return bool(re.match(r"(deploy|release-to|rollout)", job.job.id, re.IGNORECASE)) and "push" in job.entry.triggers


PUSH_ONLY = Rule(
    "push-is-not-deploy",
    Tier.CRITICAL,
    "A pipeline that builds and pushes also rolls out.",
    "A green run called “deploy” that only pushed an image leaves the old release running, and says otherwise.",
    (
        "- run: |\n    kubectl set image deployment/api api=ghcr.io/org/api@$DIGEST\n    kubectl rollout"
        " status deployment/api --timeout=2m"
    ),
    _push_only,
    {
        ".github/workflows/deploy.yml": _HEAD
        + _deploy(
            "- run: |\n    docker build -t ghcr.io/org/api:$GITHUB_SHA .\n    docker push ghcr.io/org/api:$GITHUB_SHA",
            job="deploy",
        )
    },
    {
        ".github/workflows/deploy.yml": _HEAD
        + _deploy("- run: docker push ghcr.io/org/api:$GITHUB_SHA", _SET_IMAGE, _STATUS, _UNDO, job="deploy")
    },
    (
        "It needs `deploys: true` in .github/cicd.yml, or a job that calls itself a deploy. Images published"
        " for users do not count."
    ),
)


def _silent(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    told: set[str] = set()
    watching = [one for one in facts.pipeline.jobs if "workflow_run" in one.entry.triggers and one.of(Kind.NOTIFY)]
    for job in once(facts.deploying):
        if job.entry.path in told:
            continue
        told.add(job.entry.path)
        run = facts.run_of(job)
        found = [(one, step) for one in run for step in one.steps if any(effect.kind is Kind.NOTIFY for effect in step.effects)]
        fails = [
            one
            for one, step in found
            if step.on_failure or re.search(r"failure\(\)|always\(\)|cancelled\(\)|result", " ".join(one.conditions))
        ]
        if fails or watching:
            yield Held("A failed deploy sends a message.", (fails or watching)[0].place)
        elif facts.inside(job) is not None:
            yield Unknown("The called workflow may send a message; it could not be read.", job.place)
        elif found:
            yield Broken(
                found[0][1].place,
                "The message is sent after a success only: a failed deploy tells nothing.",
                "if: always()",
                job.via,
                job.job.id,
            )
        else:
            yield Broken(job.place, f"A failure of `{job.job.id}` sends no message.", via=job.via, key=job.job.id)


_NOTIFY = "- if: failure()\n  run: 'curl --fail -d ''{\"text\": \"deploy failed\"}'' https://hooks.slack.com/services/$SLACK'"

SILENT = Rule(
    "silent-failure",
    Tier.MINOR,
    "A failed deploy notifies someone, with links to logs, diff and the rollback.",
    "GitHub tells only the person who pushed, and that person may have gone home.",
    (
        "- if: failure()\n  uses: org/cicd-actions/notify@<sha>\n  env:\n    NOTIFY_URLS: ${{ secrets.NOTIFY_URLS }}\n"
        "  with:\n    event: failed\n    urls: NOTIFY_URLS"
    ),
    _silent,
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO, _NOTIFY)},
)


def _unmeasured(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    found = facts.pipeline.all(Kind.METRICS)
    if found:
        yield Held(f"`{found[0][1].detail}` collects metrics.", found[0][1].place)
    elif facts.unread is not None:
        yield Unknown("A called workflow may collect metrics; it could not be read.", facts.unread.place)
    else:
        job = facts.deploying[0]
        yield Broken(
            job.place,
            "Nothing collects duration, success rate and the four DORA metrics of this pipeline.",
            via=job.via,
            key="metrics",
        )


UNMEASURED = Rule(
    "unmeasured",
    Tier.MINOR,
    "Duration, success rate, flaky rate, queue time and the four DORA metrics are collected.",
    "What is not measured gets slower and flakier without anyone noticing.",
    "- uses: org/cicd-actions/pipeline-metrics@<sha>",
    _unmeasured,
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO)},
    {
        ".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _UNDO),
        ".github/workflows/metrics.yml": (
            "on:\n  schedule:\n    - cron: '0 6 * * 1'\njobs:\n  metrics:\n    runs-on: ubuntu-latest\n   "
            " steps:\n      - uses: org/cicd-actions/pipeline-metrics@<sha>\n"
        ),
    },
)

RULES = (NO_ROLLBACK, PUSH_ONLY, UNVERIFIED, NO_STAGING, UNGATED, CANCELLABLE, UNAPPROVED, SILENT, UNMEASURED)
