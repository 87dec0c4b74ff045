"""What roll-out takes, what it refuses, and the examples of its README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cicd_actions.roll_out.inputs import Inputs, Wanted, services
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.redaction import Redactor

README = Path(__file__).resolve().parents[3] / "actions" / "roll-out" / "README.md"
SHA = "4f2c" * 10


def examples() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    found = [yaml.safe_load(block) for block in blocks]
    return [step for steps in found if isinstance(steps, list) for step in steps]


@pytest.mark.parametrize("step", examples(), ids=lambda step: step["with"]["engine"])
def test_the_readme_s_examples_are_read(step: dict[str, Any]) -> None:
    values = {name: str(value).replace("${{ github.sha }}", SHA) for name, value in step["with"].items()}
    values |= {name: str(value).lower() for name, value in step["with"].items() if isinstance(value, bool)}
    found = load(Inputs, values, Redactor())
    assert found.services
    assert not found.order or sorted(found.order) == sorted(each.service for each in found.services)


def test_every_engine_has_an_example() -> None:
    assert {step["with"]["engine"] for step in examples()} == {"swarm", "kubernetes", "docker", "command"}


def test_services() -> None:
    assert services("\n api = r/api:1 \napi/worker=r/api:1\n\nweb=r/web@sha256:0=\n") == (
        Wanted("api", "r/api:1"),
        Wanted("api/worker", "r/api:1"),
        Wanted("web", "r/web@sha256:0="),
    )


@pytest.mark.parametrize(
    "text",
    ["api", "api=", "=x", "-api=x", "a b=x", "api=x\napi=y", "a" * 64 + "=x", "a/b/c=x", "a/=x", "api\x1b[0m=x"],
)
def test_what_is_no_service(text: str) -> None:
    with pytest.raises(NotUnderstood):
        services(text)


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(UnusableInput) as said:
        load(Inputs, {"engine": "nomad", "services": "api", "timeout": "10"}, Redactor())
    assert all(f"the input `{name}`" in str(said.value) for name in ("engine", "services", "timeout"))
