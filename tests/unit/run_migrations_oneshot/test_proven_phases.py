"""Phases that verify-migrations proved, as run-migrations-oneshot reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cicd_actions.run_migrations_oneshot.proven import load
from cicd_actions.toolkit.errors import UnusableInput


def written(folder: Path, content: object) -> str:
    path = folder / "phases.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_report_and_output_give_the_same_phases(tmp_path: Path) -> None:
    report = {"phases": {"a1": {"phase": "contract", "why": "x"}, "a2": {"phase": "unknown", "why": ""}}}
    assert load(written(tmp_path, report)) == {"a1": "contract"}
    assert load(written(tmp_path, {"a1": "contract", "a2": "unknown"})) == {"a1": "contract"}


@pytest.mark.parametrize("content", [[], {"phases": []}, {"a1": {}}, {"a1": "expnd"}])
def test_file_of_another_shape_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(UnusableInput, match="proven-phases"):
        load(written(tmp_path, content))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="Could not read"):
        load(str(tmp_path / "none.json"))
