"""Builds and starts a real Kubernetes API server with its controllers, etcd and RBAC, on loopback ports.

    python -m tests.harness.kube_apiserver          builds it, where it is missing

The build takes Debian 12's source package, its Go and its etcd: golang-1.19-go, etcd-server. It is kept outside of the
checkout, in `${XDG_CACHE_HOME:-~/.cache}/cicd-actions`; `CICD_ACTIONS_TEST_KUBE` names another folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.harness.authority import Authority
from tests.harness.kubelet import Behaviour, Kubelet
from tests.harness.ports import free_port

Json = dict[str, Any]
VERSION = "1.20.2"
PROGRAMS = ("kube-apiserver", "kube-controller-manager")
USERS = {"admin": "system:masters", "deployer": "deployers"}
"""The users and their groups: an administrator, and one without any right."""

_CONTROLLERS = "deployment,replicaset,statefulset,daemonset,job,garbagecollector,ttl-after-finished"
_GROUPS = {
    "deployments": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "daemonsets": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "httproutes": "apis/gateway.networking.k8s.io/v1",
    "rollouts": "apis/argoproj.io/v1alpha1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
}


def folder() -> Path:
    """Where the built programs are kept."""
    given = os.environ.get("CICD_ACTIONS_TEST_KUBE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "cicd-actions" / f"kube-apiserver-{VERSION}"


def missing() -> str:
    """What this machine lacks for it; empty when it has everything."""
    lacking = [name for name in PROGRAMS if not os.access(folder() / name, os.X_OK)]
    if lacking:
        return f"{folder()} lacks {', '.join(lacking)}: build them with `python -m tests.harness.kube_apiserver`"
    lacking = [name for name in ("etcd", "kubectl") if not shutil.which(name)]
    return f"{', '.join(lacking)} is not installed" if lacking else ""


def build() -> None:
    """Builds what is missing, once, however many ask for it."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if any(not (folder() / name).exists() for name in PROGRAMS):
            script = Path(__file__).with_suffix(".sh")
            subprocess.run([script, VERSION, folder()], check=True, stdin=subprocess.DEVNULL)


