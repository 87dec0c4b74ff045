"""Answers instant queries of bucket series and of sums of counters as Prometheus does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.harness.serving import serving


class Prometheus(ThreadingHTTPServer):
    """`buckets` are the cumulative counts of each service, by replica and upper bound; `counters`, by metric and pod."""

    buckets: dict[str, dict[str, dict[str, int]]]
    counters: dict[str, dict[str, int]]
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.buckets = {}
        self.counters = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Prometheus

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        service = query.split('"')[1]
        result = [
            {"metric": {"__name__": "request_seconds_bucket", "instance": replica, "le": bound}, "value": [1, str(count)]}
            for replica, counts in self.server.buckets.get(service, {}).items()
            for bound, count in counts.items()
        ]
        if summed := re.fullmatch(r'sum by \(instance, pod\) \((\w+)\{pod=~"(.*)"\}\)', query):
            counters = {**self.server.counters.get(summed[1], {})}
            matching = {pod: count for pod, count in counters.items() if re.fullmatch(summed[2], pod)}
            result = [{"metric": {"pod": pod}, "value": [1, str(count)]} for pod, count in matching.items()]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None: ...


@contextmanager
def started() -> Iterator[Prometheus]:
    """A server that answers."""
    with serving(Prometheus()) as server:
        yield server
