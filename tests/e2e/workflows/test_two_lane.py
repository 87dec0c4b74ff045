"""The two lanes, run by act: what runs for which change, what a failure hides and what it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.workflows.conftest import Consumer

GREEN = {
    "postgres-image": "none",
    "redis-image": "none",
    "api-install-command": "echo api-install",
    "api-spec-command": "cp openapi.json {spec}",
    "api-lint-command": "echo api-lint",
    "api-format-command": "echo api-format",
    "api-types-command": "echo api-types",
    "api-migrate-command": "echo api-migrate",
    "api-test-command": "echo api-test",
    "web-install-command": "echo web-install",
    "web-lint-command": "echo web-lint",
    "web-types-command": "echo web-types",
    "web-generate-command": "cp {spec} generated.json",
    "web-client-path": "generated.json",
    "web-test-command": "echo web-test",
    "web-build-command": "echo web-build",
}


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
GATES = {"api": ["Lint", "Format", "Types", "Migrate an empty database", "Test"], "web": ["Lint", "Types", "Test", "Build"]}


@pytest.fixture
def app(consumer: Consumer) -> Consumer:
    consumer.calls("two-lane.yml", GREEN)
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
    assert jobs(run.results()) == dict.fromkeys(["changes", "spec", "api", "web", "secrets", "check"], "success")
    for lane, gates in GATES.items():
        assert {gate: run.steps(f"call / {lane}").get(gate) for gate in gates} == dict.fromkeys(gates, "success")
    assert run.steps("call / web")["The committed client is the generated one"] == "success"
    assert run.jobs["call / check"].outputs["check"]["complete"] == "true"
    for command in ("api-lint", "api-test", "web-lint", "web-build"):
        assert f"\n{command}\n" in f"\n{run.log()}\n"


def test_red_api_lint_and_format_hide_no_test(app: Consumer) -> None:
    app.calls("two-lane.yml", {**GREEN, "api-lint-command": "false", "api-format-command": "false"})
    app.commit({})
    run = app.run()
    assert jobs(run.results()) == {
        "changes": "success",
        "spec": "success",
        "api": "failure",
        "web": "success",
        "secrets": "success",
        "check": "failure",
    }
    steps = run.steps("call / api")
    assert [steps[gate] for gate in GATES["api"]] == ["failure", "failure", "success", "success", "success"]
    assert "api-test" in run.log("call / api")
    assert run.jobs["call / check"].outputs["check"]["complete"] == "false"
    assert run.errors()[-1] == "api: it failed"


def test_red_web_lint_and_drift_hide_no_test(app: Consumer) -> None:
    app.calls("two-lane.yml", {**GREEN, "web-lint-command": "false"})
    app.commit({"apps/api/openapi.json": document("/items", "/health", "/::error::x")})
    run = app.run()
    assert jobs(run.results())["api"] == "success"
    assert jobs(run.results())["web"] == "failure"
    assert jobs(run.results())["check"] == "failure"
    steps = run.steps("call / web")
    assert [steps[gate] for gate in GATES["web"]] == ["failure", "success", "success", "success"]
    assert steps["The committed client is the generated one"] == "failure"
    assert any("apps/web/generated.json" in message and "(cd apps/api && cp" in message for message in run.errors())


def test_what_a_change_breaks_is_told_from_what_callers_have_now(app: Consumer) -> None:
    """The client is generated again, so the lane is green; that callers break is a warning, unless it is asked to fail."""
    base = app.head
    app.commit({name: document("/health") for name in ("apps/api/openapi.json", "apps/web/generated.json")})
    run = app.run("pull_request", pull_request(app, base))
    assert jobs(run.results())["check"] == "success"
    assert run.steps("call / spec")["Export the OpenAPI document of the current API"] == "success"
    assert any("/items" in message for message in [found.message for found in run.annotations if found.level == "warning"])
    assert f"Compared with `openapi-of-{base}.json`." in run.log("call / web")
    app.calls("two-lane.yml", {**GREEN, "client-fail-on": "drift\nbreaking"})
    app.commit({})
    run = app.run("pull_request", pull_request(app, base))
    assert jobs(run.results())["web"] == jobs(run.results())["check"] == "failure"
    assert any("/items" in message for message in run.errors())


@pytest.mark.parametrize(("fail_on", "result"), [("drift", "success"), ("drift\nbreaking", "failure")])
def test_a_base_that_cannot_be_exported_is_said_and_fails_where_it_is_compared(
    app: Consumer, fail_on: str, result: str
) -> None:
    app.git("rm", "--quiet", "apps/api/openapi.json")
    app.commit({"apps/api/main.py": ""})
    base = app.head
    app.calls("two-lane.yml", {**GREEN, "client-fail-on": fail_on})
    app.commit({"apps/api/openapi.json": FILES["apps/api/openapi.json"]})
    run = app.run("pull_request", pull_request(app, base))
    assert jobs(run.results())["check"] == result
    assert run.steps("call / spec")["Export the OpenAPI document of the current API"] == "failure"
    if result == "success":
        assert "the document of the current API is not available" in run.log("call / web")
    else:
        assert any("base-spec" in message for message in run.errors())


def test_red_test(app: Consumer) -> None:
    app.calls("two-lane.yml", {**GREEN, "api-test-command": "false", "web-test-command": "false"})
    app.commit({})
    run = app.run()
    assert jobs(run.results()) == {
        "changes": "success",
        "spec": "success",
        "api": "failure",
        "web": "failure",
        "secrets": "success",
        "check": "failure",
    }
    assert run.steps("call / api")["Lint"] == "success"
    assert run.steps("call / web")["Build"] == "success"


def test_red_install_runs_no_gate(app: Consumer) -> None:
    app.calls("two-lane.yml", {**GREEN, "api-install-command": "false"})
    app.commit({})
    run = app.run()
    # The spec needs the same installation, and the web lane needs the spec: nothing of that may look like a pass.
    assert jobs(run.results()) == {
        "changes": "success",
        "spec": "failure",
        "api": "failure",
        "secrets": "success",
        "check": "failure",
    }
    assert not set(run.steps("call / api")) & set(GATES["api"])
    assert "web: it had to run and was skipped: a job it needs did not succeed" in run.errors()


def test_services_that_did_not_start_are_told(app: Consumer) -> None:
    app.calls("two-lane.yml", {name: value for name, value in GREEN.items() if name != "postgres-image"})
    app.commit({})
    run = app.run()  # in host mode act starts no service, and does not say so
    assert jobs(run.results())["api"] == "failure"
    assert run.steps("call / api")["Find the services"] == "failure"


@pytest.mark.parametrize("event_name", ["pull_request", "merge_group", "push"])
def test_documentation_only(app: Consumer, event_name: str) -> None:
    base = app.head
    app.commit({"README.md": "Changed.\n", "apps/api/NOTES.md": "New.\n", "docs/deep/picture.svg": "<svg/>\n"})
    run = app.run(event_name, event_of(app, event_name, base))
    assert jobs(run.results()) == dict.fromkeys(["changes", "secrets", "check"], "success")
    assert run.jobs["call / check"].outputs["check"]["complete"] == "false"


@pytest.mark.parametrize("event_name", ["pull_request", "merge_group"])
def test_web_only(app: Consumer, event_name: str) -> None:
    base = app.head
    app.commit({"apps/web/main.ts": "export {}\n"})
    run = app.run(event_name, event_of(app, event_name, base))
    assert jobs(run.results()) == dict.fromkeys(["changes", "spec", "web", "secrets", "check"], "success")
    assert run.jobs["call / check"].outputs["check"]["complete"] == "false"


def test_web_only_push_runs_both_lanes(app: Consumer) -> None:
    """A push is what releases are made from: what it builds was tested whole."""
    base = app.head
    app.commit({"apps/web/main.ts": "export {}\n"})
    run = app.run("push", event_of(app, "push", base))
    assert set(jobs(run.results())) == {"changes", "spec", "api", "web", "secrets", "check"}
    assert run.jobs["call / check"].outputs["check"]["complete"] == "true"


def test_pull_request_from_a_fork_runs_both_lanes_without_secrets(app: Consumer) -> None:
    base = app.head
    app.commit({"apps/api/main.py": "x = 1\n"})
    run = app.run("pull_request", pull_request(app, base, fork=True))
    assert jobs(run.results()) == dict.fromkeys(["changes", "spec", "api", "web", "secrets", "check"], "success")


def test_pull_request_target_is_refused(app: Consumer) -> None:
    base = app.head
    app.commit({"apps/api/main.py": "x = 1\n"})
    run = app.run("pull_request_target", pull_request(app, base, fork=True))
    assert jobs(run.results()) == {"changes": "failure", "check": "failure"}
    assert any("must not happen on pull_request_target" in message for message in run.errors())


def event_of(app: Consumer, event_name: str, base: str) -> dict[str, Any]:
    return {
        "pull_request": pull_request(app, base),
        "merge_group": {
            "merge_group": {"base_sha": base, "head_sha": app.head, "head_ref": "refs/heads/gh-readonly-queue/main/pr-1"}
        },
        "push": {"before": base, "after": app.head},
    }[event_name]


UNDOCUMENTED = {"apps/api/settings.py": 'import os\n\nTOKEN = os.environ["NOBODY_KNOWS"]\n'}


@pytest.mark.parametrize(
    ("how", "step", "result"), [("warn", "failure", "success"), ("fail", "failure", "failure"), ("off", "", "success")]
)
def test_what_is_used_and_not_documented(app: Consumer, how: str, step: str, result: str) -> None:
    app.calls("two-lane.yml", {**GREEN, "secrets-doc-check": how})
    app.commit(UNDOCUMENTED)
    run = app.run()
    assert jobs(run.results())["secrets"] == jobs(run.results())["check"] == result
    assert jobs(run.results())["api"] == "success"
    assert run.steps("call / secrets").get("What is used is documented", "") in {step, step or "skipped"}
    told = [message for message in run.errors() if "`NOBODY_KNOWS` is used here and not documented" in message]
    assert len(told) == (how != "off")
    assert run.jobs["call / check"].outputs["check"]["complete"] == ("false" if how == "fail" else "true")


def test_a_document_that_is_not_up_to_date(app: Consumer) -> None:
    app.calls("two-lane.yml", {**GREEN, "secrets-doc-check": "fail", "secrets-doc-file": "SECRETS.md"})
    app.commit(UNDOCUMENTED)
    run = app.run()
    assert jobs(run.results())["check"] == "failure"
    assert any("SECRETS.md is out of date" in message for message in run.errors())
