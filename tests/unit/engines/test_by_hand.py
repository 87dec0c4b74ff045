from __future__ import annotations

import io
import shlex

import pytest

from cicd_actions.engines.command import Command
from cicd_actions.engines.docker_engine import DockerEngine
from cicd_actions.engines.kubernetes import Kubernetes
from cicd_actions.engines.programs import Programs
from cicd_actions.engines.protocol import Engine, Image, Target
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.runtime import Runtime

SHA = "1" * 40
DIGEST = "sha256:" + "a" * 64
TARGET = Target("api", Image("ghcr.io/org/api", DIGEST), SHA)
PINNED = f"ghcr.io/org/api@{DIGEST}"
# Nothing answers there: what is printed for an emergency must not ask.
NOWHERE = Runtime({"DOCKER_HOST": "tcp://127.0.0.1:9", "KUBECONFIG": "/nowhere", "PATH": ""}, io.StringIO())


KUBECTL = "kubectl --context prod --namespace shop"


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (
            Swarm(NOWHERE, stack="shop"),
            (
                "docker service update --with-registry-auth"
                f" --label-add org.opencontainers.image.revision={SHA} --image {PINNED} shop_api"
            ),
        ),
        (
            Kubernetes(NOWHERE, context="prod", namespace="shop"),
            (
                f'{KUBECTL} set image deployment/api "$({KUBECTL} get deployment/api'
                " -o 'jsonpath={.spec.template.spec.containers[0].name}')\""
                f"={PINNED} && {KUBECTL} rollout status deployment/api"
            ),
        ),
        (
            Command(
                NOWHERE,
                Programs(roll_out=("./roll out.sh", "{service}", "{image}", "{sha}", "{environment}")),
                environment="a b",
            ),
            f"'./roll out.sh' api {PINNED} {SHA} 'a b'",
        ),
    ],
)
def test_the_command_is_whole_and_quoted(engine: Engine, said: str) -> None:
    assert engine.by_hand(TARGET) == said


def test_where_there_is_no_one_command_it_says_so() -> None:
    assert DockerEngine(NOWHERE).by_hand(TARGET).startswith(f"docker pull {PINNED}  # ")
    assert "`roll-out-command` is not set" in Command(NOWHERE, Programs()).by_hand(TARGET)


def test_an_image_s_name_cannot_become_a_command() -> None:
    hostile = Target("api", Image("x; rm -rf /", opaque=True), SHA)
    engine = Command(NOWHERE, Programs(roll_out=("./roll.sh", "{image}")))
    assert shlex.split(engine.by_hand(hostile)) == ["./roll.sh", "x; rm -rf /"]
