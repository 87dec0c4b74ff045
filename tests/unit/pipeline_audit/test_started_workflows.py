"""Deploys that other workflows, task runners and actions with scripts start."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.pipeline_audit.facts import Facts
from cicd_actions.pipeline_audit.rules.definition import Status
from cicd_actions.pipeline_audit.seen import blocks
from cicd_actions.toolkit.report import Paragraph
from tests.unit.pipeline_audit.cases import KUBECTL, STATUS, Files, calls, job, workflow
from tests.unit.pipeline_audit.repositories import SHA, facts, judged

SHIP = ".github/workflows/ship.yml"
DISPATCHED = "name: Deploy app\n" + workflow(
    job("roll", KUBECTL, STATUS), on="workflow_dispatch: {inputs: {environment: {required: true}}}"
)
TASKS = (
    "version: 3\ntasks:\n  deploy:prd:\n    cmds:\n      - flyctl deploy --config fly.toml\n  lint:\n    cmds: [ruff check]\n"
)
BUMP = "kustomize edit set image api=x@$D\n    git commit -am x\n    git push"
SCRIPT = "github.rest.actions.createWorkflowDispatch({workflow_id: 'deploy.yml'})"
STARTS = {
    "gh": "gh workflow run deploy.yml -f environment=staging",
    "curl": "curl -X POST https://api.github.com/repos/$GITHUB_REPOSITORY/actions/workflows/deploy.yml/dispatches",
    "action, by name": f"uses: benc-uk/workflow-dispatch@{SHA}\nwith: {{workflow: Deploy app}}",
    "action, by file": f"uses: the-actions-org/workflow-dispatch@{SHA}\nwith: {{workflow: deploy.yml, repo: org/app}}",
    "script": f"uses: actions/github-script@{SHA}\nwith:\n  script: |\n    {SCRIPT}",
}


def found(root: Path, files: Files | str) -> Facts:
    return facts(root, files if isinstance(files, dict) else {SHIP: files})


def sentence(made: Facts) -> str:
    return next(str(block.text) for block in blocks(made) if isinstance(block, Paragraph))


@pytest.mark.parametrize("how", STARTS)
def test_workflow_that_a_step_starts_is_linked(tmp_path: Path, how: str) -> None:
    made = found(tmp_path, {SHIP: workflow(job("ship", STARTS[how])), ".github/workflows/deploy.yml": DISPATCHED})
    assert list(made.pipeline.started) == [".github/workflows/deploy.yml"]
    assert [one.job.id for one in made.deploying] == ["roll"]


@pytest.mark.parametrize(
    "step",
    [
        "gh workflow run roll-out.yml -R org/infra -f sha=$GITHUB_SHA",
        'curl -X POST https://api.github.com/repos/org/infra/dispatches -d \'{"event_type": "deploy"}\'',
        f"uses: peter-evans/repository-dispatch@{SHA}\nwith: {{repository: org/gitops, event-type: image-tag}}",
    ],
)
def test_deploy_that_another_repository_makes_is_not_sure(tmp_path: Path, step: str) -> None:
    made = found(tmp_path, workflow(job("ship", step)))
    assert not made.deploying
    assert len(made.pipeline.guessed_deploys) == 1


@pytest.mark.parametrize(
    "step",
    [
        "gh workflow run docs.yml",
        "gh api repos/org/site/dispatches -f event_type=rebuild-index",
        "curl https://api.github.com/repos/org/app/actions/runs",
    ],
)
def test_dispatch_of_anything_else_is_not_a_deploy(tmp_path: Path, step: str) -> None:
    made = found(tmp_path, workflow(job("ship", step)))
    assert not made.pipeline.guessed_deploys


def test_checks_after_a_dispatch_may_verify_the_deploy(tmp_path: Path) -> None:
    starts = workflow(job("ship", STARTS["gh"], f"uses: org/smoke-test-runner@{SHA}"))
    files = {SHIP: starts, ".github/workflows/deploy.yml": DISPATCHED.replace(STATUS, "true")}
    assert judged(tmp_path, "unverified-deploy", files).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("step", "platform"),
    [
        ("task deploy:prd -- v1", "Fly.io"),
        ("just ship production", "Kubernetes"),
        (f"uses: org/run-with-tools@{SHA}\nwith:\n  commands: helm upgrade api ./chart", "Helm"),
        (f"uses: org/kube-tools@{SHA}\nwith:\n  command: |\n    {BUMP}", "GitOps (Argo CD or Flux)"),
        ("npx serverless deploy --stage prod", "AWS Lambda"),
    ],
)
def test_deploy_within_a_task_or_an_input_is_seen(tmp_path: Path, step: str, platform: str) -> None:
    files = {SHIP: workflow(job("ship", step)), "Taskfile.yml": TASKS, "justfile": f"ship stage:\n    @{KUBECTL}\n"}
    made = found(tmp_path, files)
    assert [effect.what for _, _, effect in made.pipeline.deploys] == [platform]


@pytest.mark.parametrize(
    "step",
    [
        "task lint",
        "just --list",
        f"uses: org/retry@{SHA}\nwith:\n  command: npm test",
        f"uses: actions/github-script@{SHA}\nwith:\n  script: helm upgrade api ./chart",
    ],
)
def test_task_or_input_without_a_deploy_is_not_one(tmp_path: Path, step: str) -> None:
    made = found(tmp_path, {SHIP: workflow(job("ship", step)), "Taskfile.yml": TASKS, "justfile": f"ship:\n    {KUBECTL}\n"})
    assert not made.pipeline.deploys


@pytest.mark.parametrize(
    ("step", "may"),
    [
        ("datasette publish cloudrun a.db", True),
        ("terraform apply -auto-approve", True),
        ("echo Deploying", False),
    ],
)
def test_job_that_only_its_name_makes_a_deploy_may_deploy(tmp_path: Path, step: str, may: bool) -> None:
    text = workflow(job("deploy", step)).replace("name: a step", "name: Deploy the application")
    assert ("It may deploy" in sentence(found(tmp_path, text))) is may


def test_what_i_see_names_each_stage_of_a_called_workflow(tmp_path: Path) -> None:
    table = next(block for block in blocks(found(tmp_path, calls("staging", "production"))) if hasattr(block, "rows"))
    assert [row[2] for row in table.rows] == ["staging", "production"]
