"""The inputs that choose an engine and its options, shared by every action that uses one, and the engine made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from cicd_actions.engines import command, docker_engine, kubernetes, swarm
from cicd_actions.engines.programs import Programs
from cicd_actions.engines.protocol import ENGINES, Engine
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import argv, choice, duration, optional, string, variable_name, whole
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.runtime import Runtime

Maker = Callable[[Any, Runtime], Engine]
"""Makes an engine from an action's inputs, which have at least the fields of `EngineInputs`."""


@dataclass(frozen=True, kw_only=True)
class EngineInputs:
    """The base of an action's inputs: `class Inputs(EngineInputs)`, all fields by keyword."""

    GROUP: ClassVar[str] = "Where the release runs"

    engine: str = declare(
        choice(*ENGINES),
        "The place where the release runs: `swarm`, `kubernetes` (experimental), `docker` (one engine, no orchestrator) or"
        " `command` (your programs). DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH locate Docker, KUBECONFIG locates"
        " Kubernetes.",
        required=True,
    )
    environment: str = declare(
        string, "The environment's name, such as `staging`. It fills `{environment}` and stands in reports."
    )
    stack: str = declare(
        string,
        "Swarm: the stack's name, so that the service `api` is `<stack>_api`. Docker: the Compose project. Both may contain"
        " `{environment}`, as `context` and `namespace` may: `shop-{environment}`.",
    )
    parallelism: int = declare(whole(0), "Swarm: the number of replicas to replace at a time; 0 is all at once.", default="1")
    monitor: float = declare(
        duration,
        "Swarm and Docker: the time that a replica has to stay up before it counts as arrived.",
        default="5s",
    )
    context: str = declare(string, "Kubernetes: the context of the kubeconfig. Default: its current one.")
    namespace: str = declare(string, "Kubernetes: the namespace. Default: the context's.")
    container: str = declare(
        string,
        "Kubernetes: the container that is the service, where a line of `services` does not name one (`service/container=…`)."
        " Default: the annotation `kubectl.kubernetes.io/default-container`, the one named like the service, or the only one.",
    )
    roll_out_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that rolls one service out, and back; it exits with 0 when the service arrived."
        " `{service}`, `{image}`, `{digest}`, `{sha}` and `{environment}` are filled in without a shell.",
    )
    running_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that prints what runs now as JSON, for example"
        ' `{"api": {"image": "…", "digest": "sha256:…", "sha": "…"}}`. Without it a roll-out that fails is'
        " not taken back, and rollback-to-previous-sha needs `current-sha`.",
    )
    image_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that checks `{image}`: it exits with 0 and prints the digest (or nothing), or exits with"
        " 1 when the image does not exist. Without it a missing image shows only during the roll-out,"
        " and a rollback needs `allow-unverified`.",
    )
    job_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that runs a one-shot job. The job's arguments replace the argument `{command}`, or"
        " follow at the end.",
    )
    logs_command: tuple[str, ...] | None = declare(
        optional(argv), "Engine `command`: the program that prints the last log lines of `{service}`."
    )
    env_file_variable: str | None = declare(
        optional(variable_name),
        "The name of a variable of this step that holds a dotenv file, such as `RELEASE_ENV`. A job gets its lines as masked"
        " variables, and so do `roll-out-command`, `running-command` and `job-command`.",
    )


@contextmanager
def connected(inputs: EngineInputs, runtime: Runtime, makers: Mapping[str, Maker] | None = None) -> Iterator[Engine]:
    """Yields the engine that the inputs choose, and closes it. Raises `UnusableInput` when its options do not fit.

    `makers` make engines, by name, that can do more than the plain ones. The engine is not contacted yet: the first call that
    needs an answer raises `EngineUnreachable`.
    """
    engine = {**_MAKERS, **(makers or {})}[inputs.engine](_in_the_environment(inputs), runtime)
    try:
        yield engine
    finally:
        engine.close()


def release_variables(inputs: EngineInputs, runtime: Runtime) -> dict[str, str]:
    """Returns the variables of the release, masked; none without `env-file-variable`. Raises `UnusableInput`."""
    file = inputs.env_file_variable
    return runtime.environment.file(file, input="env-file-variable") if file else {}


def _in_the_environment(inputs: EngineInputs) -> EngineInputs:
    """Returns the inputs with `{environment}` filled in, so that one line serves staging and production."""
    places = {name: getattr(inputs, name) for name in ("stack", "context", "namespace")}
    if not inputs.environment and any("{environment}" in place for place in places.values()):
        raise UnusableInput(
            "Cannot fill in `{environment}`: the input `environment` is not set.",
            fix="    with:\n      environment: staging",
        )
    filled = {name: place.replace("{environment}", inputs.environment) for name, place in places.items()}
    return dataclasses.replace(inputs, **filled)


def _swarm(inputs: EngineInputs, runtime: Runtime) -> Engine:
    return swarm.Swarm(runtime, stack=inputs.stack, parallelism=inputs.parallelism, monitor=inputs.monitor)


def _kubernetes(inputs: EngineInputs, runtime: Runtime) -> Engine:
    return kubernetes.Kubernetes(runtime, context=inputs.context, namespace=inputs.namespace, container=inputs.container)


def _docker(inputs: EngineInputs, runtime: Runtime) -> Engine:
    return docker_engine.DockerEngine(runtime, project=inputs.stack, monitor=inputs.monitor)


def command_engine(
    inputs: EngineInputs, runtime: Runtime, make: Callable[..., command.Command] | None = None
) -> command.Command:
    """Returns the engine of the user's own programs, made by `make`. Raises `UnusableInput` without any program."""
    if inputs.roll_out_command is None and inputs.job_command is None and inputs.running_command is None:
        raise UnusableInput(
            "Cannot use the engine `command` without a program: it runs your own.",
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
    programs.refuse_misspelt()
    release, file = release_variables(inputs, runtime), inputs.env_file_variable or ""
    return (make or command.Command)(runtime, programs, environment=inputs.environment, release=release, file=file)


_MAKERS: dict[str, Maker] = {
    "swarm": _swarm,
    "kubernetes": _kubernetes,
    "docker": _docker,
    "command": command_engine,
}
