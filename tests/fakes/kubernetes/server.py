"""The HTTP side of the stand-in: discovery, objects, patches, watches and logs, as `kubectl` asks for them."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.kubernetes.cluster import Cluster, Json, Refused, merged

KINDS = {
    "v1": {"pods": "Pod", "events": "Event", "secrets": "Secret"},
    "apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet"},
    "batch/v1": {"jobs": "Job"},
}
_SHORT = {"deployments": ["deploy"], "replicasets": ["rs"], "pods": ["po"], "events": ["ev"]}
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_PATH = re.compile(r"/(?:api/(v1)|apis/(apps/v1|batch/v1))/namespaces/([^/]+)/([a-z]+)(?:/([^/]+))?(/log)?")


class ApiServer:
    """Serves a cluster on a port of the kernel's choice. `requests` is what was asked; `failing` makes so many calls fail."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Json] = []
        self.failing = 0
        self.forbidden: set[str] = set()
        server = self

        class Handler(_Handler):
            api = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def kubeconfig(self) -> str:
        """A kubeconfig with the context `here`."""
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "stand-in", "cluster": {"server": self.url}}],
                "users": [{"name": "nobody", "user": {}}],
                "contexts": [{"name": "here", "context": {"cluster": "stand-in", "user": "nobody", "namespace": "default"}}],
            }
        )

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_words: Any) -> None:
        """The test reads `requests` instead."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode()
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        self.api.requests.append((self.command, unquote(self.path)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            try:
                if self.api.failing > 0 and "/namespaces/" in address.path:
                    self.api.failing -= 1
                    raise Refused(503, "ServiceUnavailable", "the server is currently unable to handle the request")
                found = _discovery(address.path)
                if found is not None:
                    self._answer(200, found)
                else:
                    self._object(address.path, query, text)
            except Refused as refused:
                status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": refused.reason}
                self._answer(refused.code, {**status, "message": str(refused), "code": refused.code})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the library's names

    def _object(self, path: str, query: dict[str, str], text: str) -> None:
        match = _PATH.fullmatch(path)
        group = (match[1] or match[2]) if match else ""
        if not match or match[4] not in KINDS[group]:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        kind, name = match[4], match[5] or ""
        if kind in self.api.forbidden:
            raise Refused(
                403, "Forbidden", f'{kind} is forbidden: User "nobody" cannot {self.command.lower()} resource "{kind}"'
            )
        if match[6]:
            self._log(name, follow=query.get("follow") == "true")
        elif self.command == "GET" and query.get("watch"):
            self._watch(kind, query)
        elif self.command == "GET" and not name:
            items = _selected(self._list(kind), query)
            self._answer(
                200,
                {
                    "kind": f"{KINDS[group][kind]}List",
                    "apiVersion": group,
                    "metadata": {"resourceVersion": "1"},
                    "items": items,
                },
            )
        else:
            self._one(kind, name, text)

    def _one(self, kind: str, name: str, text: str) -> None:
        cluster = self.api.cluster
        body: Any = json.loads(text) if text else None
        with cluster.lock:
            if self.command == "GET":
                self._answer(200, cluster.get(kind, name))
            elif self.command == "POST":
                self.api.bodies.append(body)
                self._answer(201, cluster.create(kind, body))
            elif self.command == "DELETE":
                self._answer(200, cluster.delete(kind, name))
            elif self.command == "PATCH":
                self.api.bodies.append(body)
                self._answer(200, cluster.change(kind, name, self._patched(cluster.get(kind, name), body)))
            else:
                self._answer(200, cluster.change(kind, name, body))

    def _patched(self, before: Json, patch: Any) -> Json:
        if "json-patch" not in self.headers.get("Content-Type", ""):
            return merged(before, patch)
        for step in patch:
            *parents, leaf = [word.replace("~1", "/").replace("~0", "~") for word in step["path"].strip("/").split("/")]
            target: Any = before
            for parent in parents:
                target = target[parent]
            if step["op"] == "remove":
                del target[leaf]
            else:
                target[leaf] = step["value"]
        return before

    def _list(self, kind: str) -> list[Json]:
        with self.api.cluster.lock:
            return self.api.cluster.all(kind)

    def _watch(self, kind: str, query: dict[str, str]) -> None:
        self._start("application/json")
        seen: dict[str, str] = {}
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for item in _selected(self._list(kind), query):
                now = json.dumps(item, sort_keys=True)
                if seen.get(item["metadata"]["name"]) != now:
                    seen[item["metadata"]["name"]] = now
                    self._chunk(json.dumps({"type": "MODIFIED", "object": item}) + "\n")
            time.sleep(0.05)
        self._chunk("")

    def _log(self, name: str, *, follow: bool) -> None:
        with self.api.cluster.lock:
            lines, more = self.api.cluster.log(name)
        self._start("text/plain")
        sent = 0
        while True:
            for line in lines[sent:]:
                self._chunk(line + "\n")
            sent = max(sent, len(lines))
            if not (follow and more):
                break
            time.sleep(0.05)
            with self.api.cluster.lock:
                lines, more = self.api.cluster.log(name)
        self._chunk("")

    def _start(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _answer(self, code: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _discovery(path: str) -> Json | None:
    if path == "/version":
        return {"major": "1", "minor": "32", "gitVersion": "v1.32.4"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [name for name in KINDS if "/" in name]
        groups = [
            {
                "name": name.split("/")[0],
                "versions": [{"groupVersion": name, "version": "v1"}],
                "preferredVersion": {"groupVersion": name, "version": "v1"},
            }
            for name in versions
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    group = path.removeprefix("/apis/").removeprefix("/api/")
    if group not in KINDS:
        return None
    resources = [
        {
            "name": name,
            "singularName": kind.lower(),
            "namespaced": True,
            "kind": kind,
            "verbs": _VERBS,
            "shortNames": _SHORT.get(name, []),
        }
        for name, kind in KINDS[group].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources}


def _selected(items: list[Json], query: dict[str, str]) -> list[Json]:
    labels = dict(pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if "=" in pair)
    fields = dict(pair.split("=", 1) for pair in query.get("fieldSelector", "").split(",") if "=" in pair)
    kept: list[Json] = []
    for item in items:
        has = item["metadata"].get("labels") or {}
        if any(has.get(key) != value for key, value in labels.items()):
            continue
        if fields.get("metadata.name", item["metadata"]["name"]) != item["metadata"]["name"]:
            continue
        wanted = fields.get("involvedObject.name")
        if wanted and item.get("involvedObject", {}).get("name") != wanted:
            continue
        kept.append(item)
    return kept
