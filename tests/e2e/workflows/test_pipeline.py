"""The whole pipeline and the deployment, run by act with stub programs and a real HTTP server behind the gate."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cicd_actions.github.release_record import Record, Task
from demo.picture import Picture
from tests.e2e.workflows.conftest import Consumer
from tests.e2e.workflows.test_two_lane import FILES, GREEN, pull_request
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.fakes.github.openapi import document

OPERATIONS = Path(__file__).with_name("operations.py")
DEPLOY = {
    "image-command": "python3 operations.py exists {image}",
    "running-command": "python3 operations.py running {environment}",
    "job-command": "python3 operations.py job {service} {image} {sha} {environment} -- {command}",
    "roll-out-command": "python3 operations.py roll-out {service} {image} {sha} {environment}",
    "migrate-command": "schema up",
    "gate-timeout": "2s",
}
BUILD = {
    "builder": "command",
    "build-command": "python3 operations.py build {service} {sha} {image}",
    "api-image": "local/api",
    "web-image": "local/web",
}
DIGEST = "sha256:" + "a" * 64
OLD = "sha256:" + "b" * 64
REPOSITORY = "org/app"


class World:
    """The environments: what runs in them, and the address where it answers; and GitHub, as far as records need it."""

    def __init__(self, folder: Path, url: str, github: FakeGitHub) -> None:
        self.folder = folder
        self.url = url
        self.github = github
        settings.repository(github, REPOSITORY)
        self.token = github.token(deployments="write", contents="read")

    def tasks(self) -> list[tuple[str, str, str]]:
        """What is recorded, oldest first."""
        return [
            (each["environment"], each["task"].removeprefix("cicd-actions:"), each["sha"])
            for each in deployments.kept(self.github, REPOSITORY).deployments
        ]

    def runs(self, environment: str) -> dict[str, str]:
        """Commit by service."""
        return {file.stem: json.loads(file.read_text())["sha"] for file in (self.folder / environment).glob("*.json")}

    def put(self, environment: str, sha: str) -> None:
        """That commit runs there, and passed its gate."""
        (self.folder / environment).mkdir()
        images = {service: f"local/{service}@{OLD}" for service in ("api", "web")}
        for service, image in images.items():
            (self.folder / environment / f"{service}.json").write_text(json.dumps({"image": image, "digest": OLD, "sha": sha}))
        passed = Record(Task.PASSED, REPOSITORY, environment, sha, images, verdict="pass")
        deployments.other_tool(self.github, REPOSITORY, environment, sha, task=passed.task.value, payload=passed.payload())

    def refuse(self, *lines: str) -> None:
        (self.folder / "refuse").write_text("\n".join(lines))

    def journal(self) -> list[list[str]]:
        file = self.folder / "journal"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def world(tmp_path: Path, consumer: Consumer) -> Iterator[World]:
    folder = tmp_path / "world"
    folder.mkdir()

    class Handler(BaseHTTPRequestHandler):
        """`/staging/api/health/ready` and `/staging/web/`: whatever commit was rolled out last; a sick one is a 503."""

        def do_GET(self) -> None:
            _, environment, service, *_ = self.path.split("/")
            file = folder / environment / f"{service}.json"
            sha = json.loads(file.read_text())["sha"] if file.exists() else ""
            sick = (folder / "sick").exists() and (folder / "sick").read_text() == sha
            self.send_response(503 if sick or not sha else 200)
            self.send_header("X-Version", sha)
            self.end_headers()
            self.wfile.write(json.dumps({"version": sha}).encode())

        def log_message(self, *_: object) -> None:
            """Nothing: the log of the test is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with FakeGitHub(document=document()) as github:
        deployments.kept(github, REPOSITORY).git = consumer.folder
        yield World(folder, f"http://127.0.0.1:{server.server_port}", github)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def app(consumer: Consumer, world: World) -> Consumer:
    inputs = {**GREEN, **BUILD, **DEPLOY, "job-command": DEPLOY["job-command"]}
    for environment in ("staging", "production"):
        for service in ("api", "web"):
            inputs[f"{environment}-{service}-url"] = f"{world.url}/{environment}/{service}"
    consumer.calls("pipeline.yml", inputs)
    consumer.commit({**FILES, "operations.py": OPERATIONS.read_text(encoding="utf-8")})
    return consumer


