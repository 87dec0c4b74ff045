"""Holds each action's definition, its `action.yml` and its README together, and each of them to the contract of an action."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cicd_actions.__main__ import action, function, names
from cicd_actions.toolkit.inputs import declarations, grouped, load
from cicd_actions.toolkit.redaction import Redactor
from tools import metadata

ROOT = Path(__file__).resolve().parents[2]
ACTIONS = names()


def action_yml(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "actions" / name / "action.yml").read_text("utf-8"))
    return loaded


def test_every_package_has_its_folder_and_every_folder_its_package() -> None:
    assert sorted(path.parent.name for path in ROOT.glob("actions/*/action.yml")) == ACTIONS


def test_metadata_is_what_the_definitions_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "metadata.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", ACTIONS)
def test_names_are_kebab_case_and_described(name: str) -> None:
    chosen = action(name)
    assert chosen.name == name
    described = {
        **{key: value.help for key, value in declarations(chosen.inputs).items()},
        **{o.name: o.help for o in chosen.outputs},
    }
    for key, text in described.items():
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", key)
        assert text.endswith("."), f"{name}: {key} is described by a sentence"
    assert chosen.summary.endswith(".")
    assert len(chosen.summary) <= 125, "GitHub's Marketplace shows 125 characters"
    assert {"verdict", "reason"} <= {output.name for output in chosen.outputs}


@pytest.mark.parametrize("name", ACTIONS)
def test_inputs_are_grouped_and_begin_with_at_most_five_among_them_the_required(name: str) -> None:
    known, groups = declarations(action(name).inputs), grouped(action(name).inputs, action(name).groups)
    assert sorted(each for group in groups.values() for each in group) == sorted(known)
    first = next(iter(groups.values()))
    assert len(first) <= 5
    assert {each for each, declaration in known.items() if declaration.required} <= set(first)
    assert list(action_yml(name)["inputs"]) == [each for group in groups.values() for each in group]


@pytest.mark.parametrize("name", ACTIONS)
def test_the_readme_shows_an_example_before_its_tables(name: str) -> None:
    readme = (ROOT / "actions" / name / "README.md").read_text("utf-8")
    tables = readme.index(metadata.BEGIN)
    assert "```yaml" not in readme[readme.index(metadata.END, tables) :], "move the example above the tables"


@pytest.mark.parametrize("name", ACTIONS)
def test_run_of_an_action_names_a_function_of_its_inputs(name: str) -> None:
    run = function(chosen := action(name))
    assert [each.annotation for each in inspect.signature(run).parameters.values()] == ["Inputs", "Runtime"]
    assert inspect.getmodule(run).Inputs is chosen.inputs  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ACTIONS)
def test_every_default_is_valid_in_its_own_grammar(name: str) -> None:
    for key, declaration in declarations(action(name).inputs).items():
        if not declaration.required:
            assert declaration.parse(declaration.default) is not NotImplemented, key


@pytest.mark.parametrize("name", ACTIONS)
def test_what_composite_inputs_hold_by_default_loads(name: str) -> None:
    inputs = action_yml(name)["inputs"]
    values = {key: "" if "${{" in entry.get("default", "") else entry.get("default", "") for key, entry in inputs.items()}
    required = {key: "x=http://127.0.0.1/" for key, entry in inputs.items() if entry["required"]}
    known = declarations(action(name).inputs)
    assert set(inputs) == set(known)
    if not required:
        load(action(name).inputs, values, Redactor())


@pytest.mark.parametrize("name", ACTIONS)
def test_one_step_takes_its_inputs_from_one_variable(name: str) -> None:
    runs = action_yml(name)["runs"]
    (step,) = runs["steps"]
    assert runs["using"] == "composite"
    assert step["env"] == {"INPUTS": "${{ toJSON(inputs) }}"}
    assert step["run"] == f'exec "$GITHUB_ACTION_PATH/../../bin/cicd-actions" {name}'
    assert "${{" not in step["run"]


@pytest.mark.parametrize("name", ACTIONS)
def test_the_marketplace_knows_icon_and_color(name: str) -> None:
    branding = action_yml(name)["branding"]
    assert branding["color"] in {"white", "black", "yellow", "blue", "green", "orange", "red", "purple", "gray-dark"}
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", branding["icon"])


@pytest.mark.parametrize("name", ACTIONS)
def test_the_readme_shows_how_to_use_it(name: str) -> None:
    readme = (ROOT / "actions" / name / "README.md").read_text("utf-8")
    assert re.search(rf"uses: org/cicd-actions/{name}@", readme)
    assert metadata.BEGIN in readme


def test_imports_run_one_way() -> None:
    """The architecture: action packages → engines, github, workflows → toolkit."""
    package = ROOT / "src" / "cicd_actions"
    layers = {"toolkit": 0, "engines": 1, "github": 1, "workflows": 1}
    # A higher action may use a lower one, never the reverse.
    above = {
        "pipeline": 8,
        "scan_gate": 7,
        "pipeline_audit": 6,
        "pipeline_file": 6,
        "deployment_record": 5,
        "rollback_to_previous_sha": 4,
        "verify_migrations": 4,
        "verify_attestation": 4,
        "roll_out": 3,
        "health_gate": 2,
    }
    for path in package.glob("*/**/*.py"):
        own = path.relative_to(package).parts[0]
        for imported in re.findall(r"^\s*(?:from|import) cicd_actions\.(\w+)", path.read_text("utf-8"), re.MULTILINE):
            if imported in {own, "__main__"}:
                continue
            mine, theirs = (layers.get(part, above.get(part, 2)) for part in (own, imported))
            assert theirs < mine, f"{path.relative_to(ROOT)} imports {imported}"
