"""Which command lines deploy, and which only look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.pipeline_audit.effects import Kind
from tests.unit.pipeline_audit.cases import job, workflow
from tests.unit.pipeline_audit.repositories import facts

DEPLOYS = [
    "rsync -az --delete dist/ deploy@shop.example.com:/var/www/shop/",
    'rsync -avz -e "ssh -p 22" ./ ${{ secrets.USERNAME }}@${{ secrets.HOST }}:/srv/app/',
    "rsync -r build/ $USER@$HOST:$TARGET",
    "sudo rsync -a public/ web1:/var/www",
    "rsync -a public/ rsync://host.example.com/www/",
    "git push dokku@host.example.com:shop HEAD:main",
    "git push -f ssh://deploy@host.example.com/srv/shop.git main",
    "git push production main",
    "adk deploy cloud_run --project=$PROJECT --region=europe-west1 agent/",
    "uv run adk deploy agent_engine --project=$PROJECT agent/",
    "kamal deploy -d production",
    "bin/kamal redeploy",
    "curl https://coolify.example.com/api/v1/deploy?uuid=$ID",
]
RELEASES = [
    "terraform apply -auto-approve -var image_tag=$GITHUB_SHA",
    'terraform -chdir=infra apply -var="api_image=ghcr.io/org/api:$GITHUB_SHA"',
    "aws cloudformation deploy --stack-name api --parameter-overrides ImageTag=$GITHUB_SHA",
]
INFRASTRUCTURE = [
    "terraform apply -auto-approve -var region=eu-central-1",
    "aws cloudformation deploy --stack-name network",
    "pulumi up --yes",
]
OTHERS = [
    "rsync -a deploy@host.example.com:/var/log/ logs/",
    "rsync -a src/ /tmp/copy/",
    "rsync -a backup.sql.gz store@host.example.com:/backups/",
    "git push origin main",
    "git push origin production",
    "git push git@github.com:org/mirror.git main",
    'git push "https://x-access-token:${TOKEN}@github.com/org/site.git" HEAD:main',
    "git push --tags",
    "adk eval agent/",
]


TESTS = [
    "npx nx affected -t lint test build",
    "pnpm nx run-many --target=test --all",
    "yarn turbo run lint test --filter=[HEAD^1]",
    "npx lerna run test --stream",
    "pnpm --filter=web run test",
    "pnpm --filter web... test -- --coverage",
    "pnpm -r test",
    "pnpm -C web run test",
    "npm --prefix web run test",
    "npm test --workspace=web",
    "yarn workspace @org/web test",
    "yarn workspaces foreach -A --include 'app-*' run test",
    "yarn --cwd web jest",
    "bun run --filter frontend test",
    "python manage.py test",
    "uv run coverage run -m pytest",
    "./mvnw -B package",
    "./gradlew build",
    "cargo nextest run",
    "moon ci",
    "bazelisk test //...",
    "deno task test",
    "uv run poe test",
    "bin/rails db:test:prepare test test:system",
    "php artisan test",
]
NOT_TESTS = ["npx nx affected -t build", "turbo run build --filter=test-kit", "pnpm --filter test build", "nx show projects"]


def kinds(root: Path, line: str) -> list[Kind]:
    found = facts(root, {".github/workflows/d.yml": workflow(job("ship", line), on="push: {branches: [main]}")})
    return [
        effect.kind for runs in found.pipeline.runs.values() for run in runs for step in run.steps for effect in step.effects
    ]


def test_script_that_a_variable_holds_is_read(tmp_path: Path) -> None:
    script = (
        'SCRIPT="\n  set -e\n  echo \\"\\$NAME\\"\n  docker stack deploy -c stack.yml $STACK\n"\nssh "$USER@$HOST" "$SCRIPT"'
    )
    assert Kind.DEPLOY in kinds(tmp_path, script)
    assert Kind.DEPLOY not in kinds(tmp_path, 'NOTE="\nkubectl apply -f x\n"\necho "$NOTE"')


def test_target_of_make_on_a_host_is_read_with_its_variables(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "COMPOSE ?= docker compose --env-file=.env\nup:\n\t@$(COMPOSE) up -d\ndown:\n\t${COMPOSE} down\n"
    )
    assert Kind.DEPLOY in kinds(tmp_path, 'ssh host "cd app && make up"')
    assert Kind.DEPLOY not in kinds(tmp_path, 'ssh host "cd app && make down"')


@pytest.mark.parametrize("line", DEPLOYS)
def test_command_that_moves_a_release_to_a_host_deploys(tmp_path: Path, line: str) -> None:
    assert Kind.DEPLOY in kinds(tmp_path, line)


@pytest.mark.parametrize("line", RELEASES + INFRASTRUCTURE)
def test_infrastructure_as_code_deploys_a_release_where_a_variable_names_it(tmp_path: Path, line: str) -> None:
    found = facts(tmp_path, {".github/workflows/d.yml": workflow(job("ship", line), on="push: {branches: [main]}")})
    assert bool(found.deploying) is (line in RELEASES)


@pytest.mark.parametrize("line", OTHERS)
def test_command_that_only_looks_like_it_does_not_deploy(tmp_path: Path, line: str) -> None:
    assert Kind.DEPLOY not in kinds(tmp_path, line)


@pytest.mark.parametrize("line", TESTS + NOT_TESTS)
def test_command_that_tests_members_of_a_workspace_is_known(tmp_path: Path, line: str) -> None:
    assert (Kind.TEST in kinds(tmp_path, line)) is (line in TESTS)


@pytest.mark.parametrize(
    "line", ["pnpm --filter web ship", "npm run ship -w web", "yarn --cwd apps/web ship", "npm --prefix apps/web run ship"]
)
def test_script_of_a_workspaces_member_is_read_where_it_stands(tmp_path: Path, line: str) -> None:
    (tmp_path / "apps/web").mkdir(parents=True)
    (tmp_path / "package.json").write_text('{"scripts": {"ship": "echo nothing"}}')
    # npm reads a number of any length, so it hides no script.
    package = '{"name": "@org/web", "size": SIZE, "scripts": {"ship": "kubectl apply -f x"}}'
    (tmp_path / "apps/web/package.json").write_text(package.replace("SIZE", "9" * 5000))
    assert Kind.DEPLOY in kinds(tmp_path, line)
    assert Kind.DEPLOY not in kinds(tmp_path, "pnpm -r ship")
