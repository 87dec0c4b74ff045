"""Holds the parts of the mutation test together: what is changed exists, and CI runs each part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cicd_actions.toolkit.yaml12 import plain, read
from tools.mutation import PARTS, SURVIVORS, survivors

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PARTS)
def test_modules_and_tests_of_a_part_exist(name: str) -> None:
    part = PARTS[name]
    assert [module for module in part.modules.split() if not (ROOT / f"src/cicd_actions/{module}.py").is_file()] == []
    assert [test for test in part.tests.split() if not (ROOT / "tests/unit" / test).exists()] == []


@pytest.mark.parametrize("name", PARTS)
def test_survivor_is_of_a_module_of_its_part(name: str) -> None:
    modules = tuple(f"cicd_actions.{module.replace('/', '.')}." for module in PARTS[name].modules.split())
    assert [function for function, _ in survivors(name) if not function.startswith(modules)] == []


def test_ci_runs_every_part_each_week() -> None:
    workflow: Any = plain(read((ROOT / ".github/workflows/mutation.yml").read_text("utf-8")).root)
    assert workflow["jobs"]["mutation"]["strategy"]["matrix"]["part"] == list(PARTS)
    assert "schedule" in workflow["on"]
    assert set(yaml.safe_load(SURVIVORS.read_text("utf-8"))) <= set(PARTS)
