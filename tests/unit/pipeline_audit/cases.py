# ruff: noqa: E501 - a case is easier to compare with others when it is one line
"""Repositories in miniature for each rule: some that break it, some that keep it, or that it has nothing to say about.

A case is one workflow, or files by path. `deploy` makes the workflow of a deploy, `ci` one that checks pull requests.
"""

from __future__ import annotations

from tests.unit.pipeline_audit.repositories import SHA, token

Files = dict[str, str]

KUBECTL = "kubectl set image deployment/api api=ghcr.io/org/api@$DIGEST"
STATUS = "kubectl rollout status deployment/api --timeout=2m"
UNDO = "if: failure() | kubectl rollout undo deployment/api"
PROBE = "curl --fail --retry 9 https://api.example.com/health/ready"
SSH = 'ssh deploy@host "cd /srv && docker compose pull && docker compose up -d"'
MIGRATE = "docker run --rm ghcr.io/org/api@$DIGEST alembic upgrade head"


def step(text: str) -> str:
    """One step: `uses: X`, `if: CONDITION | COMMAND`, `tolerated | COMMAND`, several lines of a script, or a command."""
    condition, bar, rest = text.partition(" | ") if text.startswith(("if:", "tolerated")) else ("", "", text)
    extra = "        continue-on-error: true\n" if condition == "tolerated" else f"        {condition}\n" if bar else ""
    if rest.startswith("uses:"):
        first, *more = rest.split("\n")
        return f"      - {first}\n{extra}" + "".join(f"        {line}\n" for line in more)
    lines = "".join(f"          {line}\n" for line in rest.split("\n"))
    return f"      - name: a step\n{extra}        run: |\n{lines}"


def job(name: str, *steps: str, environment: str = "", needs: str = "", more: str = "") -> str:
    extra = f"    environment: {environment}\n" if environment else ""
    extra += f"    needs: {needs}\n" if needs else ""
    extra += "".join(f"    {line}\n" for line in more.split("\n")) if more else ""
    body = "".join(map(step, steps))
    return f"  {name}:\n    runs-on: ubuntu-latest\n    timeout-minutes: 5\n{extra}    steps:\n{body}"


def workflow(*jobs: str, on: str = "push: {branches: [main]}", top: str = "") -> str:
    return f"on:\n  {on}\npermissions:\n  contents: read\n{top}jobs:\n" + "".join(jobs)


def deploy(*steps: str, environment: str = "production", on: str = "push: {branches: [main]}", more: str = "") -> str:
    return workflow(job("deploy", *steps, environment=environment, more=more), on=on, top="concurrency: deploy\n")


def ci(*steps: str, on: str = "pull_request:", top: str = "", more: str = "") -> str:
    return workflow(job("test", *steps, more=more), on=on, top=top)


def staged(first: str, second: str, *, needs: str = "staging") -> str:
    return workflow(
        job("staging", first, environment="staging"), job("production", second, environment="production", needs=needs)
    )


def image(*lines: str, **files: str) -> Files:
    """A Dockerfile with these last lines, built and deployed; `files` by name with `__` for a dot."""
    found = {
        "Dockerfile": "FROM python:3.13\nCOPY . .\n" + "\n".join(lines) + "\n",
        ".github/workflows/deploy.yml": deploy("docker build -t ghcr.io/org/api:$GITHUB_SHA --push .", KUBECTL, STATUS, UNDO),
    }
    return found | {name.replace("__", "."): text for name, text in files.items()}


def compose(text: str, command: str = "docker compose -f compose.yml up -d") -> Files:
    return {"compose.yml": text, ".github/workflows/deploy.yml": deploy(f'ssh host "{command}"')}


def revision(upgrade: str, downgrade: str = "pass", head: str = "") -> Files:
    text = f"from alembic import op\nimport sqlalchemy as sa\n{head}\n\ndef upgrade():\n    {upgrade}\n\n\ndef downgrade():\n    {downgrade}\n"
    return {"migrations/versions/0002_x.py": text}


def manifest(kind: str, more: str = "") -> Files:
    pod = "{name: api, image: ghcr.io/org/api:v1.2.3, ports: [{containerPort: 80}]" + more + "}"
    text = f"kind: Service\n---\nkind: {kind}\nspec: {{template: {{spec: {{containers: [{pod}]}}}}}}\n"
    return {"k8s/api.yaml": text, ".github/workflows/deploy.yml": deploy("kubectl apply -f k8s/api.yaml", STATUS, UNDO)}


CALLED = "on:\n  workflow_call:\n    inputs:\n      target: {type: string}\npermissions: {}\njobs:\n" + job(
    "roll", KUBECTL, environment="${{ inputs.target }}"
)


