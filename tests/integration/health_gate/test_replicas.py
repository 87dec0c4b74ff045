"""One name with several addresses: every replica has to answer right."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.report import Report

Gate = Callable[..., Report]
HERE = Path(__file__).parent
NEW, OLD = "a" * 40, "b" * 40


def says(version: str) -> Callable[[socket.socket], None]:
    body = json.dumps({"version": version}).encode()
    return lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a name (`app.test`) resolve to what a function says for the n-th look-up."""
    real = socket.getaddrinfo

    def start(answer: Callable[[int], list[str]], name: str = "app.test") -> None:
        looked_up = itertools.count()

        def getaddrinfo(host: str, port: int, **more: Any) -> Any:
            if host != name:
                return real(host, port, **more)
            found = [real(address, port, **more)[0] for address in answer(next(looked_up))]
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "not known")
            return found

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return start


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def replicas(raw: Any, *versions: str) -> tuple[int, list[Any]]:
    """One server an address, 127.0.0.1 and up, all on the same port."""
    first = raw(says(versions[0]))
    rest = [
        raw(says(version), host=f"127.0.0.{number}", port=first.port) for number, version in enumerate(versions[1:], start=2)
    ]
    return first.port, [first, *rest]


def patiently(run: Callable[[str], Report], least: int) -> Report:
    """Returns the report of a gate that ends by its deadline.

    The deadline is longer when a busy machine let the gate make less than `least` probes.
    """
    report = run("1500ms")
    for timeout in ("8s", "40s"):
        if int(str(report.outputs["attempts"])) < least:
            report = run(timeout)
    return report


def cyclic(*addresses: str) -> Callable[[int], list[str]]:
    return lambda turn: [addresses[(turn + place) % len(addresses)] for place in range(len(addresses))]


