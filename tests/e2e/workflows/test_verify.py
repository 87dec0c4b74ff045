"""The lanes of a pipeline file, run by act: what runs for which change, what a failure hides and what it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.picture import Picture
from tests.e2e.workflows.conftest import Consumer
from tests.harness.alembic_project import NEWEST, Project, python_with
from tests.harness.postgres import Postgres, running

API: dict[str, Any] = {
    "directory": "apps/api",
    "install": "echo api-install",
    "prepare": ["echo api-migrate"],
    "checks": {name: f"echo api-{name}" for name in ("lint", "format", "types", "test")},
    "openapi": "cp openapi.json {spec}",
}
WEB: dict[str, Any] = {
    "directory": "apps/web",
    "install": "echo web-install",
    "checks": {name: f"echo web-{name}" for name in ("lint", "types", "test", "build")},
    "client": {"of": "api", "path": "generated.json", "generate": "cp {spec} generated.json"},
}
GREEN: dict[str, Any] = {"version": 1, "lanes": {"api": API, "web": WEB}}


def lanes(api: Mapping[str, Any] | None = None, web: Mapping[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    """The green file with other keys of its lanes. `checks` and `client` are changed key by key."""
    found: dict[str, Any] = {}
    both: list[tuple[str, dict[str, Any], Mapping[str, Any]]] = [("api", API, api or {}), ("web", WEB, web or {})]
    for name, lane, change in both:
        merged = {key: {**lane.get(key, {}), **value} if isinstance(value, dict) else value for key, value in change.items()}
        found[name] = {**lane, **merged}
    return {**GREEN, "lanes": found, **top}


def document(*paths: str) -> str:
    """An OpenAPI document with a GET for each path."""
    operation = {"get": {"responses": {"200": {"description": "OK"}}}}
    found = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": dict.fromkeys(paths, operation)}
    return json.dumps(found) + "\n"


FILES = {
    "apps/api/openapi.json": document("/items", "/health"),
    "apps/web/generated.json": document("/items", "/health"),
    "README.md": "An application.\n",
    "infra/compose.yml": "services: {}\n",
}
ALL = ["plan", "lane", "spec", "client", "check"]


@pytest.fixture
def app(consumer: Consumer) -> Consumer:
    consumer.calls("verify.yml", {})
    consumer.describes(GREEN)
    consumer.commit(FILES)
    return consumer


def pull_request(app: Consumer, base: str, *, fork: bool = False) -> dict[str, Any]:
    repository = {"full_name": "stranger/app" if fork else "org/app", "fork": fork}
    return {
        "action": "opened",
        "number": 1,
        "pull_request": {
            "number": 1,
            "base": {"sha": base, "ref": "main"},
            "head": {"sha": app.head, "ref": "x", "repo": repository},
        },
    }


def jobs(results: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("call / "): result for name, result in results.items()}


def test_all_green(app: Consumer) -> None:
    run = app.run()
    assert jobs(run.results()) == dict.fromkeys(ALL, "success")
    assert run.steps("call / client")["The committed client is the generated one"] == "success"
    for command in ("api-migrate", "api-lint", "api-test", "web-lint", "web-build"):
        assert f"\n{command}\n" in f"\n{run.log()}\n"


def test_red_checks_and_drift_hide_no_other_check_and_no_other_lane(app: Consumer) -> None:
    app.describes(lanes({"checks": {"lint": "false", "format": "false"}}, {"checks": {"lint": "false"}}))
    app.commit({"apps/api/openapi.json": document("/items", "/health", "/::error::x")})
    run = app.run()
    assert jobs(run.results()) == {**dict.fromkeys(ALL, "success"), **dict.fromkeys(["lane", "client", "check"], "failure")}
    assert "api-test" in run.log("call / lane")
    assert "web-build" in run.log("call / client")
    assert "lint: it ended with exit code 1" in run.errors()
    assert run.steps("call / client")["The committed client is the generated one"] == "failure"
    assert any("apps/web/generated.json" in message and "(cd apps/api && cp" in message for message in run.errors())
    assert run.errors()[-2:] == ["lane: it failed", "client: it failed"]


def test_a_red_spec_turns_only_the_clients_check_red(app: Consumer) -> None:
    app.describes(lanes({"openapi": "false {spec}"}))
    app.commit({})
    run = app.run()
    assert jobs(run.results()) == {**dict.fromkeys(ALL, "success"), **dict.fromkeys(["spec", "client", "check"], "failure")}
    assert run.steps("call / client")["Checks"] == "success"
    assert run.steps("call / client")["The committed client is the generated one"] == "failure"


def with_a_strict_client() -> dict[str, Any]:
    """The green file with a second client of the api, whose lane fails where the change breaks a caller."""
    web = {**WEB, "client": {**WEB["client"], "fail-on": ["drift"]}}
    strict = {**WEB, "directory": "apps/strict", "client": {**WEB["client"], "fail-on": ["drift", "breaking"]}}
    return {**GREEN, "lanes": {"api": API, "web": web, "strict": strict}}


def compared(run: Picture) -> tuple[str, str]:
    """How the comparison ended in both lanes. act tells a job of a matrix failed once another one of it has failed."""
    first, second = (run.steps(f"call / client-{number}")["The committed client is the generated one"] for number in (1, 2))
    return first, second


STRICT = {"apps/strict/generated.json": FILES["apps/web/generated.json"]}


def test_what_a_change_breaks_is_told_from_the_current_api(app: Consumer) -> None:
    """The clients are generated again; that callers break is a warning in one lane, and fails the one that asks for it."""
    app.describes(with_a_strict_client())
    base = app.commit(STRICT)
    clients = ("apps/web/generated.json", "apps/strict/generated.json")
    app.commit({name: document("/health") for name in ("apps/api/openapi.json", *clients)})
    run = app.run("pull_request", pull_request(app, base))
    assert compared(run) == ("success", "failure")
    assert jobs(run.results())["check"] == "failure"
    assert run.steps("call / spec")["Export the OpenAPI document of the current API"] == "success"
    assert any("/items" in message for message in [found.message for found in run.annotations if found.level == "warning"])
    assert any("/items" in message for message in run.errors())
    assert f"Compared with `openapi-of-{base}.json`." in run.log("call / client-1")


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.mark.postgres
@pytest.mark.network
def test_migration_that_breaks_the_running_release_turns_its_lane_red(
    app: Consumer, postgres: Postgres, tmp_path: Path
) -> None:
    migrate = f"{python_with(NEWEST)}/alembic upgrade head"
    app.describes(
        lanes(
            {"prepare": [migrate], "env": {"DATABASE_URL": postgres.url("postgres", "psycopg")}},
            images={"api": {"repository": "org/api"}},
            services={"api": {"image": "api"}},
            release={
                "migrate": {"service": "api", "command": migrate},
                "running-command": "./running",
                "roll-out-command": "./roll-out",
                "image-command": "./image",
                "environments": [{"name": "staging", "urls": {"api": "https://api.example.com"}}],
            },
        )
    )
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    project.revision("a1", "op.execute('CREATE TABLE items (id int PRIMARY KEY, name text)')")
    files = {f"apps/api/{path.relative_to(project.folder)}": path.read_text() for path in project.folder.rglob("*.*")}
    base = app.commit(files)
    project.revision("a2", "op.drop_column('items', 'name')")
    app.commit({"apps/api/migrations/versions/a2.py": project.path("a2").read_text()})

    run = app.run("pull_request", pull_request(app, base))

    assert jobs(run.results()) == {**dict.fromkeys(ALL, "success"), "lane": "failure", "check": "failure"}
    steps = run.steps("call / lane")
    assert (steps["Checks"], steps["The running release works with the new migrations"]) == ("success", "failure")
    assert any("items.name is gone" in message for message in run.errors())


def test_a_base_that_cannot_be_exported_is_said_and_fails_where_it_is_compared(app: Consumer) -> None:
    app.describes(with_a_strict_client())
    app.git("rm", "--quiet", "apps/api/openapi.json")
    base = app.commit({"apps/api/main.py": "", **STRICT})
    app.commit({"apps/api/openapi.json": FILES["apps/api/openapi.json"]})
    run = app.run("pull_request", pull_request(app, base))
    assert compared(run) == ("success", "failure")
    assert jobs(run.results())["check"] == "failure"
    assert run.steps("call / spec")["Export the OpenAPI document of the current API"] == "failure"
    assert "the document of the current API is not available" in run.log("call / client-1")
    assert any("base-spec" in message for message in run.errors())


def test_red_install_runs_no_check_and_containers_that_did_not_start_are_told(app: Consumer) -> None:
    stored = {"directory": "infra", "checks": {"test": "echo stored-test"}, "install": "true"}
    stored |= {"backing": {"postgres": "postgres:17"}, "env": {"DATABASE_URL": "postgresql://{postgres}/x"}}
    pipeline = lanes({"install": "false"})
    app.describes({**pipeline, "lanes": {**pipeline["lanes"], "stored": stored}})
    app.commit({})
    run = app.run()  # in host mode act starts no container, and does not say so
    failed = ["lane-1", "lane-2", "spec", "client", "check"]
    assert jobs(run.results()) == {**dict.fromkeys(failed, "failure"), "plan": "success"}
    assert "api-lint" not in run.log("call / lane-1")
    assert any("Could not reach the container `postgres` of `stored`" in message for message in run.errors()), run.log()


def test_three_lanes_two_versions_and_their_own_variables(app: Consumer) -> None:
    """The last lane of a list is found, and no lane sees the variables of another."""
    more = {"docs": {"directory": "infra", "env": {"WHO": "docs"}, "checks": {"who": "sh -c 'echo who=$WHO'"}}}
    pipeline = lanes({"python": {"version": ["3.12", "3.13"], "manager": "uv"}, "env": {"WHO": "api"}})
    app.describes({**pipeline, "lanes": {**pipeline["lanes"], **more}})
    app.commit({})
    run = app.run()
    assert set(run.results().values()) == {"success"}
    assert len(run.results()) == 7
    assert run.log().count("\napi-test\n") == 2
    assert run.log().count("\nwho=docs\n") == 1


def test_mistakes_of_the_file_are_annotated_on_their_lines(app: Consumer) -> None:
    app.commit({".github/cicd.yml": "version: 1\nlanes:\n  api:\n    checks:\n      lint: 5\n"})
    run = app.run()
    assert jobs(run.results()) == {"plan": "failure", "check": "failure"}
    (found,) = [each for each in run.annotations if each.properties.get("line") == "5"]
    assert found.properties["file"] == ".github/cicd.yml"
    assert "`lanes.api.checks.lint`: YAML reads `5` as a number" in found.message


def test_documentation_only(app: Consumer) -> None:
    base = app.head
    app.commit({"README.md": "Changed.\n", "apps/api/NOTES.md": "New.\n", "docs/deep/picture.svg": "<svg/>\n"})
    run = app.run("pull_request", pull_request(app, base))
    assert jobs(run.results()) == dict.fromkeys(["plan", "check"], "success")


def test_web_only(app: Consumer) -> None:
    base = app.head
    app.commit({"apps/web/main.ts": "export {}\n"})
    group = {"base_sha": base, "head_sha": app.head, "head_ref": "refs/heads/gh-readonly-queue/main/pr-1"}
    run = app.run("merge_group", {"merge_group": group})
    assert jobs(run.results()) == dict.fromkeys(["plan", "spec", "client", "check"], "success")


def test_pull_request_from_a_fork_runs_with_the_bases_runners_and_containers(app: Consumer) -> None:
    """A runner that only a fork's file names does not exist here: the run would not end."""
    base = app.head
    hostile = lanes({"runs-on": "self-hosted", "backing": {"postgres": "evil.example/postgres"}})
    app.describes({**hostile, "runs-on": ["self-hosted", "production"]})
    app.commit({"apps/api/main.py": "x = 1\n"})
    run = app.run("pull_request", pull_request(app, base, fork=True))
    assert jobs(run.results()) == dict.fromkeys(ALL, "success")
    assert "evil.example" not in run.jobs["call / plan"].outputs["plan"]["jobs"]


