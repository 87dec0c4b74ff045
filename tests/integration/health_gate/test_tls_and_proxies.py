"""https: what ends the gate at once, what is not the target's fault, and the ways through proxies."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.report import Report

Gate = Callable[..., Report]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def healthy(connection: socket.socket) -> None:
    connection.sendall(OK)


def rule(report: Report) -> str:
    return report.findings[0].rule.removeprefix("health-gate/")


def test_a_certificate_of_a_known_authority(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("127.0.0.1")))
    report = gate(url=f"https://127.0.0.1:{server.port}/", ca_file=str(authority.file))
    assert report.outputs["verdict"] == "pass"


def test_the_systems_store_can_be_named_by_the_environment(
    gate: Gate, raw: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    server = raw(healthy, authority.server(authority.issue("127.0.0.1")))
    assert gate(url=f"https://127.0.0.1:{server.port}/").outputs["verdict"] == "pass"


def test_an_expired_certificate_fails_at_once(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("127.0.0.1", days=(-30, -1))))
    report = gate(url=f"https://127.0.0.1:{server.port}/", ca_file=str(authority.file), timeout="1h")
    assert report.outputs["verdict"] == "fail"
    assert report.outputs["attempts"] == 1
    assert rule(report) == "certificate-expired"


def test_a_certificate_for_another_name_fails_at_once(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("other.example")))
    report = gate(url=f"https://127.0.0.1:{server.port}/", ca_file=str(authority.file), timeout="1h")
    assert report.outputs["verdict"] == "fail"
    assert rule(report) == "certificate-name"
    assert "not for 127.0.0.1" in str(report.outputs["reason"])


def test_a_certificate_that_is_not_valid_yet_is_waited_for(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("127.0.0.1", days=(1, 2))))
    report = gate(url=f"https://127.0.0.1:{server.port}/", ca_file=str(authority.file), timeout="1500ms")
    assert report.outputs["verdict"] == "fail"
    assert rule(report) == "certificate-early"
    assert int(str(report.outputs["attempts"])) > 1


def test_an_unknown_authority_is_inconclusive(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("127.0.0.1")))
    report = gate(url=f"https://127.0.0.1:{server.port}/", timeout="2s")
    assert report.outputs["verdict"] == "inconclusive"
    assert rule(report) == "tls-trust"
    assert "ca-file" in report.findings[0].fix


def test_trust_can_be_turned_off_for_a_target(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("other.example", days=(-3, -1))))
    assert gate(targets=f"- url: https://127.0.0.1:{server.port}/\n  verify-tls: false").outputs["verdict"] == "pass"


def test_a_client_certificate_that_is_asked_for(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("127.0.0.1"), client_certificates=True))
    url, ca_file = f"https://127.0.0.1:{server.port}/", str(authority.file)
    without = gate(url=url, ca_file=ca_file, timeout="2s")
    assert without.outputs["verdict"] == "inconclusive"
    assert rule(without) in {"client-certificate", "tls-trust"}
    mine = authority.issue("a.client")
    assert gate(targets=f"- url: {url}\n  client-cert: {mine}", ca_file=ca_file).outputs["verdict"] == "pass"


def test_host_and_connect_to_reach_one_machine_under_a_name(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("api.example.com")))
    by_connect_to = f"- url: https://api.example.com/ready\n  connect-to: 127.0.0.1:{server.port}"
    assert gate(targets=by_connect_to, ca_file=str(authority.file)).outputs["verdict"] == "pass"
    by_host = f"- url: https://127.0.0.1:{server.port}/ready\n  host: api.example.com"
    assert gate(targets=by_host, ca_file=str(authority.file)).outputs["verdict"] == "pass"
    assert authority.asked == ["api.example.com", "api.example.com"]
    assert all(b"\r\nHost: api.example.com\r\n" in request for request in server.requests)


def test_handshake_trailing_dot_is_not_part_of_the_name(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("api.example.com")))
    target = f"- url: https://api.example.com./ready\n  connect-to: 127.0.0.1:{server.port}\n"
    assert gate(targets=target, ca_file=str(authority.file)).outputs["verdict"] == "pass"
    by_host = f"- url: https://127.0.0.1:{server.port}/\n  host: api.example.com.\n"
    assert gate(targets=by_host, ca_file=str(authority.file)).outputs["verdict"] == "pass"
    assert authority.asked == ["api.example.com", "api.example.com"]
    assert b"\r\nHost: api.example.com.\r\n" in server.requests[0]


def test_certificate_error_names_the_host_that_was_checked(gate: Gate, raw: Any, authority: Any) -> None:
    server = raw(healthy, authority.server(authority.issue("127.0.0.1")))
    target = f"- url: https://127.0.0.1:{server.port}/\n  host: api.example.com:8443\n"
    report = gate(targets=target, ca_file=str(authority.file))
    assert rule(report) == "certificate-name"
    assert "the certificate is not for api.example.com:" in str(report.outputs["reason"])


def test_ca_file_may_hold_comments_in_any_charset(gate: Gate, raw: Any, authority: Any, tmp_path: Path) -> None:
    server = raw(healthy, authority.server(authority.issue("127.0.0.1")))
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes("# Főtanúsítvány\n".encode() + b"\xe9\xff\n" + authority.file.read_bytes() + b"after the end\n")
    assert gate(url=f"https://127.0.0.1:{server.port}/", ca_file=str(bundle)).outputs["verdict"] == "pass"


def test_http_where_https_was_expected(gate: Gate, raw: Any) -> None:
    report = gate(url=f"https://127.0.0.1:{raw(healthy).port}/", timeout="1s", request_timeout="2s")
    assert report.outputs["verdict"] == "fail"
    # The server waits for a line's end that TLS may not send, or answers with what is not TLS.
    assert rule(report) in {"garbage", "timeout", "closed"}


@pytest.mark.parametrize("content", [None, "this is not a certificate"])
def test_a_ca_file_that_cannot_be_used_is_an_unusable_input(gate: Gate, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(UnusableInput, match="ca-file"):
        gate(url="https://127.0.0.1:9/", ca_file=str(path), timeout="1s")


def relay(connection: socket.socket, port: int) -> None:
    """A proxy's tunnel, once it is open."""
    with socket.create_connection(("127.0.0.1", port)) as there:
        back = threading.Thread(target=_copy, args=(there, connection), daemon=True)
        back.start()
        _copy(connection, there)
        back.join(60)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_https_goes_through_a_proxys_tunnel(gate: Gate, raw: Any, authority: Any, variables: dict[str, str]) -> None:
    server = raw(healthy, authority.server(authority.issue("api.example.com")))

    def proxy(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        relay(connection, server.port)

    way = raw(proxy)
    variables["HTTPS_PROXY"] = f"http://user:opensesame@127.0.0.1:{way.port}"
    report = gate(url="https://api.example.com/ready", ca_file=str(authority.file))
    assert report.outputs["verdict"] == "pass"
    assert way.requests[0].startswith(b"CONNECT api.example.com:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpvcGVuc2VzYW1l\r\n" in way.requests[0]


def test_http_goes_through_a_proxy_with_the_whole_url(gate: Gate, raw: Any, variables: dict[str, str]) -> None:
    way = raw(healthy)
    variables["http_proxy"] = way.url
    assert gate(url="http://api.example.com/ready?x=1").outputs["verdict"] == "pass"
    assert way.requests[0].startswith(b"GET http://api.example.com/ready?x=1 HTTP/1.1\r\n")


def test_no_proxy_is_heeded(gate: Gate, raw: Any, variables: dict[str, str], closed_port: int) -> None:
    variables |= {"http_proxy": f"http://127.0.0.1:{closed_port}", "NO_PROXY": "example.com,127.0.0.0/8"}
    assert gate(url=raw(healthy).url).outputs["verdict"] == "pass"


@pytest.mark.parametrize("header", ["X-Squid-Error: ERR_DNS_FAIL 0", "Proxy-Status: px; error=dns_error", "Server: squid/5.7"])
def test_own_answer_of_a_proxy_over_plain_http_is_inconclusive(
    gate: Gate, raw: Any, variables: dict[str, str], header: str
) -> None:
    own = f"HTTP/1.1 503 Service Unavailable\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode()
    variables["HTTP_PROXY"] = raw(lambda connection: connection.sendall(own)).url
    report = gate(url="http://api.example.com/", timeout="1s")
    assert report.outputs["verdict"] == "inconclusive"
    assert rule(report) == "proxy"


def test_own_answer_of_a_gateway_before_the_service_fails(gate: Gate, raw: Any) -> None:
    own = b"HTTP/1.1 503 No\r\nProxy-Status: ingress; error=connection_refused\r\nContent-Length: 0\r\n\r\n"
    server = raw(lambda connection: connection.sendall(own))
    assert gate(url=server.url, timeout="1s").outputs["verdict"] == "fail"


def test_answer_that_a_proxy_passes_on_is_the_services(gate: Gate, raw: Any, variables: dict[str, str]) -> None:
    passed = b"HTTP/1.1 503 No\r\nVia: 1.1 px (squid/5.7)\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"
    variables["http_proxy"] = raw(lambda connection: connection.sendall(passed)).url
    assert gate(url="http://api.example.com/", timeout="1s").outputs["verdict"] == "fail"


def test_login_of_the_network_is_inconclusive(gate: Gate, raw: Any) -> None:
    portal = b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n"
    server = raw(lambda connection: connection.sendall(portal))
    assert gate(url=server.url, timeout="1s").outputs["verdict"] == "inconclusive"


def test_password_of_a_proxy_may_hold_any_character(gate: Gate, raw: Any, variables: dict[str, str]) -> None:
    way = raw(healthy)
    variables["http_proxy"] = f"http://user:p/a#s?s@%w@127.0.0.1:{way.port}"
    assert gate(url="http://api.example.com/").outputs["verdict"] == "pass"
    encoded = base64.b64encode(b"user:p/a#s?s@%w")
    assert b"\r\nProxy-Authorization: Basic " + encoded + b"\r\n" in way.requests[0]


def test_a_proxy_that_cannot_reach_the_target_proves_nothing(gate: Gate, raw: Any, variables: dict[str, str]) -> None:
    def refuses(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    variables["https_proxy"] = raw(refuses).url
    report = gate(url="https://api.example.com/", timeout="2s")
    assert report.outputs["verdict"] == "inconclusive"
    assert rule(report) == "proxy"
