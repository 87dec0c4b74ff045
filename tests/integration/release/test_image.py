"""The container image of the command line: built from the release's tree, run as nobody, on a file system it cannot write."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from pytest_httpserver import HTTPServer

from tests.harness.engine import BASE
from tests.harness.release import ROOT

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def image(docker_client: docker.DockerClient, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    context = tmp_path_factory.mktemp("context")
    shutil.copytree(tree, context, dirs_exist_ok=True)
    shutil.copy(ROOT / "Dockerfile", context / "Dockerfile")
    name = f"cicd-actions-test:{uuid.uuid4().hex}"
    docker_client.images.build(path=str(context), tag=name, buildargs={"BASE": BASE}, rm=True)
    yield name
    docker_client.images.remove(name, force=True)


def run(image: str, *words: str) -> subprocess.CompletedProcess[str]:
    """As careful people run it: no capability, nothing writable. On the host's network, where the test's server is."""
    careful = ["--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host"]
    return subprocess.run(["docker", "run", *careful, image, *words], capture_output=True, text=True, check=False, timeout=120)


def test_it_gates(image: str, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ready").respond_with_json({"version": "v2"})
    passed = run(image, "health-gate", "--url", httpserver.url_for("/ready"), "--expect-version", "v2", "--timeout", "20s")
    assert passed.returncode == 0, passed.stderr
    failed = run(image, "health-gate", "--url", httpserver.url_for("/ready"), "--expect-version", "v3", "--timeout", "1s")
    assert failed.returncode == 1
    assert "health-gate: fail" in failed.stderr


def test_it_is_nobody_and_brings_its_byte_code(image: str, docker_client: docker.DockerClient) -> None:
    settings = docker_client.images.get(image).attrs["Config"]
    assert settings["User"] == "65532:65532"
    assert settings["Entrypoint"] == ["/opt/cicd-actions/bin/cicd-actions"]
    listed = docker_client.containers.run(
        image, ["-c", "find /opt/cicd-actions -name '*.pyc' | wc -l"], entrypoint="sh", remove=True
    )
    assert int(listed) > 100
    writable = docker_client.containers.run(
        image, ["-c", "find /opt/cicd-actions -writable -o -perm -002 ! -type l | wc -l"], entrypoint="sh", remove=True
    )
    assert int(writable) == 0
