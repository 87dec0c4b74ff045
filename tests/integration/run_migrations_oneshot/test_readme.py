"""The examples in the README are what they say: every input is one, and the ones that can run here do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.redaction import Redactor
from cicd_actions.toolkit.yaml12 import plain, read
from tests.harness.alembic_project import ROOT, Project
from tests.integration.run_migrations_oneshot.conftest import Migrating

README = (ROOT / "actions/run-migrations-oneshot/README.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
EXPRESSIONS = {"github.sha": "4f2c" * 10, "inputs.allow-contract": "true"}


def step(block: str) -> dict[str, object]:
    """The block's step; expressions have the values that a run would give them."""
    text = re.sub(r"\$\{\{ (.*?) \}\}", lambda match: EXPRESSIONS.get(match[1], "s3cret-value"), block)
    root = read(text).root
    assert root is not None
    found = plain(root)
    assert isinstance(found, list)
    (only,) = found
    assert only["uses"] == "org/cicd-actions/run-migrations-oneshot@<full commit sha>"
    return dict(only)


def inputs_of(block: str) -> dict[str, str]:
    found = step(block)["with"]
    assert isinstance(found, dict)
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in found.items()}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_understood(block: str) -> None:
    loaded = load(Inputs, inputs_of(block), Redactor())
    assert loaded.image


def test_there_is_one_for_every_engine() -> None:
    assert {inputs_of(block)["engine"] for block in BLOCKS} == {"swarm", "docker", "kubernetes", "command"}


@pytest.mark.network
@pytest.mark.parametrize("block", [block for block in BLOCKS if "engine: command" in block])
def test_the_program_of_ones_own(block: str, tmp_path: Path, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", "op.create_table('items', sa.Column('id', sa.Integer))")
    script = tmp_path / "job.sh"
    script.write_text(f'#!/bin/sh\ncd "{made.folder}" || exit 1\n[ "$1" = api-release-42 ] || exit 2\nshift\nexec "$@"\n')
    script.chmod(0o755)
    inputs: dict[str, Any] = {name.replace("-", "_"): value for name, value in inputs_of(block).items()}
    inputs["job_command"] = inputs["job_command"].replace("./infra/job.sh", str(script))

    ended = migrate(made, f"sqlite:///{tmp_path}/items.db", **inputs)

    assert (ended.status, ended.applied) == ("applied", ["r1"]), ended.log
