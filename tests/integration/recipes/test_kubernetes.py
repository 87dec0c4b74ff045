"""recipes/kubernetes on a real API server, by the real kubectl, kustomize and Helm."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.harness import helm
from tests.harness.kube_apiserver import Namespace
from tests.harness.kubelet import Behaviour
from tests.harness.recipe import Recipe

pytestmark = pytest.mark.kubernetes

REPOSITORY = "registry.example:5000/shop/api"
OLD, NEW, BAD = (f"{REPOSITORY}@sha256:{letter * 64}" for letter in "abc")
SERVICES = ("api", "page-worker")

WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
  progressDeadlineSeconds: 5
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {annotations}
    spec:
      containers:
        - name: main
          image: {image}
          env: [{{name: MODE, value: {mode}}}]
          readinessProbe: {{httpGet: {{path: /, port: 8000}}}}
"""


def entry(image: str, sha: str) -> dict[str, str]:
    return {"image": image, "digest": image.partition("@")[2], "sha": sha}


def modes(namespace: Namespace) -> dict[str, str]:
    """What the pod templates have beside the image, by service."""
    found = namespace.all("deployments")
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] for each in found}


def connected(namespace: Namespace) -> dict[str, str]:
    return {"KUBECONFIG_TEXT": Path(namespace.kubeconfig()).read_text()}


def fitted(commands: dict[str, str | None]) -> dict[str, str | None]:
    """The recipe's commands for the test's namespace, with less patience, and without the registry, which does not exist."""
    found = {name: (text or "").replace("shop-{", "{") for name, text in commands.items() if name != "image-command"}
    verb, _, rest = (found["roll-out-command"] or "").partition(" --")
    return {**found, "roll-out-command": f"{verb} --within 12 --{rest}"}


class Kustomized(Recipe):
    """An overlay with two services of one image."""

    def __init__(self, folder: Path, namespace: Namespace) -> None:
        super().__init__(
            folder, "kubernetes", namespace.name, more={"KUBECONFIG_TEXT": Path(namespace.kubeconfig()).read_text()}
        )
        self.commands = fitted(self.commands)
        self.write("one")

    def write(self, mode: str) -> str:
        """Commits manifests; `mode` is what changes beside the image."""
        base, overlay = self.folder / "deploy/base", self.folder / "deploy/overlays" / self.environment
        for each in (base, overlay):
            each.mkdir(parents=True, exist_ok=True)
        # A base names its image without a registry; the overlay says where it comes from.
        text = "---".join(WORKLOAD.format(name=name, image="api", mode=mode, annotations="{}") for name in SERVICES)
        (base / "workloads.yaml").write_text(text)
        (base / "kustomization.yaml").write_text("resources: [workloads.yaml]\n")
        (overlay / "kustomization.yaml").write_text(
            f"namespace: {self.environment}\nresources: [../../base]\n"
            f"images: [{{name: api, newName: '{REPOSITORY}', newTag: '1'}}]\n"
            f"configMapGenerator: [{{name: settings, literals: [MODE={mode}]}}]\n"
        )
        return self.commit(mode)


class Charted(Recipe):
    """A chart with two services, as one Helm release."""

    def __init__(self, folder: Path, namespace: Namespace) -> None:
        variables = {
            **connected(namespace),
            "PATH": f"{helm.program().parent}:{os.environ['PATH']}",
            "HELM_CACHE_HOME": str(folder / ".helm"),
        }
        super().__init__(folder, "kubernetes", namespace.name, "cicd-helm.yml", variables)
        self.commands = fitted(self.commands)
        self.kubeconfig = namespace.kubeconfig()
        (folder / ".gitignore").write_text(".helm\n")
        self.write("one")

    def helm(self, *words: str) -> str:
        """Runs Helm as a person does."""
        variables = {**os.environ, **self.variables, "KUBECONFIG": self.kubeconfig}
        words = ("helm", "--namespace", self.environment, *words)
        done = subprocess.run(words, cwd=self.folder, env=variables, capture_output=True, text=True, check=True)
        return done.stdout

    def write(self, mode: str) -> str:
        """Commits the chart; `mode` is what changes beside the images."""
        chart, values = self.folder / "deploy/chart", self.folder / "deploy/values"
        for each in (chart / "templates", values):
            each.mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n")
        for name in SERVICES:
            value = f'(index .Values "{name}")'
            annotations = f'{{org.opencontainers.image.revision: "{{{{ {value}.sha }}}}"}}'
            text = WORKLOAD.format(name=name, image=f'"{{{{ {value}.image }}}}"', mode=mode, annotations=annotations)
            (chart / f"templates/{name}.yaml").write_text(text)
        (values / f"{self.environment}.yaml").write_text(
            "".join(f"{name}: {{image: '{REPOSITORY}:1', sha: ''}}\n" for name in SERVICES)
        )
        return self.commit(mode)


