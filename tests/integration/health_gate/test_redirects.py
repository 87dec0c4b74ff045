"""Redirects: where they may lead, and which machine answers them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from cicd_actions.health_gate.addresses import Address, Addresses
from cicd_actions.health_gate.http_probe import HttpProber
from cicd_actions.health_gate.metric_probe import MetricProber
from cicd_actions.health_gate.network import Network
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.resolver import Resolver
from cicd_actions.health_gate.targets import HttpRequest, Metric, Target
from cicd_actions.health_gate.tcp_probe import TcpProber
from cicd_actions.health_gate.urls import parse
from cicd_actions.toolkit.report import Report

Gate = Callable[..., Report]


def whole(status: str, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def site(**pages: bytes) -> Callable[[bytes], bytes]:
    """Answers by the first word of the path; another page is 404."""
    return lambda request: pages.get(request.split(b" ")[1].strip(b"/").decode() or "start", whole("404 Not Found"))


@pytest.fixture
def serving(raw: Any) -> Callable[..., Any]:
    """Starts a server of pages."""

    def start(wrap: Any = None, **pages: bytes) -> Any:
        server: Any = raw(lambda connection: connection.sendall(site(**pages)(server.requests[-1])), wrap)
        return server

    return start


def test_redirect_from_https_to_http_is_refused(gate: Gate, serving: Any, authority: Any) -> None:
    plain = serving(start=whole("200 OK"))
    secure = serving(authority.server(authority.issue("127.0.0.1")), start=whole("302 Found", f"Location: {plain.url}"))
    url, ca_file = f"https://127.0.0.1:{secure.port}/", str(authority.file)
    report = gate(url=url, ca_file=ca_file, allow_redirects="true", timeout="2s")
    assert report.outputs["verdict"] == "fail"
    assert "leads from https to http://127.0.0.1" in str(report.outputs["reason"])
    assert plain.requests == []
    allowed = gate(url=url, ca_file=ca_file, allow_redirects="true", allow_insecure_redirects="true")
    assert allowed.outputs["verdict"] == "pass"


def test_redirect_from_http_to_https_is_followed(gate: Gate, serving: Any, authority: Any) -> None:
    secure = serving(authority.server(authority.issue("127.0.0.1")), start=whole("200 OK"))
    plain = serving(start=whole("301 Moved", f"Location: https://127.0.0.1:{secure.port}/"))
    assert gate(url=plain.url, ca_file=str(authority.file), allow_redirects="true").outputs["verdict"] == "pass"


def test_redirect_to_the_name_in_host_stays_at_the_address(gate: Gate, serving: Any) -> None:
    server = serving(start=whole("302 Found", "Location: http://api.example.invalid/ready"), ready=whole("200 OK"))
    target = f"- url: {server.url}\n  host: api.example.invalid\n  allow-redirects: true\n  headers: 'X-A: b'\n"
    assert gate(targets=target, timeout="5s").outputs["verdict"] == "pass"
    assert all(b"\r\nHost: api.example.invalid\r\n" in request for request in server.requests)
    assert b"X-A: b" in server.requests[1]


def test_redirect_to_another_port_of_the_host_keeps_connect_to(gate: Gate, serving: Any) -> None:
    other = serving(start=whole("200 OK"))
    first = serving(start=whole("302 Found", f"Location: http://api.example.invalid:{other.port}/"))
    target = f"- url: http://api.example.invalid/\n  connect-to: 127.0.0.1:{first.port}\n  headers: 'X-A: b'\n"
    assert gate(targets=target, allow_redirects="true", timeout="5s").outputs["verdict"] == "pass"
    assert b"X-A: b" not in other.requests[0]


@dataclass(eq=False)
class Rebinding(Resolver):
    """A name server whose answer changes: each look-up of a name takes the next address."""

    answers: dict[str, list[str]]
    looked_up: list[str] = field(default_factory=list)

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.looked_up.append(host)
        return [(socket.AF_INET, (self.answers[host].pop(0), port))]


def probe(url: str, answers: dict[str, list[str]], *, metric: bool = False) -> tuple[Observation, Rebinding]:
    resolver = Rebinding(answers)

    async def run() -> Observation:
        wanted = HttpRequest(parse(url), allow_redirects=True)
        started = time.monotonic()
        target = Target("app", wanted, metric=Metric(most=5) if metric else None)
        prober: type[HttpProber] = MetricProber if metric else HttpProber
        addresses = None if metric else Addresses()
        made = prober(
            target, wanted, Network({}, resolver), lambda: time.monotonic() - started, asyncio.Lock(), addresses=addresses
        )
        return await made.probe(10)

    return asyncio.run(run()), resolver


@pytest.mark.parametrize("metric", [False, True])
def test_redirect_within_a_name_that_resolves_anew_stays_at_the_address(serving: Any, *, metric: bool) -> None:
    server = serving(start=whole("302 Found", "Location: /ready"), ready=whole("200 OK", body="2"))
    seen, resolver = probe(f"http://app:{server.port}/", {"app": ["127.0.0.1", "169.254.169.254"]}, metric=metric)
    assert seen.outcome is Outcome.RIGHT
    assert resolver.looked_up == ["app"]


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "100.100.100.200"])
def test_name_of_a_metadata_service_gets_no_request(serving: Any, address: str) -> None:
    seen, _ = probe("http://app:9/", {"app": [address]})
    assert (seen.outcome, seen.kind) == (Outcome.UNJUDGED, "metadata")
    server = serving(start=whole("302 Found", "Location: http://there/"))
    seen, _ = probe(f"http://app:{server.port}/", {"app": ["127.0.0.1"], "there": [address]})
    assert (seen.outcome, seen.kind) == (Outcome.WRONG, "redirect")


def test_tcp_target_whose_name_leads_to_a_metadata_service_is_not_connected() -> None:
    prober = TcpProber(Target("app", tcp=("app", 9)), ("app", 9), Rebinding({"app": ["169.254.169.254"]}), lambda: 0.0)
    seen = asyncio.run(prober.probe(10))
    assert (seen.outcome, seen.kind, seen.reached) == (Outcome.UNJUDGED, "metadata", False)


def test_metadata_service_that_the_input_names_may_be_probed() -> None:
    # Nothing answers there on the machine of a test: that it was tried is what counts.
    seen, resolver = probe("http://169.254.169.254:9/", {"169.254.169.254": ["127.0.0.1"]})
    assert resolver.looked_up == ["169.254.169.254"]
    assert seen.kind not in {"metadata", "redirect"}


def test_redirect_to_a_metadata_service_through_a_proxy_is_refused(gate: Gate, serving: Any, variables: dict[str, str]) -> None:
    proxy = serving(**{"http://api.example.com": whole("302 Found", "Location: http://2852039166/latest/")})
    variables["http_proxy"] = proxy.url
    report = gate(url="http://api.example.com/", allow_redirects="true", timeout="2s")
    assert report.outputs["verdict"] == "fail"
    assert "where a cloud tells a machine its credentials" in str(report.outputs["reason"])
    assert not any(b"latest" in request for request in proxy.requests)


def test_stream_of_events_is_not_waited_for_when_only_the_status_is_asked(gate: Gate, raw: Any) -> None:
    def events(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        connection.recv(1)  # until the gate goes away

    server = raw(events)
    report = gate(url=server.url, request_timeout="20s", timeout="10s")
    assert report.outputs["verdict"] == "pass"
    assert gate(url=server.url, expect_body="data", timeout="1s").outputs["verdict"] != "pass"
