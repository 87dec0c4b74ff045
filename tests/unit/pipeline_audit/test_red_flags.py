"""One repository that does nearly everything wrong: each flag is raised, at its line."""

from __future__ import annotations

import pytest

from cicd_actions.pipeline_audit.facts import Facts
from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import judge
from tests.unit.pipeline_audit.repositories import facts, token

DEPLOY, CI, PR = (f".github/workflows/{name}.yml" for name in ("deploy", "ci", "pr"))
REVISION = "api/migrations/versions/0007_drop.py"

FILES = {
    DEPLOY: """\
name: Deploy
on: push
concurrency:
  group: deploy
  cancel-in-progress: true
jobs:
  staging:
    runs-on: ubuntu-latest
    environment: staging
    steps:
      - uses: actions/checkout@v4
      - run: docker build -t ghcr.io/shop/api:staging --push api
      - run: kubectl --context staging apply -f k8s/api.yml
  production:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: aws-actions/configure-aws-credentials@v4
        with:
          aws-access-key-id: ${{ secrets.AWS_KEY }}
          aws-secret-access-key: ${{ secrets.AWS_SECRET }}
          aws-region: eu-central-1
      - run: docker build -t ghcr.io/shop/api:latest --push api
      - run: |
          kubectl apply -f k8s/api.yml
          kubectl set image deployment/api api=ghcr.io/shop/api:latest
      - run: docker run --rm -e DATABASE_URL ghcr.io/shop/api:latest alembic upgrade head
""",
    CI: """\
name: CI
on: [pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v4
      - run: pip install -r api/requirements.txt
      - run: ruff check api
      - run: pytest api || true
      - run: |
          uvicorn app:app &
          curl --fail http://localhost:8000/openapi.json -o openapi.json
      - run: npm ci --prefix web
      - run: npm test --prefix web
  lint:
    runs-on: ubuntu-latest
    steps:
      - run: npm run lint --prefix web
  gate:
    needs: [test, lint]
    runs-on: ubuntu-latest
    steps:
      - run: echo passed
""",
    PR: """\
name: Preview
on: pull_request_target
jobs:
  preview:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.event.pull_request.head.sha }}
      - run: npm ci && npm test
        env:
          TOKEN: ${{ secrets.PREVIEW_TOKEN }}
""",
    "api/Dockerfile": 'FROM python:3.13\nCOPY . .\nENTRYPOINT ["./entrypoint.sh"]\n',
    "api/entrypoint.sh": "#!/bin/sh\nset -e\nalembic upgrade head\nexec uvicorn app:app --host 0.0.0.0\n",
    "api/pyproject.toml": "",
    REVISION: """\
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.drop_column("orders", "note")


def downgrade():
    pass
""",
    "web/package.json": '{\n  "devDependencies": {\n    "openapi-typescript": "7.0.0"\n  }\n}\n',
    "web/.npmrc": f"//registry.example.com/:_authToken={token('npm')}\n",
    "k8s/api.yml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      containers:
        - name: api
          image: ghcr.io/shop/api:latest
          ports: [{containerPort: 8000}]
""",
}

FLAGS = [
    ("no-rollback", DEPLOY, "kubectl --context staging apply"),
    ("no-rollback", DEPLOY, "kubectl apply -f k8s/api.yml"),
    ("startup-migration", "api/entrypoint.sh", "alembic upgrade head"),
    ("untrusted-checkout", PR, "actions/checkout"),
    ("literal-secret", "web/.npmrc", "_authToken"),
    ("unverified-deploy", DEPLOY, "kubectl set image"),
    ("no-staging", DEPLOY, "  production:"),
    ("migrate-first", DEPLOY, "alembic upgrade head"),
    ("rebuilt-release", DEPLOY, "api:latest --push"),
    ("mutable-image-tag", DEPLOY, "kubectl set image"),
    ("ungated-traffic", "k8s/api.yml", "- name: api"),
    ("broad-token", DEPLOY, "name: Deploy"),
    ("unpinned-action", DEPLOY, "aws-actions/configure"),
    ("long-lived-cloud-key", DEPLOY, "aws-actions/configure"),
    ("merged-lanes", CI, "  test:"),
    ("client-drift", "web/package.json", "openapi-typescript"),
    ("spec-from-server", CI, "openapi.json -o"),
    ("ungated-release", DEPLOY, "on: push"),
    ("cancellable-deploy", DEPLOY, "concurrency:"),
    ("unapproved-production", DEPLOY, "  production:"),
    ("undocumented-secret", DEPLOY, "secrets.AWS_KEY"),
    ("unsafe-migration", REVISION, "op.drop_column"),
    ("hidden-lane", CI, "pytest api"),
    ("hidden-lane", CI, "  gate:"),
    ("unscanned-dependencies", CI, "name: CI"),
    ("unscanned-image", DEPLOY, "api:staging --push"),
    ("stale-ci-runs", CI, "jobs:"),
    ("no-path-filter", CI, "on: [pull_request]"),
    ("no-timeout", DEPLOY, "  staging:"),
    ("no-cache", CI, "pip install"),
    ("silent-failure", DEPLOY, "  staging:"),
    ("unmeasured", DEPLOY, "  staging:"),
]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts(tmp_path_factory.mktemp("red"), FILES, changed=frozenset({REVISION}))


@pytest.mark.parametrize(("rule", "file", "text"), FLAGS)
def test_red_flag_repository_is_told_at_the_line(rule: str, file: str, text: str, audited: Facts) -> None:
    line = next(number for number, one in enumerate(FILES[file].splitlines(), 1) if text in one)
    places = {str(broken.place) for broken in judge(RULES[rule], audited).broken}
    assert f"{file}:{line}" in places


def test_red_flags_are_of_all_tiers_and_more_than_fifteen() -> None:
    assert len({rule for rule, _, _ in FLAGS}) >= 30
    assert {RULES[rule].tier for rule, _, _ in FLAGS} == {rule.tier for rule in RULES.values()}
