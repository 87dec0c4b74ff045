from __future__ import annotations

import io

import pytest

from cicd_actions.engines.command import Command
from cicd_actions.engines.inputs import _MAKERS, EngineInputs, connected
from cicd_actions.engines.kubernetes import Kubernetes
from cicd_actions.engines.protocol import ENGINES, Image, Target
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime


def inputs(**given: str) -> EngineInputs:
    runtime = Runtime({}, io.StringIO())
    return load(EngineInputs, {name.replace("_", "-"): value for name, value in given.items()}, runtime.redactor)


def test_every_engine_that_can_be_named_can_be_made() -> None:
    assert tuple(_MAKERS) == ENGINES


def test_one_line_serves_every_environment() -> None:
    runtime = Runtime({}, io.StringIO())
    with connected(inputs(engine="swarm", stack="shop-{environment}", environment="staging"), runtime) as engine:
        assert isinstance(engine, Swarm)
        target = Target("api", Image("registry.example/api", "sha256:" + "a" * 64), "1" * 40)
        assert engine.by_hand(target).endswith(" shop-staging_api")
    given = {"context": "{environment}-cluster", "namespace": "shop-{environment}", "environment": "production"}
    with connected(inputs(engine="kubernetes", **given), runtime) as engine:
        assert isinstance(engine, Kubernetes)
        assert "--context production-cluster --namespace shop-production " in engine._kubectl.by_hand("get")


def test_an_environment_that_is_not_named_cannot_be_filled_in() -> None:
    with (
        pytest.raises(UnusableInput, match="the input `environment` is not set"),
        connected(inputs(engine="docker", stack="shop-{environment}"), Runtime({}, io.StringIO())),
    ):
        pass


def test_the_programs_of_the_engine_command_are_needed() -> None:
    runtime = Runtime({}, io.StringIO())
    with pytest.raises(UnusableInput, match="without a program"), connected(inputs(engine="command"), runtime):
        pass
    with connected(inputs(engine="command", roll_out_command="./roll-out {service}"), runtime) as engine:
        assert isinstance(engine, Command)
