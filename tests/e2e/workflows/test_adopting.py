"""docs/adopting.md, followed: its steps for records, a rollback and the release, as they are written, in an outside repository.

Only what is the reader's own is replaced: the engine, the images, the address, and how long the gate waits for what is sick.
"""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

import pytest

from cicd_actions.toolkit.yaml12 import plain, read
from demo.export import PLACEHOLDER_SHA
from demo.picture import Picture
from tests.e2e.workflows.conftest import ROOT, WORKFLOW, Consumer
from tests.e2e.workflows.test_every_action import DIGEST, FILES, PROGRAMS
from tests.e2e.workflows.world import OLD, World
from tests.fakes.github.settings import environment
from tests.harness.action import run as command
from tests.harness.releases import KEY

ADOPT, DEPLOY = "- uses: org/cicd-actions/deployment-record", "- id: start"
GUIDE = (ROOT / "docs" / "adopting.md").read_text("utf-8")


def steps(first: str) -> list[dict[str, Any]]:
    """The guide's block of steps that begins with these words."""
    (block,) = (found for found in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if found.startswith(first))
    text = block.replace("<full commit sha>", PLACEHOLDER_SHA).replace("ghcr.io/your-org/", "local/")
    found: Any = plain(read(text.replace("${{ needs.build.outputs.digest }}", DIGEST)).root)
    return list(found)


class Guided:
    """A repository whose deploys are those of the guide."""

    def __init__(self, consumer: Consumer, world: World) -> None:
        self.consumer, self.world = consumer, world

    def commit(self, first: str) -> str:
        """The next commit: its workflow has the guide's block that begins so."""
        found = steps(first)
        for step in found:
            inputs = step["with"]
            if inputs.pop("engine", ""):
                del inputs["stack"]
                inputs.update({name: text for name, text in PROGRAMS.items() if name != "job-command"}, engine="command")
            if "url" in inputs:
                assert inputs["url"] == "https://api.example.com/health/ready"
                inputs["url"] = f"{self.world.url}/production/api/health/ready"
            if step["uses"].startswith("org/cicd-actions/health-gate@"):
                inputs["timeout"] = "2s"
        jobs = {"deploy": {"runs-on": "ubuntu-latest", "steps": [{"uses": "actions/checkout@v1"}, *found]}}
        before = self.consumer.head
        workflow = {".github/workflows/pipeline.yml": json.dumps({"on": "push", "jobs": jobs}), **FILES}
        return self.consumer.commit({**workflow, "parent": before})

    def push(self) -> Picture:
        surroundings = self.world.begin(self.consumer.head)
        return self.consumer.run(step_environment=surroundings, secrets={"GITHUB_TOKEN": self.world.token})

    def records(self) -> list[tuple[str, str]]:
        return [(task, sha) for environment, task, sha in self.world.tasks() if environment == "production"]


@pytest.fixture
def guided(consumer: Consumer, world: World) -> Guided:
    """What runs in production was deployed before anybody thought of records."""
    before = consumer.commit({"README.md": "The release before.\n"})
    (world.folder / "production").mkdir()
    running = {"image": f"local/api@{OLD}", "digest": OLD, "sha": before}
    (world.folder / "production" / "api.json").write_text(json.dumps(running))
    return Guided(consumer, world)


def test_what_runs_is_adopted_and_what_is_sick_goes_back_to_it(guided: Guided) -> None:
    world, before = guided.world, guided.consumer.head
    guided.commit(ADOPT)
    adopted = guided.push()
    assert adopted.exit_code == 0, adopted.log()
    assert guided.records() == [("passed", before)]

    sick = guided.commit(DEPLOY)
    (world.folder / "sick").write_text(sick)
    run = guided.push()
    assert run.results() == {"deploy": "failure"}, run.log()
    assert run.jobs["deploy"].outputs["gate"]["verdict"] == "fail"
    assert world.runs("production") == {"api": before}
    assert guided.records()[1:] == [("deploy", sick), ("quarantined", sick), ("deploy", before), ("passed", before)]


def test_a_good_release_is_recorded_and_one_that_does_not_come_up_is_quarantined(guided: Guided) -> None:
    world = guided.world
    good = guided.commit(DEPLOY)
    run = guided.push()
    assert run.results() == {"deploy": "success"}, run.log()
    assert world.runs("production") == {"api": good}
    assert guided.records() == [("deploy", good), ("passed", good)]

    world.refuse("roll-out api")
    broken = guided.commit(DEPLOY)
    run = guided.push()
    assert run.results() == {"deploy": "failure"}, run.log()
    assert "gate" not in run.jobs["deploy"].outputs
    assert guided.records()[2:] == [("deploy", broken), ("quarantined", broken)]