def calls(*targets: str, chained: bool = True, top: str = "") -> Files:
    jobs = "".join(
        f"  {name}:\n    uses: ./.github/workflows/called.yml\n    with: {{target: {name}}}\n"
        + (f"    needs: {targets[index - 1]}\n" if chained and index else "")
        for index, name in enumerate(targets)
    )
    return {
        ".github/workflows/called.yml": CALLED,
        ".github/workflows/deploy.yml": f"on:\n  push: {{branches: [main]}}\npermissions: {{contents: read}}\n{top}jobs:\n{jobs}",
    }


PULL = "with:\n  ref: ${{ github.event.pull_request.head.sha }}"
TARGET = "pull_request_target:"
WEB = {"web/package.json": "{}", "api/pyproject.toml": ""}
CLIENT = {"web/package.json": '{\n "devDependencies": {"orval": "7"}}'}
DOTENV = {"SECRETS.md": "# Secrets\n\n- `KEY`: signs. Lives in: repository. How: `gh secret set KEY`.\n"}

# What a called workflow does that cannot be read is not known; our own pipeline keeps the rules.
OURS = f"on:\n  push: {{branches: [main]}}\npermissions: {{}}\njobs:\n  p:\n    uses: org/cicd-actions/.github/workflows/pipeline.yml@{SHA}\n"

RAILS_ENTRYPOINT = '#!/bin/bash -e\nif [ "${*}" == "./bin/rails server" ]; then\n  ./bin/rails db:prepare\nfi\nexec "${@}"\n'
GUARD_ON_ONE_LINE = '#!/bin/bash -e\nif [ "${*}" == "console" ]; then echo hello; fi\n./bin/rails db:prepare\nexec "${@}"\n'
POD = 'kind: Deployment\nspec: {template: {spec: {containers: [{name: api, image: "x:1", command: [sh, -c, "alembic upgrade head"]}]}}}\n'
TASK = "aws ecs run-task --cluster c --launch-type FARGATE"
CD = ".github/workflows/deploy.yml"