def goes_there_and_back(recipe: Kustomized | Charted, namespace: Namespace) -> None:
    """Two releases, one that fails, and a rollback to the first by hand."""
    namespace.images(BAD, Behaviour("crash", ("no such table",)))
    first = recipe.write("one")
    ended = recipe.rolls_out(first, dict.fromkeys(SERVICES, OLD))
    assert ended.outputs["verdict"] == "pass", ended.log
    assert recipe.running() == dict.fromkeys(SERVICES, entry(OLD, first))

    second = recipe.write("two")
    ended = recipe.rolls_out(second, dict.fromkeys(SERVICES, NEW))
    assert ended.outputs["verdict"] == "pass", ended.log
    assert recipe.running() == dict.fromkeys(SERVICES, entry(NEW, second))
    assert modes(namespace) == dict.fromkeys(SERVICES, "two")

    # The second service fails: the first one is taken back too, with everything of its pod template.
    ended = recipe.rolls_out(recipe.write("three"), {"api": NEW, "page-worker": BAD})
    assert ended.outputs["verdict"] == "fail", ended.log
    assert "no such table" in ended.log
    assert recipe.running() == dict.fromkeys(SERVICES, entry(NEW, second))
    assert modes(namespace) == dict.fromkeys(SERVICES, "two")

    # By hand, from a checkout of another commit.
    ended = recipe.rolls_out(first, dict.fromkeys(SERVICES, OLD))
    assert ended.outputs["verdict"] == "pass", ended.log
    assert recipe.running() == dict.fromkeys(SERVICES, entry(OLD, first))
    assert modes(namespace) == dict.fromkeys(SERVICES, "one")


def test_kustomize_release_that_fails_returns_to_the_pod_templates_before(tmp_path: Path, kubernetes: Namespace) -> None:
    recipe = Kustomized(tmp_path, kubernetes)
    kubernetes.kubectl("apply", "--kustomize", str(tmp_path / "deploy/overlays" / kubernetes.name))
    goes_there_and_back(recipe, kubernetes)

    # A commit whose pod template the cluster no longer has gets only its image.
    ended = recipe.rolls_out("4" * 40, {"api": NEW})
    assert ended.outputs["verdict"] == "pass", ended.log
    assert "no longer has the pod template" in ended.log
    assert recipe.running()["api"] == entry(NEW, "4" * 40)

    # An image that the overlay does not name would move nothing.
    ended = recipe.rolls_out(recipe.commit(), {"api": f"registry.example/other@sha256:{'d' * 64}"})
    assert ended.outputs["verdict"] == "fail"
    assert "with the image registry.example/other" in ended.log
    assert kubernetes.kubectl("get", "configmaps", "--output=name").count("settings") == 3

    done = recipe.program(
        "job-command", "api", NEW, "sh", "-c", 'echo "$MODE $TOKEN"; exit 7', JOB_VARIABLES="TOKEN", TOKEN="s3cret-token"
    )
    assert (done.returncode, done.stdout) == (7, "three s3cret-token\n"), done.stderr
    kubernetes.until_empty("jobs", "secrets")


@pytest.mark.network
def test_helm_release_that_fails_returns_to_the_revision_before(tmp_path: Path, kubernetes: Namespace) -> None:
    recipe = Charted(tmp_path, kubernetes)
    recipe.helm("install", "shop", "deploy/chart", "--values", f"deploy/values/{kubernetes.name}.yaml")
    goes_there_and_back(recipe, kubernetes)
    history = json.loads(recipe.helm("history", "shop", "--output=json"))
    assert [each["status"] for each in history].count("failed") == 1
    assert history[-1]["description"].startswith("Rollback to ")

    # A run that was killed in the middle of an upgrade blocks Helm.
    name = f"sh.helm.release.v1.shop.v{len(history)}"
    newest = json.loads(kubernetes.kubectl("get", "secret", name, "--output=json"))
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(newest["data"]["release"]))))
    release["info"]["status"] = "pending-upgrade"
    data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    patch = {"metadata": {"labels": {"status": "pending-upgrade"}}, "data": {"release": data}}
    kubernetes.kubectl("patch", "secret", name, "--patch", json.dumps(patch))
    with pytest.raises(subprocess.CalledProcessError):
        recipe.helm("upgrade", "shop", "deploy/chart", "--reuse-values")
    ended = recipe.rolls_out(recipe.write("four"), dict.fromkeys(SERVICES, NEW))
    assert ended.outputs["verdict"] == "pass", ended.log
    assert modes(kubernetes) == dict.fromkeys(SERVICES, "four")
