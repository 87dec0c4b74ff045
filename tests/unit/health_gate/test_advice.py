from __future__ import annotations

import io
from pathlib import Path

import pytest

from cicd_actions.health_gate import reading
from cicd_actions.health_gate.advice import usual_cause
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime

SHA = "0123456789abcdef0123456789abcdef01234567"


def target(**inputs: str) -> Target:
    runtime = Runtime({}, io.StringIO())
    values = {name.replace("_", "-"): text for name, text in inputs.items()}
    (made,) = reading.targets(load(Inputs, values, runtime.redactor), runtime.environment, Path())
    return made


def seen(kind: str, label: str = "", *, version: str | None = None, peers: tuple[str, ...] = ()) -> Observation:
    return Observation(0.0, 0.0, Outcome.WRONG, kind, label or kind, version=version, peers=peers)


@pytest.mark.parametrize(
    ("version", "abbreviated"), [(SHA[:7], True), (SHA + "-dirty", True), ("f" * 40, False), (SHA[:5], False)]
)
def test_usual_cause_of_an_abbreviated_version_is_the_abbreviation(version: str, abbreviated: bool) -> None:
    cause = usual_cause(target(url="http://api.example/", expect_version=SHA), seen("version", version=version))
    assert ("abbreviated" in cause) is abbreviated
    assert ("roll-out has not finished" in cause) is not abbreviated


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"url": "http://user:opensesame@api.example/"}, "does not accept the credentials"),
        ({"url": "http://api.example/", "headers": "authorization: Bearer opensesame"}, "does not accept the credentials"),
        ({"url": "http://api.example/"}, "needs credentials"),
    ],
)
def test_usual_cause_of_a_401_depends_on_whether_credentials_were_sent(inputs: dict[str, str], said: str) -> None:
    assert said in usual_cause(target(**inputs), seen("status", "401"))


@pytest.mark.parametrize(("peers", "local"), [(("127.0.0.1", "::1"), True), (("10.0.0.1",), False), ((), False)])
def test_usual_cause_of_a_refusal_on_the_loopback_blames_no_other_interface(peers: tuple[str, ...], local: bool) -> None:
    cause = usual_cause(target(url="http://localhost/"), seen("refused", peers=peers))
    assert ("0.0.0.0" in cause) is not local
