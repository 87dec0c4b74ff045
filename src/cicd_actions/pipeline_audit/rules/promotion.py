"""Rules about what a release passes on its way: staging, the gate of the lanes, the approval, the queue."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.effects import Effect, Kind
from cicd_actions.pipeline_audit.facts import Facts, at, once
from cicd_actions.pipeline_audit.model import JobRun
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.deploys import smoke
from cicd_actions.pipeline_audit.rules.examples import HEAD, SET_IMAGE, STATUS, UNDO, deploy_job
from cicd_actions.pipeline_audit.stages import Stage, branches, of_name, of_step, tag_only
from cicd_actions.toolkit.yaml12 import Mapping, Sequence
from cicd_actions.workflows.files import scalar_text


def _no_staging(facts: Facts) -> Iterator[Answer]:
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
    _, effect = job.service_deploys[0]
    held = _staged_before(job)
    if held is not None:
        return held
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


def _staged_before(job: JobRun) -> Answer | None:
    before = [one for one in job.ancestors if one.stages & {Stage.STAGING, Stage.DEMO}]
    if before:
        return Held(f"`{job.job.id}` waits for `{before[0].job.id}`.", job.place)
    first = _step_before(job)
    return Held(f"The job deploys to staging first: `{first.detail}`.", first.place) if first else None


def _step_before(job: JobRun) -> Effect | None:
    """Returns the deploy to staging that an earlier step of the same job makes."""
    told = [(effect, of_step(job.steps[index], effect)) for index, effect in job.deploys if index >= 0]
    first = next((number for number, (_, stage) in enumerate(told) if stage is Stage.STAGING), None)
    production = first is not None and any(stage is Stage.PRODUCTION for _, stage in told[first + 1 :])
    return told[first][0] if first is not None and production else None


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
    if matrix and "matrix." in written and isinstance(strategy, Mapping) and not _one_of(strategy, written):
        alone = scalar_text(strategy.get("max-parallel")) == "1" and scalar_text(strategy.get("fail-fast")) != "false"
        if alone:
            return Held("The matrix deploys one environment after the other, and stops at the first failure.", job.place)
        message = f"The matrix of `{job.job.id}` deploys to staging and production at the same time."
        return Broken(job.place, message, "strategy:\n  max-parallel: 1\n  fail-fast: true", job.via, job.job.id)
    return Unknown("The environment is chosen when the workflow runs: production can be chosen without staging.", job.place)


def _one_of(strategy: Mapping, written: str) -> bool:
    """Whether the matrix has one environment, which an expression chooses when the workflow runs."""
    matrix, key = strategy.get("matrix"), re.search(r"matrix\.([\w-]+)", written)
    listed = matrix.get(key[1]) if isinstance(matrix, Mapping) and key else None
    return isinstance(listed, Sequence) and len(listed.items) == 1


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


_STAGING_JOB = deploy_job(SET_IMAGE, STATUS, job="staging", environment="staging")


NO_STAGING = Rule(
    "no-staging",
    Tier.CRITICAL,
    "Production is reached only through staging.",
    "A fault that staging would have shown reaches users first.",
    "jobs:\n  staging:\n    environment: staging\n  production:\n    needs: staging\n    environment: production",
    _no_staging,
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO)},
    {".github/workflows/deploy.yml": HEAD + _STAGING_JOB + deploy_job(SET_IMAGE, STATUS, UNDO, extra="    needs: staging\n")},
    "Staging in another run (another branch, a manual choice) is inconclusive: nothing shows that production waits for it.",
    of_deploys=True,
)


def _unapproved(facts: Facts) -> Iterator[Answer]:
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
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO, environment="")},
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO)},
    "An approval job before the deploy job counts. Whether the environment has reviewers is a setting:"
    " without a token that reads it,"
    " the answer is inconclusive.",
    of_deploys=True,
)


def _ungated(facts: Facts) -> Iterator[Answer]:
    for job in once(facts.deploying):
        inside = facts.inside(job)
        if inside is not None:
            yield inside
        else:
            yield from _gated(facts, job)


def _gated(facts: Facts, job: JobRun) -> Iterator[Answer]:
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
    rolled_out = job.service_deploys
    first = next(number for number, one in enumerate(job.effects) if one in rolled_out)
    checks = (Kind.TEST, Kind.LINT, Kind.TYPES)
    own = [effect for _, effect in job.effects[:first] if effect.kind in checks]
    before = [effect for one in job.ancestors for effect in one.of(*checks)]
    beside = [
        one
        for one in facts.run_of(job)
        if one.of(Kind.TEST) and not one.deploys and not job.waits_for(one) and not one.waits_for(job)
    ]
    beside = [one for one in beside if not smoke(one) and not _exclusive(one, job)]
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
    elif any(_WAITS.search(step.uses) for one in [job, *job.ancestors] for step in one.steps):
        yield Held("The run waits for the checks of the commit.", job.place)
    elif "workflow_run" in job.entry.triggers:
        yield _after_a_workflow(job)
    elif push and beside:
        yield Broken(
            job.place,
            f"`{job.job.id}` deploys without waiting for `{beside[0].job.id}`.",
            _needs(job, beside[0]),
            job.via,
            job.job.id,
        )
    elif push and not tag_only(job):
        elsewhere = facts.lanes
        why = f"the checks run in another workflow ({elsewhere[0].place}), beside it" if elsewhere else "no job checks the code"
        yield Broken(job.place, f"`{job.job.id}` deploys without a release gate: {why}.", via=job.via, key=job.job.id)
    else:
        yield Unknown(
            "A person or a release starts this deploy; nothing shows that the checks of the commit passed.", job.place
        )


def _after_a_workflow(job: JobRun) -> Answer:
    conditions = " ".join(condition for one in [job, *job.ancestors] for condition in one.conditions)
    if re.search(r"workflow_run\.conclusion\s*==\s*'success'|conclusion\s*!=\s*'failure'", conditions):
        return Held("The workflow starts when CI has ended, and checks that it succeeded.", job.place)
    return Broken(
        job.place,
        "The workflow starts when another one has ended, whether that one succeeded or not.",
        "if: github.event.workflow_run.conclusion == 'success'",
        job.via,
        job.job.id,
    )


_WAITS = re.compile(
    r"wait-?(on|for|my|until)?-(checks?|workflows?|status(es)?|jobs?|ci|build)\b|workflow-run-wait|release-gate|check-jobs"
)
"""Actions that wait for checks of the commit which other workflows run."""


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
    {".github/workflows/deploy.yml": HEAD + _LANE + deploy_job(SET_IMAGE, STATUS, UNDO)},
    {".github/workflows/deploy.yml": HEAD + _LANE + deploy_job(SET_IMAGE, STATUS, UNDO, extra="    needs: test\n")},
    of_deploys=True,
)


def _cancellable(facts: Facts) -> Iterator[Answer]:
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
    {".github/workflows/deploy.yml": HEAD.replace("false", "true") + deploy_job(SET_IMAGE, STATUS, UNDO)},
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO)},
    "Groups of callers and of the workflow count. By default a third run cancels the one that waits: `queue: max` keeps it.",
    of_deploys=True,
)
