"""The recipes of platforms: their command lines are stood in for, and every call and flag is asserted in its order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.harness.recipe import Recipe
from tests.harness.standin import Call, Standins, call

REPOSITORY = "ghcr.io/your-org/shop"
OLD, NEW = (f"{REPOSITORY}@sha256:{letter * 64}" for letter in "ab")
OLD_SHA, SHA = "1" * 40, "2" * 40


class Platform:
    """One recipe, and the stand-ins of its tools."""

    def __init__(self, folder: Path, name: str, *tools: str, **variables: str) -> None:
        self.tools = Standins(folder / "tools", *tools)
        self.recipe = Recipe(folder / "repository", name, "staging", more={**self.tools.variables, **variables})

    def run(self, command: str, *words: str, calls: tuple[Call, ...] = (), **variables: str) -> tuple[int, str, str]:
        """Runs one of the recipe's commands, which has to make exactly these calls."""
        self.tools.expect(*calls)
        done = self.recipe.program(f"{command}-command", *words, **variables)
        assert "but the test expects" not in done.stderr, done.stderr
        self.tools.assert_all(done.stderr)
        return done.returncode, done.stdout, done.stderr

    def running(self, *calls: Call) -> Any:
        code, printed, complaint = self.run("running", calls=calls)
        assert code == 0, complaint
        return json.loads(printed)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    (tmp_path / "repository").mkdir()
    return lambda name, *tools, **variables: Platform(tmp_path, name, *tools, **variables)


def entry(image: str, sha: str | None) -> dict[str, str]:
    known = {"image": image, "digest": image.partition("@")[2]}
    return known if sha is None else {**known, "sha": sha}


SEVERAL = {"image": "several", "digest": "", "sha": ""}
INSPECT = "docker manifest inspect"


@pytest.mark.parametrize(
    ("complaint", "code", "expected"), [("", 0, 0), ("no such manifest: x", 1, 1), ("unauthorized: access denied", 1, 2)]
)
def test_image_counts_as_missing_only_where_its_registry_says_so(
    platform: Callable[..., Platform], complaint: str, code: int, expected: int
) -> None:
    calls = (call(f"{INSPECT} {NEW}", code=code, complains=complaint),)
    assert platform("kubernetes", "docker").run("image", NEW, calls=calls)[0] == expected


# ---------------------------------------------------------------------------------------------------------------- Cloud Run

WHERE = "--region=europe-west1 --quiet --format=json"