class _Transport(httpx.HTTPTransport):
    """Asks again where the server closes the connection that it had kept: a busy API server does, and keeps several."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(5):
            with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                return super().handle_request(request)
        return super().handle_request(request)


class KubeApiServer:
    """One cluster with one node, whose scheduler and kubelet are `Kubelet`."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.authority = Authority(scratch)
        self.url = f"https://127.0.0.1:{free_port()}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.api = httpx.Client(
            base_url=self.url,
            transport=_Transport(verify=self.authority.context()),
            headers={"Authorization": "Bearer admin-token"},
            timeout=30,
        )
        self.kubelet = Kubelet(self.api, self.authority)

    def start(self) -> None:
        """Starts the programs and waits until they answer."""
        etcd, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._spawn(
            "etcd",
            f"--data-dir={self.scratch}/etcd",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peers}",
            "--unsafe-no-fsync",
        )
        tokens = [f"{name}-token,{name},{name},{group}" for name, group in USERS.items()]
        (self.scratch / "tokens.csv").write_text("\n".join(tokens))
        certificate = self.authority.issue("127.0.0.1")
        self._spawn(
            folder() / "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={certificate}",
            f"--kubelet-certificate-authority={self.authority.file}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.invalid",
            f"--service-account-signing-key-file={certificate}",
            f"--service-account-key-file={certificate}",
            "--api-audiences=api",
            f"--token-auth-file={self.scratch}/tokens.csv",
            "--authorization-mode=RBAC",
            # Nothing makes the accounts' tokens here, and nothing takes the taint off a node that is ready.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--feature-gates=TTLAfterFinished=true",
        )
        self._until_ready()
        self._spawn(
            folder() / "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig('admin', 'default')}",
            f"--controllers={_CONTROLLERS}",
            "--leader-elect=false",
            f"--service-account-private-key-file={certificate}",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            "--port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--feature-gates=TTLAfterFinished=true",
        )
        self.kubelet.start()

    def stop(self) -> None:
        """Ends everything, the controllers first. Once is enough; also where not all of it was started."""
        self.kubelet.stop()
        while self._processes:
            process = self._processes.pop()
            process.kill()
            process.wait()
        self.api.close()

    def kubeconfig(self, user: str, namespace: str) -> Path:
        """A kubeconfig with the context `here`."""
        cluster = {"server": self.url, "certificate-authority": str(self.authority.file)}
        context = {"cluster": "tests", "user": user, "namespace": namespace}
        path = self.scratch / f"{user}-{namespace}.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "tests", "cluster": cluster}],
                    "users": [{"name": user, "user": {"token": f"{user}-token"}}],
                    "contexts": [{"name": "here", "context": context}],
                    "current-context": "here",
                }
            )
        )
        return path

    def _spawn(self, program: str | Path, *words: str) -> None:
        with (self.scratch / f"{Path(program).name}.log").open("wb") as log:
            process = subprocess.Popen([program, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.scratch)
            self._processes.append(process)

    def _until_ready(self) -> None:
        end = time.monotonic() + 120
        while not self._ready():
            if time.monotonic() > end or self._processes[-1].poll() is not None:
                raise AssertionError((self.scratch / "kube-apiserver.log").read_text()[-3000:])
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            return self.api.get("/readyz").text == "ok"
        except httpx.HTTPError:
            return False


class Namespace:
    """A namespace of one test."""

    def __init__(self, server: KubeApiServer) -> None:
        self.server = server
        self.name = f"t-{uuid.uuid4().hex[:8]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": {"test": self.name}}}
        server.api.post("/api/v1/namespaces", json=body).raise_for_status()

    def images(self, image: str, behaviour: Behaviour) -> None:
        """Says how containers of the image are here."""
        self.server.kubelet.behaviours[self.name, image] = behaviour

    def kubeconfig(self, user: str = "admin") -> str:
        """The path of a kubeconfig with the context `here`."""
        return str(self.server.kubeconfig(user, self.name))

    def create(self, kind: str, body: Json) -> Json:
        """Creates an object."""
        return self._done(self.server.api.post(self._path(kind), json=body))

    def get(self, kind: str, name: str) -> Json:
        """Returns an object."""
        return self._done(self.server.api.get(self._path(kind, name)))

    def all(self, kind: str) -> list[Json]:
        """Returns the objects of a kind."""
        found: list[Json] = self._done(self.server.api.get(self._path(kind)))["items"]
        return found

    def until_empty(self, *kinds: str) -> None:
        """Waits until no object of these kinds is left: the garbage collector removes what an owner leaves."""
        end = time.monotonic() + 20
        while left := [item for kind in kinds for item in self.all(kind)]:
            assert time.monotonic() < end, left
            time.sleep(0.05)

    def patch(self, kind: str, name: str, body: Json, *, dry_run: bool = False) -> Json:
        """Changes an object as somebody else would, by a strategic merge patch."""
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        path = f"{self._path(kind, name)}?fieldManager=somebody-else" + ("&dryRun=All" if dry_run else "")
        return self._done(self.server.api.patch(path, content=json.dumps(body), headers=headers))

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object, as somebody else would."""
        self._done(self.server.api.request("DELETE", self._path(kind, name), json={"gracePeriodSeconds": 0}))

    def ask(self, method: str, kind: str, name: str = "", **request: Any) -> httpx.Response:
        """What the API server answers to a request about an object, or about all of a kind."""
        headers = {"Content-Type": "application/json", **request.pop("headers", {})}
        return self.server.api.request(method, self._path(kind, name), headers=headers, **request)

    def allow(self, rules: Sequence[Json], user: str = "deployer") -> None:
        """Gives a user these rights in the namespace, and waits until they hold: the API server takes them in a moment late."""
        group = "rbac.authorization.k8s.io"
        rbac = {"apiVersion": f"{group}/v1", "metadata": {"name": "deploy"}}
        self.create("roles", {**rbac, "kind": "Role", "rules": list(rules)})
        bound = {
            "roleRef": {"kind": "Role", "name": "deploy", "apiGroup": group},
            "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
        }
        self.create("rolebindings", {**rbac, "kind": "RoleBinding", **bound})
        last = rules[-1]
        resource, _, subresource = last["resources"][0].partition("/")
        asked = {"namespace": self.name, "group": last["apiGroups"][0], "resource": resource, "verb": last["verbs"][0]}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": {**asked, "subresource": subresource}},
        }
        end = time.monotonic() + 20
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        while not self._done(self.server.api.post(path, json=review))["status"]["allowed"]:
            assert time.monotonic() < end, f"{user} never got the right {asked}"
            time.sleep(0.05)

    def kubectl(self, *words: str) -> str:
        """What `kubectl` prints for the administrator."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig(), *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _path(self, kind: str, name: str = "") -> str:
        return f"/{_GROUPS.get(kind, 'api/v1')}/namespaces/{self.name}/{kind}" + (f"/{name}" if name else "")

    @staticmethod
    def _done(answer: httpx.Response) -> Json:
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found


if __name__ == "__main__":
    build()
    sys.exit(missing() or None)
