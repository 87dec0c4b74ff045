# ruff: noqa: E501 - a list of odd values reads better than its pieces
"""The JSON Schema and the parser agree; a validator of JSON Schema is the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicd_actions.pipeline_file import schema
from cicd_actions.pipeline_file.reading import structure
from cicd_actions.toolkit.yaml12 import plain, read

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "tests" / "data" / "pipeline_files").glob("*.yml"))
VALIDATOR = jsonschema.Draft202012Validator(schema.json_schema())
SHOP: dict[str, Any] = plain(read((ROOT / "tests/data/pipeline_files/shop.yml").read_text("utf-8")).root)


def test_schema_is_a_valid_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())


def test_published_schema_is_the_definition() -> None:
    assert (ROOT / "docs" / "cicd.schema.json").read_text("utf-8") == schema.text(), "run `make metadata`"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_schema_accepts_what_the_parser_accepts(file: Path) -> None:
    assert not list(VALIDATOR.iter_errors(plain(read(file.read_text("utf-8")).root)))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document."""
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, item in within for each in places(item, (*path, key)))]


PLACES = [path for path in places(SHOP) if path]
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, False, 0, 1, 3.13, 70000, -1, "", " ", "api", "A b", "3.13", "3.x", "refs/heads/x", "../x", "/x", "a/../b", "x\n",
        "5m", "5", "swarm", "recorded", "ghcr.io/a/b", "https://x.example", "ftp://x", [], ["api"], ["api", 1], [[]], {}, {"api": "x"},
        {"run": "x"}, {"image": "api"}, {"unknown": 1}, {"path": "/x", "headers": ["a: b", "c: d"]}, {"version": ["3.12", "3.13"]},
        {"of": "api", "path": [], "generate": "x"},
    ]
)  # fmt: skip


def set_at(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value in one place."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = set_at(copy[path[0]], path[1:], value)
    return copy


@settings(max_examples=10 * settings().max_examples)
@given(st.sampled_from(PLACES), VALUES)
def test_parser_and_schema_agree_on_a_changed_value(path: tuple[Any, ...], value: Any) -> None:
    agree(set_at(SHOP, path, value))


@settings(max_examples=7 * settings().max_examples)
@given(
    st.sampled_from([path for path in PLACES if isinstance(path[-1], str)]),
    st.sampled_from(["A", "api", "", "x y", "PATH", "run", "name", "version-from", "1"]),
    VALUES,
)
def test_parser_and_schema_agree_on_an_added_key(path: tuple[Any, ...], key: str, value: Any) -> None:
    above: Any = SHOP
    for each in path[:-1]:
        above = above[each]
    agree(set_at(SHOP, path[:-1], {**above, key: value}) if len(path) > 1 else {**SHOP, key: value})


def agree(document: Any) -> None:
    # A JSON document is a YAML document.
    pipeline, reading = structure(json.dumps(document, indent=1))
    errors = list(VALIDATOR.iter_errors(document))
    assert (pipeline is not None and not reading.problems) == (not errors), (reading.problems, errors[:1])


def test_every_problem_of_the_shape_has_a_line() -> None:
    _, reading = structure("version: 1\nlanes:\n  api:\n    checks:\n      lint: 5\n      test: {runs: x}\n")
    assert [(each.line, each.place) for each in reading.problems] == [
        (5, "lanes.api.checks.lint"), (6, "lanes.api.checks.test.runs"), (6, "lanes.api.checks.test"),
    ]  # fmt: skip
