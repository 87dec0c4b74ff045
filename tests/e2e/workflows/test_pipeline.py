"""The whole pipeline and the deployment, run by act with stub programs and a real HTTP server behind the gate."""

from __future__ import annotations

import re

import pytest

from demo.picture import Picture
from tests.e2e.workflows.conftest import Consumer
from tests.e2e.workflows.test_two_lane import FILES, GREEN, pull_request
from tests.e2e.workflows.world import OPERATIONS, World
from tests.harness.releases import KEY

DEPLOY = {
    "image-command": "python3 -I operations.py exists {image}",
    "running-command": "python3 -I operations.py running {environment}",
    "job-command": "python3 -I operations.py job {service} {image} {sha} {environment} -- {command}",
    "roll-out-command": "python3 -I operations.py roll-out {service} {image} {sha} {environment}",
    "migrate-command": "schema up",
    "gate-timeout": "2s",
}
BUILD = {
    "builder": "command",
    "build-command": "python3 -I operations.py build {service} {sha} {image}",
    "api-image": "local/api",
    "web-image": "local/web",
}
DIGEST = "sha256:" + "a" * 64


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
    surroundings = world.begin(app.head)
    given = {"GITHUB_TOKEN": world.token, "RECORD_KEY": KEY, **secrets}
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
    # What runs is asked as often as an engine needs it; what acts, once.
    one = ["exists", "job", "exists", "exists", "roll-out", "roll-out"]
    assert [verb for verb in verbs[2:] if verb != "running"] == one * 2
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
    told = run.summaries[-1].text  # act may lose the last lines that a failing step prints, never what it wrote to a file
    assert "| gate | fail |\n| roll back | success |\n" in told
    assert f"| runs again | {before} |\n| its gate | pass |\n" in told
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
    # The rollback's check asks with a job too, and would stop the deploy before the migration.
    calls_deploy(deploy, world, **{"require-rollback": "false"})
    deploy.commit({"x": "1"})
    world.refuse("job api")
    run = go(deploy, world)
    assert steps(run)["Migrate"] == "failure"
    assert "`schema up` failed with exit code 7." in run.errors()[0]
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
    assert f"Cannot deploy {older[:12]}: it is 1 commit behind {newer[:12]}" in run.errors()[0]
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
