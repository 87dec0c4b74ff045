"""A mutating admission webhook that rewrites the images of one namespace's Deployments."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.harness.kube_apiserver import Namespace
from tests.harness.kubelet import https

_PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class Webhook:
    """Rewrites images while the `with` lasts."""

    def __init__(self, namespace: Namespace, rewritten: Callable[[str], str]) -> None:
        self._namespace = namespace
        self._called = called = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_words: Any) -> None:
                """Says nothing."""

            def do_POST(self) -> None:
                called.set()
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request = review["request"]
                containers = request["object"]["spec"]["template"]["spec"]["containers"]
                patch = [
                    {"op": "replace", "path": f"/spec/template/spec/containers/{at}/image", "value": rewritten(each["image"])}
                    for at, each in enumerate(containers)
                ]
                encoded = base64.b64encode(json.dumps(patch).encode()).decode()
                response = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
                body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._http = https(namespace.server.authority, Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        name = self._namespace.name
        ca = base64.b64encode(self._namespace.server.authority.file.read_bytes()).decode()
        rule = {"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
        webhook = {
            "name": "images.tests.example",
            "clientConfig": {"url": f"https://127.0.0.1:{self._http.server_address[1]}/", "caBundle": ca},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"test": name}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
        }
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [webhook],
        }
        self._namespace.server.api.post(_PATH, json=body).raise_for_status()
        self._until(called=True)

    def __exit__(self, *_error: object) -> None:
        self._namespace.server.api.delete(f"{_PATH}/{self._namespace.name}").raise_for_status()
        self._until(called=False)
        self._http.shutdown()
        self._http.server_close()

    def _until(self, *, called: bool) -> None:
        """Wait until the API server knows the configuration, or knows it no more: it learns of it by a watch."""
        (deployment,) = self._namespace.all("deployments")
        end = time.monotonic() + 20
        while True:
            self._called.clear()
            self._namespace.patch("deployments", deployment["metadata"]["name"], {"metadata": {}}, dry_run=True)
            if self._called.is_set() is called:
                return
            assert time.monotonic() < end, "the webhook's configuration has no effect"
            time.sleep(0.05)
