"""Cases that naive checks get wrong, one test each."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.pipeline_audit.rules.definition import Status
from tests.unit.pipeline_audit.cases import CALLED, KUBECTL, SSH, STATUS, UNDO, Files, deploy, job, workflow
from tests.unit.pipeline_audit.repositories import SHA, judged

ECS = f"uses: aws-actions/amazon-ecs-deploy-task-definition@{SHA}\nwith: {{service: api, task-definition: t.json}}"
RENDER = "curl -X POST $RENDER_DEPLOY_HOOK"
ARGO = "argocd app sync api"
CD = ".github/workflows/deploy.yml"
DEVELOPMENT = "services: {api: {build: ., command: sh -c 'alembic upgrade head && uvicorn app'}}"
APPROVED = workflow(
    job("approve", "echo approved", environment="production"),
    job("release", KUBECTL, STATUS, UNDO, environment="production", needs="approve"),
    top="concurrency: deploy\n",
)
BACKUP = workflow(
    job("backup", "pg_dump --file b.sql $URL", 'ssh host "docker compose restart db"'), on='schedule: [{cron: "0 3 * * *"}]'
)
CALLER = (
    "on:\n  push: {branches: [main]}\npermissions: {contents: read}\nconcurrency: {group: prod, cancel-in-progress: false}\n"
)
CALLER += "jobs:\n  production:\n    uses: ./.github/workflows/called.yml\n    with: {target: production}\n"
ONLY_CALLED = CALLED.replace("permissions: {}\n", "")
TAGS = "tags: |\n    ghcr.io/org/api:latest\n    ghcr.io/org/api:${{ github.sha }}"
BUILD = f"uses: docker/build-push-action@{SHA}\nwith:\n  push: true\n  {TAGS}"
HOOK = "kind: Job\nmetadata:\n  annotations:\n    argocd.argoproj.io/hook: PreSync\n# alembic upgrade head\n"
FRONT_END = "docker build --build-arg VITE_API=https://$STAGE.example.com -t ghcr.io/org/web:$GITHUB_SHA --push ."

GENERATING = '{"scripts": {"generate": "orval --config orval.config.ts"}, "devDependencies": {"orval": "7"}}'


def _labelled(what: str) -> str:
    """A workflow whose first job asks for a commit of the pull request, and whose second one runs it."""
    script = f"core.setOutput('sha', {what})"
    asks = job("find", f'uses: actions/github-script@{SHA}\nid: ask\nwith: {{script: "{script}"}}', more=OUTPUTS)
    runs = job("run", f"uses: actions/checkout@{SHA}\nwith: {{ref: '${{{{ needs.find.outputs.sha }}}}'}}", "make", needs="find")
    return workflow(asks, runs.replace("steps:", "env: {KEY: '${{ secrets.KEY }}'}\n    steps:"), on="pull_request_target:")


OUTPUTS = "outputs: {sha: '${{ steps.ask.outputs.sha }}'}"

CASES: dict[str, tuple[str, Files, Status]] = {
    "ECS keeps earlier task definitions": ("no-rollback", {CD: deploy(ECS)}, Status.PASS),
    "Render keeps earlier deploys": ("no-rollback", {CD: deploy(RENDER)}, Status.PASS),
    "Argo CD keeps earlier revisions": ("no-rollback", {CD: deploy(ARGO)}, Status.PASS),
    "Render migrates before it rolls out": (
        "migrate-first",
        {CD: deploy(RENDER), "alembic.ini": "", "render.yaml": "services: [{preDeployCommand: alembic upgrade head}]"},
        Status.PASS,
    ),
    "Argo CD migrates in a hook before the sync": (
        "migrate-first",
        {
            CD: deploy(ARGO),
            "alembic.ini": "",
            "k8s/migrate.yaml": HOOK,
        },
        Status.PASS,
    ),
    "A Compose file for development migrates": (
        "startup-migration",
        {CD: deploy(SSH), "compose.yml": "services: {api: {command: uvicorn app}}", "compose.dev.yml": DEVELOPMENT},
        Status.PASS,
    ),
    "A Compose file for self-hosting migrates": (
        "startup-migration",
        {CD: deploy(KUBECTL), "Dockerfile": "FROM x\nCMD uvicorn app\n", "self-host/compose.yml": DEVELOPMENT},
        Status.PASS,
    ),
    "The matrix names the environments": (
        "no-staging",
        {
            CD: workflow(
                job(
                    "deploy",
                    KUBECTL,
                    environment="${{ matrix.x }}",
                    more="strategy: {max-parallel: 1, matrix: {x: [staging, production]}}",
                )
            )
        },
        Status.PASS,
    ),
    "An expression chooses the only environment of the matrix": (
        "no-staging",
        {
            CD: workflow(
                job(
                    "deploy",
                    KUBECTL,
                    environment="${{ matrix.env }}",
                    more="strategy: {matrix: {env: [\"${{ github.ref_type == 'tag' && 'production' || 'staging' }}\"]}}",
                )
            )
        },
        Status.INCONCLUSIVE,
    ),
    "OpenShift's program waits for the roll-out": (
        "unverified-deploy",
        {CD: deploy("oc process -f a.yml | oc apply -f -", "oc rollout status dc/api -w")},
        Status.PASS,
    ),
    "Only the server has the stack file": (
        "no-rollback",
        {CD: deploy('ssh host "docker stack deploy -c stack.yml --detach=false app"')},
        Status.INCONCLUSIVE,
    ),
    "The deploy waits for another workflow's checks": (
        "ungated-release",
        {CD: deploy(f"uses: tomchv/wait-my-workflow@{SHA}\nwith: {{checkName: test}}", KUBECTL)},
        Status.PASS,
    ),
    "The caller names the environment": (
        "no-staging",
        {CD: CALLER, ".github/workflows/called.yml": CALLED},
        Status.FAIL,
    ),
    "A release job downloads without a cache": (
        "no-cache",
        {".github/workflows/release.yml": workflow(job("release", "npm ci", "npm test", "npm publish"), on="release:")},
        Status.NOT_APPLICABLE,
    ),
    "An approval job before the deploy job asks": ("unapproved-production", {CD: APPROVED}, Status.INCONCLUSIVE),
    "The front end is built for each environment": (
        "rebuilt-release",
        {
            CD: workflow(
                job("staging", FRONT_END, KUBECTL, environment="staging"),
                job("production", FRONT_END, KUBECTL, environment="production", needs="staging"),
            )
        },
        Status.FAIL,
    ),
    "latest is pushed beside the commit": ("mutable-image-tag", {CD: deploy(BUILD, KUBECTL)}, Status.PASS),
    "A backup restarts a database": ("no-rollback", {".github/workflows/backup.yml": BACKUP}, Status.NOT_APPLICABLE),
    "A documentation site is published, not deployed": (
        "no-staging",
        {".github/workflows/deploy-docs.yml": workflow(job("deploy-docs", "npx wrangler pages deploy ./site"))},
        Status.NOT_APPLICABLE,
    ),
    "Infrastructure is applied before the migration": (
        "migrate-first",
        {CD: deploy("terraform apply -auto-approve", "alembic upgrade head", KUBECTL, STATUS)},
        Status.PASS,
    ),
    "The services wait for their health and the proxy does not": (
        "unverified-deploy",
        {CD: deploy('ssh host "docker compose up -d --wait api && docker compose up -d caddy"')},
        Status.PASS,
    ),
    "An expression makes the deploy one for production": (
        "unverified-deploy",
        {CD: deploy("vercel deploy --prebuilt ${{ inputs.live == 'true' && '--prod' || '' }}")},
        Status.FAIL,
    ),
    "A program of the application migrates": (
        "migrate-first",
        {CD: deploy(SSH, 'ssh host "docker compose run --rm api node dist/db/migrate.js"')},
        Status.FAIL,
    ),
    "Bun runs a process manager on the server": (
        "no-rollback",
        {CD: deploy('ssh host "git pull && bun install && bun pm2 restart all"')},
        Status.FAIL,
    ),
    "The group stands on the caller": (
        "cancellable-deploy",
        {CD: CALLER, ".github/workflows/called.yml": CALLED},
        Status.PASS,
    ),
    "A workflow that is only called names no permissions": (
        "broad-token",
        {CD: CALLER, ".github/workflows/called.yml": ONLY_CALLED},
        Status.INCONCLUSIVE,
    ),
    "A registry below the top-level domain dev names no stage": (
        "no-staging",
        {CD: deploy("gcloud run deploy api --image europe-west1-docker.pkg.dev/p/r/api@$DIGEST", environment="")},
        Status.FAIL,
    ),
    "A deploy action asks for the release's health": (
        "unverified-deploy",
        {CD: deploy(f"uses: akhileshns/heroku-deploy@{SHA}\nwith: {{healthcheck: 'https://api.example.com/health'}}")},
        Status.PASS,
    ),
    "A deploy action has the input for the health and no address": (
        "unverified-deploy",
        {CD: deploy(f"uses: akhileshns/heroku-deploy@{SHA}\nwith: {{healthcheck: ''}}")},
        Status.FAIL,
    ),
    "An earlier job asks for the head of the pull request": (
        "untrusted-checkout",
        {CD: _labelled("pull.data.head.sha")},
        Status.FAIL,
    ),
    "An earlier job asks for the base of the pull request": (
        "untrusted-checkout",
        {CD: _labelled("pull.data.base.sha")},
        Status.PASS,
    ),
    "A workflow that would compare a client is called where there is none": (
        "client-drift",
        {CD: "on: push\njobs:\n  verify:\n    uses: org/cicd-actions/.github/workflows/verify.yml@<sha>\n"},
        Status.NOT_APPLICABLE,
    ),
    "A generated client that git ignores cannot be stale": (
        "client-drift",
        {"web/package.json": GENERATING, "web/.gitignore": "src/lib/gen\n", CD: deploy(ARGO)},
        Status.PASS,
    ),
    "A generated client that git tracks beside an ignored folder can be stale": (
        "client-drift",
        {"web/package.json": GENERATING, "web/.gitignore": "src/lib/gen\n", "web/src/api.gen.ts": "", CD: deploy(ARGO)},
        Status.FAIL,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_hard_case_is_judged_right(case: str, tmp_path: Path) -> None:
    rule, files, status = CASES[case]
    result = judged(tmp_path, rule, files)
    assert result.status is status, result.answers
