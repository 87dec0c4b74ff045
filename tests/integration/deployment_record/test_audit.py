from __future__ import annotations

import json

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.harness.drip import dripping
from tests.harness.releases import World, sha


@pytest.fixture
def lines(httpserver: HTTPServer) -> list[Request]:
    """The requests that the audit log took."""
    taken: list[Request] = []

    def take(request: Request) -> Response:
        request.get_data()
        taken.append(request)
        return Response(status=201)

    httpserver.expect_request("/audit", method="POST").respond_with_handler(take)
    return taken


def test_start_and_finish_each_write_one_line(world: World, httpserver: HTTPServer, lines: list[Request]) -> None:
    audit = {"audit_url": httpserver.url_for("/audit"), "audit_headers": "Authorization: Bearer $AUDIT_TOKEN"}
    given = {name.replace("_", "-"): value for name, value in audit.items()}
    begun = {"phase": "start", "sha": sha(1), "services": world.digests(1), **given}
    assert world.action("deployment-record", begun, AUDIT_TOKEN="hunter2-hunter2").code == 0
    ended = {**begun, "phase": "finish", "verdict": "pass"}
    assert world.action("deployment-record", ended, AUDIT_TOKEN="hunter2-hunter2").code == 0
    first, second = (json.loads(request.data) for request in lines)
    assert all(request.data.endswith(b"\n") and request.data.count(b"\n") == 1 for request in lines)
    assert (first["phase"], first["sha"], first["repository"]) == ("start", sha(1), "org/app")
    assert (second["phase"], second["verdict"], second["environment"]) == ("finish", "pass", "staging")
    assert {request.headers["Authorization"] for request in lines} == {"Bearer hunter2-hunter2"}
    assert len({request.headers["Idempotency-Key"] for request in lines}) == 2


def test_a_failing_log_is_asked_again_with_the_same_key(world: World, httpserver: HTTPServer, lines: list[Request]) -> None:
    keys: list[str] = []

    def fail(request: Request) -> Response:
        keys.append(request.headers["Idempotency-Key"])
        return Response(status=503, headers={"Retry-After": "0"})

    httpserver.clear()
    httpserver.expect_oneshot_request("/audit").respond_with_handler(fail)
    httpserver.expect_oneshot_request("/audit").respond_with_handler(fail)

    def take(request: Request) -> Response:
        keys.append(request.headers["Idempotency-Key"])
        return Response(status=200)

    httpserver.expect_request("/audit").respond_with_handler(take)
    assert world.start(1, audit_url=httpserver.url_for("/audit"), audit_required="true").code == 0
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_without_the_line_the_deploy_does_not_start_where_it_is_required(world: World, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/audit").respond_with_data(status=401)
    url = httpserver.url_for("/audit")
    ended = world.start(1, audit_url=url, audit_required="true")
    assert (ended.code, ended.verdict) == (3, "inconclusive")
    assert "The deploy does not start" in ended.headline
    assert world.tasks() == []
    ended = world.start(1, audit_url=url)
    assert ended.code == 0
    assert "deployment-record/audit" in [found["rule"] for found in ended.findings]


def test_a_finish_whose_line_is_required_and_missing_is_not_green(world: World, httpserver: HTTPServer) -> None:
    world.start(1)
    httpserver.expect_request("/audit").respond_with_data(status=400)
    ended = world.finish(1, "pass", audit_url=httpserver.url_for("/audit"), audit_required="true")
    assert (ended.code, ended.verdict) == (3, "inconclusive")
    assert world.tasks()[-1] == ("passed", "1")


def test_a_log_that_does_not_answer(world: World) -> None:
    ended = world.start(1, audit_url="http://127.0.0.1:9/audit", audit_required="true", timeout="2s")
    assert ended.code == 3
    assert "Could not write the audit line to 127.0.0.1" in ended.headline


def test_a_log_that_drips_ends_with_the_deadline(world: World) -> None:
    with dripping("headers") as address:
        ended = world.start(1, audit_url=f"http://{address}/audit", audit_required="true", timeout="4s")
    assert ended.code == 3
    assert "Could not write the audit line to 127.0.0.1" in ended.headline


@pytest.mark.parametrize(
    "inputs",
    [
        {"audit_required": "true"},
        {"audit_url": "ftp://audit.example.com"},
        {"audit_url": "https://audit.example.com", "audit_headers": "token-without-colon"},
        {"audit_url": "https://audit.example.com", "audit_headers": "Authorization: $NOT_SET"},
    ],
)
def test_inputs_that_cannot_be_used(world: World, inputs: dict[str, str]) -> None:
    ended = world.start(1, **inputs)
    assert ended.code == 2
    assert "token-without-colon" not in ended.log
