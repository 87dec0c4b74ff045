#!/usr/bin/env python3
"""Deploys services to Kubernetes by kustomize or Helm: the programs of `engine: command` in one file.

    kubernetes.py kustomize --overlay FOLDER SERVICE IMAGE SHA  applies the overlay with the image, and waits until it runs
    kubernetes.py helm --chart FOLDER SERVICE IMAGE SHA         upgrades the Helm release, and waits until the image runs
    kubernetes.py running                                       prints what runs, as JSON
    kubernetes.py image IMAGE                                   exits with 1 where the registry does not have the image
    kubernetes.py job SERVICE IMAGE COMMAND…                    runs a one-shot job with the service's pod template

The checkout is the release only where its commit is SHA. For every other commit, the cluster's own history has what ran then:
the pod template of that revision, or the revision of the Helm release.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Json = Any
KINDS = {"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset"}
REVISION = "org.opencontainers.image.revision"
ABSENT = re.compile(r"manifest unknown|no such manifest|not found|name unknown", re.IGNORECASE)
NOT_OF_A_JOB = {"args", "command", "lifecycle", "livenessProbe", "ports", "readinessProbe", "startupProbe"}


class Failed(Exception):
    """Why a program ends with 1."""


def call(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(words, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode:
        raise Failed(
            f"`{' '.join(words[:3])}` exited with code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


class Cluster:
    """One namespace, in which the service `api` is the workload `<prefix>api`."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.prefix: str = given.prefix
        self.within: int = given.within
        self.where = [f"--namespace={given.namespace}"] if given.namespace else []

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return call("kubectl", *self.where, *words, stdin=stdin)

    def helm(self, *words: str, stdin: str | None = None) -> str:
        return call("helm", *self.where, *words, stdin=stdin)

    def items(self, *kinds: str) -> list[Json]:
        return list(json.loads(self.kubectl("get", ",".join(kinds), "--output=json"))["items"])

    def workload(self, service: str) -> Json:
        for each in self.items(*KINDS.values()):
            if each["metadata"]["name"] == self.prefix + service:
                return each
        raise Failed(f"There is no Deployment, StatefulSet or DaemonSet {self.prefix}{service} in this namespace.")

    def arrive(self, service: str, image: str, sha: str) -> None:
        """Waits until every pod runs the image. Raises `Failed` with the pods' own account."""
        before = self.workload(service)
        if before["spec"].get("replicas") == 0:
            raise Failed(f"{service} wants no pod (`replicas: 0`), so nothing proves the image.")
        with self.explained(service):
            self.kubectl("rollout", "status", ref(before), f"--timeout={self.within}s")
        now = self.workload(service)
        if image not in images(now["spec"]["template"]) or revision(now["spec"]["template"]) != sha:
            raise Failed(f"{service} was changed by something else: it runs {', '.join(images(now['spec']['template']))}.")

    @contextlib.contextmanager
    def explained(self, service: str) -> Iterator[None]:
        """Adds to a failure why pods are not ready, and the last lines that they logged."""
        try:
            yield
        except Failed as error:
            raise Failed(f"{error}\n{self.account(self.workload(service))}") from None

    def account(self, workload: Json) -> str:
        told = []
        for pod in self.pods(workload):
            name = pod["metadata"]["name"]
            for status in (pod.get("status") or {}).get("containerStatuses") or []:
                if not status.get("ready"):
                    told.append(f"{name} {status['name']}: {json.dumps(status.get('state'))}")
                    done = subprocess.run(
                        ["kubectl", *self.where, "logs", name, f"--container={status['name']}", "--tail=20"],
                        text=True,
                        capture_output=True,
                        check=False,
                    )
                    told.append(done.stdout.strip())
        return "\n".join(filter(None, told))

    def pods(self, workload: Json, items: list[Json] | None = None) -> list[Json]:
        """Returns the workload's own pods that are not on their way out."""
        found = self.items("replicasets", "pods") if items is None else items
        owners = {workload["metadata"]["uid"]}
        owners |= {each["metadata"]["uid"] for each in found if each["kind"] == "ReplicaSet" and owner(each) in owners}
        return [
            each
            for each in found
            if each["kind"] == "Pod"
            and owner(each) in owners
            and "deletionTimestamp" not in each["metadata"]
            and (each.get("status") or {}).get("phase") not in {"Failed", "Succeeded"}
        ]


def ref(workload: Json) -> str:
    return f"{KINDS[workload['kind']]}/{workload['metadata']['name']}"


