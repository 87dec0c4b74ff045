"""Holds the map in each package's docstring to the package: a newcomer finds every module there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src/cicd_actions"
PACKAGES = sorted(path.parent for path in SOURCE.glob("*/__init__.py") if "Reading order" in path.read_text("utf-8"))
OF_EVERY_ACTION = {"action", "inputs"}


def test_reading_order_is_told_for_the_large_packages() -> None:
    large = {path.name for path in SOURCE.iterdir() if len(list(path.glob("*.py"))) > 7}
    assert large - {"pipeline", "pipeline_audit", "pipeline_metrics"} <= {path.name for path in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_reading_order_names_every_module(package: Path) -> None:
    told = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
    named = set(re.findall(r"`(\w+)\*?`", told))
    modules = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    missing = modules - {"__init__"} - OF_EVERY_ACTION - named
    # `docker_job` is found beside `docker_engine`, by the word that both begin with.
    assert {name for name in missing if not any(each.split("_")[0] == name.split("_")[0] for each in named)} == set()
