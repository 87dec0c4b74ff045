"""The gate against real servers on the loopback interface."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from cicd_actions.toolkit.report import Report

Gate = Callable[..., Report]


@pytest.fixture
def two_servers() -> Iterator[tuple[HTTPServer, HTTPServer]]:
    """A server that answers `/` with 200, and one for the test to tell."""
    with HTTPServer("127.0.0.1") as api, HTTPServer("127.0.0.1") as web:
        api.expect_request("/").respond_with_data("fine")
        yield api, web


def _ready(version: str = "abc1234") -> Callable[[Request], Response]:
    return lambda _request: Response(json.dumps({"status": "ok", "version": version}), content_type="application/json")


def test_a_healthy_target_passes_with_the_first_probe(gate: Gate, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/health/ready").respond_with_handler(_ready())
    report = gate(url=httpserver.url_for("/health/ready"), expect_json='$.status == "ok"', expect_version="abc1234")
    assert report.outputs["verdict"] == "pass"
    assert report.outputs["healthy"] is True
    assert report.outputs["attempts"] == 1
    assert report.outputs["observed-version"] == "abc1234"


def test_a_wrong_status_up_to_the_deadline_fails_and_says_what_came(gate: Gate, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("the database is gone", status=503)
    report = gate(url=f"api={httpserver.url_for('/')}", timeout="1s")
    assert report.outputs["verdict"] == "fail"
    assert report.outputs["failed-targets"] == ["api"]
    assert "expected status 200; got: status 503" in str(report.outputs["reason"])
    assert "the database is gone" in report.findings[0].message


def test_a_target_that_turns_healthy_is_waited_for(gate: Gate, httpserver: HTTPServer) -> None:
    for _ in range(3):
        httpserver.expect_ordered_request("/").respond_with_data("", status=503)
    httpserver.expect_ordered_request("/").respond_with_data("fine")
    report = gate(url=httpserver.url_for("/"))
    assert report.outputs["verdict"] == "pass"
    assert report.outputs["attempts"] == 4


def test_the_log_shows_changes_and_not_every_probe(gate: Gate, httpserver: HTTPServer, log: io.StringIO) -> None:
    for status in (503, 503, 503, 502, 502):
        httpserver.expect_ordered_request("/").respond_with_data("", status=status)
    httpserver.expect_ordered_request("/").respond_with_data("fine")
    report = gate(url=f"api={httpserver.url_for('/')}")
    assert report.outputs["attempts"] == 6
    assert re.findall(r"api: (?:\d+(?: ×\d+)? → )?(\d+)", log.getvalue()) == ["503", "502", "200"]


def test_of_a_long_answer_the_first_200_characters_are_shown(gate: Gate, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("x" * 1000, status=503)
    report = gate(url=httpserver.url_for("/"), timeout="1s")
    (shown,) = re.findall(r"It said: (x+)", report.findings[0].message)
    assert 190 < len(shown) <= 200


@pytest.mark.parametrize("url", ["http://no-such-name.invalid/", "https://no-such-name.invalid/"])
def test_a_name_that_does_not_resolve_is_inconclusive(gate: Gate, url: str) -> None:
    report = gate(url=url, timeout="2s")
    assert report.outputs["verdict"] == "inconclusive"
    assert report.findings[0].rule == "health-gate/unresolved"


def test_a_refused_connection_fails(gate: Gate, closed_port: int) -> None:
    report = gate(url=f"http://127.0.0.1:{closed_port}/", timeout="1s")
    assert report.outputs["verdict"] == "fail"
    assert "refused the connection" in str(report.outputs["reason"])


@pytest.mark.parametrize("restarted", [False, True])
def test_target_that_crashes_after_its_pass_has_to_pass_again(
    restarted: bool, gate: Gate, two_servers: tuple[HTTPServer, HTTPServer], log: io.StringIO
) -> None:
    """`web` is not ready until `api` has passed and crashed, and the gate has seen it."""
    api, web = two_servers

    def not_ready(_: Request) -> Response:
        if "its pass at" in log.getvalue():
            if restarted and not api.is_running():
                api.start()  # on the same port
            return Response(status=200)
        if "api: 200" in log.getvalue() and api.is_running():
            api.stop()
        return Response(status=503)

    web.expect_request("/").respond_with_handler(not_ready)
    report = gate(url=f"api={api.url_for('/')}\nweb={web.url_for('/')}", interval="200ms", timeout="60s" if restarted else "8s")
    if restarted:
        assert report.outputs["verdict"] == "pass"
        assert "api: lost its pass once while the gate waited for other targets, and passed again at" in str(report.blocks)
    else:
        assert (report.outputs["verdict"], report.outputs["failed-targets"]) == ("fail", ["api"])
        reason = str(report.outputs["reason"])
        assert re.match(r"api: passed at \d+\.\d s, wrong since \d+\.\d s: expected status 200; got: .* refused", reason)
