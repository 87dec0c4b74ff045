"""Every action, used by an outside repository as a release carries it: once as it should be, once where it has to say no."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from demo.export import PLACEHOLDER_SHA, REPOSITORY
from demo.picture import Picture
from tests.e2e.workflows.conftest import ROOT, Consumer
from tests.e2e.workflows.test_verify import document
from tests.e2e.workflows.world import OPERATIONS, World

DIGEST = "sha256:" + "c" * 64
PROGRAMS = {
    "engine": "command",
    "running-command": "python3 -I operations.py running {environment}",
    "image-command": "python3 -I operations.py exists {image}",
    "job-command": "python3 -I operations.py job {service} {image} {sha} {environment} --",
    "roll-out-command": "python3 -I operations.py roll-out {service} {image} {sha} {environment}",
}
FILES = {
    "operations.py": OPERATIONS.read_text(encoding="utf-8"),
    "openapi.json": document("/items"),
    "client.json": document("/items"),
    "stale.json": document("/things"),
    "SECRETS.md": "- API_TOKEN: the api's token. Lives in the repository. Set it by `gh secret set API_TOKEN`.\n",
    "scan.json": '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}',
    "NOTHING.md": "Nothing is written here.\n",
    ".github/workflows/other.yml": textwrap.dedent("""\
        on: workflow_dispatch
        jobs:
          call:
            runs-on: ubuntu-latest
            steps:
              - run: ./call
                env:
                  TOKEN: ${{ secrets.API_TOKEN }}
        """),
}
SHA = "${{ github.sha }}"

ELSEWHERE = {"notify", "pipeline-audit", "pipeline-metrics", "verify-attestation", "verify-migrations"}
"""They need a receiver, a history of runs, gh or PostgreSQL: tests/integration has them."""

Uses = dict[str, tuple[str, dict[str, str]]]


def steps(url: str) -> Uses:
    """Step id → action and its inputs. What ends in `-no` has to fail."""
    gate = {"url": f"{url}/staging/api/health", "version-from": "json:$.version", "timeout": "20s"}
    services = f"api=local/api@{DIGEST}"
    record = {"environment": "staging", "services": services}
    client = {"client-path": "client.json", "spec": "openapi.json"}
    migrate = {**PROGRAMS, "image": f"local/api@{DIGEST}", "service": "api", "sha": SHA, "environment": "staging"}
    back = {**PROGRAMS, "environment": "staging", "services": "api=local/api", "current-sha": SHA, "dry-run": "true"}
    del back["job-command"]
    return {
        "secrets": ("secrets-doc-check", {"workflows": ".github/workflows/other.yml"}),
        "secrets-no": ("secrets-doc-check", {"workflows": ".github/workflows/other.yml", "docs": "NOTHING.md"}),
        "client": ("verify-openapi-client", {**client, "generate-command": "cp {spec} {client}"}),
        "client-no": ("verify-openapi-client", {**client, "generate-command": "cp stale.json {client}"}),
        "scan": ("scan-gate", {"reports": "scan.json"}),
        "scan-no": ("scan-gate", {"reports": "NOTHING.md"}),
        "start": ("deployment-record", {**record, "phase": "start"}),
        "migrate": ("run-migrations-oneshot", {**migrate, "command": "schema up"}),
        "migrate-no": ("run-migrations-oneshot", {**migrate, "job-command": "false"}),
        "roll-out": ("roll-out", {**PROGRAMS, "services": services, "sha": SHA, "environment": "staging"}),
        "roll-out-no": ("roll-out", {**PROGRAMS, "services": "api=local/api:latest", "environment": "staging"}),
        "gate": ("health-gate", {**gate, "expect-version": SHA}),
        "gate-no": ("health-gate", {**gate, "expect-version": "another", "timeout": "1s"}),
        "finish": ("deployment-record", {**record, "phase": "finish", "verdict": "${{ steps.gate.outputs.verdict }}"}),
        "finish-no": ("deployment-record", {**record, "phase": "finish", "verdict": "${{ steps.missing.outputs.verdict }}"}),
        "back": ("rollback-to-previous-sha", {**back, "url": f"{url}/staging/api"}),
        "back-no": ("rollback-to-previous-sha", {**back, "environment": "elsewhere", "url": f"{url}/staging/api"}),
    }


SEEN = '{ git status --porcelain --ignored; ls -A "$HOME"; echo "$PATH"; cat "$GITHUB_ENV" "$GITHUB_PATH"; }'


def workflow(uses: Uses) -> str:
    """One job with all of the steps; before and after them what is around is noted."""
    found: list[dict[str, Any]] = [
        {"uses": "actions/checkout@v1"},
        {"name": "Before", "shell": "bash", "run": f"{SEEN} > $OPERATIONS/before"},
    ]
    for name, (action, inputs) in uses.items():
        found.append(
            {
                "id": name,
                "name": name,
                "continue-on-error": True,
                "uses": f"{REPOSITORY}/{action}@{PLACEHOLDER_SHA}",
                "with": inputs,
            }
        )
    found.append({"name": "After", "shell": "bash", "run": f"{SEEN} > $OPERATIONS/after"})
    found.append(
        {
            "name": "What they said",
            "shell": "bash",
            "env": {"STEPS": "${{ toJSON(steps) }}"},
            "run": 'printf %s "$STEPS" > $OPERATIONS/steps.json',
        }
    )
    return json.dumps({"on": "push", "jobs": {"all": {"runs-on": "ubuntu-latest", "steps": found}}})


@pytest.fixture
def said(consumer: Consumer, world: World) -> tuple[Picture, dict[str, Any]]:
    """The run, and the outcome and outputs of each step."""
    before = consumer.commit({".github/workflows/pipeline.yml": workflow(steps(world.url)), **FILES})
    world.put("staging", before)
    consumer.commit({"README.md": "The next release.\n"})
    run = consumer.run(step_environment=world.begin(consumer.head), secrets={"GITHUB_TOKEN": world.token})
    return run, json.loads((world.folder / "steps.json").read_text())


def test_every_action_says_yes_and_no(said: tuple[Picture, dict[str, Any]], world: World, consumer: Consumer) -> None:
    run, steps_said = said
    assert {action for action, _ in steps("").values()} | ELSEWHERE == {
        path.parent.name for path in ROOT.glob("actions/*/action.yml")
    }
    outcomes = {name: step["outcome"] for name, step in steps_said.items()}
    expected = {name: "failure" if name.endswith("-no") else "success" for name in steps("")}
    assert {name: outcomes[name] for name in expected} == expected, run.log()
    outputs = {name: step["outputs"] for name, step in steps_said.items()}
    # What cannot be used at all, and a verdict that is missing, are no verdict on the release.
    verdicts = {name: "fail" if name.endswith("-no") else "pass" for name in expected}
    verdicts |= dict.fromkeys(("roll-out-no", "finish-no", "scan-no"), "inconclusive")
    assert {name: outputs[name]["verdict"] for name in expected} == verdicts
    assert outputs["gate"]["observed-version"] == consumer.head
    assert json.loads(outputs["secrets-no"]["undocumented"])
    assert outputs["client-no"]["drift"] == "true"
    assert outputs["migrate"]["status"] == "applied"
    assert outputs["back"]["rolled-back"] == "false"
    assert (outputs["back"]["from-sha"], outputs["back"]["to-sha"]) == (consumer.head, consumer.git("rev-parse", "HEAD^"))
    assert any("this is the first deployment to elsewhere that is recorded" in error for error in run.errors())
    # Nothing of the caller's is touched.
    assert (world.folder / "after").read_text() == (world.folder / "before").read_text()