def go(app: Consumer, world: World, *event: object, **secrets: str) -> Picture:
    surroundings = {"OPERATIONS": str(world.folder), "GITHUB_API_URL": world.github.url}
    given = {"GITHUB_TOKEN": world.token, **secrets}
    return app.run(*event, step_environment=surroundings, secrets=given)  # type: ignore[arg-type]


def test_a_push_goes_to_production_built_once(app: Consumer, world: World) -> None:
    run = go(app, world)
    assert set(run.results().values()) == {"success"}
    assert {name.removeprefix("call / ") for name in run.results()} == {
        "verify / changes", "verify / spec", "verify / api", "verify / web", "verify / check",
        "verify / secrets", "release gate",
        "build / api", "build / web", "build / digests", "staging / deploy", "production / deploy", "result",
    }  # fmt: skip
    assert world.runs("staging") == world.runs("production") == {"api": app.head, "web": app.head}
    assert [task[:2] for task in world.tasks()] == [
        ("staging", "deploy"), ("staging", "passed"), ("production", "deploy"), ("production", "passed"),
    ]  # fmt: skip
    journal = world.journal()
    verbs = [entry[0] for entry in journal]
    assert sorted(verbs[:2]) == ["build", "build"]
    one = ["exists", "job", "exists", "exists", "running", "roll-out", "roll-out"]
    assert verbs[2:] == one * 2
    images = [entry[2] for entry in journal if entry[0] == "roll-out"]
    assert images[:2] == images[2:]
    assert all(re.fullmatch(r"local/(api|web)@sha256:[0-9a-f]{64}", image) for image in images)
    assert journal[3] == ["job", "api", images[0], app.head, "staging", "--", "schema", "up"]


def test_a_pull_request_is_never_released(app: Consumer, world: World) -> None:
    base = app.head
    app.commit({"apps/api/main.py": "x = 1\n"})
    run = go(app, world, "pull_request", pull_request(app, base))
    results = {name.removeprefix("call / "): result for name, result in run.results().items()}
    assert results["release gate"] == "success"
    assert results["result"] == "success"
    assert not [name for name in results if name.startswith(("build", "staging", "production"))]
    assert world.journal() == []


def test_documentation_on_the_default_branch_is_not_released(app: Consumer, world: World) -> None:
    base = app.head
    app.commit({"README.md": "Changed.\n"})
    run = go(app, world, "push", {"before": base, "after": app.head})
    assert set(run.results().values()) == {"success"}
    assert world.journal() == []


# --- one environment ---


@pytest.fixture
def deploy(consumer: Consumer, world: World) -> Consumer:
    calls_deploy(consumer, world)
    consumer.commit({"operations.py": OPERATIONS.read_text(encoding="utf-8")})
    return consumer


def calls_deploy(consumer: Consumer, world: World, **more: str) -> None:
    consumer.calls(
        "deploy.yml",
        {
            **DEPLOY,
            "environment": "staging",
            "images": "api=local/api\nweb=local/web",
            "digests": f"api={DIGEST}\nweb={DIGEST}",
            "api-url": f"{world.url}/staging/api",
            "web-url": f"{world.url}/staging/web",
            **more,
        },
    )


def steps(run: Picture) -> dict[str, str]:
    return run.steps("call / deploy")


def test_a_sick_release_is_taken_back(deploy: Consumer, world: World) -> None:
    before = deploy.head
    world.put("staging", before)
    sick = deploy.commit({"x": "1"})
    (world.folder / "sick").write_text(sick)
    run = go(deploy, world)
    assert run.results() == {"call / deploy": "failure"}
    assert steps(run)["Gate"] == "failure"
    assert steps(run)["Roll back"] == "success"
    assert steps(run)["Outcome"] == "failure"
    assert world.runs("staging") == {"api": before, "web": before}
    assert run.errors()[-1] == "gate: fail, roll back: success"
    assert [task[1:] for task in world.tasks()] == [
        ("passed", before), ("deploy", sick), ("quarantined", sick), ("deploy", before), ("passed", before),
    ]  # fmt: skip


