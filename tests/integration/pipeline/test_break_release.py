"""A rehearsal's broken releases: made of a good one on the engine, and pushed beside it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from cicd_actions.pipeline.break_release import FAULTS, LABEL, WRONG_VERSION, Inputs, run
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.ports import free_port
from tests.harness.stack import Built, Images

MARK = {"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"}


def broken(fault: str, repository: str, good: Built, **variables: str) -> Report:
    runtime = Runtime({**os.environ, **MARK, **variables}, io.StringIO())
    given = {
        "fault": fault,
        "settings": json.dumps({"services": [{"service": "web", "image": "app", "repository": repository}]}),
        "digests": json.dumps({"app": good.digest, "not-of-a-service": good.digest}),
        "sha": good.sha,
    }
    return run(load(Inputs, given, runtime.redactor), runtime)


@pytest.fixture(scope="module")
def good(images: Images) -> Built:
    return images.app()


SHOWS: dict[str, Mapping[str, Any]] = {
    "crash": {"Entrypoint": ["/cicd-actions/rehearsal"]},
    "never-ready": {"Healthcheck": {"Interval": 2 * 10**9, "Timeout": 2 * 10**9, "Retries": 2}},
    "wrong-version": {},
}


@pytest.mark.docker
@pytest.mark.parametrize("fault", SHOWS)
def test_broken_release_is_another_image_that_the_registry_has(
    fault: str, good: Built, docker_client: docker.DockerClient
) -> None:
    report = broken(fault, good.repository, good)
    digests = json.loads(str(report.outputs["digests"]))
    assert list(digests) == ["app"]
    assert digests["app"] != good.digest
    pulled = docker_client.images.pull(f"{good.repository}@{digests['app']}")
    try:
        config = pulled.attrs["Config"]
        assert config["Labels"][LABEL] == "7-2"
        for key, value in SHOWS[fault].items():
            found = config[key]
            assert value.items() <= found.items() if isinstance(value, dict) else found == value
        assert report.outputs["sha"] == (WRONG_VERSION if fault == "wrong-version" else good.sha)
        tags = [tag for image in docker_client.images.list() for tag in image.tags]
        assert not [tag for tag in tags if ":rehearsal-" in tag and tag.startswith(good.repository)]
    finally:
        docker_client.images.remove(pulled.id, force=True)


@pytest.mark.docker
def test_missing_image_is_one_that_the_registry_does_not_have(good: Built, docker_client: docker.DockerClient) -> None:
    digest = json.loads(str(broken("missing-image", good.repository, good).outputs["digests"]))["app"]
    with pytest.raises(docker.errors.NotFound):
        docker_client.images.pull(f"{good.repository}@{digest}")


@pytest.mark.docker
def test_a_good_image_that_is_gone_says_what_docker_says(good: Built) -> None:
    gone = Built(good.repository, good.sha, "sha256:" + "0" * 64)
    with pytest.raises(Failed, match=r"(?s)`docker build` ended with 1: .*(not found|manifest unknown)"):
        broken("crash", good.repository, gone)


@pytest.mark.docker
def test_a_registry_that_does_not_answer_is_named(good: Built) -> None:
    with pytest.raises(Failed, match=r"Could not break the release: `docker build` ended with 1"):
        broken("crash", f"127.0.0.1:{free_port()}/app", good)


def test_without_docker_the_runner_is_at_fault(tmp_path: Path) -> None:
    good = Built("ghcr.io/org/app", "a" * 40, "sha256:" + "1" * 64)
    with pytest.raises(UnusableInput, match="`docker` could not be started"):
        broken("crash", good.repository, good, PATH=str(tmp_path))


def test_every_fault_that_is_built_is_tried() -> None:
    assert {name for name, fault in FAULTS.items() if fault.lines is not None} == set(SHOWS)
