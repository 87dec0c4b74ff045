"""The inputs of an action that stages releases, and the engines that can."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cicd_actions.engines import staged_command, staged_docker, staged_kubernetes, staged_replicas, staged_swarm
from cicd_actions.engines.inputs import EngineInputs, Maker, command_engine
from cicd_actions.engines.programs import StagePrograms
from cicd_actions.engines.protocol import Engine
from cicd_actions.engines.staged_protocol import Stage, Staged
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.grammar import NotUnderstood, argv, optional, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.runtime import Runtime

_CONTROL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*:[0-9]{1,5}")


def control(text: str) -> str:
    """Reads `NETWORK:PORT`, or nothing. Raises `NotUnderstood`."""
    if text and not _CONTROL.fullmatch(text):
        raise NotUnderstood(f"`{text[:100]}` is not a network and a port", example="control:9990")
    return text


@dataclass(frozen=True, kw_only=True)
class StageInputs(EngineInputs):
    """The base of an action's inputs that looks at stages: `class Inputs(StageInputs)`, all fields by keyword."""

    GROUP: ClassVar[str] = "Stages"

    proxy: str = declare(
        string,
        "Swarm and Docker: the service of HAProxy that divides the traffic between a release that stands beside the old one and"
        " that one, such as `proxy`. Default: Swarm shares it by counts of replicas, and Docker moves the service's name.",
    )
    proxy_socket: str = declare(
        string,
        "The path of HAProxy's runtime socket in the proxy's container.",
        default="/tmp/haproxy.sock",  # noqa: S108 - a folder that the image's user can write to
    )
    proxy_control: str = declare(
        control,
        "Swarm with several nodes: the stack's attachable network, and the port, on which each replica of the proxy takes its"
        " weights, such as `control:9990`. Default: the socket, in containers of this node.",
    )
    route: str = declare(
        string,
        "Kubernetes: the HTTPRoute of the Gateway API that divides the traffic by weights. Default: the share is that of ready"
        " pods.",
    )
    stage_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that prints the stages as JSON, an empty object without one: for each service its"
        " `image`, its `percent` of the traffic, and what the `new` and the `old` release answered, as"
        ' `{"requests": 9, "errors": 0}`.',
    )


@dataclass(frozen=True, kw_only=True)
class StagedInputs(StageInputs):
    """The base of an action's inputs that stages releases."""

    GROUP: ClassVar[str] = "Stages"

    prepare_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that starts `{image}` beside the running `{service}`, and exits with 0 once it is"
        " healthy, without traffic. It may keep `{until}`, the stage's end in seconds since 1970, and report it as `until`.",
    )
    weigh_command: tuple[str, ...] | None = declare(
        optional(argv), "Engine `command`: the program that gives the stage of `{service}` `{percent}` percent of the traffic."
    )
    promote_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that makes the stage of `{service}` the service itself. Run again, it goes on.",
    )
    abandon_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that gives the old release of `{service}` all of the traffic and removes the stage,"
        " from any phase, and any number of times.",
    )


def standing(engine: Engine, inputs: StageInputs, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
    """Returns the stages that stand; none where no program of the user says which do. Changes nothing."""
    if isinstance(engine, Staged) and (inputs.engine != "command" or inputs.stage_command):
        return engine.staged(services, deadline)
    return {}


def abandon_all(
    engine: Engine, inputs: StageInputs, services: Sequence[str], deadline: Deadline, runtime: Runtime
) -> Sequence[str]:
    """Abandons the stages that earlier runs left, and returns a sentence about each."""
    if not isinstance(engine, Staged):
        return []
    return [abandon(engine, stage, deadline, runtime) for stage in standing(engine, inputs, services, deadline).values()]


def abandon(engine: Staged, stage: Stage, deadline: Deadline, runtime: Runtime) -> str:
    """Abandons a stage that an earlier run left, and returns a sentence about it."""
    engine.abandon(stage, deadline)
    told = f"{stage.service}: abandoned the stage of {stage.target.image.pinned} that {stage.run or 'an earlier run'} left."
    runtime.log(told)
    return told


def _command(inputs: StageInputs, runtime: Runtime) -> Engine:
    engine = command_engine(inputs, runtime, staged_command.StagedCommand)
    assert isinstance(engine, staged_command.StagedCommand)  # noqa: S101 - that is what it was asked to make
    given = {each.name: getattr(inputs, f"{each.name}_command", None) for each in dataclasses.fields(StagePrograms)}
    engine.programs, engine.acts = StagePrograms(**given), isinstance(inputs, StagedInputs)
    engine.programs.refuse_misspelt()
    return engine


def _swarm(inputs: StageInputs, runtime: Runtime) -> Engine:
    options: dict[str, Any] = {"stack": inputs.stack, "parallelism": inputs.parallelism, "monitor": inputs.monitor}
    if not inputs.proxy:
        return staged_replicas.SwarmByReplicas(runtime, **options)
    return staged_swarm.StagedSwarm(
        runtime, proxy=inputs.proxy, socket=inputs.proxy_socket, control=inputs.proxy_control, **options
    )


def _docker(inputs: StageInputs, runtime: Runtime) -> Engine:
    options: dict[str, Any] = {"project": inputs.stack, "monitor": inputs.monitor}
    if not inputs.proxy:
        return staged_docker.DockerByAlias(runtime, **options)
    return staged_docker.StagedDocker(runtime, proxy=inputs.proxy, socket=inputs.proxy_socket, **options)


def _kubernetes(inputs: StageInputs, runtime: Runtime) -> Engine:
    return staged_kubernetes.StagedKubernetes(
        runtime, context=inputs.context, namespace=inputs.namespace, container=inputs.container, route=inputs.route
    )


STAGED: Mapping[str, Maker] = {"swarm": _swarm, "kubernetes": _kubernetes, "docker": _docker, "command": _command}
"""Makers for `inputs.connected`."""
