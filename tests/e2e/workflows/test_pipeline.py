"""The whole pipeline and the deployment, run by act with stub programs and a real HTTP server behind the gate."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.pipeline import planning
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline_file.reading import parse
from demo.picture import Picture
from tests.e2e.workflows.conftest import Consumer, sboms
from tests.e2e.workflows.test_verify import FILES, GREEN, pull_request
from tests.e2e.workflows.world import OLD, OPERATIONS, REPOSITORY, World
from tests.fakes.gh import Gh
from tests.fakes.github import deployments
from tests.fakes.github.settings import environment
from tests.harness.releases import KEY

PROGRAM = "python3 -I operations.py"
IMAGES = {
    name: {"repository": f"local/{name}", "command": f"{PROGRAM} build {{name}} {{sha}} {{image}}"} for name in ("api", "web")
}
HEALTH = {"api": {"path": "/health/ready", "version-from": "json:$.version"}, "web": {"version-from": "header:X-Version"}}
RELEASE = {
    "image-command": f"{PROGRAM} exists {{image}}",
    "running-command": f"{PROGRAM} running {{environment}}",
    "job-command": f"{PROGRAM} job {{service}} {{image}} {{sha}} {{environment}} -- {{command}}",
    "roll-out-command": f"{PROGRAM} roll-out {{service}} {{image}} {{sha}} {{environment}}",
    "migrate": {"service": "api", "command": "schema up"},
    "gate": {"timeout": "20s"},
}
IMPATIENT = {"gate": {"timeout": "3s"}}
"""For a release whose gate does not pass."""


def described(world: World, *environments: str, **release: Any) -> dict[str, Any]:
    """A pipeline file that releases to these environments, by default to staging and production."""
    named = [
        {"name": name, "urls": {service: f"{world.url}/{name}/{service}" for service in HEALTH}}
        for name in environments or ("staging", "production")
    ]
    for each in named:
        environment(world.github, REPOSITORY, str(each["name"]))
    services = {name: {"image": name, "health": health} for name, health in HEALTH.items()}
    return {**GREEN, "images": IMAGES, "services": services, "release": {**RELEASE, "environments": named, **release}}


@pytest.fixture
def app(consumer: Consumer, world: World) -> Consumer:
    consumer.calls("pipeline.yml", {})
    consumer.describes(described(world))
    consumer.commit({**FILES, "operations.py": OPERATIONS.read_text(encoding="utf-8")})
    return consumer


DIGEST = "sha256:" + "a" * 64
NINE = ["plan", "lane", "spec", "client", "check", "build", "deploy", "deploy"]
"""The last names of the jobs: without an approval there are eight."""


def go(app: Consumer, world: World, *event: object, **secrets: str) -> Picture:
    surroundings = world.begin(app.head)
    given = {"GITHUB_TOKEN": world.token, "RECORD_KEY": KEY, **secrets}
    return app.run(*event, step_environment=surroundings, secrets=given)  # type: ignore[arg-type]


def proven(app: Consumer, world: World) -> Gh:
    """From now on images are attested and scanned, and so is the source."""
    gh = Gh(world.folder)
    world.around["ATTESTATIONS"] = str(gh.folder / "known.json")
    app.act = replace(app.act, environment={**app.act.environment, "PATH": f"{gh.folder}:{app.act.environment['PATH']}"})
    file = described(world)
    registry = world.url.removeprefix("http://")
    file["images"] = {name: {**image, "repository": f"{registry}/{name}"} for name, image in IMAGES.items()}
    for image in file["images"].values():
        image["runs-on"] = "ubuntu-latest"
    file["build"] = {"attest": True}
    own = {"run": "cp scan.json own.json", "report": "own.json"}
    file["scans"] = {"more": {"own": own}}
    app.describes(file)
    app.commit({"scan.json": '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'})
    return gh


def test_a_push_goes_to_production_built_once(app: Consumer, world: World) -> None:
    """Each of the images is built on a separate runner; the build hands their digests on."""
    gh = proven(app, world)
    run = go(app, world)
    assert set(run.results().values()) == {"success"}, run.errors()
    names = sorted(name.rpartition(" / ")[2] for name in run.results())
    assert names == sorted([*NINE, *["build separately", "image", "sbom"] * 2, "scan"]), names
    # Each environment asked who built the images, before it recorded anything.
    assert len([words for words in gh.calls() if words[:2] == ["attestation", "verify"]]) == 2 * len(IMAGES)
    payload = deployments.kept(world.github, REPOSITORY).deployments[-1]["payload"]
    assert set(payload["attestations"]) == set(IMAGES)
    rolled_out = {entry[2] for entry in world.journal() if entry[0] == "roll-out"}
    assert sboms(gh.folder) == {image.rpartition(":")[2]: image for image in rolled_out}
    assert world.runs("staging") == world.runs("production") == {"api": app.head, "web": app.head}
    assert [task[:2] for task in world.tasks()] == [
        ("staging", "deploy"), ("staging", "passed"), ("production", "deploy"), ("production", "passed"),
    ]  # fmt: skip
    journal = world.journal()
    verbs = [entry[0] for entry in journal]
    assert verbs[:2] == ["build", "build"]
    # What runs is asked whenever an engine needs it; what acts, once.
    one = ["exists", "exists", "exists", "job", "exists", "exists", "roll-out", "roll-out"]
    assert [verb for verb in verbs[2:] if verb != "running"] == one * 2
    images = [entry[2] for entry in journal if entry[0] == "roll-out"]
    assert images[:2] == images[2:]
    assert all(re.fullmatch(r"127\.0\.0\.1:[0-9]+/(api|web)@sha256:[0-9a-f]{64}", image) for image in images)
    assert next(entry for entry in journal if entry[0] == "job") == [
        "job",
        "api",
        images[0],
        app.head,
        "staging",
        "--",
        "schema",
        "up",
    ]


def test_a_pull_request_is_never_released_and_has_five_jobs(app: Consumer, world: World) -> None:
    base = app.head
    app.commit({"apps/api/main.py": "x = 1\n"})
    run = go(app, world, "pull_request", pull_request(app, base))
    assert set(run.results().values()) == {"success"}
    assert sorted(name.rpartition(" / ")[2] for name in run.results()) == ["check", "client", "lane", "plan", "spec"]
    assert world.journal() == []


def test_documentation_on_the_default_branch_is_not_released(app: Consumer, world: World) -> None:
    base = app.head
    app.commit({"README.md": "Changed.\n"})
    run = go(app, world, "push", {"before": base, "after": app.head})
    assert {name.rpartition(" / ")[2]: result for name, result in run.results().items()} == {
        "plan": "success",
        "check": "success",
    }
    assert world.journal() == []


def test_a_promotion_deploys_what_passed_before_and_builds_nothing(app: Consumer, world: World) -> None:
    app.calls("pipeline.yml", {"promote": "${{ github.event.inputs.promote }}"})
    file = described(world)
    file["release"]["environments"][1]["start"] = "manual"
    app.describes(file)
    app.commit({})
    world.put("staging", app.head)
    run = go(app, world, "workflow_dispatch", {"inputs": {"promote": "production"}})
    assert sorted(name.rpartition(" / ")[2] for name in run.results()) == ["build", "check", "deploy", "plan"], run.log()
    assert world.runs("production") == world.runs("staging")
    journal = world.journal()
    assert "build" not in [entry[0] for entry in journal]
    assert [entry[2] for entry in journal if entry[0] == "roll-out"] == [f"local/{name}@{OLD}" for name in IMAGES]


# --- one environment ---


@pytest.fixture
def deploy(consumer: Consumer, world: World) -> Consumer:
    calls_deploy(consumer, world)
    consumer.commit({"operations.py": OPERATIONS.read_text(encoding="utf-8")})
    return consumer


def calls_deploy(consumer: Consumer, world: World, release: Mapping[str, Any] | None = None, **urls: str) -> None:
    """Have the consumer deploy what was built to staging, with the settings that the plan makes of the file."""
    text = json.dumps(described(world, "staging", **(release or {})))
    pipeline = parse(text)
    event = Event("push", "refs/heads/main", "a" * 40, "org/app", "main")
    (settings,) = planning.make(pipeline, None, event, []).environments
    for service, url in urls.items():
        next(each for each in settings["services"] if each["name"] == service)["url"] = url
    digests = {"api": DIGEST, "web": DIGEST}
    consumer.calls("deploy.yml", {"settings": json.dumps(settings), "digests": json.dumps(digests)})


def steps(run: Picture) -> dict[str, str]:
    return run.steps("call / deploy")


def test_a_sick_release_is_taken_back_and_told(deploy: Consumer, world: World, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    before = deploy.head
    world.put("staging", before)
    calls_deploy(deploy, world, IMPATIENT)
    sick = deploy.commit({"x": "1"})
    (world.folder / "sick").write_text(sick)
    run = go(deploy, world, NOTIFY_URLS=f"json://127.0.0.1:{httpserver.port}/hook")
    assert run.results() == {"call / deploy": "failure"}
    assert steps(run)["Gate"] == "failure"
    assert steps(run)["Roll back"] == "success"
    (message,) = [json.loads(request.get_data()) for request, _ in httpserver.log]
    assert message["title"] == "org/app in staging was rolled back"
    assert f"was rolled back to {before[:12]}." in message["message"]
    assert steps(run)["Outcome"] == "failure"
    assert world.runs("staging") == {"api": before, "web": before}
    told = run.summaries[-1].text
    assert "| gate | fail |\n| roll back | success |\n" in told
    assert f"| runs again | {before} |\n| its gate | pass |\n" in told
    assert [task[1:] for task in world.tasks()] == [
        ("passed", before), ("deploy", sick), ("quarantined", sick), ("deploy", before), ("passed", before),
    ]  # fmt: skip


def test_a_rollback_by_hand_announces_itself_and_rolls_back(consumer: Consumer, world: World) -> None:
    consumer.describes(described(world, "staging"))
    consumer.calls("rollback.yml", {"environment": "staging", "dry-run": False})
    before = consumer.commit({"operations.py": OPERATIONS.read_text(encoding="utf-8")})
    world.put("staging", before)
    newer = {"digest": DIGEST, "sha": consumer.commit({"x": "1"})}
    for service in IMAGES:
        (world.folder / "staging" / f"{service}.json").write_text(json.dumps({"image": f"local/{service}@{DIGEST}", **newer}))
    run = go(consumer, world, "workflow_dispatch")
    assert run.results() == dict.fromkeys(["call / plan", "call / announce", "call / roll back"], "success"), run.errors()
    assert world.runs("staging") == {"api": before, "web": before}
    assert [task[1] for task in world.tasks()].count("lock") == 1


STAGED = {
    "strategy": "blue-green",
    "promote": "manual",
    "bake": "1s",
    "stage-command": f"{PROGRAM} stage {{environment}}",
    "weigh-command": f"{PROGRAM} weigh {{service}} {{percent}} {{environment}}",
    **{
        f"{verb}-command": f"{PROGRAM} {verb} {{service}} {{image}} {{sha}} {{environment}}"
        for verb in ("prepare", "promote", "abandon")
    },
}


def test_stage_that_a_deploy_left_is_promoted_or_abandoned_by_another_run(deploy: Consumer, world: World) -> None:
    before = deploy.head
    world.put("staging", before)
    stages = world.folder / "stages-staging"

    def ended(how: str) -> Picture:
        deploy.calls("stage.yml", {"environment": "staging", "end": how})
        deploy.commit({"later": how})  # the branch has moved on
        run = go(deploy, world, "workflow_dispatch")
        assert set(run.results().values()) == {"success"}, run.errors()
        assert json.loads(stages.read_text()) == {}
        return run

    calls_deploy(deploy, world, STAGED)
    deploy.describes(described(world, "staging", **STAGED))
    release = deploy.commit({"x": "1"})
    run = go(deploy, world)
    assert run.results() == {"call / deploy": "success"}, run.errors()
    assert "Gate" not in steps(run)
    assert "| roll out | success, staged |\n" in run.summaries[-1].text
    assert {name: stage["percent"] for name, stage in json.loads(stages.read_text()).items()} == dict.fromkeys(IMAGES, 0)
    assert world.runs("staging") == {"api": before, "web": before}
    kept = deployments.kept(world.github, REPOSITORY)
    assert [kept.statuses[each["id"]][-1]["state"] for each in kept.deployments[1:]] == ["inactive", "inactive"]

    run = ended("promote")
    (job,) = [name for name in run.results() if name.endswith("deploy")]
    assert run.steps(job)["Gate"] == "success"
    assert world.runs("staging") == {"api": release, "web": release}
    told = [task[1:] for task in world.tasks()]
    assert told == [("passed", before), ("deploy", release), ("deploy", release), ("deploy", release), ("passed", release)]

    stages.write_text(json.dumps({"api": {"image": "local/api:2", "sha": "2" * 40, "percent": 50}}))
    ended("abandon")
    assert world.runs("staging") == {"api": release, "web": release}
    assert len(world.tasks()) == len(told), "that stage was of no deploy that is recorded"


def test_a_release_that_fails_its_smoke_tests_is_rolled_back(deploy: Consumer, world: World) -> None:
    """The second job ran before the roll-out, and the test knew where to ask and which commit."""
    before = deploy.head
    world.put("staging", before)
    smoke = "sh -c 'test -n \"$API_URL\" && echo smoke={sha} && ! curl -sf $API_URL/health/ready | grep -q {sha}'"
    calls_deploy(deploy, world, {"smoke": ["true", smoke], "after-migrate": "seed --all"})
    release = deploy.commit({"x": "1"})
    run = go(deploy, world)
    assert run.results() == {"call / deploy": "failure"}
    assert f"\nsmoke={release}\n" in run.log()
    assert [steps(run)[name] for name in ("After the migration", "Gate", "Smoke tests", "Roll back")] == [
        "success", "success", "failure", "success",
    ]  # fmt: skip
    jobs = [entry[6:] for entry in world.journal() if entry[0] == "job"]
    assert jobs.index(["schema", "up"]) < jobs.index(["seed", "--all"])
    assert world.runs("staging") == {"api": before, "web": before}
    assert "| smoke tests | fail |\n| roll back | success |\n" in run.summaries[-1].text
    assert [task[1] for task in world.tasks()] == ["passed", "deploy", "quarantined", "deploy", "passed"]


def test_a_first_release_that_is_sick_has_no_way_back_and_says_so(deploy: Consumer, world: World) -> None:
    calls_deploy(deploy, world, IMPATIENT)
    (world.folder / "sick").write_text(deploy.commit({}))
    run = go(deploy, world)
    assert run.results() == {"call / deploy": "failure"}
    assert steps(run)["Roll back"] == "failure"
    assert any("this is the first deployment to staging that is recorded" in error for error in run.errors())


def test_an_inconclusive_gate_takes_nothing_back(deploy: Consumer, world: World) -> None:
    before = deploy.head
    world.put("staging", before)
    calls_deploy(deploy, world, IMPATIENT, api="http://no-such-host.invalid")
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
    calls_deploy(deploy, world, {"require-rollback": False})
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
    # Its program fails for the older image as well, and what it left is not known.
    assert any("web could not be rolled back." in error and "exited with code 0 (api)." in error for error in run.errors())
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
    calls_deploy(deploy, world, {"allow-older": True})
    assert go(deploy, world).results() == {"call / deploy": "success"}


def test_an_address_that_is_missing_is_told_before_anything_moves(deploy: Consumer, world: World) -> None:
    calls_deploy(deploy, world, web="")
    deploy.commit({})
    run = go(deploy, world)
    assert steps(run)["What is released"] == "failure"
    assert "Could not tell where the service `web` answers in staging" in run.errors()[0]
    assert world.journal() == []


def test_a_dotenv_reaches_the_programs_and_its_values_are_masked(deploy: Consumer, world: World) -> None:
    calls_deploy(deploy, world, {"job-command": "sh -c 'echo token=$TOKEN cloud=${CLOUD:-none} file=$DEPLOY_ENV' --"})
    deploy.commit({})
    secrets = {"RELEASE_ENV": 'TOKEN="tr0ub4dor&3"\nEMPTY=\n', "DEPLOY_ENV": "CLOUD=s3cr3t-cloud\n"}
    run = go(deploy, world, **secrets)
    assert run.results() == {"call / deploy": "success"}, run.log()
    assert re.search(r"token=\*+ cloud=\*+ file=$", run.log(), re.MULTILINE)
    assert not any(secret in run.log() for secret in ("tr0ub4dor", "s3cr3t"))


def test_a_secret_that_a_program_needs_and_nobody_handed_on_is_told(deploy: Consumer, world: World) -> None:
    calls_deploy(deploy, world, {"deploy-env": ["CLOUD"]})
    deploy.commit({})
    run = go(deploy, world)
    assert steps(run)["What is released"] == "failure"
    assert "Could not use the secret DEPLOY_ENV of the environment staging: it does not set CLOUD." in run.errors()[0]
    assert world.journal() == []