CASES: dict[str, tuple[list[str | Files], list[str | Files]]] = {
    "no-rollback": (
        [
            deploy(SSH),
            deploy("helm upgrade api ./chart --wait"),
            deploy("docker stack deploy -c stack.yml app"),
            deploy("aws s3 sync build s3://shop-site --delete"),
        ],
        [
            # Files that a release serves go to a bucket before it: no deploy by itself.
            deploy("aws s3 sync packs s3://shop-assets-staging/packs/", "aws ecs update-service --service api --task-definition api:7"),
            deploy("helm upgrade api ./chart --wait ${{ inputs.atomic && '--atomic' || '' }}"),
            deploy('curl "${{ secrets.COOLIFY_URL }}/services/$ID/restart?latest=true" -H "Authorization: Bearer $TOKEN"'),
            deploy("helm upgrade api ./chart --atomic"),
            deploy("aws ecs update-service --service api --task-definition api:7"),
            {"docs/runbook.md": "# Run\n\n## Rolling back\n\nDeploy the tag before.\n", ".github/workflows/d.yml": deploy(SSH)},
            {"stack.yml": "services: {api: {deploy: {update_config: {failure_action: rollback}}}}", ".github/workflows/d.yml": deploy("docker stack deploy -c stack.yml app")},
            deploy(SSH, on="workflow_dispatch: {inputs: {version: {required: true}}}"),
            deploy("curl -X POST https://api.render.com/deploy/srv-1?key=$KEY"),
            {".github/workflows/d.yml": deploy(SSH), ".github/workflows/rollback.yml": deploy("ssh host ./rollback.sh")},
        ],
    ),
    "startup-migration": (
        [
            image('ENTRYPOINT ["./entrypoint.sh"]', entrypoint__sh='#!/bin/sh\npython manage.py migrate\nexec "$@"\n'),
            image("CMD npm start", package__json='{"scripts": {"start": "prisma migrate deploy && node server.js"}}'),
            image("CMD uvicorn app:app", app__py="from alembic import command\n\nasync def lifespan(app):\n    command.upgrade(config, 'head')\n    yield\n"),
            compose('services:\n  api:\n    image: x\n    command: sh -c "alembic upgrade head && uvicorn app:app"\n'),
            image("CMD gunicorn x", Procfile="release: echo\nweb: flask db upgrade && gunicorn app\n"),
            image('ENTRYPOINT ["/rails/bin/docker-entrypoint"]', 'CMD ["./bin/rails", "server"]') | {"bin/docker-entrypoint": RAILS_ENTRYPOINT},
            image('ENTRYPOINT ["/rails/bin/docker-entrypoint"]', 'CMD ["./bin/rails", "server"]') | {"bin/docker-entrypoint": GUARD_ON_ONE_LINE},
            image("ENTRYPOINT bin/start_web") | {"bin/start_web": "#!/usr/bin/env ruby\nsystem! 'bin/rails runner lib/run_migrations.rb'\nsystem! 'bin/rails server'\n"},
            image('CMD ["npm", "run", "start:ecs"]', package__json='{"scripts": {"start:ecs": "npm run db:up && node server.js", "db:up": "sequelize-cli db:migrate"}}'),
            {"manifest.yml": "applications:\n- name: api\n  processes:\n  - type: web\n    command: flask db upgrade && gunicorn app\n", CD: deploy("cf push -f manifest.yml --strategy rolling")},
            {"k8s/api.yaml": POD.replace("containers", "initContainers"), CD: deploy("kubectl apply -f k8s/api.yaml", STATUS)},
            {"k8s/api.yaml": POD.replace("upgrade head", "upgrade head && uvicorn app"), CD: deploy("kubectl apply -f k8s/", STATUS)},
            {"railway.json": '{"deploy": {\n"startCommand": "prisma migrate deploy && node server.js"}}', CD: deploy("railway up --service api")},
        ],
        [
            # The entrypoint prepares the database for other words than those of CMD.
            image('ENTRYPOINT ["/rails/bin/docker-entrypoint"]', 'CMD ["./bin/thrust", "./bin/rails", "server"]') | {"bin/docker-entrypoint": RAILS_ENTRYPOINT},
            image("ENTRYPOINT bin/start_web") | {"bin/start_web": "#!/usr/bin/env ruby\n# system! 'bin/rails db:migrate'\nsystem! 'bin/rails server'\n"},
            {"manifest.yml": "applications:\n- name: api\n  command: gunicorn app\n- name: admin\n", CD: deploy("cf push -f manifest.yml --strategy rolling")},
            {"k8s/job.yaml": POD.replace("Deployment", "Job"), CD: deploy("kubectl apply -f k8s/job.yaml", STATUS)},
            {"fly.toml": '[deploy]\nrelease_command = "alembic upgrade head"\n[processes]\napp = "uvicorn app:app"\n', CD: deploy("fly deploy")},
            image("RUN alembic upgrade head", 'CMD ["gunicorn", "app"]'),
            image("CMD uvicorn app:app", entrypoint__sh="alembic upgrade head\n"),
            compose("services:\n  migrate: {image: x, command: alembic upgrade head}\n  api:\n    image: x\n    command: uvicorn a\n    depends_on: {migrate: {condition: service_completed_successfully}}\n"),
            compose("services:\n  prestart: {image: x, command: bash prestart.sh}\n  api:\n    image: x\n    depends_on: {prestart: {condition: service_completed_successfully}}\n") | {"prestart.sh": "alembic upgrade head\n"},
            # Compose files for development and self-hosting are not what the deploy applies.
            image("CMD uvicorn app") | {"docker-compose.dev.yml": 'services: {api: {command: sh -c "alembic upgrade head && uvicorn app"}}'},
            image("CMD uvicorn app") | {"self-host/compose.yml": 'services: {api: {command: sh -c "alembic upgrade head && uvicorn app"}}'},
            {"Dockerfile": "FROM x\nCMD alembic upgrade head && uvicorn app\n", ".github/workflows/ci.yml": ci("docker build .")},
            image("CMD gunicorn x", Procfile="release: flask db upgrade\nweb: gunicorn app\n"),
        ],
    ),
    "untrusted-checkout": (
        [
            ci(f"uses: actions/checkout@v4\n{PULL}", "npm ci", on=TARGET, more="permissions: {packages: write}"),
            ci("gh pr checkout $NUMBER", "make test\nenv: x", on=TARGET, more="permissions: write-all"),
            ci("uses: actions/checkout@v4\nwith:\n  ref: ${{ github.head_ref }}", "uses: ./.github/actions/x", on=TARGET, more="permissions: {contents: write}"),
            ci(f"uses: actions/checkout@v4\n{PULL}", "pytest\necho ${{ secrets.KEY }}", on=TARGET),
        ],
        [
            ci("uses: actions/labeler@v5", on=TARGET),
            ci(f"uses: actions/checkout@v4\n{PULL}", "npm ci", on="pull_request:"),
            ci("uses: actions/checkout@v4", "npm ci", on=TARGET),
            ci(f"uses: actions/checkout@v4\n{PULL}", "npm ci", on=TARGET, more="if: github.event.pull_request.head.repo.full_name == github.repository"),
            ci(f"uses: actions/checkout@v4\n{PULL}", "git diff --stat", on=TARGET),
        ],
    ),
    "literal-secret": (
        [
            ci(f"echo {token('ghp')}"),
            {"deploy/.env.production": f"GITHUB_TOKEN={token('gho', 'A' * 30)}\n"},
            {"README.md": "x", ".github/workflows/a.yml": ci(f"curl -H 'Authorization: {token('ghs', 'b' * 30)}' https://x")},
        ],
        [ci("echo ghp_" + "x" * 36), {".env.example": "TOKEN=ghp_xxxxxxxx\n"}, ci("echo ${{ secrets.KEY }}")],
    ),
    "push-is-not-deploy": (
        [
            {".github/cicd.yml": "deploys: true\n", ".github/workflows/a.yml": ci("docker push ghcr.io/org/api:1", on="push:")},
            workflow(job("release", "docker build -t x --push .", environment="production")),
            workflow(job("deploy", f"uses: docker/build-push-action@{SHA}\nwith:\n  push: true\n  tags: x:1")),
        ],
        [
            workflow(job("publish", "docker push ghcr.io/org/tool:latest")),
            # A workflow of another repository rolls out: it may be any.
            workflow(job("deploy", "docker push x:1", "curl -X POST https://api.github.com/repos/org/infra/actions/workflows/roll-out.yaml/dispatches -d $DATA")),
            workflow(job("deploy", "docker push x:1", "gh workflow run deploy.yml --repo org/infra -f tag=$GITHUB_SHA")),
            workflow(job("deploy", "docker push x:1", f"uses: peter-evans/repository-dispatch@{SHA}\nwith: {{repository: org/gitops, event-type: deploy-api}}")),
            {".github/cicd.yml": "deploys: false\n", ".github/workflows/a.yml": workflow(job("deploy", "docker push x:1"))},
            deploy("docker push x:1", KUBECTL),
            workflow(job("deploy", "docker push x:1"), job("gitops", "kustomize edit set image api=x:$GITHUB_SHA\ngit commit -am x\ngit push")),
        ],
    ),
    "unverified-deploy": (
        [
            deploy(SSH),
            deploy(PROBE, KUBECTL),
            deploy(KUBECTL, "curl https://api.example.com/health"),
            deploy(KUBECTL, "curl --fail https://api.example.com/health || true"),
            deploy("vercel deploy --prod"),
        ],
        [
            deploy(KUBECTL, STATUS),
            deploy("helm upgrade api ./chart --wait --timeout 5m"),
            workflow(job("deploy", KUBECTL), job("smoke", "npx playwright test", needs="deploy")),
            deploy(KUBECTL, 'STATUS=$(curl -s -o /dev/null -w "%{http_code}" https://x/)\n[ "$STATUS" = 200 ]'),
            deploy(f"uses: org/cicd-actions/roll-out@{SHA}\nwith:\n  services: api=x@sha256:1"),
            deploy("curl -X POST $RENDER_DEPLOY_HOOK"),
            {"fly.toml": "[[http_service.checks]]\n", ".github/workflows/d.yml": deploy("flyctl deploy")},
        ],
    ),
    "no-staging": (
        [
            deploy(KUBECTL),
            workflow(job("staging", KUBECTL, environment="staging"), job("production", KUBECTL, environment="production")),
            workflow(job("deploy", KUBECTL, environment="${{ matrix.x }}", more="strategy: {matrix: {x: [staging, production]}}")),
            calls("staging", "production", chained=False),
            deploy("fly deploy", environment=""),
            # A demo is not staging.
            workflow(job("demo", KUBECTL, environment="demo"), job("live", KUBECTL, environment="production")),
            workflow(job("deploy", "nais deploy\nkubectl --context production apply -f prod.yaml", KUBECTL, environment="production")),
        ],
        [
            OURS,
            # One job deploys to both, one after the other.
            workflow(job("ship", "helm upgrade api ./chart -n staging", "helm upgrade api ./chart -n production", environment="production")),
            workflow(job("ship", f"uses: nais/deploy/actions/deploy@{SHA}\nenv: {{CLUSTER: dev-gcp}}", f"uses: nais/deploy/actions/deploy@{SHA}\nenv: {{CLUSTER: prod-gcp}}")),
            workflow(job("demo", KUBECTL, environment="demo"), job("production", KUBECTL, environment="production", needs="demo")),
            # The stage is chosen when the workflow runs.
            deploy("sls deploy --stage ${{ github.event.inputs.stage || 'test' }}", environment="", on="workflow_dispatch: {inputs: {stage: {type: choice, options: [test, prod]}}}"),
            deploy("kamal deploy -d ${{ inputs.target }}", environment="", on="workflow_dispatch: {inputs: {target: {required: true}}}"),
            deploy("kamal deploy -d ${{ inputs.environment }}", environment="", on="workflow_dispatch: {inputs: {environment: {type: environment}}}"),
            staged(KUBECTL, KUBECTL),
            calls("staging", "production"),
            workflow(job("deploy", KUBECTL, environment="${{ matrix.x }}", more="strategy: {max-parallel: 1, matrix: {x: [staging, production]}}")),
            deploy(KUBECTL, environment="staging"),
            {".github/workflows/s.yml": "name: Staging\n" + deploy(KUBECTL, environment="staging"), ".github/workflows/p.yml": deploy(KUBECTL, on="workflow_run: {workflows: [Staging], types: [completed]}")},
            deploy(KUBECTL, environment="${{ inputs.target }}", on="workflow_dispatch: {inputs: {target: {type: choice, options: [staging, production]}}}"),
        ],
    ),
    "migrate-first": (
        [
            deploy('ssh host "docker compose up -d && docker compose exec -T api alembic upgrade head"'),
            deploy(f"{MIGRATE} || true", KUBECTL),
            workflow(job("deploy", KUBECTL), job("migrate", MIGRATE, needs="deploy")),
            workflow(job("migrate", MIGRATE), job("deploy", KUBECTL)),
            deploy(f"{TASK} --task-definition api-migration", KUBECTL),
            deploy("gcloud run jobs execute api-migrate --region $REGION", "gcloud run deploy api --image x/api:$GITHUB_SHA"),
            deploy("kamal deploy -d production", 'bin/kamal app exec -d production --reuse "bin/rails db:migrate"'),
            deploy(f"tolerated | {MIGRATE}", KUBECTL),
        ],
        [
            workflow(job("migrate", MIGRATE), job("deploy", KUBECTL, needs="migrate")),
            deploy(f"{TASK} --task-definition api-migration", "aws ecs wait tasks-stopped --cluster c --tasks $TASK", KUBECTL),
            deploy("gcloud run jobs execute api-migrate --wait", "gcloud run deploy api --image x/api:$GITHUB_SHA"),
            deploy(f"{TASK} --task-definition nightly-report", KUBECTL),
            deploy('ssh host "docker compose run --rm api alembic upgrade head && docker compose up -d"'),
            {"alembic.ini": "", "fly.toml": '[deploy]\nrelease_command = "alembic upgrade head"\n', ".github/workflows/d.yml": deploy("fly deploy")},
            {"alembic.ini": "", "render.yaml": "services: [{preDeployCommand: alembic upgrade head}]", ".github/workflows/d.yml": deploy("curl -X POST $RENDER_DEPLOY_HOOK")},
            {"alembic.ini": "", ".github/workflows/d.yml": workflow(job("test", "alembic upgrade head\npytest", more="services: {db: {image: postgres}}"), job("deploy", KUBECTL))},
            deploy(KUBECTL),
        ],
    ),
    "rebuilt-release": (
        [
            staged(f"docker build -t a:1 .\n{KUBECTL}", f"docker build -t a:1 .\n{KUBECTL}"),
            # One image for each environment, because a front end is configured when it is built.
            workflow(job("deploy", f"uses: docker/build-push-action@{SHA}\nwith:\n  push: true\n  build-args: VITE_API=${{{{ matrix.x }}}}", KUBECTL, environment="${{ matrix.x }}", more="strategy: {max-parallel: 1, matrix: {x: [staging, production]}}")),
            {".github/workflows/s.yml": deploy("docker build .", KUBECTL, environment="staging"), ".github/workflows/p.yml": deploy("docker build .", KUBECTL)},
        ],
        [
            workflow(job("build", "docker build ."), job("staging", KUBECTL, environment="staging", needs="build"), job("production", KUBECTL, environment="production", needs="[build, staging]")),
            staged(KUBECTL, KUBECTL),
            deploy("docker build .", KUBECTL),
        ],
    ),
    "mutable-image-tag": (
        [
            deploy("kubectl set image deployment/api api=ghcr.io/org/api:main"),
            deploy("helm upgrade api ./chart --set image.tag=latest"),
            deploy("kubectl rollout restart deployment/api"),
            deploy("aws ecs update-service --service api --force-new-deployment"),
            {"compose.yml": "services: {api: {image: 'ghcr.io/org/api:latest'}}", ".github/workflows/d.yml": deploy("docker build -t ghcr.io/org/api:latest --push .", 'ssh host "docker compose -f compose.yml up -d"')},
            deploy(f"uses: google-github-actions/deploy-cloudrun@{SHA}\nwith:\n  image: gcr.io/org/api:latest"),
            deploy("gcloud run deploy api --image gcr.io/org/api:$GITHUB_REF_NAME"),
        ],
        [
            # The name of the ref is a tag where only tags start the workflow.
            deploy("gcloud run deploy api --image gcr.io/org/api:$GITHUB_REF_NAME", on="push: {tags: ['v*']}"),
            # `latest` for users beside the SHA that is deployed.
            deploy("docker build -t ghcr.io/org/api:latest -t ghcr.io/org/api:$GITHUB_SHA --push .", "kubectl set image deployment/api api=ghcr.io/org/api:$GITHUB_SHA"),
            deploy("helm upgrade api ./chart --set image.tag=${{ github.sha }}"),
            workflow(job("publish", "docker build -t ghcr.io/org/tool:latest --push .")),
            deploy("kubectl set image deployment/api api=ghcr.io/org/api:v1.4.2"),
            {"compose.yml": "services: {db: {image: 'postgres:latest'}}", ".github/workflows/d.yml": deploy('ssh host "docker compose -f compose.yml up -d"')},
        ],
    ),
    "ungated-traffic": (
        [manifest("Deployment"), manifest("StatefulSet"), compose("services:\n  api:\n    image: ghcr.io/org/api\n    ports: ['80:80']\n"), compose("services:\n  web: {build: ., ports: ['80:80']}\n", "docker stack deploy -c compose.yml app")],
        [
            manifest("Deployment", ", readinessProbe: {httpGet: {path: /, port: 80}}"),
            manifest("CronJob"),
            compose("services:\n  api:\n    image: ghcr.io/org/api\n    ports: ['80:80']\n    healthcheck: {test: [CMD, true]}\n"),
            compose("services:\n  db: {image: postgres, ports: ['5432:5432']}\n"),
            {"chart/templates/d.yaml": "readinessProbe:\n", ".github/workflows/d.yml": deploy("helm upgrade api ./chart")},
        ],
    ),
    "broad-token": (
        [
            "on: push\njobs:\n" + job("test", "pytest"),
            "on: push\npermissions: write-all\njobs:\n" + job("a", "pytest") + job("b", "pytest"),
            "on: push\npermissions: {contents: write}\njobs:\n" + job("a", "pytest") + job("b", "pytest"),
        ],
        [
            "on: push\npermissions: {}\njobs:\n" + job("test", "pytest"),
            "on: push\njobs:\n" + job("test", "pytest", more="permissions: {contents: read}"),
            "on: workflow_call\njobs:\n" + job("test", "pytest"),
            "on: push\npermissions: {contents: write}\njobs:\n" + job("release", "gh release create x"),
        ],
    ),
    "unpinned-action": (
        [ci("uses: docker/login-action@v3"), ci("uses: some/thing@main"), workflow("  call:\n    uses: other/repo/.github/workflows/x.yml@v1\n"), {"action.yml": "runs:\n  using: composite\n  steps:\n    - uses: some/thing@v1\n"}],
        [ci("uses: actions/checkout@v4"), ci("uses: org/ours@main"), ci(f"uses: some/thing@{SHA} # v1"), ci("uses: ./.github/actions/x"), ci("uses: docker://alpine:3")],
    ),
    "long-lived-cloud-key": (
        [
            ci("uses: google-github-actions/auth@v2\nwith:\n  credentials_json: ${{ secrets.GCP }}"),
            ci("uses: azure/login@v2\nwith:\n  creds: ${{ secrets.AZURE }}"),
            ci("aws s3 ls", more="env: {AWS_ACCESS_KEY_ID: '${{ secrets.ID }}', AWS_SECRET_ACCESS_KEY: '${{ secrets.KEY }}'}"),
        ],
        [
            ci("uses: google-github-actions/auth@v2\nwith:\n  workload_identity_provider: x"),
            ci("aws s3 --endpoint-url https://x.r2.cloudflarestorage.com ls", more="env: {AWS_ACCESS_KEY_ID: '${{ secrets.R2 }}'}"),
            ci("pytest", more="env: {AWS_ACCESS_KEY_ID: test}"),
            ci("uses: azure/login@v2\nwith:\n  client-id: ${{ secrets.ID }}"),
        ],
    ),
    "merged-lanes": (
        [WEB | {".github/workflows/a.yml": ci("uv run pytest", "pnpm test")}, WEB | {".github/workflows/a.yml": ci("cd api && pytest\ncd ../web && npx vitest run")}, {"frontend/package.json": "{}", "go.mod": "", ".github/workflows/a.yml": ci("go test ./...", "npm run lint")}],
        [WEB | {".github/workflows/a.yml": workflow(job("api", "pytest"), job("web", "pnpm test"))}, {"api/pyproject.toml": "", ".github/workflows/a.yml": ci("pytest", "npx prettier --check .")}, WEB | {".github/workflows/a.yml": ci("pytest")}],
    ),
    "client-drift": (
        [CLIENT | {".github/workflows/a.yml": ci("pnpm test")}, CLIENT | {".github/workflows/a.yml": ci("pnpm orval\nnpx orval", "git diff --exit-code")}, {"package.json": '{"devDependencies": {"openapi-typescript": "7"}}', ".github/workflows/a.yml": ci("npm run build")}],
        [CLIENT | {".github/workflows/a.yml": ci("npx orval", 'test -z "$(git status --porcelain)"')}, CLIENT | {".github/workflows/a.yml": ci(f"uses: org/cicd-actions/verify-openapi-client@{SHA}")}, ci("pnpm test"), CLIENT | {".gitignore": "src/generated\n", ".github/workflows/a.yml": ci("npx orval", "pnpm build")}],
    ),
    "spec-from-server": (
        [ci("uvicorn app:app &\ncurl http://localhost:8000/openapi.json -o x.json"), ci("npx openapi-typescript http://127.0.0.1:3000/api/openapi.json -o x.ts"), ci("wget http://localhost:8080/v3/api-docs.yaml")],
        [{"openapi.json": "{}", ".github/workflows/a.yml": ci("curl http://localhost:8000/health")}, ci("curl https://example.com/openapi.json"), {"scripts/export_openapi.py": "", ".github/workflows/a.yml": ci("python scripts/export_openapi.py")}],
    ),
    "ungated-release": (
        [
            deploy(KUBECTL),
            workflow(job("test", "pytest"), job("deploy", KUBECTL)),
            workflow(job("api", "pytest"), job("web", "npm test"), job("deploy", KUBECTL, needs="api")),
            workflow(job("test", "pytest"), job("deploy", KUBECTL, needs="test", more="if: always()")),
            workflow(job("deploy", "pytest", KUBECTL), on="push:"),
            deploy(KUBECTL, on="workflow_run: {workflows: [CI], types: [completed]}"),
        ],
        [
            OURS,
            workflow(job("test", "pytest"), job("deploy", KUBECTL, needs="test")),
            deploy("pytest", KUBECTL),
            deploy(KUBECTL, on="workflow_run: {workflows: [CI], types: [completed]}", more="if: github.event.workflow_run.conclusion == 'success'"),
            deploy(KUBECTL, on="release:"),
            workflow(job("test", "pytest"), job("gate", "echo", needs="test"), job("deploy", KUBECTL, needs="gate", more="if: github.ref == 'refs/heads/main'"), on="push:"),
            workflow(job("wait", "uses: lewagon/wait-on-check-action@v1"), job("deploy", KUBECTL, needs="wait")),
        ],
    ),
    "cancellable-deploy": (
        [
            workflow(job("deploy", KUBECTL), top="concurrency: {group: x, cancel-in-progress: true}\n"),
            workflow(job("deploy", KUBECTL)),
            workflow(job("deploy", KUBECTL, more="concurrency: {group: x, cancel-in-progress: true}")),
            # The group stands on the caller.
            calls("staging", "production", top="concurrency: {group: x, cancel-in-progress: true}\n"),
            workflow(job("deploy", KUBECTL), top="concurrency: 'deploy-${{ github.run_id }}'\n"),
        ],
        [
            OURS,
            calls("staging", "production", top="concurrency: deploy\n"),
            workflow(job("deploy", KUBECTL), top="concurrency: {group: x, cancel-in-progress: \"${{ github.event_name == 'pull_request' }}\"}\n"),
            workflow(job("test", "pytest", more="concurrency: {group: t, cancel-in-progress: true}"), job("deploy", KUBECTL, more="concurrency: d")),
            deploy("vercel deploy", on="pull_request:"),
        ],
    ),
    "unapproved-production": (
        [deploy(KUBECTL, environment=""), workflow(job("staging", KUBECTL, environment="staging"), job("production", KUBECTL, needs="staging")), deploy("fly deploy --app api-prod", environment="")],
        [
            OURS,
            deploy(KUBECTL),
            # The approval is a job before the deploy, in the same run.
            workflow(job("approve", "echo", environment="production-approval"), job("deploy", KUBECTL, needs="approve")),
            deploy(KUBECTL, environment="staging"),
        ],
    ),
    "undocumented-secret": (
        [ci("echo ${{ secrets.KEY }}"), ci("echo ${{ vars.HOST }}"), DOTENV | {".github/workflows/a.yml": ci("echo ${{ secrets.OTHER }}")}],
        [DOTENV | {".github/workflows/a.yml": ci("echo ${{ secrets.KEY }}")}, ci("echo ${{ secrets.GITHUB_TOKEN }}"), ci("pytest")],
    ),
    "unsafe-migration": (
        [revision('op.drop_table("items")'), revision('op.alter_column("items", "a", new_column_name="b")'), revision('op.add_column("items", sa.Column("a", sa.Text(), nullable=False))'), revision('op.alter_column("items", "a", nullable=False)')],
        [revision('op.drop_table("items")', head='deploy_phase = "contract"\n'), revision('op.create_table("items", sa.Column("a", sa.Text(), nullable=False))', 'op.drop_table("items")'), revision('op.add_column("items", sa.Column("a", sa.Text(), nullable=False, server_default=""))', 'op.drop_column("items", "a")')],
    ),
    "unbacked-contract": (
        [
            revision("pass", head='deploy_phase = "contract"\n') | {".github/workflows/d.yml": deploy(MIGRATE, KUBECTL)},
            deploy(f"uses: org/cicd-actions/run-migrations-oneshot@{SHA}\nwith:\n  allow-contract: true", KUBECTL),
            revision("pass", head='deploy_phase = "contract"\n') | {".github/workflows/d.yml": deploy("pg_dump x || true", MIGRATE, KUBECTL)},
        ],
        [
            revision("pass", head='deploy_phase = "contract"\n') | {".github/workflows/d.yml": deploy("pg_dump x", MIGRATE, KUBECTL)},
            deploy(f"uses: org/cicd-actions/run-migrations-oneshot@{SHA}\nwith:\n  allow-contract: true\n  backup-command: ./backup", KUBECTL),
            deploy(MIGRATE, KUBECTL),
        ],
    ),
    "hidden-lane": (
        [
            workflow(job("a", "pytest"), job("b", "ruff check ."), job("check", "echo", needs="[a, b]")),
            workflow(job("a", "pytest"), job("b", "ruff check ."), job("all-green", "echo", needs="[a, b]", more="if: always()")),
            ci("pytest || true"),
            ci("tolerated | pytest"),
        ],
        [
            workflow(job("a", "pytest"), job("b", "ruff check ."), job("check", "uses: re-actors/alls-green@v1\nwith:\n  jobs: ${{ toJSON(needs) }}", needs="[a, b]", more="if: always()")),
            workflow(job("a", "pytest"), job("b", "pytest"), job("gate", "echo", needs="[a, b]"), job("deploy", KUBECTL, needs="gate")),
            ci("pytest"),
            workflow(job("experimental", "pytest || true")),
        ],
    ),
    "unscanned-dependencies": (
        [ci("pytest"), ci("npm test"), deploy(KUBECTL)],
        [OURS, ci("pip-audit", "bandit -r ."), workflow(job("scan", "uses: github/codeql-action/analyze@v3"), job("deps", "npm audit")), {".github/dependabot.yml": "version: 2", ".github/workflows/a.yml": ci("pytest")}, workflow(job("pages", "uses: actions/deploy-pages@v4"))],
    ),
    "sequential-gates": (
        [ci("ruff check .", "mypy .", "pytest"), ci("npm run lint", "npm test"), ci("ruff check . && pytest\nmypy .")],
        [ci("ruff check .", "if: always() | mypy ."), workflow(job("lint", "ruff check ."), job("test", "pytest")), ci("pytest")],
    ),
    "unscanned-image": (
        [deploy("docker build .", KUBECTL), deploy(f"uses: docker/build-push-action@{SHA}", KUBECTL), workflow(job("build", "docker build ."), job("deploy", KUBECTL, needs="build"))],
        [OURS, deploy("docker build .", "trivy image x", KUBECTL), deploy("docker build .", "uses: anchore/scan-action@v3", KUBECTL), deploy(KUBECTL), workflow(job("publish", "docker build ."))],
    ),
    "stale-ci-runs": (
        [ci("pytest"), ci("pytest", top="concurrency: ci\n"), ci("pytest", top="concurrency: {group: ci, cancel-in-progress: false}\n")],
        [ci("pytest", top="concurrency: {group: ci, cancel-in-progress: true}\n"), ci("pytest", more="concurrency: {group: ci, cancel-in-progress: true}"), ci("pytest", on="push:"), deploy(KUBECTL)],
    ),
    "no-path-filter": (
        [ci("pytest"), ci("pytest", on="pull_request: {branches: [main]}"), ci("npm test", on="pull_request: {types: [opened]}")],
        [ci("pytest", on="pull_request: {paths: ['src/**']}"), workflow(job("changes", "uses: dorny/paths-filter@v3"), job("test", "pytest"), on="pull_request:"), ci("pytest", on="push:")],
    ),
    "no-timeout": (
        ["on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: a\n", "on: push\njobs:\n  a: {runs-on: x, steps: [{run: a}]}\n  b: {runs-on: x, steps: [{run: a}]}\n", "on: push\njobs:\n  a: {runs-on: x, timeout-minutes: 5, steps: [{run: a}]}\n  b: {runs-on: x, steps: [{run: a}]}\n"],
        [ci("pytest"), workflow("  call:\n    uses: ./.github/workflows/x.yml\n"), "on: push\njobs:\n  a: {runs-on: x, steps: [{run: a, timeout-minutes: 5}]}\n"],
    ),
    "no-cache": (
        [ci("npm ci", "npm test"), ci("uv sync", "uv run pytest"), ci("pip install -r requirements.txt", "pytest")],
        [
            ci(f"uses: actions/setup-node@{SHA}\nwith:\n  cache: npm", "npm ci", "npm test"),
            ci("uses: astral-sh/setup-uv@v5", "uv sync", "pytest"),
            # A job that releases must not take a cache that pull requests can write.
            workflow(job("release", "npm ci", "npm test", "npm publish"), on="release:"),
            ci("pytest"),
        ],
    ),
    "silent-failure": (
        [deploy(KUBECTL), deploy(KUBECTL, "uses: slackapi/slack-github-action@v2"), workflow(job("deploy", KUBECTL), job("notify", "curl -d x https://hooks.slack.com/x", needs="deploy"))],
        [OURS, deploy(KUBECTL, "if: always() | uses: slackapi/slack-github-action@v2"), workflow(job("deploy", KUBECTL), job("notify", "curl -d x https://hooks.slack.com/x", needs="deploy", more="if: failure()")), ci("pytest")],
    ),
    "unmeasured": (
        [deploy(KUBECTL), deploy("fly deploy"), staged(KUBECTL, KUBECTL)],
        [OURS, deploy(KUBECTL, f"uses: org/cicd-actions/pipeline-metrics@{SHA}"), deploy(KUBECTL, "uses: datadog/junit-upload@v1"), ci("pytest")],
    ),
}  # fmt: skip
