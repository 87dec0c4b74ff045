from __future__ import annotations

import contextlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.verify_openapi_client import line_numbers, specification, validity
from cicd_actions.verify_openapi_client.breaking.document import escaped
from tests.unit.verify_openapi_client.documents import document, documents

MINIMAL = document({"/items": {"get": {"responses": {"200": {"description": ""}}}}})


def load(content: Any) -> specification.Specification:
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    return specification.parse(text.encode() if isinstance(text, str) else text, input="spec", name="openapi.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        ("\n ", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        ("{", "is not JSON"),
        ('{"openapi": NaN}', "NaN is not a number of JSON"),
        ("<html>502 Bad Gateway</html>", "a single value"),
        ("a: b: c", "neither JSON nor YAML"),
        ("- a\n- b\n", "a list"),
        ("null", "a single value"),
        ({"swagger": "2.0", "info": {}}, "Swagger 2.0"),
        ({"info": {}}, "no field `openapi`"),
        ({**MINIMAL, "openapi": "3.3.0"}, "OpenAPI '3.3.0'"),
        ({**MINIMAL, "openapi": 3.1}, "OpenAPI 3.1, whose third number is missing"),
        ({"openapi": "3.1.0", "paths": {}}, "`info`"),
        ({"openapi": "3.0.3", "info": {"title": "", "version": ""}}, "no `paths`"),
        ({**MINIMAL, "paths": []}, "`paths` has to be an object"),
        ({**MINIMAL, "paths": {"items": {}}}, "does not start with `/`"),
        ({**MINIMAL, "paths": {"/a": []}}, "A path item has to be an object"),
        ({**MINIMAL, "paths": {"/a": {"get": 3}}}, "An operation has to be an object"),
        ({**MINIMAL, "paths": {"/a": {"get": {"responses": []}}}}, "`responses`"),
        ({**MINIMAL, "paths": {"/a": {"get": {"responses": {"ok": {}}}}}}, "`ok` is not a status code"),
        ({**MINIMAL, "paths": {"/a": {"parameters": {}}}}, "`parameters` has to be a list"),
        ({**MINIMAL, "paths": {"/a": {"parameters": [{"in": "query"}]}}}, "needs a `name`"),
        ({**MINIMAL, "components": {"schemas": []}}, "`components.schemas`"),
        ({**MINIMAL, "components": {"schemas": {"A": {"$ref": "#/components/schemas/B"}}}}, "leads to nothing"),
        ({**MINIMAL, "components": {"schemas": {"A": {"$ref": "https://evil.example/a.json"}}}}, "nothing is ever fetched"),
        ({**MINIMAL, "components": {"schemas": {"A": {"$ref": "other.yaml#/A"}}}}, "nothing is ever fetched"),
    ],
    ids=range(28),
)
def test_what_is_no_usable_document_is_said(content: Any, said: str) -> None:
    with pytest.raises(UnusableInput) as caught:
        load(content)
    assert said in str(caught.value)


def test_a_version_without_quotes_in_yaml_is_read() -> None:
    assert load("openapi: 3.0.3\ninfo: {title: t, version: 1.0}\npaths: {}\n").yaml


def test_an_example_may_hold_what_looks_like_a_reference() -> None:
    schema = {"type": "object", "example": {"$ref": "https://example.com"}, "properties": {"$ref": {"type": "string"}}}
    load({**MINIMAL, "components": {"schemas": {"A": schema}}})


def test_yaml_is_read_as_json_is() -> None:
    text = """openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /items:
    get:
      responses:
        200:
          description: ''
"""
    found = load(text)
    assert found.yaml
    assert found.document.root.raw == MINIMAL
    assert line_numbers.of(found, ["#/paths/~1items/get/responses/200", "#/info"]) == {
        "#/paths/~1items/get/responses/200": 7,
        "#/info": 2,
    }


def test_fifty_megabytes_are_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "openapi.json"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    tracemalloc.start()
    with pytest.raises(UnusableInput, match=r"52\.4 MB"):
        specification.load(path, input="spec")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1024 * 1024


@pytest.mark.parametrize("tiny", ["[],", "{},", "1.5,", '{"a":[]},'])
def test_millions_of_tiny_values_take_no_more_memory_than_their_text(tiny: str) -> None:
    content = ("[" + tiny * (16_000_000 // len(tiny)) + "0]").encode()
    tracemalloc.start()
    with pytest.raises(UnusableInput, match="more than 1,000,000 values"):
        load(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * len(content)


def test_yaml_of_very_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specification, "MOST_NODES", 1000)  # a quarter of a million take half a minute to be refused
    with pytest.raises(UnusableInput, match="more than 1000 nodes"):
        load("openapi: 3.1.0\nx-a:\n" + "- a\n" * 1000)


def test_long_yaml_is_refused() -> None:
    with pytest.raises(UnusableInput, match="Export the document as JSON"):
        load("a: b\n" * 600_000)


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_deep_json_is_refused(opening: str) -> None:
    closing = "}" if opening[0] == "{" else "]"
    for levels in (150, 100_000):
        with pytest.raises(UnusableInput, match="deeper than 100 levels"):
            load(opening * levels + "1" + closing * levels)


def test_a_billion_laughs_are_refused() -> None:
    lines = ["openapi: 3.1.0", "a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(UnusableInput):
        load("\n".join(lines))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="No such file"):
        specification.load(tmp_path / "none.json", input="spec", name="none.json")


@given(spec=documents())
def test_real_documents_are_valid(spec: Any) -> None:
    assert validity.problems(spec) == []


KEYS = st.sampled_from(["openapi", "paths", "get", "$ref", "components", "parameters", "responses", "in", "/a"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(root=VALUES)
def test_any_value_is_either_valid_or_has_problems(root: Any) -> None:
    validity.problems(root)
    if isinstance(root, dict):
        validity.problems({**root, "openapi": "3.1.0"})


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UnusableInput):
        assert load(text).document.root.raw["openapi"].startswith("3.")


@given(spec=documents(), indent=st.sampled_from([None, 0, 2]))
def test_lines_are_those_of_the_values(spec: Any, indent: int | None) -> None:
    marked = {**spec, "x-list": [{"deep": [1, {"er": 'a"b\\'}]}, "te,x{t"]}
    text = json.dumps(marked, indent=indent, ensure_ascii=False)
    loaded = load(text)
    pointers = dict(_pointers(marked, "#"))
    found = line_numbers.of(loaded, pointers)
    assert set(found) == set(pointers)
    lines = text.split("\n")
    if indent == 2:
        for pointer, value in pointers.items():
            key = pointer.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")
            line = lines[found[pointer] - 1].strip()
            assert json.dumps(key, ensure_ascii=False) in line or (key.isdigit() and line), (pointer, value)


def _pointers(value: Any, pointer: str) -> Any:
    if pointer != "#":
        yield pointer, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield from _pointers(item, f"{pointer}/{escaped(str(key))}")


def test_a_pointer_beyond_the_document_gives_its_last_known_line() -> None:
    text = json.dumps(MINIMAL, indent=2)
    found = line_numbers.of(load(text), ["#/paths/~1items/get/nothing/here"])
    assert text.split("\n")[found["#/paths/~1items/get/nothing/here"] - 1].strip().startswith('"get"')
