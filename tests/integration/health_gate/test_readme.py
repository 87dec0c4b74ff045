"""Every example of the README is run as it stands, with servers of our own behind its names."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cicd_actions.toolkit.report import Report

README = Path(__file__).resolve().parents[3] / "actions" / "health-gate" / "README.md"
SHA = "89abcdef0123456789abcdef0123456789abcdef"
EXAMPLES = [
    step
    for block in re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    for step in yaml.safe_load(block)
    if "uses" in step
]


def everything(connection: socket.socket) -> None:
    body = json.dumps({"status": "ok", "version": SHA, "checks": {"database": {"latency_ms": 3}}}).encode()
    headers = f"Content-Type: application/json\r\nX-Version: {SHA}\r\nContent-Length: {len(body)}"
    connection.sendall(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body)


def low_error_rate(connection: socket.socket) -> None:
    body = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1763683200,"0.001"]}]}}'
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("step", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_example_passes(
    step: dict[str, Any], gate: Callable[..., Report], raw: Any, tmp_path: Path, monkeypatch: Any, variables: dict[str, str]
) -> None:
    app, metrics = raw(everything), raw(low_error_rate)
    raw(everything, path=str(tmp_path / "app.sock"))
    program = tmp_path / "redis-cli"
    program.write_text(f"#!{sys.executable}\nprint('PONG')\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    variables["PATH"] = f"{tmp_path}:{variables['PATH']}"
    variables["READY_TOKEN"] = "a-token-of-the-test"
    inputs: dict[str, str] = {}
    for name, value in step["with"].items():
        text = str(value).replace("${{ github.sha }}", SHA)
        text = re.sub(r"https://(api|www)\.example\.com", app.url.rstrip("/"), text)
        text = text.replace("db.example.com:5432", f"127.0.0.1:{app.port}").replace("/run/app.sock", str(tmp_path / "app.sock"))
        inputs[name.replace("-", "_")] = text.replace("https://prometheus.example.com", metrics.url.rstrip("/"))
    report = gate(**inputs)
    assert report.outputs["verdict"] == "pass", report.headline
    assert not report.findings
