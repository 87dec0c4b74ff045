"""What proves a failure, what ends at once, and what proves nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.report import Report
from tests.harness.measuring import MEASURED

Gate = Callable[..., Report]
HERE = Path(__file__).parent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def answers(status: str, *headers: str, body: bytes = b"") -> Callable[[socket.socket], None]:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return lambda connection: connection.sendall(data)


def healthy(connection: socket.socket) -> None:
    connection.sendall(OK)


def hangs_up(connection: socket.socket) -> None:
    connection.close()


def in_turn(*handlers: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """The first connection gets the first answer, and so on; the last one stays."""
    waiting, lock = list(handlers), threading.Lock()

    def serve(connection: socket.socket) -> None:
        with lock:
            handler = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        handler(connection)

    return serve


def rule(report: Report) -> str:
    return report.findings[0].rule.removeprefix("health-gate/")


class TestInconclusive:
    def test_only_429(self, gate: Gate, raw: Any) -> None:
        report = gate(url=raw(answers("429 Too Many Requests", "Retry-After: 1")).url, timeout="400ms")
        assert report.outputs["verdict"] == "inconclusive"
        assert rule(report) == "rate-limited"
        assert report.outputs["attempts"] == 1

    def test_429_after_a_wrong_answer_is_a_fail(self, gate: Gate, raw: Any) -> None:
        server = raw(in_turn(answers("500 No"), answers("429 Too Many Requests")))
        assert gate(url=server.url, timeout="1s").outputs["verdict"] == "fail"

    def test_a_proxys_407(self, gate: Gate, raw: Any, variables: dict[str, str]) -> None:
        proxy = raw(answers("407 Proxy Authentication Required"))
        variables["HTTP_PROXY"] = variables["https_proxy"] = proxy.url
        for url in ("http://example.invalid/", "https://example.invalid/"):
            report = gate(url=url, timeout="1s")
            assert report.outputs["verdict"] == "inconclusive"
            assert rule(report) == "proxy-authentication"

    def test_a_proxy_that_is_not_there(self, gate: Gate, variables: dict[str, str], closed_port: int) -> None:
        variables["HTTP_PROXY"] = f"http://127.0.0.1:{closed_port}"
        report = gate(url="http://example.invalid/", timeout="1s")
        assert report.outputs["verdict"] == "inconclusive"
        assert "the gate cannot use the proxy" in str(report.outputs["reason"])

    def test_an_answer_that_a_cache_stored_before_the_gate_began(self, gate: Gate, raw: Any) -> None:
        server = raw(answers("200 OK", "Age: 300"))
        report = gate(url=server.url, timeout="400ms")
        assert report.outputs["verdict"] == "inconclusive"
        assert rule(report) == "cached"
        assert "a cache stored this answer 300 s ago, before the gate began" in str(report.outputs["reason"])
        assert b"\r\nCache-Control: no-cache\r\n" in server.requests[0]
        assert gate(url=server.url, allow_cached="true").outputs["verdict"] == "pass"
        for age in ("0", "1", "soon"):
            assert gate(url=raw(answers("200 OK", f"Age: {age}")).url).outputs["verdict"] == "pass"
        nginx = raw(answers("200 OK", "X-Cache-Status: HIT")).url
        assert rule(gate(url=nginx, timeout="200ms")) == "cached"
        assert gate(url=nginx, allow_cached="true").outputs["verdict"] == "pass"

    def test_a_connection_that_never_came_about(self, gate: Gate, full_backlog: int) -> None:
        report = gate(url=f"http://127.0.0.1:{full_backlog}/", timeout="900ms", request_timeout="300ms")
        assert report.outputs["verdict"] == "inconclusive"
        assert rule(report) == "connect-timeout"

    def test_right_answers_that_were_only_too_few(self, gate: Gate, raw: Any) -> None:
        report = gate(url=raw(healthy).url, timeout="500ms", consecutive_successes="1000")
        assert report.outputs["verdict"] == "inconclusive"
        assert "`consecutive-successes` needs 1000" in str(report.outputs["reason"])

    def test_right_answers_that_did_not_last_long_enough(self, gate: Gate, raw: Any) -> None:
        server = raw(in_turn(*[answers("503 No")] * 4, healthy))
        report = gate(url=server.url, timeout="700ms", stable_for="600ms")
        assert report.outputs["verdict"] == "inconclusive"
        assert "`stable-for` needs 0.6 s" in str(report.outputs["reason"])

    def test_a_connection_that_the_deadline_cut_is_held_against_nobody(self, gate: Gate) -> None:
        """The second probe waits for its connection until the deadline: shorter than `request-timeout`, so nothing is known."""
        with answering_once(healthy) as url:
            report = gate(url=url, timeout="900ms", stable_for="600ms", request_timeout="10s")
        assert report.outputs["verdict"] == "inconclusive"
        assert "`stable-for` needs 0.6 s" in str(report.outputs["reason"])

    def test_what_a_metric_answered_is_told_after_the_deadline_cut_the_next_query(self, gate: Gate, raw: Any) -> None:
        with answering_once(answers("400 Bad Request", body=b'{"error": "parse error", "errorType": "bad_data"}')) as url:
            metric = {"metric_url": url, "metric_query": "up(", "metric_max": "1"}
            report = gate(url=raw(healthy).url, timeout="900ms", interval="100ms", request_timeout="10s", **metric)
        assert report.outputs["verdict"] == "inconclusive"
        assert "status 400: bad_data: parse error" in str(report.outputs["reason"])

    def test_a_metric_without_data(self, gate: Gate, raw: Any) -> None:
        empty = {"status": "success", "data": {"resultType": "vector", "result": []}}
        metrics = raw(answers("200 OK", body=json.dumps(empty).encode()))
        app = raw(healthy)
        report = gate(url=app.url, metric_url=metrics.url, metric_query="up", metric_max="1", timeout="1s")
        assert report.outputs["verdict"] == "inconclusive"
        assert rule(report) == "no-data"

    @pytest.mark.parametrize("fault", ["refuses", "hangs-up", "never-answers", "misleads"])
    def test_a_metric_whose_server_is_broken(self, gate: Gate, raw: Any, closed_port: int, fault: str) -> None:
        handlers = {
            "hangs-up": hangs_up,
            "never-answers": lambda connection: connection.recv(1),
            "misleads": answers("302 Found", "Location: http://169.254.169.254/"),
        }
        metrics = raw(handlers[fault]).url if fault in handlers else f"http://127.0.0.1:{closed_port}/"
        report = gate(
            url=raw(healthy).url, metric_url=metrics, metric_max="1", timeout="400ms", interval="100ms", allow_redirects="true"
        )
        assert report.outputs["verdict"] == "inconclusive"


class TestFail:
    def test_a_connection_that_is_accepted_and_never_answered(self, gate: Gate, raw: Any) -> None:
        silent = raw(lambda connection: connection.recv(1))
        report = gate(url=silent.url, timeout="500ms", request_timeout="10s")
        assert report.outputs["verdict"] == "fail"
        assert "did not answer" in str(report.outputs["reason"])

    def test_a_dropped_connection_of_a_target_that_had_answered(self, gate: Gate, raw: Any) -> None:
        server = raw(in_turn(healthy, hangs_up))
        report = gate(url=server.url, timeout="500ms", stable_for="400ms")
        assert report.outputs["verdict"] == "fail"

    def test_an_old_version_among_the_replicas_breaks_the_streak(self, gate: Gate, raw: Any) -> None:
        def version(number: str) -> Callable[[socket.socket], None]:
            return answers("200 OK", f"X-Version: {number}")

        old_and_new = raw(in_turn(*[version("new"), version("old")] * 50))
        report = gate(
            url=old_and_new.url, expect_version="new", version_from="header:X-Version", stable_for="500ms", timeout="900ms"
        )
        assert report.outputs["verdict"] == "fail"
        assert "interrupted" in str(report.outputs["reason"])
        assert "expected version new; got: version old" in str(report.outputs["reason"])

    def test_a_wrong_version_that_stays_ends_the_gate_early(self, gate: Gate, raw: Any) -> None:
        old = raw(answers("200 OK", "X-Version: old"))
        report = gate(
            targets=f"- {{url: '{old.url}', expect-version: new, version-from: 'header:X-Version', wrong-version-for: 300ms}}",
            timeout="1m",
        )
        assert report.outputs["verdict"] == "fail"
        assert "wrong-version-for" in str(report.outputs["reason"]), "the deadline did not end it"

    def test_a_metric_that_is_too_high(self, gate: Gate, raw: Any) -> None:
        app, metrics = raw(healthy), raw(answers("200 OK", body=b"0.5"))
        report = gate(url=app.url, metric_url=metrics.url, metric_max="0.01", timeout="500ms", interval="100ms")
        assert report.outputs["verdict"] == "fail"
        assert "expected a value of at most 0.01; got: 0.5" in str(report.outputs["reason"])

    def test_a_redirect_is_an_answer(self, gate: Gate, raw: Any) -> None:
        report = gate(url=raw(answers("302 Found", "Location: /login")).url, timeout="200ms")
        assert report.outputs["verdict"] == "fail"
        assert "a redirect to /login" in str(report.outputs["reason"])


class TestPass:
    def test_the_metric_holds_through_the_window(self, gate: Gate, raw: Any) -> None:
        sample = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "0.001"]}]}}
        metrics = raw(answers("200 OK", body=json.dumps(sample).encode()))
        app = raw(healthy)
        report = gate(
            url=app.url, metric_url=f"{metrics.url}prom", metric_query='rate(errors{app="x"}[1m])', metric_max="0.01",
            stable_for="500ms", interval="100ms",
        )  # fmt: skip
        assert report.outputs["verdict"] == "pass"
        assert metrics.requests[0].startswith(
            b"GET /prom/api/v1/query?query=rate%28errors%7Bapp%3D%22x%22%7D%5B1m%5D%29 HTTP/1.1"
        )
        assert metrics.connections >= 4

    def test_a_flake_is_forgiven(self, gate: Gate, raw: Any) -> None:
        server = raw(in_turn(healthy, hangs_up, healthy))
        report = gate(url=server.url, stable_for="300ms", flake_budget="1", timeout="20s")
        assert report.outputs["verdict"] == "pass"
        assert "closed" in str(report.blocks)

    def test_each_probe_has_a_connection_of_its_own(self, gate: Gate, raw: Any) -> None:
        server = raw(lambda connection: connection.sendall(OK.replace(b"Connection: close", b"Connection: keep-alive")))
        report = gate(url=server.url, consecutive_successes="5")
        assert report.outputs["attempts"] == 5
        assert server.connections == 5

    def test_what_is_not_critical_only_warns(self, gate: Gate, raw: Any, closed_port: int) -> None:
        app = raw(healthy)
        report = gate(
            targets=f"- url: {app.url}\n- {{url: 'http://127.0.0.1:{closed_port}/', critical: false, name: extra}}",
            request_timeout="300ms", timeout="20s",
        )  # fmt: skip
        assert report.outputs["verdict"] == "pass"
        assert [str(found.severity) for found in report.findings] == ["warning"]
        assert "extra" in report.headline
        assert report.outputs["failed-targets"] == []

    def test_the_body_in_gzip_that_was_not_asked_for(self, gate: Gate, raw: Any) -> None:
        import gzip  # noqa: PLC0415

        packed = gzip.compress(b'{"status": "ok"}')
        server = raw(answers("200 OK", "Content-Encoding: gzip", body=packed))
        assert gate(url=server.url, expect_json='$.status == "ok"').outputs["verdict"] == "pass"
        assert b"Accept-Encoding: identity" in server.requests[0]

    def test_redirects_are_followed_without_the_headers_for_the_first_origin(
        self, gate: Gate, raw: Any, variables: Any
    ) -> None:
        variables["TOKEN"] = "a-very-secret-token"
        there = raw(healthy)
        here = raw(answers("302 Found", f"Location: {there.url}final"))
        report = gate(url=here.url, headers="Authorization: Bearer $TOKEN", allow_redirects="true")
        assert report.outputs["verdict"] == "pass"
        assert b"Bearer a-very-secret-token" in here.requests[0]
        assert b"Authorization" not in there.requests[0]
        assert there.requests[0].startswith(b"GET /final ")

    def test_a_name_with_several_addresses_is_tried_until_one_accepts(self, gate: Gate, raw: Any) -> None:
        server = raw(healthy)  # listens on 127.0.0.1; `localhost` may be ::1 first
        assert gate(url=f"http://localhost:{server.port}/").outputs["verdict"] == "pass"

    def test_a_post_with_a_body_and_a_secret(self, gate: Gate, raw: Any, variables: Any) -> None:
        variables["PASSWORD"] = "swordfish"
        server = raw(answers("204 No Content"))
        target = (
            f"- url: {server.url}\n  method: post\n  body: 'p=$PASSWORD'\n  expect-status: [200, 204]\n  headers: {{X-A: b}}"
        )
        assert gate(targets=target).outputs["verdict"] == "pass"
        assert server.requests[0].startswith(b"POST / ")
        assert server.requests[0].endswith(b"p=swordfish")
        assert b"X-A: b" in server.requests[0]


class TestRetryAfter:
    def test_a_503_that_asks_for_minutes_does_not_blind_the_gate_and_the_log_names_the_wait(
        self, gate: Gate, raw: Any, log: io.StringIO
    ) -> None:
        server = raw(in_turn(answers("503 No", "Retry-After: 120"), healthy))
        report = gate(url=server.url, timeout="20s", interval="400ms", stable_for="200ms")
        assert report.outputs["verdict"] == "pass"
        assert "the next probe is in 1.2 s (the answer asked for 120 s in Retry-After)" in log.getvalue()


class TestMismatches:
    def test_every_mismatch_of_an_answer_is_told(self, gate: Gate, raw: Any, tmp_path: Path) -> None:
        server = raw(answers("500 No", body=b'{"a": 1, "b": 2}'))
        file = tmp_path / "report.json"
        report = gate(
            url=server.url, expect_json="$.a == 2\n$.b == 2\n$.c exists", expect_body="x", timeout="200ms", report=str(file)
        )
        said = str(report.outputs["reason"])
        assert "expected status 200; got: status 500" in said
        assert "Also: expected $.a == 2; got: $.a is 1. Also: expected $.c exists; got: nothing is at $.c." in said
        (target,) = json.loads(file.read_text("utf-8"))["targets"]
        assert [each["expected"] for each in target["answers"][0]["mismatches"]] == [
            "status 200", "$.a == 2", "$.c exists", "a body that matches /x/",
        ]  # fmt: skip

    def test_json_with_a_key_twice_is_inconclusive(self, gate: Gate, raw: Any) -> None:
        server = raw(answers("200 OK", body=b'{"status": "bad", "status": "ok"}'))
        report = gate(url=server.url, expect_json='$.status == "ok"', timeout="200ms")
        assert report.outputs["verdict"] == "inconclusive"
        assert 'the key "status" twice' in str(report.outputs["reason"])

    def test_a_web_page_where_json_should_be_gets_a_hint(self, gate: Gate, raw: Any) -> None:
        server = raw(answers("200 OK", "Content-Type: text/html", body=b"<!DOCTYPE html><title>Shop</title>"))
        report = gate(url=server.url, expect_json='$.status == "ok"', timeout="200ms")
        assert "A single-page app" in report.findings[0].fix

    def test_a_redirect_that_only_adds_a_slash_gets_the_url_to_set(self, gate: Gate, raw: Any) -> None:
        server = raw(answers("301 Moved", "Location: /ready/?a=1"))
        report = gate(url=f"{server.url}ready?a=1", timeout="200ms")
        assert f"Set `url: {server.url}ready/?a=1`." in report.findings[0].fix


class TestCommands:
    def test_exit_0_is_healthy_and_its_output_has_the_version(self, gate: Gate) -> None:
        program = json.dumps([sys.executable, "-c", 'print(\'{"version": "v2"}\')'])
        report = gate(targets=f"- command: {program}\n  expect-version: v2")
        assert report.outputs["verdict"] == "pass"
        assert report.outputs["observed-version"] == "v2"

    def test_it_cannot_speak_for_the_action(self, gate: Gate, tmp_path: Path, variables: dict[str, str]) -> None:
        variables |= {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_ENV": str(tmp_path / "env"), "INPUTS": "{}"}
        report = gate(targets="- command: [sh, -c, 'test -z \"$GITHUB_OUTPUT$GITHUB_ENV$INPUTS\"']", timeout="5s")
        assert report.outputs["verdict"] == "pass"

    def test_another_exit_code_is_wrong_and_its_output_is_shown(self, gate: Gate) -> None:
        program = json.dumps([sys.executable, "-c", "print('the queue is stuck'); raise SystemExit(3)"])
        report = gate(targets=f"- command: {program}\n  name: queue", timeout="500ms")
        assert report.outputs["verdict"] == "fail"
        assert "got: exit code 3" in str(report.outputs["reason"])
        assert "the queue is stuck" in report.findings[0].message

    def test_a_program_that_hangs_is_ended_with_its_children(self, gate: Gate, tmp_path: Path) -> None:
        note = tmp_path / "child"
        script = f"sleep 300 & echo $! > {note}; wait"
        report = gate(targets=f"- command: [sh, -c, '{script}']\n  request-timeout: 300ms", timeout="700ms")
        assert report.outputs["verdict"] == "fail"
        _gone(int(note.read_text()))

    def test_a_program_that_is_not_there_is_an_unusable_input(self, gate: Gate) -> None:
        with pytest.raises(UnusableInput, match="Could not start"):
            gate(targets="- command: [no-such-program-at-all]", timeout="1s")


def _gone(pid: int) -> None:
    """Waits until the process has ended; a zombie has."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"process {pid} still runs")


