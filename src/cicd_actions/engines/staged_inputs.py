"""The inputs of an action that stages releases, and the engines that can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cicd_actions.engines.inputs import EngineInputs, Maker
from cicd_actions.engines.protocol import Engine
from cicd_actions.engines.staged_docker import StagedDocker
from cicd_actions.engines.staged_swarm import StagedSwarm
from cicd_actions.toolkit.grammar import string
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


STAGED: Mapping[str, Maker] = {"swarm": _swarm, "docker": _docker}
"""Makers for `inputs.connected`."""
