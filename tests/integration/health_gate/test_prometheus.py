"""Metrics of a real Prometheus, which scrapes a service of our own."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from cicd_actions.toolkit.report import Report
from tests.harness.ports import free_port
from tests.harness.serving import serving

Gate = Callable[..., Report]

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="needs Prometheus: Debian's package `prometheus`")

SAMPLES = b"""# TYPE app_requests_total counter
app_requests_total{code="200"} 1000
app_requests_total{code="500",path="/broken"} 30
app_idle_total 0
"""


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(SAMPLES)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that has scraped the service."""
    folder = tmp_path_factory.mktemp("prometheus")
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)) as service:
        port = free_port()
        target = f"127.0.0.1:{service.server_port}"
        scrape = {"job_name": "app", "scrape_interval": "200ms", "scrape_timeout": "200ms"}
        scrape |= {"static_configs": [{"targets": [target]}]}  # type: ignore[dict-item]
        (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [scrape]}))
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _await_series(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _await_series(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(f"{url}/api/v1/query?query={quote('app_requests_total')}", timeout=5) as answer:
                if json.load(answer)["data"]["result"]:
                    return
        except OSError:
            pass
        threading.Event().wait(0.05)
    raise AssertionError("Prometheus scraped nothing within 60 s")


ERRORS = 'sum(app_requests_total{code=~"5.."})'
NO_ERRORS = 'sum(app_requests_total{code=~"7.."})'
ALL = "sum(app_requests_total)"


@pytest.mark.parametrize(
    ("query", "inputs", "verdict", "reason"),
    [
        (f"{ERRORS} / {ALL}", {"metric_max": "0.05"}, "pass", ""),
        (f"{ERRORS} / {ALL}", {"metric_max": "0.01"}, "fail", "expected a value of at most 0.01; got: 0.0291"),
        (f"1 - {ERRORS} / {ALL}", {"metric_min": "0.99"}, "fail", "expected a value of at least 0.99; got: 0.9708"),
        (f"({NO_ERRORS} or vector(0)) / {ALL}", {"metric_max": "0.01"}, "pass", ""),
        (f"{NO_ERRORS} / {ALL}", {"metric_max": "0.01"}, "inconclusive", "the query matched nothing"),
        (f"{NO_ERRORS} / {ALL}", {"metric_max": "0.01", "metric_no_data": "pass"}, "pass", ""),
        (f"{NO_ERRORS} / {ALL}", {"metric_max": "0.01", "metric_no_data": "fail"}, "fail", "the query matched nothing"),
        ("app_idle_total / app_idle_total", {"metric_max": "0.01"}, "inconclusive", "the value is NaN, as 0/0"),
        ("app_requests_total / 0", {"metric_max": "1"}, "fail", "got: inf, one of 2"),
        ("sum(rate(", {"metric_max": "1", "metric_no_data": "pass"}, "inconclusive", "status 400: bad_data: "),
        ("app_requests_total[1m]", {"metric_max": "1"}, "inconclusive", "the result is a matrix"),
    ],
)
def test_metric_of_a_real_prometheus(
    gate: Gate, raw: Any, prometheus: str, query: str, inputs: dict[str, str], verdict: str, reason: str
) -> None:
    app = raw(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    report = gate(url=app.url, metric_url=prometheus, metric_query=query, timeout="600ms", interval="100ms", **inputs)
    assert report.outputs["verdict"] == verdict, report.outputs["reason"]
    assert reason in str(report.outputs["reason"])
