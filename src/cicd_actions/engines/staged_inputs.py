"""The inputs of an action that stages releases, and the engines that can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cicd_actions.engines.inputs import EngineInputs, Maker, command_engine
from cicd_actions.engines.protocol import Engine
from cicd_actions.engines.staged_command import StagedCommand, StagePrograms
from cicd_actions.engines.staged_docker import StagedDocker
from cicd_actions.engines.staged_swarm import StagedSwarm
from cicd_actions.toolkit.grammar import argv, optional, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class StagedInputs(EngineInputs):
    """The base of an action's inputs: `class Inputs(StagedInputs)`, all fields by keyword."""

    proxy: str = declare(
        string,
        "Swarm and Docker: the service of HAProxy, such as `proxy`. It divides the traffic of `blue-green` and `canary`, and"
        " with `rolling` a stage that an earlier run left is abandoned.",
    )
    proxy_socket: str = declare(
        string,
        "The path of HAProxy's runtime socket in the proxy's container.",
        default="/tmp/haproxy.sock",  # noqa: S108 - a folder that the image's user can write to
    )
    stage_command: tuple[str, ...] | None = declare(
        optional(argv),
        "Engine `command`: the program that prints the stages as JSON, an empty object without one: for each service its"
        " `image`, its `percent` of the traffic, and what the `new` and the `old` release answered, as"
        ' `{"requests": 9, "errors": 0}`.',
    )
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
        " from any phase, and as often as it is run.",
    )


def _command(inputs: StagedInputs, runtime: Runtime) -> Engine:
    engine = command_engine(inputs, runtime, StagedCommand)
    assert isinstance(engine, StagedCommand)  # noqa: S101 - that is what it was asked to make
    engine.programs = StagePrograms(
        inputs.stage_command, inputs.prepare_command, inputs.weigh_command, inputs.promote_command, inputs.abandon_command
    )
    return engine


def _swarm(inputs: StagedInputs, runtime: Runtime) -> Engine:
    return StagedSwarm(
        runtime,
        stack=inputs.stack,
        parallelism=inputs.parallelism,
        monitor=inputs.monitor,
        proxy=inputs.proxy,
        socket=inputs.proxy_socket,
    )


def _docker(inputs: StagedInputs, runtime: Runtime) -> Engine:
    return StagedDocker(runtime, project=inputs.stack, monitor=inputs.monitor, proxy=inputs.proxy, socket=inputs.proxy_socket)


STAGED: Mapping[str, Maker] = {"swarm": _swarm, "docker": _docker, "command": _command}
"""Makers for `inputs.connected`."""