def test_pull_request_target_is_refused(app: Consumer) -> None:
    base = app.head
    app.commit({"apps/api/main.py": "x = 1\n"})
    run = app.run("pull_request_target", pull_request(app, base, fork=True))
    assert jobs(run.results()) == {"plan": "failure", "check": "failure"}
    assert any("Could not plan a run on pull_request_target" in message for message in run.errors())


UNDOCUMENTED = {"apps/api/settings.py": 'import os\n\nTOKEN = os.environ["NOBODY_KNOWS"]\n'}


@pytest.mark.parametrize(
    ("how", "step", "result"), [("warn", "failure", "success"), ("fail", "failure", "failure"), ("off", "", "success")]
)
def test_what_is_used_and_not_documented(app: Consumer, how: str, step: str, result: str) -> None:
    lane = {"directory": "apps/api", "install": "true", "checks": {"test": "true"}}
    app.describes({"version": 1, "lanes": {"api": lane}, "secrets-doc": {"check": how}})
    app.commit(UNDOCUMENTED)
    run = app.run()
    assert jobs(run.results()) == {"plan": "success", "lane": "success", "check": result}
    assert run.steps("call / check").get("What is used is documented", "") in {step, step or "skipped"}
    told = [message for message in run.errors() if "`NOBODY_KNOWS` is used here and not documented" in message]
    assert len(told) == (how != "off")


def test_a_document_that_is_not_up_to_date(app: Consumer) -> None:
    lane = {"directory": "apps/api", "install": "true", "checks": {"test": "true"}}
    app.describes({"version": 1, "lanes": {"api": lane}, "secrets-doc": {"check": "fail", "document": "SECRETS.md"}})
    app.commit(UNDOCUMENTED)
    run = app.run()
    assert jobs(run.results())["check"] == "failure"
    assert any("SECRETS.md is out of date" in message for message in run.errors())


def test_scan_that_did_not_run_fails_the_check(app: Consumer) -> None:
    lane = {"directory": "apps/api", "install": "true", "checks": {"test": "true"}}
    scans = {"more": {"own": {"run": "false", "report": "own.json"}}}
    app.describes({"version": 1, "lanes": {"api": lane}, "scans": scans})
    app.commit({"x": "1"})
    run = app.run(step_environment={"TRIVY_FAILS": "1"})
    assert jobs(run.results()) == {"plan": "success", "lane": "success", "scan": "failure", "check": "failure"}
    assert [error.partition(" (")[0] for error in run.errors()] == [
        "own proves nothing",
        "trivy proves nothing",
        "scan: it failed",
    ]
