"""Rules about database migrations."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit import startup
from cicd_actions.pipeline_audit.applied import compose_files, manifests
from cicd_actions.pipeline_audit.effects import CLOUD_FOUNDRY, Effect, Kind
from cicd_actions.pipeline_audit.facts import Facts, once
from cicd_actions.pipeline_audit.model import JobRun
from cicd_actions.pipeline_audit.rules.definition import NO_DEPLOY, Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.examples import HEAD, MIGRATE, SET_IMAGE, STATUS, UNDO, deploy_job
from cicd_actions.workflows.place import Place

_BUILD = "- run: docker build -t ghcr.io/org/api:$GITHUB_SHA . && docker push ghcr.io/org/api:$GITHUB_SHA"


def _startup(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying and facts.repository.deploys is not True:
        yield NO_DEPLOY
        return
    found: list[startup.Startup] = []
    looked = False
    for path in _dockerfiles(facts):
        looked = True
        found += startup.of_dockerfile(facts.repository, path)
    for path in compose_files(facts):
        looked = True
        found += startup.of_compose(facts.repository, path)
    for path in facts.repository.named("Procfile"):
        found += startup.of_procfile(facts.repository, path)
    for path in facts.repository.named("render.yaml", "render.yml"):
        found += startup.of_render(facts.repository, path)
    for path in _cloud_foundry(facts):
        found += startup.of_cloud_foundry(facts.repository, path)
    for path in manifests(facts):
        found += startup.of_manifest(facts.repository, path)
    for path in facts.repository.named("fly*.toml", "railway.toml", "railway.json", "app.yaml"):
        found += startup.of_start_command(facts.repository, path)
    for path in startup.migrating_modules(facts.repository):
        found += startup.of_python(facts.repository, path)
    for one in dict.fromkeys(found):
        message = f"`{one.detail}` runs whenever this container starts: every replica and every restart migrates."
        yield Broken(one.place, message, via=one.via, key=one.detail)
    if not found:
        yield (
            Held("No container that serves runs migrations when it starts.")
            if looked or facts.migrating
            else NotApplicable("The repository has neither migrations nor images that it deploys.")
        )


def _cloud_foundry(facts: Facts) -> list[str]:
    """The Cloud Foundry manifests of a repository that pushes to it."""
    deploys = any(effect.platform is CLOUD_FOUNDRY for _, _, effect in facts.pipeline.deploys)
    return facts.repository.named("manifest*.y*ml") if deploys else []


def _dockerfiles(facts: Facts) -> list[str]:
    """The Dockerfiles of images that are built: those that the workflows name, or all where none is named."""
    named = [file for _, effect in facts.pipeline.all(Kind.BUILD) for file in effect.files]
    built = [path for path in dict.fromkeys(named) if path in facts.repository.paths]
    if not built:
        built = facts.repository.named("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile")
    return [path for path in built if not startup.DEVELOPMENT.search(path.removesuffix("Dockerfile")) or path in named]


_DOCKERFILE = "FROM python:3.13-slim\nCOPY . .\n"

STARTUP = Rule(
    "startup-migration",
    Tier.CRITICAL,
    "Migrations never run when a serving container starts.",
    "Replicas race for the same tables, a restart can migrate, and a failed migration takes the service down with it.",
    (
        '# Start only the server: CMD ["uvicorn", "app:app"]. Before the roll-out:\n'
        "- uses: org/cicd-actions/run-migrations-oneshot@<sha>\n  with:\n    image: ghcr.io/org/api@sha256:…\n"
        "    engine: docker # or swarm, kubernetes, command"
    ),
    _startup,
    {
        "Dockerfile": _DOCKERFILE + "CMD alembic upgrade head && uvicorn app:app\n",
        ".github/workflows/deploy.yml": HEAD + deploy_job(_BUILD, SET_IMAGE, STATUS, UNDO),
    },
    {
        "Dockerfile": _DOCKERFILE + 'CMD ["uvicorn", "app:app"]\n',
        ".github/workflows/deploy.yml": HEAD
        + deploy_job(
            _BUILD, "- run: docker run --rm ghcr.io/org/api:$GITHUB_SHA alembic upgrade head", SET_IMAGE, STATUS, UNDO
        ),
    },
    "It reads CMD and ENTRYPOINT of the images that the workflows build, the scripts that they start (one level), the Compose"
    " files and Kubernetes manifests that a deploy applies (init containers included), the start commands of Procfile,"
    " render.yaml, fly.toml, railway.toml, app.yaml and Cloud Foundry's manifest.yml, and the application's lifespan. Compose"
    " files for development are left out, and so are services that only migrate.",
)


def _migrate_first(facts: Facts) -> Iterator[Answer]:
    found = False
    told: set[Place] = set()
    for job in once(facts.deploying):
        for answer in _order(facts, job):
            found = True
            if isinstance(answer, Broken):
                if answer.place in told:
                    continue
                told.add(answer.place)
            yield answer
    if found:
        return
    jobs = [place for path in compose_files(facts) if (place := startup.one_shot(facts.repository, path)) is not None]
    platform = next(iter(jobs), None) or _before_by_platform(facts)
    if platform:
        yield Held("The platform runs the migrations before the roll-out.", platform)
    elif facts.migrating:
        yield Unknown(
            "The repository has migrations, and no step of its deploys runs them. They may run by hand or in the platform."
        )
    else:
        yield NotApplicable("The repository has no migrations of a known tool.")


def _order(facts: Facts, job: JobRun) -> Iterator[Answer]:
    rolled_out = job.service_deploys
    first = next(number for number, one in enumerate(job.effects) if one in rolled_out)
    own = [(number, effect) for number, (_, effect) in enumerate(job.effects) if effect.kind is Kind.MIGRATE]
    before = [effect for number, effect in own if number < first]
    before += [effect for one in job.ancestors for effect in _releasing(one)]
    late = [effect for number, effect in own if number > first]
    late += [effect for one in facts.after(job) if not facts.rolls_out(one) for effect in _releasing(one)]
    beside = [
        (one, effect)
        for one in facts.run_of(job)
        if one is not job and not job.waits_for(one) and not one.waits_for(job) and not facts.rolls_out(one)
        for effect in _releasing(one)
    ]
    ignored = [effect for effect in before if effect.tolerated]
    unawaited = [
        effect
        for number, effect in own
        if number < first
        and effect.facts.get("started")
        and not any(one.kind is Kind.AWAIT for _, one in job.effects[number:first])
    ]
    if ignored:
        message = f"The deploy goes on when the migration fails: the failure of `{ignored[0].detail}` is ignored."
        yield Broken(ignored[0].place, message, via=job.via, key="ignored")
    elif unawaited:
        message = f"`{unawaited[0].detail}` only starts the migration: the roll-out begins before it has ended."
        fix = "- run: aws ecs wait tasks-stopped --cluster $CLUSTER --tasks $TASK   # then check its exit code"
        yield Broken(unawaited[0].place, message, fix, via=job.via, key="unawaited")
    elif before:
        yield Held("The migrations end before the roll-out starts.", before[0].place)
    elif late:
        message = f"`{late[0].detail}` runs after the roll-out: the new code runs on the old schema until then."
        yield Broken(late[0].place, message, via=job.via, key="late")
    elif beside:
        one, effect = beside[0]
        message = f"`{one.job.id}` migrates while `{job.job.id}` rolls out: the deploy does not wait for it."
        yield Broken(effect.place, message, f"jobs:\n  {job.job.id}:\n    needs: {one.job.id}", job.via, "beside")


def _releasing(job: JobRun) -> list[Effect]:
    """The migrations of a job that works on a real database: neither a test's nor one on a container of the job."""
    if job.job.node.get("services") is not None or job.of(Kind.TEST):
        return []
    return list(job.of(Kind.MIGRATE))