def owner(item: Json) -> str:
    return next((each["uid"] for each in item["metadata"].get("ownerReferences") or [] if each.get("controller")), "")


def images(template: Json) -> list[str]:
    return [each["image"] for each in template["spec"]["containers"]]


def revision(template: Json) -> str:
    return ((template.get("metadata") or {}).get("annotations") or {}).get(REVISION, "")


def is_checked_out(sha: str) -> bool:
    return bool(sha) and call("git", "rev-parse", "HEAD").strip() == sha


# ---------------------------------------------------------------------------------------------------------------- kustomize


def documents(text: str) -> Iterable[Json]:
    """Reads JSON objects that follow each other, as `kubectl create --output=json` prints them."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        found, end = decoder.raw_decode(text)
        yield from found["items"] if found.get("kind") == "List" else [found]
        text = text[end:]


def overlaid(cluster: Cluster, overlay: str, service: str, image: str, sha: str) -> list[Json]:
    """Returns the overlay's objects with the image, without the workloads of other services: each moves in its own turn."""
    repository, pinned, version = image.partition("@") if "@" in image else image.rpartition(":")
    with tempfile.TemporaryDirectory() as folder:
        # kustomize takes folders by relative paths only.
        above = os.path.relpath(Path(overlay).resolve(), Path(folder).resolve())
        entry = {"name": repository, "newName": repository, "digest" if pinned == "@" else "newTag": version}
        Path(folder, "kustomization.yaml").write_text(json.dumps({"resources": [above], "images": [entry]}), encoding="utf-8")
        text = call("kubectl", "kustomize", folder)
    shown = cluster.kubectl("create", "--dry-run=client", "--validate=false", "--output=json", "--filename=-", stdin=text)
    found = list(documents(shown))
    ours = [each for each in found if each["kind"] in KINDS and each["metadata"]["name"] == cluster.prefix + service]
    if len(ours) != 1 or image not in images(ours[0]["spec"]["template"]):
        raise Failed(
            f"{overlay} has no Deployment, StatefulSet or DaemonSet {cluster.prefix}{service} with the image {repository}."
        )
    metadata = ours[0]["spec"]["template"].setdefault("metadata", {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), REVISION: sha}
    return [each for each in found if each["kind"] not in KINDS] + ours


def kustomize(cluster: Cluster, given: argparse.Namespace) -> None:
    service, image, sha = given.service, given.image, given.sha
    if is_checked_out(sha) or not restored(cluster, service, image, sha):
        if not is_checked_out(sha):
            print(
                f"{service}: the cluster no longer has the pod template of {sha or image}: only its image is taken.",
                file=sys.stderr,
            )
        objects = overlaid(cluster, given.overlay, service, image, sha)
        if objects[-1]["spec"].get("replicas") == 0:
            raise Failed(f"{service} wants no pod (`replicas: 0`), so nothing proves the image.")
        print(
            cluster.kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        )
    cluster.arrive(service, image, sha)


