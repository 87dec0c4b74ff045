"""The commands of docs/rollback.md, each run as it is written, with its words in capitals filled in."""

from __future__ import annotations

import re
import secrets
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from cicd_actions.github.release_record import digest_of
from cicd_actions.rollback_to_previous_sha.inputs import CheckInputs
from cicd_actions.toolkit.inputs import declarations
from tests.harness.action import run
from tests.harness.kube_apiserver import Namespace
from tests.harness.ports import free_port
from tests.harness.releases import Ended, World, digest, sha
from tests.harness.stack import Images, Stack, await_text
from tests.harness.workloads import NEW, workload

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "rollback.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith("#")
]


REFUSALS = [line.split("|")[1].strip() for line in PAGE.partition("| it says |")[2].splitlines()[2:] if line.startswith("|")]


def nothing_passed(world: World) -> Ended:
    world.release(1, "fail")
    return world.roll_back(current_sha=sha(1))


def of_another_app(world: World) -> Ended:
    world.release(1)
    return world.roll_back(app="blog")


def of_other_services(world: World) -> Ended:
    world.release(1)
    state = world.read("state")
    world.write("state", {**state, "worker": state["api"]})
    return world.roll_back(services="worker=registry.test/worker")


def unsigned(world: World) -> Ended:
    world.release(1)
    return world.roll_back(record_key="")


def a_new_service(world: World) -> Ended:
    world.release(1)
    services = f"{world.digests(1)}\nworker=registry.test/worker@{digest(2)}"
    world.start(2, services=services)
    world.finish(2, "fail", services=services)
    state = world.read("state")
    world.write(
        "state", {**state, "worker": {"image": f"registry.test/worker@{digest(2)}", "digest": digest(2), "sha": sha(2)}}
    )
    return world.roll_back(services=f"{world.release_lines}\nworker=registry.test/worker")


def all_quarantined(world: World) -> Ended:
    world.release(1, "fail")
    world.release(2, "fail")
    return world.roll_back()


def an_image_lost(world: World) -> Ended:
    world.release(1)
    world.release(2, "fail")
    world.lose("web", 1)
    return world.roll_back()


def a_named_one_quarantined(world: World) -> Ended:
    world.release(1)
    world.release(2, "fail")
    world.release(3)
    return world.roll_back(to_sha=sha(2))


def a_contract_migration(world: World) -> Ended:
    world.release(1, database_revision="0001")
    world.release(2, "fail", revisions='[{"revision": "0002", "phase": "contract"}]', database_revision="0002")
    return world.roll_back()


def of_another_repository(world: World) -> Ended:
    opaque = "api=registry.test/elsewhere:1"
    world.start(1, services=opaque)
    world.finish(1, "pass", services=opaque)
    world.release(2, "fail")
    return world.roll_back(services="api=registry.test/api")


def without_an_answer(world: World) -> Ended:
    world.release(1)
    world.release(2, "fail")
    return world.roll_back(image_command="")


SCENES: dict[str, Callable[[World], Ended]] = {
    "this is the first deployment": nothing_passed,
    "has no record of this application": of_another_app,
    "has none of the services": of_other_services,
    "no record … proves that its writer may write it": unsigned,
    "no earlier release has it": a_new_service,
    "every other release … is quarantined": all_quarantined,
    "the image … does not exist": an_image_lost,
    "it is quarantined": a_named_one_quarantined,
    "a contract migration that came after it": a_contract_migration,
    "names another repository": of_another_repository,
    "could not check everything": without_an_answer,
}


@pytest.mark.parametrize("said", REFUSALS)
def test_refusal_of_the_page_is_what_the_action_says_before_anything_moves(world: World, said: str) -> None:
    ended = SCENES[said](world)
    assert ended.code in {1, 3}, ended.log
    assert ended.outputs["rolled-back"] == "false"
    assert re.search(".*".join(map(re.escape, said.split("…"))), ended.headline, re.IGNORECASE), ended.headline
    assert not [line for line in world.calls() if line.startswith("roll-out")]
    assert ended.headline.endswith("Nothing was changed.")


def test_every_refusal_of_the_page_is_tested_here() -> None:
    assert list(SCENES) == REFUSALS


def command(start: str) -> str:
    (found,) = [line for line in COMMANDS if line.startswith(start)]
    return str(found)


def asked(line: str, world: World) -> list[dict[str, Any]]:
    """What `gh api PATH --jq '.[] | {…}'` prints, each line as an object."""
    path, expression = shlex.split(line)[2], shlex.split(line)[4]
    url = f"{world.github.url}/{path.replace('ORG/APP', 'org/app').replace('production', 'staging')}"
    deployments: list[dict[str, Any]] = httpx.get(url, headers={"Authorization": f"token {world.token}"}).json()
    inner = re.fullmatch(r"\.\[\] \| \{(.*)\}", expression)
    assert inner
    parts = [part.partition(": ") for part in inner[1].split(", ")]
    fields = {name: way or f".{name}" for name, _, way in parts}

    def value(found: Any, way: str) -> Any:
        for key in way.strip(".").split("."):
            found = found[key]
        return found

    return [{name: value(each, way) for name, way in fields.items()} for each in deployments]