def test_a_stale_replica_behind_rotating_dns_fails_and_says_which_address_answered_what(
    gate: Gate, raw: Any, named: Any, tmp_path: Path
) -> None:
    port, servers = replicas(raw, NEW, OLD, NEW)
    named(cyclic("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    file = tmp_path / "report.json"

    def run(timeout: str) -> Report:
        for server in servers:
            server.connections = 0
        return gate(url=f"http://app.test:{port}/", expect_version=NEW, stable_for="500ms", timeout=timeout, report=str(file))

    report = patiently(run, 6)
    assert report.outputs["verdict"] == "fail"
    assert "By address: version aaaaaaaaaaaa… from 127.0.0.1, 127.0.0.3; version bbbbbbbbbbbb… from 127.0.0.2" in str(
        report.outputs["reason"]
    )
    assert max(server.connections for server in servers) - min(server.connections for server in servers) <= 1
    (target,) = json.loads(file.read_text("utf-8"))["targets"]
    assert {each["address"]: each["version"] for each in target["addresses"]} == {
        "127.0.0.1": NEW, "127.0.0.2": OLD, "127.0.0.3": NEW,
    }  # fmt: skip
    # The deadline may cut the last probe before its name is resolved.
    told = [run for run in target["answers"] if run["label"] != "cut off"]
    assert all(sum(run["peers"].values()) == run["count"] for run in told)


def test_a_pass_without_a_window_has_met_every_address_once(gate: Gate, raw: Any, named: Any, log: Any) -> None:
    port, servers = replicas(raw, NEW, NEW, NEW)
    named(cyclic("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    report = gate(url=f"http://app.test:{port}/", expect_version=NEW)
    assert report.outputs["verdict"] == "pass"
    assert [server.connections for server in servers] == [1, 1, 1]
    assert "(3 connections, 3 addresses)" in report.headline
    assert "app.test" in log.getvalue()
    assert "from 127.0.0.1" in log.getvalue()


def test_a_replica_that_refuses_beside_one_that_answers_fails(gate: Gate, raw: Any, named: Any) -> None:
    port, _ = replicas(raw, NEW)
    named(cyclic("127.0.0.1", "127.0.0.2"))
    report = patiently(lambda timeout: gate(url=f"http://app.test:{port}/", expect_version=NEW, timeout=timeout), 4)
    assert report.outputs["verdict"] == "fail"
    assert "refused the connection at 127.0.0.2" in str(report.outputs["reason"])


def test_a_replica_that_leaves_dns_is_waited_for_no_longer(gate: Gate, raw: Any, named: Any) -> None:
    port, _ = replicas(raw, NEW, OLD)
    named(lambda turn: ["127.0.0.1", "127.0.0.2"] if turn < 4 else ["127.0.0.1"])
    assert gate(url=f"http://app.test:{port}/", expect_version=NEW, timeout="20s").outputs["verdict"] == "pass"


def test_a_replica_that_joins_dns_has_to_answer_right_too(gate: Gate, raw: Any, named: Any) -> None:
    port, _ = replicas(raw, NEW, OLD)
    named(lambda turn: ["127.0.0.1", "127.0.0.2"] if turn >= 4 else ["127.0.0.1"])
    url = f"http://app.test:{port}/"
    report = patiently(lambda timeout: gate(url=url, expect_version=NEW, stable_for="700ms", timeout=timeout), 8)
    assert report.outputs["verdict"] == "fail"


def test_a_name_server_that_gives_one_address_at_a_time_hides_no_replica(gate: Gate, raw: Any, named: Any) -> None:
    port, _ = replicas(raw, NEW, OLD)
    named(lambda turn: ["127.0.0.1" if turn % 2 else "127.0.0.2"])
    report = patiently(lambda timeout: gate(url=f"http://app.test:{port}/", expect_version=NEW, timeout=timeout), 4)
    assert report.outputs["verdict"] == "fail"


def test_a_family_on_which_nothing_listens_is_named_and_not_held_against_the_target(gate: Gate, raw: Any, named: Any) -> None:
    port, _ = replicas(raw, NEW)
    named(lambda _: ["::1", "127.0.0.1"])
    report = gate(url=f"http://app.test:{port}/", expect_version=NEW)
    assert report.outputs["verdict"] == "pass"
    assert "unreached: ::1" in str(report.blocks)


@pytest.mark.parametrize(("listens", "named_as"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
def test_localhost_is_both_loopback_addresses_whichever_the_hosts_file_names(
    gate: Gate, raw: Any, named: Any, listens: str, named_as: str
) -> None:
    if listens == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    named(lambda _: [named_as], "localhost")
    server = raw(says(NEW), host=listens)
    report = gate(url=f"http://localhost:{server.port}/", expect_version=NEW)
    assert report.outputs["verdict"] == "pass"
    assert f"unreached: {named_as}" in str(report.blocks)


def test_localhost_on_which_two_releases_listen_is_judged_by_both(gate: Gate, raw: Any, named: Any) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    named(lambda _: ["127.0.0.1"], "localhost")
    first = raw(says(NEW))
    raw(says(OLD), host="::1", port=first.port)
    url = f"http://localhost:{first.port}/"
    report = patiently(lambda timeout: gate(url=url, expect_version=NEW, consecutive_successes="3", timeout=timeout), 4)
    assert report.outputs["verdict"] == "fail"
    assert "from ::1" in str(report.outputs["reason"])


def test_name_below_localhost_that_no_name_server_knows_is_the_loopback(gate: Gate, raw: Any, named: Any) -> None:
    named(lambda _: [], "app.localhost")
    assert gate(url=f"http://app.localhost:{raw(says(NEW)).port}/", expect_version=NEW).outputs["verdict"] == "pass"


def balanced(raw: Any, *versions: str) -> Any:
    """One address in front of several replicas, which answer in turn."""
    turn = itertools.count()
    handlers = [says(version) for version in versions]

    def serve(connection: socket.socket) -> None:
        handlers[next(turn) % len(handlers)](connection)

    return raw(serve)


def test_replicas_behind_one_address_get_as_many_connections_as_a_chance_of_999_needs(gate: Gate, raw: Any) -> None:
    report = gate(url=balanced(raw, NEW, NEW, NEW).url, expect_version=NEW, replicas="3")
    assert report.outputs["verdict"] == "pass"
    assert report.outputs["attempts"] == 18
    assert "(18 connections, 1 address)" in report.headline
    assert "18 connections in a row, 1 address. The chance that they missed one of the `replicas` is at most 0.1%" in str(
        report.blocks
    )


def test_replicas_behind_two_addresses_get_as_many_connections_from_each_as_the_larger_part_may_need(
    gate: Gate, raw: Any, named: Any
) -> None:
    port, servers = replicas(raw, NEW, NEW)
    named(cyclic("127.0.0.1", "127.0.0.2"))
    report = gate(url=f"http://app.test:{port}/", expect_version=NEW, replicas="3")
    assert report.outputs["verdict"] == "pass"
    assert [server.connections for server in servers] == [10, 10]
    assert "(20 connections, 2 addresses)" in report.headline


def test_a_stale_replica_behind_one_address_fails_though_the_first_answers_are_right(gate: Gate, raw: Any) -> None:
    server = balanced(raw, NEW, NEW, NEW, NEW, OLD)
    assert gate(url=server.url, expect_version=NEW).outputs["verdict"] == "pass"
    report = patiently(lambda timeout: gate(url=server.url, expect_version=NEW, replicas="5", timeout=timeout), 6)
    assert report.outputs["verdict"] == "fail"


def test_replicas_that_slow_answers_leave_unmet_are_inconclusive(gate: Gate, raw: Any) -> None:
    def slow(connection: socket.socket) -> None:
        connection.settimeout(0.05)
        with contextlib.suppress(OSError):  # nothing more comes: this waits
            connection.recv(1)
        says(NEW)(connection)

    report = gate(url=raw(slow).url, expect_version=NEW, replicas="10", timeout="1400ms")
    assert report.outputs["verdict"] == "inconclusive"
    assert "`replicas` needs 66 connections before the deadline" in str(report.outputs["reason"])


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="needs root, unshare and ip: a real name server in a separate network",
)
def test_a_real_name_server_that_rotates_per_query_hides_no_replica(tmp_path: Path, variables: dict[str, str]) -> None:
    ran = subprocess.run(
        ["unshare", "--mount", "--net", sys.executable, str(HERE / "rotating_names.py"), str(tmp_path)],
        env={**variables, "PYTHONPATH": str(HERE.parents[2] / "src")}, cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "version `new` from 127.0.0.2; version old from 127.0.0.3" in ran.stdout + ran.stderr