def restored(cluster: Cluster, service: str, image: str, sha: str) -> bool:
    """Restores the pod template that ran with this image and commit. False where the cluster no longer has it."""
    now = cluster.workload(service)
    if wanted(now["spec"]["template"], image, sha):
        return True
    past: dict[int, Json] = {}
    for each in cluster.items("replicasets", "controllerrevisions"):
        if owner(each) == now["metadata"]["uid"]:
            if each["kind"] == "ReplicaSet":
                number, template = (
                    each["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
                    each["spec"]["template"],
                )
            else:
                number, template = each["revision"], each["data"]["spec"]["template"]
            past[int(number)] = template
    found = [number for number, template in past.items() if wanted(template, image, sha)]
    if not found:
        return False
    print(cluster.kubectl("rollout", "undo", ref(now), f"--to-revision={max(found)}"))
    if now["kind"] == "StatefulSet":
        # It waits forever for a failing pod of the revision that it leaves.
        left = [
            pod
            for pod in cluster.pods(now)
            if not all(each.get("ready") for each in pod["status"].get("containerStatuses") or [{}])
        ]
        for pod in left:
            cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    return True


def wanted(template: Json, image: str, sha: str) -> bool:
    return image in images(template) and revision(template) == sha


# --------------------------------------------------------------------------------------------------------------------- helm


def helm(cluster: Cluster, given: argparse.Namespace) -> None:
    service, image, sha = given.service, given.image, given.sha
    release = given.release or cluster.prefix + service
    wait = ["--wait", f"--timeout={cluster.within}s"]
    history = sorted(json.loads(cluster.helm("history", release, "--output=json")), key=lambda each: -each["revision"])
    good = [each["revision"] for each in history if each["status"] in {"deployed", "superseded"}]
    if not good:
        raise Failed(f"The Helm release {release} has no revision that was deployed.")
    if history[0]["status"].startswith("pending"):
        # A killed run left it: Helm refuses every upgrade until then. No other deploy runs beside this one.
        print(cluster.helm("rollback", release, str(good[0])))
    now = values(cluster, release, good[0])
    back = None if is_checked_out(sha) else past_of(cluster, release, good, service, {"image": image, "sha": sha}, now)
    if back == good[0] and history[0]["status"] == "deployed":
        pass  # it runs already
    elif back:
        with cluster.explained(service):
            print(cluster.helm("rollback", release, str(back), *wait))
    else:
        if not is_checked_out(sha):
            print(f"{release}: Helm no longer has the revision of {sha or image}: only its image is taken.", file=sys.stderr)
        files = [word for file in given.values for word in ("--values", file)]
        ours = json.dumps({**now, service: {"image": image, "sha": sha}})
        words = ["--history-max=20", *files, "--values=-", *wait]
        with cluster.explained(service):
            print(cluster.helm("upgrade", release, given.chart, *words, stdin=ours))
    # Helm counts a Deployment as ready while `maxUnavailable` of its pods are not.
    cluster.arrive(service, image, sha)


def values(cluster: Cluster, release: str, number: int) -> Json:
    """Returns the images and commits that the programs have set in this revision, by service."""
    found = json.loads(cluster.helm("get", "values", release, f"--revision={number}", "--output=json")) or {}
    return {
        key: {"image": value["image"], "sha": value.get("sha", "")}
        for key, value in found.items()
        if isinstance(value, dict) and "@sha256:" in str(value.get("image"))
    }


def past_of(cluster: Cluster, release: str, good: list[int], service: str, entry: Json, now: Json) -> int | None:
    """Returns the newest revision with this image, if possible one in which the other services stand as they do now."""
    found = None
    for number in good:
        then = values(cluster, release, number)
        if then.get(service) == entry:
            if then == {**now, service: entry}:
                return number
            found = found or number
    return found


# ---------------------------------------------------------------------------------------------------------- running and jobs


def running(cluster: Cluster, _given: argparse.Namespace) -> None:
    items = cluster.items(*KINDS.values(), "replicasets", "pods")
    found = {}
    for each in items:
        name = each["metadata"]["name"]
        if each["kind"] in KINDS and name.startswith(cluster.prefix):
            found[name[len(cluster.prefix) :]] = state(each, cluster.pods(each, items))
    print(json.dumps(found))


def state(workload: Json, pods: list[Json]) -> Json:
    """Returns what the pods run. They count, not the template: a roll-out that is stuck has pods of two."""
    template = workload["spec"]["template"]
    main = main_container(workload)
    image = main["image"]
    theirs = {each["image"] for pod in pods for each in pod["spec"]["containers"] if each["name"] == main["name"]}
    if theirs - {image}:
        return {"image": "several", "digest": "", "sha": ""}
    digest = image.partition("@")[2]
    if not digest:
        ids = {
            each["imageID"].rpartition("@")[2]
            for pod in pods
            for each in pod["status"].get("containerStatuses") or []
            if each["name"] == main["name"] and each.get("ready")
        }
        digest = ids.pop() if len(ids) == 1 else ""
        digest = digest if digest.startswith("sha256:") else ""
        image = f"{re.sub(r':[^:/]*$', '', image)}@{digest}" if digest else image
    return {"image": image, "digest": digest, "sha": revision(template)}


def main_container(workload: Json) -> Json:
    """Returns the container that is the service: the default one, the one named like it, or the first."""
    template = workload["spec"]["template"]
    chosen = ((template.get("metadata") or {}).get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    named = {each["name"]: each for each in template["spec"]["containers"]}
    return named.get(chosen) or named.get(workload["metadata"]["name"]) or template["spec"]["containers"][0]


def job(cluster: Cluster, given: argparse.Namespace) -> None:
    """Runs the command in one pod of the new image, with the service's template, and exits with its code."""
    like = cluster.workload(given.service)
    name = f"job-{secrets.token_hex(4)}"
    pod = {key: value for key, value in like["spec"]["template"]["spec"].items() if key != "initContainers"}
    main = {key: value for key, value in main_container(like).items() if key not in NOT_OF_A_JOB}
    variables = {each: os.environ[each] for each in os.environ.get("JOB_VARIABLES", "").split()}
    ours = [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in variables]
    main["env"] = [each for each in main.get("env") or [] if each["name"] not in variables] + ours
    volumes = {each["name"] for each in pod.get("volumes") or []}
    main["volumeMounts"] = [each for each in main.get("volumeMounts") or [] if each["name"] in volumes]
    # Without the service's labels no Service sends it requests.
    pod |= {"restartPolicy": "Never", "containers": [{**main, "name": "job", "image": given.image, "command": given.command}]}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 3600,
            "activeDeadlineSeconds": given.job_within,
            "template": {"spec": pod},
        },
    }
    made = json.loads(cluster.kubectl("create", "--output=json", "--filename=-", stdin=json.dumps(body)))
    try:
        if variables:
            mine = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made["metadata"]["uid"]}
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "ownerReferences": [mine]},
                "stringData": variables,
            }
            cluster.kubectl("create", "--filename=-", stdin=json.dumps(secret))
        sys.exit(followed(cluster, name, given.job_within))
    finally:
        cluster.kubectl("delete", "job", name, "--cascade=background", "--wait=false", "--ignore-not-found")


