"""Stands in for the scheduler and the kubelet: binds pods to a node, says how their containers are, runs jobs, serves logs.

A container with a `command` runs as a process of this machine, with the variables that its pod gives it. Another one is what
its image's `Behaviour` says: it starts, and stays.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.harness.authority import Authority

Json = dict[str, Any]
NODE = "node-1"
UNSCHEDULABLE = "0/1 nodes are available: 1 Insufficient memory."


@dataclass
class Behaviour:
    """How containers of an image are: `good`, `unready`, `crash`, `missing`, `unschedulable`.

    `lines` is what they print. A container with a `command` prints what its process prints, which runs in `folder`.
    """

    kind: str = "good"
    lines: tuple[str, ...] = ("listening",)
    folder: Path | None = None


@dataclass
class _Container:
    lines: list[str] = field(default_factory=list)
    ended: bool = False
    process: subprocess.Popen[str] | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, line: str) -> None:
        with self.changed:
            self.lines.append(line)
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def read(self, *, follow: bool, tail: int | None) -> Iterator[str]:
        at = max(len(self.lines) - tail, 0) if tail is not None else 0
        while new := self._after(at, follow=follow):
            yield from new
            at += len(new)

    def _after(self, at: int, *, follow: bool) -> list[str]:
        with self.changed:
            if follow:
                self.changed.wait_for(lambda: len(self.lines) > at or self.ended)
            return self.lines[at:]


class Kubelet:
    """One node. `behaviours` are by namespace and image; what is not named is good."""

    def __init__(self, api: httpx.Client, authority: Authority) -> None:
        self.behaviours: dict[tuple[str, str], Behaviour] = {}
        self._api = api
        self._containers: dict[tuple[str, str, str], _Container] = {}
        self._begun: set[str] = set()
        self._addresses: dict[str, int] = {}
        self._stopped = threading.Event()
        kubelet = self

        class Handler(_Logs):
            owner = kubelet

        self._http = https(authority, Handler)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve, self._work)]

    def start(self) -> None:
        """Register the node and begin."""
        port = self._http.server_address[1]
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "status": status}
        self._ask("POST", "/api/v1/nodes", json=node)
        self._patch_status(f"/api/v1/nodes/{NODE}", status)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the processes and the log server. The watch ends with the API server."""
        self._stopped.set()
        for container in self._containers.values():
            if container.process is not None and container.process.poll() is None:
                container.process.kill()
        if self._threads[0].is_alive():
            self._http.shutdown()
        self._http.server_close()

    def log_of(self, namespace: str, pod: str, container: str) -> _Container | None:
        return self._containers.get((namespace, pod, container))

    def _serve(self) -> None:
        self._http.serve_forever(poll_interval=0.05)

    def _work(self) -> None:
        """Handle every pod, then every change of one. The API server closes a watch when it ends."""
        while not self._stopped.is_set():
            with contextlib.suppress(httpx.HTTPError, ValueError):
                found = self._api.get("/api/v1/pods").json()
                for pod in found["items"]:
                    self._handle(pod)
                query = {"watch": "1", "resourceVersion": found["metadata"]["resourceVersion"]}
                with self._api.stream("GET", "/api/v1/pods", params=query, timeout=None) as watch:
                    for line in watch.iter_lines():
                        event = json.loads(line)
                        if event["type"] in {"ADDED", "MODIFIED"}:
                            self._handle(event["object"])
            self._stopped.wait(0.1)

    def _handle(self, pod: Json) -> None:
        stage = "end" if "deletionTimestamp" in pod["metadata"] else "run" if pod["spec"].get("nodeName") else "bind"
        key = f"{stage} {pod['metadata']['uid']}"
        if key in self._begun:
            return
        self._begun.add(key)
        if stage == "bind":
            self._bind(pod)
        elif stage == "run":
            self._run(pod)
        else:
            threading.Thread(target=self._end, args=(pod,), daemon=True).start()

    def _behaviour(self, pod: Json, container: Json) -> Behaviour:
        return self.behaviours.get((pod["metadata"]["namespace"], container["image"])) or Behaviour()

    def _bind(self, pod: Json) -> None:
        if any(self._behaviour(pod, each).kind == "unschedulable" for each in pod["spec"]["containers"]):
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": UNSCHEDULABLE}
            self._patch_status(_path(pod), {"phase": "Pending", "conditions": [condition]})
            return
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]}, "target": target}
        self._ask("POST", f"{_path(pod)}/binding", json=body)

    def _run(self, pod: Json) -> None:
        once = pod["spec"]["restartPolicy"] == "Never"
        prepared = True
        inits: list[Json] = []
        for each in pod["spec"].get("initContainers") or []:
            kind = self._behaviour(pod, each).kind
            if not prepared:
                state: Json = {"waiting": {"reason": "PodInitializing"}}
            elif kind == "missing":
                state, prepared = _missing(), False
            elif kind == "crash":
                state, prepared = {"terminated": {"exitCode": 1, "reason": "Error"}}, False
            else:
                state = {"terminated": {"exitCode": 0, "reason": "Completed"}}
            self._container(pod, each).lines = list(self._behaviour(pod, each).lines)
            inits.append(_status(each, state, ready=state.get("terminated", {}).get("exitCode") == 0))
        main: list[Json] = []
        for each in pod["spec"]["containers"]:
            state, ready = (
                self._begin(pod, each, once=once) if prepared else ({"waiting": {"reason": "PodInitializing"}}, False)
            )
            main.append(_status(each, state, ready=ready, restarts=2 if "CrashLoop" in str(state) else 0))
        ready = all(status["ready"] for status in main)
        phase = "Running" if any("running" in status["state"] for status in main) else "Pending"
        if once and not prepared and any("terminated" in status["state"] for status in inits):
            phase = "Failed"
        conditions = [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()},
        ]
        self._patch_status(
            _path(pod),
            {
                "phase": phase,
                "podIP": self._address(pod),
                "startTime": _now(),
                "conditions": conditions,
                "containerStatuses": main,
                "initContainerStatuses": inits,
            },
        )
        for status in [*inits, *main]:
            if "BackOff" in str(status["state"]):
                self._event(pod, status["state"]["waiting"])
        if phase == "Running" and once:
            for each in pod["spec"]["containers"]:
                threading.Thread(target=self._process, args=(pod, each), daemon=True).start()

    def _address(self, pod: Json) -> str:
        """An address of this machine that no other pod has, so that a server on all addresses knows which pod is asked."""
        number = self._addresses.setdefault(pod["metadata"]["uid"], len(self._addresses) + 1)
        return f"127.8.{number // 250}.{number % 250 + 1}"

    def _begin(self, pod: Json, container: Json, *, once: bool) -> tuple[Json, bool]:
        behaviour = self._behaviour(pod, container)
        log = self._container(pod, container)
        running = {"running": {"startedAt": _now()}}
        if behaviour.kind == "missing":
            return _missing(), False
        if once and container.get("command"):
            return running, True
        log.lines = list(behaviour.lines)
        if behaviour.kind == "crash":
            return {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}, False
        return running, behaviour.kind == "good"

    def _container(self, pod: Json, container: Json) -> _Container:
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"], container["name"])
        return self._containers.setdefault(key, _Container())

    def _process(self, pod: Json, container: Json) -> None:
        """Run a job's container to its end, and say how it ended."""
        log = self._container(pod, container)
        log.process = process = subprocess.Popen(
            [*container["command"], *container.get("args", [])],
            env=self._variables(pod, container),
            cwd=self._behaviour(pod, container).folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            log.add(line.rstrip("\n"))
        code = process.wait()
        process.stdout.close()
        code = code if code >= 0 else 128 - code
        reason = "Error" if code else "Completed"
        state = {"terminated": {"exitCode": code, "reason": reason, "startedAt": _now(), "finishedAt": _now()}}
        phase = "Failed" if code else "Succeeded"
        self._patch_status(_path(pod), {"phase": phase, "containerStatuses": [_status(container, state, ready=False)]})
        log.end()

    def _variables(self, pod: Json, container: Json) -> dict[str, str]:
        found = {"PATH": os.environ["PATH"]}
        for entry in container.get("env") or []:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            found[entry["name"]] = self._secret(pod, reference) if reference else str(entry.get("value", ""))
        return found

    def _secret(self, pod: Json, reference: Json) -> str:
        """A key of a Secret. A kubelet tries again while the Secret does not exist."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/secrets/{reference['name']}"
        while not self._stopped.is_set():
            answer = self._ask("GET", path)
            if answer is not None and answer.is_success:
                return base64.b64decode(answer.json()["data"][reference["key"]]).decode()
            self._stopped.wait(0.05)
        return ""

    def _end(self, pod: Json) -> None:
        """SIGTERM, SIGKILL after the grace period; then the pod goes."""
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        for each in pod["spec"]["containers"]:
            log = self._container(pod, each)
            if log.process is not None and log.process.poll() is None:
                log.process.terminate()
                with log.changed:
                    over = log.changed.wait_for(lambda log=log: log.ended, grace)  # type: ignore[misc]
                if not over:
                    log.process.kill()
                    with log.changed:
                        log.changed.wait_for(lambda log=log: log.ended, 5)  # type: ignore[misc]
                # A kubelet tidies up for a second or two before the pod goes; its log can still be read then.
                self._stopped.wait(2)
            log.end()
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        self._ask("DELETE", _path(pod), json=options)

    def _event(self, pod: Json, waiting: Json) -> None:
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {"kind": "Pod", "name": metadata["name"], "namespace": metadata["namespace"]},
            "type": "Warning",
            "reason": "BackOff",
            "message": waiting.get("message", ""),
            "lastTimestamp": _now(),
        }
        self._ask("POST", f"/api/v1/namespaces/{metadata['namespace']}/events", json=body)

    def _patch_status(self, path: str, status: Json) -> None:
        kind = {"Content-Type": "application/strategic-merge-patch+json"}
        self._ask("PATCH", f"{path}/status", content=json.dumps({"status": status}), headers=kind)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        """Asks until the API server has judged the request, whatever it is busy with; `None` when it is over."""
        while not self._stopped.is_set():
            with contextlib.suppress(httpx.HTTPError):
                answer = self._api.request(method, path, **request)
                if answer.status_code < 500 and answer.status_code != 429:
                    return answer
            self._stopped.wait(0.05)
        return None


class _Logs(BaseHTTPRequestHandler):
    """`GET /containerLogs/NAMESPACE/POD/CONTAINER`, which the API server asks for."""

    owner: Kubelet
    protocol_version = "HTTP/1.1"

    def log_message(self, *_words: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        container = self.owner.log_of(*address.path.split("/")[2:5])
        self.send_response(200 if container else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if container:
            tail = int(query["tailLines"]) if "tailLines" in query else None
            for line in container.read(follow=query.get("follow") == "true", tail=tail):
                self._chunk(line + "\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        with contextlib.suppress(OSError):
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()


def https(authority: Authority, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """A server on a loopback port of the kernel's choice, with a certificate of the authority."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = authority.server(authority.issue("127.0.0.1"))(server.socket)
    return server


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _missing() -> Json:
    return {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}


def _status(container: Json, state: Json, *, ready: bool, restarts: int = 0) -> Json:
    found: Json = {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"],
        "ready": ready,
        "restartCount": restarts,
        "state": state,
    }
    if restarts:
        found["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error"}}
    return found