def test_a_first_release_that_is_sick_has_no_way_back_and_says_so(deploy: Consumer, world: World) -> None:
    (world.folder / "sick").write_text(deploy.head)
    run = go(deploy, world)
    assert run.results() == {"call / deploy": "failure"}
    assert steps(run)["Roll back"] == "failure"
    assert any("this is the first deployment to staging that is recorded" in error for error in run.errors())


def test_an_inconclusive_gate_takes_nothing_back(deploy: Consumer, world: World) -> None:
    before = deploy.head
    world.put("staging", before)
    calls_deploy(deploy, world, **{"api-url": "http://no-such-host.invalid"})
    release = deploy.commit({})
    run = go(deploy, world)
    assert run.results() == {"call / deploy": "failure"}
    assert steps(run)["Gate"] == "failure"
    assert "Roll back" not in steps(run)
    assert world.runs("staging") == {"api": release, "web": release}


def test_a_failed_migration_stops_before_the_roll_out(deploy: Consumer, world: World) -> None:
    before = deploy.head
    world.put("staging", before)
    deploy.commit({"x": "1"})
    world.refuse("job api")
    run = go(deploy, world)
    assert steps(run)["Migrate"] == "failure"
    assert "`schema up` ended with exit code 7." in run.errors()[0]
    assert not {"Roll out", "Gate", "Roll back"} & set(steps(run))
    assert world.runs("staging") == {"api": before, "web": before}


def test_when_the_second_service_fails_the_first_goes_back(deploy: Consumer, world: World) -> None:
    before = deploy.head
    world.put("staging", before)
    deploy.commit({"x": "1"})
    world.refuse("roll-out web")
    run = go(deploy, world)
    assert steps(run)["Roll out"] == "failure"
    assert "Gate" not in steps(run)
    assert world.runs("staging") == {"api": before, "web": before}
    assert any("What ran before runs again" in error for error in run.errors())
    assert [task[1] for task in world.tasks()] == ["passed", "deploy", "quarantined"]


def test_an_older_commit_is_refused(deploy: Consumer, world: World) -> None:
    older = deploy.head
    newer = deploy.commit({"x": "1"})
    world.put("staging", newer)
    deploy.git("checkout", "--quiet", "-B", "main", older)
    deploy.git("tag", "kept", newer)
    run = go(deploy, world)
    assert steps(run)["Start the record"] == "failure"
    assert "Migrate" not in steps(run)
    assert f"{older[:12]} is 1 commit behind {newer[:12]}" in run.errors()[0]
    calls_deploy(deploy, world, **{"allow-older": True})  # type: ignore[arg-type]
    assert go(deploy, world).results() == {"call / deploy": "success"}


def test_an_address_that_is_missing_is_told_before_anything_moves(deploy: Consumer, world: World) -> None:
    calls_deploy(deploy, world, **{"web-url": ""})
    deploy.commit({})
    run = go(deploy, world)
    assert steps(run)["What is released"] == "failure"
    assert "set the variable WEB_URL of the environment staging" in run.errors()[0]
    assert world.journal() == []


def test_a_dotenv_reaches_the_programs_and_its_values_are_masked(deploy: Consumer, world: World) -> None:
    calls_deploy(deploy, world, **{"job-command": "sh -c 'echo token=$RELEASE_ENV' --"})
    deploy.commit({})
    secret = 'TOKEN="tr0ub4dor&3"\nEMPTY=\n'
    run = go(deploy, world, RELEASE_ENV=secret)
    assert run.results() == {"call / deploy": "success"}
    assert "token=" in run.log()
    assert "tr0ub4dor" not in run.log()