def revision(name: str, image: str, sha: str, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"release-sha": sha}, "creationTimestamp": name},
        "spec": {"containers": [{"image": image}]},
        "status": {"imageDigest": image, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def cloud_run_service(**percent: int) -> dict[str, Any]:
    traffic = [{"revisionName": name, "percent": share} for name, share in percent.items()]
    return {"metadata": {"name": "shop-staging-api"}, "status": {"traffic": traffic}}


def test_cloud_run_new_revision_gets_traffic_that_was_pinned(platform: Callable[..., Platform]) -> None:
    cloud_run = platform("cloud-run", "gcloud", "docker")
    name = "shop-staging-api"
    listed = call(f"gcloud run revisions list --service={name} {WHERE}", says=[revision("r1", OLD, OLD_SHA)])
    update = f"gcloud run services update {name} --image={NEW} --update-labels=release-sha={SHA} --no-traffic {WHERE}"
    made = {"status": {"latestCreatedRevisionName": "r2", "latestReadyRevisionName": "r2"}}
    traffic = call(f"gcloud run services update-traffic {name} --to-revisions=r2=100 {WHERE}", says={})
    describe = f"gcloud run services describe {name} {WHERE}"

    calls = (listed, call(update, says=made), traffic, call(describe, says=cloud_run_service(r2=100, r1=0)))
    assert cloud_run.run("roll-out", "api", NEW, SHA, calls=calls)[0] == 0
    # The traffic stands elsewhere still.
    calls = (listed, call(update, says=made), traffic, call(describe, says=cloud_run_service(r2=50, r1=50)))
    code, _, complaint = cloud_run.run("roll-out", "api", NEW, SHA, calls=calls)
    assert (code, "does not serve r2 alone" in complaint) == (1, True)
    # The revision does not start.
    assert cloud_run.run("roll-out", "api", NEW, SHA, calls=(listed, call(update, code=1)))[0] == 1
    # A rollback makes no new revision.
    back = call(f"gcloud run services update-traffic {name} --to-revisions=r1=100 {WHERE}", says={})
    calls = (listed, back, call(describe, says=cloud_run_service(r1=100)))
    assert cloud_run.run("roll-out", "api", OLD, OLD_SHA, calls=calls)[0] == 0


def test_cloud_run_running_is_what_serves(platform: Callable[..., Platform]) -> None:
    cloud_run = platform("cloud-run", "gcloud", "docker")
    revisions = call(f"gcloud run revisions list {WHERE}", says=[revision("r1", OLD, OLD_SHA), revision("r2", NEW, SHA)])
    for service, expected in (
        (cloud_run_service(r1=100), entry(OLD, OLD_SHA)),
        (cloud_run_service(r2=100, r1=0), entry(NEW, SHA)),
        (cloud_run_service(r2=10, r1=90), SEVERAL),
    ):
        listed = call(f"gcloud run services list {WHERE}", says=[service, {"metadata": {"name": "other"}, "status": {}}])
        assert cloud_run.running(revisions, listed) == {"api": expected}

    described = f"gcloud artifacts docker images describe {{}} {WHERE.removeprefix('--region=europe-west1 ')}"
    pkg = NEW.replace("ghcr.io", "europe-west1-docker.pkg.dev")
    for complains, code, expected_code in (
        ("", 0, 0),
        ("ERROR: NOT_FOUND: no image", 1, 1),
        ("ERROR: PERMISSION_DENIED", 1, 2),
    ):
        calls = (call(described.format(pkg), code=code, complains=complains),)
        assert cloud_run.run("image", pkg, calls=calls)[0] == expected_code

    update = f"gcloud run jobs update shop-staging-api-job --image={NEW} --command=sh"
    arguments = "--args=^|:|^-c|:|alembic upgrade head, twice"
    execute = f"gcloud run jobs execute shop-staging-api-job --wait {WHERE}"
    for code in (0, 1):
        calls = (call(update, arguments, "--max-retries=0", "--tasks=1", *WHERE.split()), call(execute, code=code))
        assert cloud_run.run("job", "api", NEW, "sh", "-c", "alembic upgrade head, twice", calls=calls)[0] == code


# ---------------------------------------------------------------------------------------------------------------------- Fly


def machine(identity: str, image: str, sha: str, check: str = "passing", **more: Any) -> dict[str, Any]:
    registry, repository = image.partition("@")[0].split("/", 1)
    reference = {"registry": registry, "repository": repository, "digest": image.partition("@")[2]}
    reference |= {"labels": {"org.opencontainers.image.revision": sha}} if sha else {}
    config = {"image": f"{registry}/{repository}:deployment-1", "metadata": {"fly_process_group": "app"}}
    known = {"id": identity, "name": f"name-{identity}", "state": "started", "image_ref": reference, "config": config}
    return {**known, "checks": [{"name": "ready", "status": check}], **more}


def test_fly_machine_that_was_put_back_fails_the_roll_out(platform: Callable[..., Platform]) -> None:
    fly = platform("fly", "flyctl", "docker")
    app = "shop-staging-api"
    deploy = f"flyctl deploy --app {app} --image {NEW} --strategy rolling --wait-timeout 300s --yes"
    listed = f"flyctl machine list --app {app} --json"
    # What one-shot machines run does not count.
    console = machine("c", OLD, OLD_SHA, config={"image": OLD})
    for machines, complaint in (
        ([machine("a", NEW, SHA), machine("b", NEW, SHA), console], ""),
        ([machine("a", NEW, SHA), machine("b", OLD, OLD_SHA)], "The machine b of shop-staging-api still runs"),
        ([machine("a", NEW, SHA, "critical")], "does not pass its checks: ready"),
        ([console], "has no machine"),
    ):
        code, _, said = fly.run("roll-out", "api", NEW, SHA, calls=(call(deploy), call(listed, says=machines)))
        assert (code, complaint in said) == (1 if complaint else 0, True), said
    assert fly.run("roll-out", "api", NEW, SHA, calls=(call(deploy, code=1),))[0] == 1

    worker = call(
        "flyctl machine list --app shop-staging-worker --json", says=[machine("w", NEW, SHA), machine("v", OLD, OLD_SHA)]
    )
    assert fly.running(call(listed, says=[machine("a", NEW, SHA), console]), worker) == {
        "api": entry(NEW, SHA),
        "worker": SEVERAL,
    }


@pytest.mark.parametrize(
    ("end", "code"), [({"exit_code": 7}, 7), ({"exit_code": 0}, 0), ({"exit_code": 0, "oom_killed": True}, 137)]
)
def test_fly_job_ends_with_its_machines_exit_code(platform: Callable[..., Platform], end: dict[str, Any], code: int) -> None:
    fly = platform("fly", "flyctl", "docker")
    fly.recipe.commands["job-command"] = (fly.recipe.commands["job-command"] or "").replace(" --prefix", " --every 0 --prefix")
    # The program makes the machine's name up.
    program = fly.recipe.folder / "deploy/fly.py"
    program.write_text(program.read_text().replace("secrets.token_hex(4)", "'x'"))
    where = "--app shop-staging-api"
    listed = f"flyctl machine list {where} --json"
    job = machine("j", NEW, SHA, name="one-shot-job-x", events=[{"type": "start"}])
    over = {**job, "events": [{"type": "exit", "request": {"exit_event": end}}]}
    options = f"{where} --name one-shot-job-x --restart no --detach --vm-memory 512"
    calls = (
        call(f"flyctl machine run {NEW} {options} -- sh -c", "alembic upgrade head"),
        call(listed, says=[job]),
        call(listed, says=[job]),
        call(listed, says=[over]),
        call(f"flyctl logs {where} --machine j --no-tail", says="migrated"),
        call(f"flyctl machine destroy j {where} --force"),
    )
    assert fly.run("job", "api", NEW, "sh", "-c", "alembic upgrade head", calls=calls)[:2] == (code, "migrated\n")


# ------------------------------------------------------------------------------------------------------------------- Render


def test_render_deploy_counts_when_its_image_is_live(platform: Callable[..., Platform]) -> None:
    render = platform("render", "render", "docker", RENDER_API_KEY="rnd_key", RENDER_SERVICES="api=srv-1 worker=srv-2")
    rest = "--confirm --output json"
    create = f"render deploys create srv-1 --image {NEW} --wait {rest}"
    listed = f"render deploys list srv-1 {rest}"
    live = {"status": "live", "image": {"ref": NEW, "sha": NEW.partition("@")[2]}}
    past = {"status": "deactivated", "image": {"ref": OLD, "sha": OLD.partition("@")[2]}}
    assert render.run("roll-out", "api", NEW, SHA, calls=(call(create), call(listed, says=[live, past])))[0] == 0
    failed = [{**live, "status": "update_failed"}, {**past, "status": "live"}]
    code, _, complaint = render.run("roll-out", "api", NEW, SHA, calls=(call(create), call(listed, says=failed)))
    assert (code, f"{OLD} is live" in complaint) == (1, True)
    assert render.run("roll-out", "api", NEW, SHA, calls=(call(create, code=1),))[0] == 1
    assert render.run("roll-out", "web", NEW, SHA)[0] == 1

    # A tag is told by the digest that Render resolved it to.
    tagged = {"status": "live", "image": {"ref": f"{REPOSITORY}:1", "sha": OLD.partition("@")[2]}}
    found = render.running(call(listed, says=failed), call(listed.replace("srv-1", "srv-2"), says=[tagged]))
    assert found == {"api": entry(OLD, None), "worker": entry(OLD, None)}


@pytest.mark.parametrize(("name", "variables"), [("render", {"RENDER_SERVICES": ""}), ("railway", {"RAILWAY_TOKEN": "t"})])
def test_job_and_image_where_the_platform_has_neither(
    platform: Callable[..., Platform], name: str, variables: dict[str, str]
) -> None:
    recipe = platform(name, "docker", **variables)
    run = f"docker run --rm --init --env DATABASE_URL --entrypoint sh {NEW} -c"
    calls = (call(run, "alembic upgrade head", code=7),)
    given = {"JOB_VARIABLES": "DATABASE_URL", "DATABASE_URL": "postgresql://"}
    assert recipe.run("job", "api", NEW, "sh", "-c", "alembic upgrade head", calls=calls, **given)[0] == 7
    for complaint, code, expected in (("", 0, 0), ("manifest unknown", 1, 1), ("unauthorized", 1, 2)):
        assert recipe.run("image", NEW, calls=(call(f"{INSPECT} {NEW}", code=code, complains=complaint),))[0] == expected


# ------------------------------------------------------------------------------------------------------------------ Railway


class Railway:
    """Its API: answers in the order in which they are given, each to the question that names a word."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server

    def answers(self, word: str, data: Any, **variables: Any) -> None:
        """The next question has to name the word, and to have these variables."""

        def answer(request: Request) -> Response:
            asked = json.loads(request.get_data())
            right = word in asked["query"] and asked["variables"] == variables
            told = {"data": data} if right else {"errors": [{"message": f"expected {word} with {variables}, got {asked}"}]}
            return Response(json.dumps(told), mimetype="application/json")

        headers = {"Project-Access-Token": "project-token"}
        self.server.expect_ordered_request("/graphql/v2", method="POST", headers=headers).respond_with_handler(answer)

    def environment(self, **deployments: Any) -> None:
        """The question which environment the token is of, and which services are there."""
        self.answers("projectToken", {"projectToken": {"projectId": "p", "environmentId": "e"}})
        nodes = [
            {"node": {"serviceId": f"id-{name}", "serviceName": name, "source": None, "latestDeployment": each}}
            for name, each in deployments.items()
        ]
        self.answers("serviceInstances", {"environment": {"serviceInstances": {"edges": nodes}}}, id="e")


@pytest.mark.parametrize(("states", "code"), [(("BUILDING", "DEPLOYING", "SUCCESS"), 0), (("DEPLOYING", "CRASHED"), 1)])
def test_railway_waits_for_the_deployment_that_it_started(
    platform: Callable[..., Platform], httpserver: HTTPServer, states: tuple[str, ...], code: int
) -> None:
    address = {"RAILWAY_API": httpserver.url_for("/graphql/v2"), "RAILWAY_EVERY": "0"}
    recipe = platform("railway", "docker", RAILWAY_TOKEN="project-token", **address)
    railway = Railway(httpserver)
    railway.environment(api={"id": "d1", "status": "SUCCESS", "meta": {"image": OLD}})
    where = {"service": "id-api", "environment": "e"}
    railway.answers("serviceInstanceUpdate", {"serviceInstanceUpdate": True}, **where, input={"source": {"image": NEW}})
    railway.answers("serviceInstanceDeployV2", {"serviceInstanceDeployV2": "d2"}, **where)
    for state in states:
        railway.answers("deployment(id: $id)", {"deployment": {"status": state}}, id="d2")
    ended = recipe.run("roll-out", "api", NEW, SHA)
    httpserver.check_assertions()
    assert ended[0] == code, ended

    latest = {"id": "d2", "status": states[-1], "meta": {"image": NEW}}
    railway.environment(api=latest, worker=None)
    expected = entry(NEW, None) if code == 0 else {"image": "several", "digest": ""}
    assert recipe.running() == {"api": expected}


# ------------------------------------------------------------------------------------------------------------------- Vercel


def test_vercel_serves_the_images_files_by_its_domain(platform: Callable[..., Platform], httpserver: HTTPServer) -> None:
    vercel = platform(
        "vercel",
        "vercel",
        "docker",
        VERCEL_TOKEN="token",
        VERCEL_ORG_ID="team_1",
        VERCEL_SERVICES="web=prj_1:www.example.org",
        VERCEL_API=httpserver.url_for("").rstrip("/"),
        VERCEL_WITHIN="0",
    )
    # The program makes a folder with a new name each time.
    program = vercel.recipe.folder / "deploy/vercel.py"
    program.write_text(
        program.read_text()
        .replace("tempfile.TemporaryDirectory()", "here()")
        .replace(
            "class Failed",
            "from contextlib import contextmanager\n\n\n@contextmanager\ndef here():\n"
            "    import shutil\n    Path('build').mkdir()\n    yield 'build'\n    shutil.rmtree('build')\n\n\nclass Failed",
            1,
        )
    )
    sign = {"Authorization": "Bearer token"}

    def known(image: str, *addresses: str) -> None:
        query = {"teamId": "team_1", "projectId": "prj_1", "target": "production", "state": "READY", "limit": "1"}
        found = {"deployments": [{"url": address} for address in addresses]}
        request = httpserver.expect_oneshot_request(
            "/v6/deployments", query_string={**query, "meta-releaseImage": image}, headers=sign
        )
        request.respond_with_json(found)

    def serves(image: str, sha: str) -> None:
        request = httpserver.expect_oneshot_request(
            "/v13/deployments/www.example.org", query_string={"teamId": "team_1"}, headers=sign
        )
        request.respond_with_json({"meta": {"releaseImage": image, "releaseSha": sha}})

    rest = "--yes --timeout=0s --scope=team_1"
    meta = ["--meta", f"releaseImage={NEW}", "--meta", f"releaseSha={SHA}"]
    known(NEW)
    serves(NEW, SHA)
    calls = (
        call(f"docker create {NEW}", says="container-1\n"),
        call("docker cp container-1:/output build/.vercel/output"),
        call("docker rm container-1"),
        call("vercel deploy --prebuilt --prod --skip-domain --yes --cwd=build", *meta, says="https://web-2.vercel.app\n"),
        call(f"vercel promote https://web-2.vercel.app {rest}"),
    )
    ended = vercel.run("roll-out", "web", NEW, SHA, calls=calls)
    assert ended[0] == 0, ended
    # A rollback promotes the deployment that is there.
    known(OLD, "web-1.vercel.app")
    serves(OLD, OLD_SHA)
    assert vercel.run("roll-out", "web", OLD, OLD_SHA, calls=(call(f"vercel promote web-1.vercel.app {rest}"),))[0] == 0
    # The domain leads elsewhere still.
    known(NEW, "web-2.vercel.app")
    serves(OLD, OLD_SHA)
    serves(OLD, OLD_SHA)
    ended = vercel.run("roll-out", "web", NEW, SHA, calls=(call(f"vercel promote web-2.vercel.app {rest}"),))
    assert (ended[0], f"but {OLD}" in ended[2]) == (1, True), ended
    serves(NEW, SHA)
    assert vercel.running() == {"web": entry(NEW, SHA)}
    httpserver.check_assertions()