def test_every_command_of_the_page_is_tested_here() -> None:
    assert [line.split("'")[0].split()[:3] for line in COMMANDS] == [
        ["gh", "api"],
        ["gh", "api"],
        ["docker", "run", "--rm"],
        ["docker", "service", "update"],
        ["docker", "stop", "NAME"],
        ["kubectl", "set", "image"],
        ["git", "revert", "--no-edit"],
    ]


def test_the_queries_find_the_records(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    passed, quarantined = (line for line in COMMANDS if line.startswith("gh api"))
    (found,) = asked(passed, world)
    assert (found["sha"], found["creator"]) == (sha(1), "github-actions[bot]")
    assert found["run"] == "https://github.com/org/app/actions/runs/1/attempts/1"
    assert {name: digest_of(image) for name, image in found["services"].items()} == {"api": digest(1), "web": digest(1)}
    (found,) = asked(quarantined, world)
    assert (found["sha"], found["reason"]) == (sha(2), "gated 2")
    # What the action prints when it cannot go on is the same query.
    world.github.fail("GET", "/deployments$", status=503, times=1000)
    printed = world.roll_back(timeout="1s", environment="production").log
    assert passed.replace("ORG/APP", "org/app") in printed


@pytest.mark.docker
def test_the_question_to_an_image_is_the_one_that_the_guard_asks(images: Images) -> None:
    words = shlex.split(command("docker run"))
    assert words[-3:] == [declarations(CheckInputs)["schema-command"].default, "show", "REVISION"]
    alembic = "printf '#!/bin/sh\\necho Rev: $2\\n' > /usr/bin/alembic && chmod +x /usr/bin/alembic"
    tag = f"{images.registry}/runbook:alembic"
    images.build("app", tag, {}, [f"RUN {alembic}"])
    pinned = f"{tag.rpartition(':')[0]}@{images.push(tag)}"
    filled = [word.replace("IMAGE@sha256:DIGEST", pinned).replace("REVISION", "0002") for word in words]
    assert subprocess.run(filled, check=True, capture_output=True, text=True, timeout=60).stdout.split() == ["Rev:", "0002"]


@pytest.mark.kubernetes
def test_kubectl_rolls_a_deployment_back(kubernetes: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", kubernetes.kubeconfig())
    kubernetes.create("deployments", workload("api"))
    line = command("kubectl").replace("CONTAINER", "api").replace("SERVICE", "api").replace("IMAGE@sha256:DIGEST", NEW)
    for each in line.split(" && "):
        subprocess.run(shlex.split(each), check=True, capture_output=True, timeout=60)
    (found,) = kubernetes.get("deployments", "api")["spec"]["template"]["spec"]["containers"]
    assert found["image"] == NEW


def test_git_reverts_what_was_rolled_back(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        named = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.com", *words]
        return subprocess.run(named, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    commits: list[str] = []
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
        git("add", "-A")
        git("commit", "--quiet", "-m", name)
        commits.append(git("rev-parse", "HEAD"))
    git(*command("git revert").replace("TO..FROM", f"{commits[0]}..{commits[-1]}").split()[1:])
    assert {path.name for path in tmp_path.iterdir()} == {".git", "one"}


@pytest.mark.docker
def test_docker_starts_the_container_before_again(docker_client: docker.DockerClient, images: Images) -> None:
    old, new, name, port = images.app(), images.app(), f"t{secrets.token_hex(4)}", free_port()
    docker_client.containers.run(old.pinned, name=name, detach=True, ports={"8000/tcp": ("127.0.0.1", port)})
    try:
        given = {"engine": "docker", "monitor": "1s", "services": f"{name}={new.pinned}"}
        assert run("roll-out", given).code == 0
        await_text(f"http://127.0.0.1:{port}/", new.sha)
        for each in command("docker stop").replace("NAME", name).split(" && "):
            subprocess.run(shlex.split(each), check=True, capture_output=True, timeout=60)
        await_text(f"http://127.0.0.1:{port}/", old.sha)
    finally:
        for container in docker_client.containers.list(all=True, filters={"name": name}):
            container.remove(force=True)


@pytest.mark.swarm
def test_docker_rolls_a_service_of_a_stack_back(stack: Stack, images: Images) -> None:
    good, bad = images.app(), images.app()
    stack.service("api", bad.pinned, replicas=1)
    line = (
        command("docker service update")
        .replace("IMAGE@sha256:DIGEST", good.pinned)
        .replace("STACK_SERVICE", f"{stack.name}_api")
    )
    subprocess.run(shlex.split(line), check=True, capture_output=True, timeout=120)
    assert stack.images_of("api") == {good.pinned}
