"""Rules about how a release is rolled out: staging, verification, rollback, approval, concurrency."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.effects import SWARM, Effect, Kind
from cicd_actions.pipeline_audit.facts import Facts, once
from cicd_actions.pipeline_audit.model import JobRun, StepRun
from cicd_actions.pipeline_audit.rules.definition import NO_DEPLOY, Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.examples import HEAD, SET_IMAGE, STATUS, UNDO, deploy_job
from cicd_actions.pipeline_audit.stages import of_name

_ROLLBACK = re.compile(r"roll-?back", re.IGNORECASE)


def _no_rollback(facts: Facts) -> Iterator[Answer]:
    documented = _documented(facts)
    prepared = [job for job, _ in facts.pipeline.all(Kind.ROLLBACK)]
    prepared += [job for job in facts.pipeline.jobs if _ROLLBACK.search(job.words)]
    by_run: dict[str, list[JobRun]] = {}
    for one in prepared:
        by_run.setdefault(one.entry.path, []).append(one)
    for job in once(facts.deploying):
        _, effect = job.service_deploys[0]
        in_run = by_run.get(job.entry.path)
        if all(one.rolls_back or (one.platform and one.platform.rolls_back) for _, one in job.service_deploys):
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
        elif (file := _stack_elsewhere(facts, job)) is not None:
            yield Unknown(
                f"The stack file `{file}` is not in this repository; it may say `failure_action: rollback`.", effect.place
            )
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
    for _, effect in job.service_deploys:
        for path in effect.files:
            if re.search(r"failure_action:\s*rollback", facts.repository.text(path) or ""):
                return True
    return False


def _stack_elsewhere(facts: Facts, job: JobRun) -> str | None:
    """Returns the stack file of a Swarm that only the server has."""
    files = [path for _, effect in job.service_deploys if effect.platform is SWARM and effect.remote for path in effect.files]
    return files[0] if files and all(facts.repository.text(path) is None for path in files) else None


NO_ROLLBACK = Rule(
    "no-rollback",
    Tier.CRITICAL,
    "A deploy has an automated rollback, or documented manual steps.",
    "A release that breaks production has to be replaced within minutes, by someone who did not write it.",
    (
        "# `gate` is the step that verifies the release; a gate that cannot judge proves nothing against it.\n"
        "- if: ${{ always() && steps.gate.outputs.verdict == 'fail' }}\n"
        "  uses: org/cicd-actions/rollback-to-previous-sha@<sha>\n"
        "  with:\n"
        "    environment: production\n"
        "    services: api=ghcr.io/org/api\n"
        "    engine: swarm # or kubernetes, docker, command\n"
        "    stack: shop\n"
        "    url: https://api.example.com/health/ready"
    ),
    _no_rollback,
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS)},
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO)},
    "Platforms that keep the previous release (ECS, Render, Argo CD, Fly.io, Cloud Run, Vercel and others) count, and so do"
    " `helm --atomic`, `failure_action: rollback`, a rollback workflow, a manual run with a version, and"
    " a section in the documentation.",
    of_deploys=True,
)


def _unverified(facts: Facts) -> Iterator[Answer]:
    for job in once(facts.deploying):
        yield from _verified(facts, job)


def _verified(facts: Facts, job: JobRun) -> Iterator[Answer]:
    rolled_out = job.service_deploys
    last = max(number for number, one in enumerate(job.effects) if one in rolled_out)
    _, deploy = job.effects[last]
    later = [effect for _, effect in job.effects[last + 1 :]]
    later += [effect for one in facts.after(job) for _, effect in one.effects]
    checks = [
        effect for effect in later if effect.kind is Kind.VERIFY or (effect.kind is Kind.TEST and effect.what == "end to end")
    ]
    checks += [effect for one in facts.after(job) if smoke(one) for effect in one.of(Kind.TEST)]
    good = [
        effect
        for effect in checks
        if not effect.tolerated and (effect.waits or effect.facts.get("strict") or effect.kind is Kind.TEST)
    ]
    if good:
        yield Held(f"`{good[0].detail}` verifies the release.", good[0].place)
    elif waiting := [effect for _, effect in rolled_out if effect.waits]:
        yield Held(f"{waiting[0].what} waits until the new release is healthy.", waiting[0].place)
    elif deploy.platform is not None and deploy.platform.later:
        yield Unknown(f"{deploy.what} rolls out after this step, so the run cannot see the result.", deploy.place)
    elif _platform_checks(facts, deploy):
        yield Held(f"{deploy.what} checks the new release by its configuration.", deploy.place)
    elif checks:
        why = (
            "its failure is ignored" if checks[0].tolerated else "it succeeds whatever the status is (`curl` without `--fail`)"
        )
        yield Broken(checks[0].place, f"The check after the deploy cannot fail: {why}.", via=job.via, key=job.job.id)
    elif named := [
        step
        for step in [*job.steps[max(job.effects[last][0], 0) + 1 :], *_after_dispatch(facts, job)]
        if _smoke_words(step.step.label)
    ]:
        yield Unknown(
            f"The step “{named[0].step.label}” may verify the release; this audit does not know its program.", named[0].place
        )
    else:
        message = f"This deploy ({deploy.what}: `{deploy.detail}`) is not followed by a check of `/health/ready` or `/`."
        yield Broken(deploy.place, message, via=job.via, key=job.job.id)


def _after_dispatch(facts: Facts, job: JobRun) -> list[StepRun]:
    """The steps that follow the one which started this workflow."""
    return [after for one, step in facts.starters(job) for after in one.steps[one.steps.index(step) + 1 :]]


def _smoke_words(text: str) -> bool:
    return _CHECK_WORDS.search(text) is not None


def smoke(job: JobRun) -> bool:
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
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, UNDO)},
    {
        ".github/workflows/deploy.yml": HEAD
        + deploy_job(SET_IMAGE, "- run: curl --fail --retry 10 --max-time 5 https://api.example.com/health/ready", UNDO)
    },
    "`kubectl rollout status`, `helm --wait`, ECS `wait-for-service-stability` and the like count: they"
    " wait for the platform's health"
    " checks. A deploy hook or GitOps commit is inconclusive, because the roll-out happens later.",
    of_deploys=True,
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
        ".github/workflows/deploy.yml": HEAD
        + deploy_job(
            "- run: |\n    docker build -t ghcr.io/org/api:$GITHUB_SHA .\n    docker push ghcr.io/org/api:$GITHUB_SHA",
            job="deploy",
        )
    },
    {
        ".github/workflows/deploy.yml": HEAD
        + deploy_job("- run: docker push ghcr.io/org/api:$GITHUB_SHA", SET_IMAGE, STATUS, UNDO, job="deploy")
    },
    (
        "It needs `deploys: true` in .github/cicd.yml, or a job that calls itself a deploy. Images published"
        " for users do not count."
    ),
)


def _silent(facts: Facts) -> Iterator[Answer]:
    told: set[str] = set()
    watching = [one for one in facts.pipeline.jobs if "workflow_run" in one.entry.triggers and one.of(Kind.NOTIFY)]
    for job in once(facts.deploying):
        if job.entry.path in told:
            continue
        told.add(job.entry.path)
        run = [*facts.run_of(job), *(one for one, _ in facts.starters(job))]
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
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO)},
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO, _NOTIFY)},
    of_deploys=True,
)


def _unmeasured(facts: Facts) -> Iterator[Answer]:
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
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO)},
    {
        ".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO),
        ".github/workflows/metrics.yml": (
            "on:\n  schedule:\n    - cron: '0 6 * * 1'\njobs:\n  metrics:\n    runs-on: ubuntu-latest\n   "
            " steps:\n      - uses: org/cicd-actions/pipeline-metrics@<sha>\n"
        ),
    },
    of_deploys=True,
)
