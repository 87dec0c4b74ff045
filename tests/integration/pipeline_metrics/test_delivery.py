from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.fakes.github import FakeGitHub
from tests.harness.pipelines import DAY, Pipelines
from tests.harness.ports import free_port

HOSTILE = 'a "name"\\ with\nlines'


@pytest.fixture
def pipelines() -> Iterator[Pipelines]:
    with FakeGitHub() as github:
        made, now = Pipelines(github), int(time.time())
        name = made.repository()
        for number in range(12):
            made.run(name, now - DAY - number, name=HOSTILE, conclusion="failure" if number < 3 else "success")
        yield made


@pytest.fixture
def pushgateway() -> Iterator[str]:
    """A real Pushgateway on a free port."""
    if not shutil.which("prometheus-pushgateway"):
        pytest.skip("needs prometheus-pushgateway")
    port = free_port()
    process = subprocess.Popen(
        ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=5).close()  # noqa: S310 - a loopback address
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(60)


def test_pushgateway_takes_the_figures_and_promtool_finds_them_valid(
    pipelines: Pipelines, pushgateway: str, tmp_path: Path
) -> None:
    ended = pipelines.measure(tmp_path, {"pushgateway": pushgateway, "export": str(tmp_path)})
    assert (ended.code, ended.findings) == (0, []), ended.log
    with urllib.request.urlopen(f"{pushgateway}/metrics", timeout=10) as answer:  # noqa: S310 - a loopback address
        kept = answer.read().decode()
    lines = [line for line in kept.splitlines() if line.startswith("cicd_success_rate_ratio{")]
    assert any('repository="org/app"' in line and line.endswith(" 0.75") for line in lines)
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=kept, capture_output=True, text=True, check=False)
        assert "cicd_" not in "\n".join(line for line in done.stderr.splitlines() if "error" in line)


def test_collector_takes_each_run_once_and_a_failing_one_is_a_warning(
    pipelines: Pipelines, httpserver: HTTPServer, tmp_path: Path
) -> None:
    inputs = {
        "store": str(tmp_path / "store"),
        "otlp": httpserver.url_for("/v1/traces"),
        "headers": "Authorization: Bearer $METRICS_TOKEN",
    }
    httpserver.expect_oneshot_request("/v1/traces").respond_with_data(status=400)
    refused = pipelines.measure(tmp_path, inputs, METRICS_TOKEN="hunter2-hunter2")
    assert (refused.code, [found["rule"] for found in refused.findings]) == (0, ["pipeline-metrics/otlp"])
    assert "hunter2" not in refused.log
    httpserver.expect_request("/v1/traces").respond_with_json({})
    pipelines.measure(tmp_path, inputs, METRICS_TOKEN="hunter2-hunter2")
    sent = json.loads(httpserver.log[-1][0].get_data())
    assert len(sent["resourceSpans"]) == 12
    assert httpserver.log[-1][0].headers["Authorization"] == "Bearer hunter2-hunter2"
    before = len(httpserver.log)
    pipelines.measure(tmp_path, inputs, METRICS_TOKEN="hunter2-hunter2")
    assert len(httpserver.log) == before