SHOP = {
    "backend/pyproject.toml": "[project]\nname = 'shop'\nversion = '1'\n[dependency-groups]\ndev = ['pytest', 'ruff']\n",
    "backend/uv.lock": "",
    "backend/tests/test_shop.py": "def test_shop(): pass\n",
    "backend/Dockerfile": "FROM python:3.13\nEXPOSE 8000\n",
    "frontend/package.json": json.dumps({"scripts": {"lint": "eslint .", "build": "vite build"}}),
    "frontend/pnpm-lock.yaml": "",
    "frontend/Dockerfile": "FROM nginx\nEXPOSE 80\n",
}
"""Not the example: a repository with the two folders of the guide."""


def release_of(world: World, *environments: str) -> dict[str, Any]:
    """The guide's images, services and release, with the reader's own programs, and its addresses in these environments."""
    (block,) = (found for found in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if found.startswith("images:"))
    found: Any = plain(read(block).root)
    for name, image in found["images"].items():
        image["command"] = f"python3 -I operations.py build {name} {{sha}} {{image}}"
    release = found["release"]
    for key in ("engine", "stack", "runs-on"):
        del release[key]
    release["migrate"]["command"] = "schema up"
    release.update({**PROGRAMS, "job-command": f"{PROGRAMS['job-command']} {{command}}", "gate": {"timeout": "20s"}})
    (staging,) = release["environments"]
    release["environments"] = [
        {**staging, "name": name, "urls": {service: f"{world.url}/{name}/{service}" for service in staging["urls"]}}
        for name in environments
    ]
    return dict(found)


def test_release_of_the_guide_reaches_staging_and_then_production(consumer: Consumer, world: World) -> None:
    """Its fourth step in order: the block, the plan, the environments, adopt, the job `release`, then production."""
    before = consumer.commit({**SHOP, "operations.py": FILES["operations.py"]})
    assert command("init", {"commit": PLACEHOLDER_SHA}, consumer.folder).code == 0
    written: Any = plain(read((consumer.folder / ".github" / "cicd.yml").read_text("utf-8")).root)
    consumer.describes({**written, **release_of(world, "staging")})
    consumer.commit({})
    assert command("init", {"check": "true"}, consumer.folder).code == 0
    planned = command("plan", {"event": "push", "ref": "refs/heads/main"}, consumer.folder)
    assert "Release: to staging." in planned.log
    (adopt,) = (
        textwrap.dedent(found)
        for found in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
        if "\nname: Adopt\n" in textwrap.dedent(found)
    )
    for name in ("staging", "production"):
        environment(world.github, "org/app", name)
        (world.folder / name).mkdir()
        for service in ("api", "worker", "web"):
            running = {"image": f"local/{service}@{OLD}", "digest": OLD, "sha": before}
            (world.folder / name / f"{service}.json").write_text(json.dumps(running))

    # Both are adopted: by programs, at the reader's address, on the machine of the tests.
    adopt = adopt.replace("<full commit sha>", PLACEHOLDER_SHA)
    adopting: Any = plain(read(adopt.replace("ghcr.io/your-org/app/", "local/")).root)
    job = adopting["jobs"]["adopt"]
    given = job["steps"][0]["with"]
    job["steps"].insert(0, {"uses": "actions/checkout@v1"})
    del given["stack"]
    programs = {name: text for name, text in PROGRAMS.items() if name != "job-command"}
    given.update(programs, engine="command", url=f"{world.url}/${{{{ inputs.environment }}}}/api/health/ready")
    job.update({"runs-on": "ubuntu-latest", "environment": {"name": job["environment"]["name"]}})
    secrets = {"GITHUB_TOKEN": world.token, "DEPLOY_ENV": "A=b", "RELEASE_ENV": "C=d", "RECORD_KEY": KEY}
    consumer.commit({WORKFLOW: json.dumps(adopting)})
    for name in ("staging", "production"):
        event = {"inputs": {"environment": name}}
        run = consumer.run("workflow_dispatch", event, step_environment=world.begin(consumer.head), secrets=secrets)
        assert run.results() == {"adopt": "success"}, run.log()
    assert world.tasks() == [(name, "passed", before) for name in ("staging", "production")]

    pages = (ROOT / "docs" / "pipeline.md").read_text("utf-8")
    (caller,) = (found for found in re.findall(r"```yaml\n(.*?)```", pages, re.DOTALL) if "\n  release:\n" in found)
    caller = caller.replace("<full commit sha>", PLACEHOLDER_SHA)
    environments = ("staging", "production")
    consumer.describes({**written, **release_of(world, *environments)})
    released = consumer.commit({WORKFLOW: caller})
    run = consumer.run(step_environment=world.begin(released), secrets=secrets)
    assert set(run.results().values()) == {"success"}, run.log()
    assert all(set(world.runs(name).values()) == {released} for name in environments)