@contextlib.contextmanager
def answering_once(handler: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that serves one connection; those after it wait forever to be accepted."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as fillers:

        def once() -> None:
            connection, _ = listener.accept()
            for _ in range(4):  # the queue is full before the first answer is given
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            with connection:
                handler(connection)

        listener.settimeout(30)
        answering = threading.Thread(target=once)
        answering.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            answering.join()


@pytest.fixture
def full_backlog() -> Iterator[int]:
    """A port that drops every further attempt to connect: its queue is full, and no process accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_gate_at_once_and_says_what_stands(
    raw: Any, tmp_path: Path, variables: dict[str, str], number: signal.Signals, read_outputs: Any
) -> None:
    asked = threading.Event()

    requests = iter(range(10**6))

    def not_ready(connection: socket.socket) -> None:
        answers("503 No")(connection)
        if next(requests) == 3:  # the answers before it were taken in
            asked.set()

    server = raw(not_ready)
    output = tmp_path / "output"
    output.write_text("")
    root = HERE.parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "cicd_actions", "health-gate", "--url", server.url, "--timeout", "1h"],
        env={**variables, **MEASURED, "PYTHONPATH": str(root / "src"), "GITHUB_OUTPUT": str(output)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert asked.wait(30)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Cancelled after" in said
    assert "503" in said
    outputs = read_outputs(output.read_text())
    assert outputs["verdict"] == "inconclusive"
    assert outputs["healthy"] == "false"


def test_secrets_are_shown_nowhere(raw: Any, command_line: Any, tmp_path: Path) -> None:
    secret = "s3cr3t+pass/word"

    def echoes(connection: socket.socket) -> None:
        answers("500 No", body=f"token {secret} and user:hunter22".encode())(connection)

    server = raw(echoes)
    ran = command_line(
        "--url", f"http://user:hunter22@127.0.0.1:{server.port}/", "--headers", "X-Token: $TOKEN", "--timeout", "1s",
        "--report", "report.json", TOKEN=secret,
    )  # fmt: skip
    assert b"X-Token: " + secret.encode() in server.requests[0]
    assert b"Authorization: Basic " in server.requests[0]
    written = (tmp_path / "report.json").read_text()
    for text in (ran.stdout, ran.stderr, ran.summary, str(ran.outputs), written):
        assert secret not in text
        assert "hunter22" not in text
    assert "***" in written


def test_the_json_report_has_its_documented_shape(gate: Gate, raw: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    server = raw(in_turn(answers("503 No", body=b"starting"), healthy))
    report = gate(url=f"api={server.url}", report="reports/gate.json")
    assert report.outputs["report"] == "reports/gate.json"
    document = json.loads((tmp_path / "reports" / "gate.json").read_text("utf-8"))
    assert document["version"] == 1
    assert document["verdict"] == "pass"
    assert document["attempts"] == 2
    target = document["targets"][0]
    assert target["name"] == "api"
    assert [(run["label"], run["count"], run["outcome"]) for run in target["answers"]] == [
        ("503", 1, "wrong"),
        ("200", 1, "right"),
    ]
    assert target["answers"][0]["excerpt"] == "starting"


def test_a_report_that_has_no_place_is_told_before_the_first_request(
    gate: Gate, httpserver: HTTPServer, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    (tmp_path / "file").write_text("kept")
    Path("report.json").symlink_to("../file")
    for place in ("report.json", str(tmp_path / "file" / "report.json")):
        with pytest.raises(UnusableInput, match="Cannot write"):
            gate(url=httpserver.url_for("/"), report=place)
    assert httpserver.log == []
    assert (tmp_path / "file").read_text() == "kept"


def test_a_report_that_is_lost_at_the_end_takes_no_verdict_with_it(gate: Gate, httpserver: HTTPServer, tmp_path: Path) -> None:
    place = tmp_path / "report.json"

    def in_the_way(_: Request) -> Response:
        place.mkdir(exist_ok=True)
        return Response(status=500)

    httpserver.expect_request("/").respond_with_handler(in_the_way)
    report = gate(url=httpserver.url_for("/"), report=str(place), timeout="500ms")
    assert (report.outputs["verdict"], report.outputs["report"]) == ("fail", "")
    assert "Could not write" in report.findings[-1].message


def test_gate_with_a_failed_target_and_one_that_was_not_judged_fails(gate: Callable[..., Report]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"down=http://127.0.0.1:{closed.getsockname()[1]}/\nlost=http://no-such-name.invalid/"
        report = gate(url=url, timeout="900ms")
    assert (report.outputs["verdict"], report.outputs["failed-targets"]) == ("fail", ["down"])
