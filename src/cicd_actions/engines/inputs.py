"""The inputs that name an engine and its options, shared by every action that stands on one; and the engine made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cicd_actions.engines.protocol import Engine
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import choice, duration, optional, string, whole
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.process import argv
from cicd_actions.toolkit.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class EngineInputs:
    """Inherit from it: `class Inputs(EngineInputs)`, all fields by keyword."""

    engine: str = declare(
        choice("swarm", "kubernetes", "docker", "command"),
        "Where the release runs: `swarm`, `kubernetes`, `docker` (one engine, no orchestrator) or `command` (your programs)."
        " Docker is reached as by its client (DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH), Kubernetes by `kubectl`"
        " (KUBECONFIG).",
        required=True,
    )
    environment: str = declare(
        string, "The environment's name, such as `staging`. It fills `{environment}` and is shown in reports."
    )
    stack: str = declare(
        string,
        "Swarm: the stack's name; the service `api` is then `<stack>_api`. Docker: the Compose project of the containers."
        " `{environment}` is filled in, as in `context` and `namespace`: `shop-{environment}`.",
    )
    parallelism: int = declare(whole(0), "Swarm: how many replicas are replaced at a time; 0 is all at once.", default="1")
    monitor: float = declare(
        duration,
        "Swarm and Docker: how long a replica is watched after it came up before it counts as arrived.",
        default="5s",
    )
    context: str = declare(string, "Kubernetes: the context of the kubeconfig. Empty: its current one.")
    namespace: str = declare(string, "Kubernetes: the namespace. Empty: the context's.")
    container: str = declare(
        string,
        "Kubernetes: the container of the pod that is the service. Empty: the one named like the service, else the only one.",
    )
    roll_out_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that rolls one service out, and takes it back. `{service}`, `{image}`, `{sha}` and"
        " `{environment}` are filled in, each within its argument; there is no shell. It ends with 0 when the service arrived.",
    )
    running_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that prints what runs now as JSON:"
        ' `{"api": {"image": "…", "digest": "sha256:…", "sha": "…"}}`. Without it nothing can be taken back.',
    )
    image_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that says whether `{image}` exists: exit code 0 and its digest on standard output (or"
        " nothing), 1 when it is not there. Without it, that is not known before the roll-out.",
    )
    job_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that runs a one-shot job. The job's own arguments take the place of the argument"
        " `{command}`, or follow at the end; its variables are in the program's environment.",
    )
    logs_command: tuple[str, ...] | None = declare(
        optional(argv), "Engine `command`: the program that prints the last log lines of `{service}`."
    )


@contextmanager
def connected(inputs: EngineInputs, runtime: Runtime) -> Iterator[Engine]:
    """The engine that the inputs name; closed at the end. Raises `UnusableInput` when its options do not fit.

    Nothing is asked of the engine yet: the first call that needs an answer raises `EngineUnreachable`.
    """
    engine = _MAKERS[inputs.engine](_in_the_environment(inputs), runtime)
    try:
        yield engine
    finally:
        engine.close()


def _in_the_environment(inputs: EngineInputs) -> EngineInputs:
    """The inputs with `{environment}` filled in where a place is named: one line then serves staging and production."""
    places = {name: getattr(inputs, name) for name in ("stack", "context", "namespace")}
    if not inputs.environment and any("{environment}" in place for place in places.values()):
        raise UnusableInput(
            "`{environment}` is to be filled in, and the input `environment` is empty.",
            fix="    with:\n      environment: staging",
        )
    filled = {name: place.replace("{environment}", inputs.environment) for name, place in places.items()}
    return dataclasses.replace(inputs, **filled)


def _swarm(inputs: EngineInputs, runtime: Runtime) -> Engine:
    from cicd_actions.engines.swarm import Swarm  # noqa: PLC0415 - the docker library costs 0.2 s

    return Swarm(runtime, stack=inputs.stack, parallelism=inputs.parallelism, monitor=inputs.monitor)


def _kubernetes(inputs: EngineInputs, runtime: Runtime) -> Engine:
    from cicd_actions.engines.kubernetes import Kubernetes  # noqa: PLC0415 - only what is used is loaded

    return Kubernetes(runtime, context=inputs.context, namespace=inputs.namespace, container=inputs.container)


def _docker(inputs: EngineInputs, runtime: Runtime) -> Engine:
    from cicd_actions.engines.docker_engine import DockerEngine  # noqa: PLC0415 - the docker library costs 0.2 s

    return DockerEngine(runtime, project=inputs.stack, monitor=inputs.monitor)


def _command(inputs: EngineInputs, runtime: Runtime) -> Engine:
    from cicd_actions.engines.command import Command, Programs  # noqa: PLC0415 - only what is used is loaded

    if inputs.roll_out_command is None and inputs.job_command is None and inputs.running_command is None:
        raise UnusableInput(
            "The engine `command` runs your own programs, and none is named.",
            fix="For example:\n\n    with:\n      engine: command\n"
            "      roll-out-command: ./infra/rollout.sh {service} {image} {sha} {environment}\n"
            "      running-command: ./infra/running.sh {environment}",
        )
    programs = Programs(
        roll_out=inputs.roll_out_command,
        running=inputs.running_command,
        image=inputs.image_command,
        job=inputs.job_command,
        logs=inputs.logs_command,
    )
    return Command(runtime, programs, environment=inputs.environment)


_MAKERS: dict[str, Callable[[EngineInputs, Runtime], Engine]] = {
    "swarm": _swarm,
    "kubernetes": _kubernetes,
    "docker": _docker,
    "command": _command,
}