def _before_by_platform(facts: Facts) -> Place | None:
    for path in facts.repository.named("fly*.toml", "Procfile", "app.json", "railway.toml", "railway.json", "*.yaml", "*.yml"):
        if path.startswith(".github/"):
            continue
        text = facts.repository.text(path) or ""
        if "migrat" not in text and "upgrade" not in text and "release" not in text:
            continue
        match = re.search(
            (
                r"release_command|preDeployCommand|^release:|\"postdeploy\"|helm\.sh/hook:?\"?: *\"?pre-"
                r"|argocd\.argoproj\.io/hook: *PreSync"
            ),
            text,
            re.MULTILINE,
        )
        if match:
            return Place(path, text.count("\n", 0, match.start()) + 1)
    return None


MIGRATE_FIRST = Rule(
    "migrate-first",
    Tier.CRITICAL,
    "Migrations are a one-shot job of the new image, finished before the roll-out; their failure aborts it.",
    "New code on an old schema answers errors until somebody notices.",
    (
        "- uses: org/cicd-actions/run-migrations-oneshot@<sha>\n  with:\n    image: ghcr.io/org/api@sha256:…\n"
        "    engine: swarm # or kubernetes, docker, command\n"
        "- uses: org/cicd-actions/roll-out@<sha>\n  with:\n    engine: swarm\n    stack: shop\n    environment: production\n"
        "    sha: ${{ github.sha }}\n    services: api=ghcr.io/org/api@sha256:…"
    ),
    _migrate_first,
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, MIGRATE, UNDO)},
    {".github/workflows/deploy.yml": HEAD + deploy_job(MIGRATE, SET_IMAGE, STATUS, UNDO)},
    "A pre-deploy command of the platform counts: Fly.io `release_command`, Render `preDeployCommand`, Heroku `release:`, Helm"
    " and Argo CD hooks.",
    of_deploys=True,
)
