"""The container image of the command line: built from the release's tree, run as nobody, on a file system it cannot write."""

from __future__ import annotations

import contextlib
import json
import os
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
def context(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    shutil.copytree(tree, folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "Dockerfile", folder / "Dockerfile")
    return folder


@contextlib.contextmanager
def built(client: docker.DockerClient, context: Path, target: str | None = None) -> Iterator[str]:
    name = f"cicd-actions-test:{uuid.uuid4().hex}"
    client.images.build(
        path=str(context), tag=name, buildargs={"BASE": BASE, "BUILDPLATFORM": "linux/amd64"}, target=target, rm=True
    )
    try:
        yield name
    finally:
        client.images.remove(name, force=True)


@pytest.fixture(scope="module")
def image(docker_client: docker.DockerClient, context: Path) -> Iterator[str]:
    with built(docker_client, context) as name:
        yield name


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
    assert "health-gate: fail" in failed.stdout


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


def test_as_a_container_action_it_writes_into_the_runner_s_files(
    docker_client: docker.DockerClient, context: Path, httpserver: HTTPServer, tmp_path: Path
) -> None:
    """As GitHub's runner starts one: the files for commands are its own user's, and mounted at another place."""
    httpserver.expect_request("/ready").respond_with_json({"version": "v2"})
    given = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary"}
    for file in given.values():
        file.touch(mode=0o644)
        os.chown(file, 1001, 1001)
    inputs = json.dumps({"url": httpserver.url_for("/ready"), "expect-version": "v2", "timeout": "20s"})
    words = ["docker", "run", "--rm", "--network", "host", "--volume", f"{tmp_path}:/github/file_commands", "--env", "INPUTS"]
    words += [word for name, file in given.items() for word in ("--env", f"{name}=/github/file_commands/{file.name}")]
    with built(docker_client, context, "action") as image:
        done = subprocess.run(
            [*words, image, "health-gate"],
            env={**os.environ, "INPUTS": inputs},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert "verdict" in given["GITHUB_OUTPUT"].read_text()
    assert "health-gate" in given["GITHUB_STEP_SUMMARY"].read_text()