def followed(cluster: Cluster, name: str, seconds: int) -> int:
    """Prints the job's log as it comes. Returns its exit code."""
    end, said = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        pod = next(
            iter(json.loads(cluster.kubectl("get", "pods", f"--selector=job-name={name}", "--output=json"))["items"]), {}
        )
        (status,) = (pod.get("status") or {}).get("containerStatuses") or [{}]
        now = status.get("state") or {}
        if "terminated" in now:
            if not said:
                print(cluster.kubectl("logs", pod["metadata"]["name"]), end="")
            return int(now["terminated"]["exitCode"])
        if "running" in now and not said:
            said = "followed"
            subprocess.run(["kubectl", *cluster.where, "logs", pod["metadata"]["name"], "--follow"], check=False)
            continue
        if now.get("waiting", {}).get("reason") in {
            "ErrImagePull",
            "ImagePullBackOff",
            "InvalidImageName",
            "CreateContainerConfigError",
        }:
            raise Failed(f"The job did not start: {json.dumps(now)}")
        time.sleep(0.5)
    raise Failed(f"The job did not end within {seconds} s.")


def image(_cluster: Cluster, given: argparse.Namespace) -> None:
    """Asks the registry. Exits with 1 where it does not have the image, with 2 where it does not tell."""
    with tempfile.TemporaryDirectory() as folder:
        user, password = os.environ.get("REGISTRY_USERNAME"), os.environ.get("REGISTRY_PASSWORD")
        docker = ["docker", *(["--config", folder] if user and password else [])]
        if user and password:
            call(*docker, "login", f"--username={user}", "--password-stdin", given.image.partition("/")[0], stdin=password)
        insecure = ["--insecure"] if given.image.startswith("127.0.0.1:") else []
        done = subprocess.run(
            [*docker, "manifest", "inspect", *insecure, given.image], text=True, capture_output=True, check=False
        )
    sys.stderr.write(done.stderr)
    sys.exit(0 if not done.returncode else 1 if ABSENT.search(done.stderr) else 2)


def main(*words: str) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    verbs = parser.add_subparsers(required=True)
    for function, names in (
        (kustomize, ("service", "image", "sha")),
        (helm, ("service", "image", "sha")),
        (running, ()),
        (image, ("image",)),
        (job, ("service", "image")),
    ):
        verb = verbs.add_parser(function.__name__, allow_abbrev=False)
        verb.set_defaults(function=function)
        verb.add_argument("--namespace", default="")
        verb.add_argument("--prefix", default="", help="What stands before the service in the name of its workload.")
        verb.add_argument("--within", type=int, default=300, help="Seconds until a roll-out must have arrived.")
        verb.add_argument("--job-within", type=int, default=1800, help="Seconds until a job must have ended.")
        if function is kustomize:
            verb.add_argument("--overlay", required=True)
        if function is helm:
            verb.add_argument("--chart", required=True)
            verb.add_argument("--release", default="", help="Default: the workload's name.")
            verb.add_argument("--values", action="append", default=[])
        for name in names:
            verb.add_argument(name)
        if function is job:
            verb.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    # A job that is ended early removes itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        if os.environ.get("KUBECONFIG_TEXT"):
            file = Path(folder, "kubeconfig")
            file.touch(mode=0o600)
            file.write_text(os.environ["KUBECONFIG_TEXT"], encoding="utf-8")
            os.environ["KUBECONFIG"] = str(file)
        try:
            given.function(Cluster(given), given)
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
