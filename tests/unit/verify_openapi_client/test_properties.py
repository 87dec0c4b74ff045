"""Properties of the classifier that hold for every document."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.verify_openapi_client import symbols
from cicd_actions.verify_openapi_client.breaking.classify import compare
from cicd_actions.verify_openapi_client.breaking.document import Document
from cicd_actions.verify_openapi_client.breaking.graph import TooMuch
from tests.unit.verify_openapi_client.documents import (
    REWRITINGS,
    answer,
    changes,
    documents,
    echo,
    http_documents,
    reordered,
    rules,
    schemas,
)


@given(spec=documents())
def test_the_same_said_otherwise_breaks_nothing(spec: Any) -> None:
    for rewrite in REWRITINGS:
        other = rewrite(spec)
        assert (rewrite.__name__, [change.what for change in changes(spec, other)]) == (rewrite.__name__, [])
        assert (rewrite.__name__, [change.what for change in changes(other, spec)]) == (rewrite.__name__, [])


@given(spec=http_documents())
def test_a_document_with_every_part_of_http_compared_with_itself_or_reordered_breaks_nothing(spec: Any) -> None:
    for other in (copy.deepcopy(spec), reordered(spec)):
        assert [change.what for change in changes(spec, other)] == []
        assert [change.what for change in changes(other, spec)] == []


@given(spec=documents(), data=st.data())
def test_a_removed_operation_always_breaks(spec: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(spec["paths"])))
    method = data.draw(st.sampled_from(sorted(key for key in spec["paths"][path] if key != "parameters")))
    new = copy.deepcopy(spec)
    del new["paths"][path][method]
    found = changes(spec, new)
    assert [change.rule.id for change in found if f"{method.upper()} {path}" in change.operations]
    assert {change.rule.id for change in found} <= {"path-removed", "operation-removed"}


@given(spec=documents())
def test_an_added_operation_never_breaks(spec: Any) -> None:
    new = copy.deepcopy(spec)
    new["paths"]["/more"] = {"get": {"responses": {"200": {"description": ""}}}}
    assert rules(spec, new) == []


@given(old=documents(), new=documents())
def test_fingerprints_do_not_depend_on_the_order(old: Any, new: Any) -> None:
    straight = {change.fingerprint for change in changes(old, new)}
    turned = {change.fingerprint for change in changes(reordered(old), reordered(new))}
    assert straight == turned


PRESENCE = {"property-removed", "property-closed", "required"}
"""A property's presence is more than a matter of sets: an open object allows it before and after, yet callers lose it."""


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@given(data=st.data())
def test_what_narrows_a_request_widens_an_answer_the_other_way_round(version: str, data: st.DataObject) -> None:
    there, back = _both_ways(version, data, schemas(version.startswith("3.0"), properties=False))
    assert set(there) == set(back)


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@given(data=st.data())
def test_presence_only_adds_to_what_breaks_an_answer(version: str, data: st.DataObject) -> None:
    there, back = _both_ways(version, data, schemas(version.startswith("3.0")))
    assert back or set(there) <= PRESENCE


def _both_ways(version: str, data: st.DataObject, schema: st.SearchStrategy[Any]) -> tuple[list[str], list[str]]:
    """What breaks when a request's schema changes, and when an answer's changes the other way round."""
    components = {name: data.draw(schema) for name in ("Item", "Owner", "Node", "Pet")}
    one, other = data.draw(schema), data.draw(schema)
    there = rules(*(echo(each, version=version, schemas=components) for each in (one, other)))
    back = rules(*(answer(each, version=version, schemas=components) for each in (other, one)))
    return _kinds(there), _kinds(back)


def _kinds(found: list[str]) -> list[str]:
    # That `oneOf` refuses what fits two alternatives breaks no reader.
    return sorted(rule.split("-", 1)[1] for rule in found if rule != "request-overlap")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(old=JSON, new=JSON)
def test_arbitrary_json_is_no_error(old: Any, new: Any) -> None:
    compare(Document(old), Document(new))
    symbols.compare(Document(old), Document(new))


@given(spec=documents(), data=st.data())
def test_a_document_with_arbitrary_parts_is_no_error(spec: Any, data: st.DataObject) -> None:
    broken = copy.deepcopy(spec)
    for _ in range(data.draw(st.integers(1, 4))):
        _replace_one(broken, data)
    for old, new in ((spec, broken), (broken, spec), (broken, broken)):
        compare(Document(old), Document(new))
        symbols.compare(Document(old), Document(new))


def _replace_one(value: Any, data: st.DataObject) -> None:
    """Put arbitrary JSON, or a reference to anywhere, instead of one part."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.integers(0, 3)) == 0:
            value[key] = data.draw(
                JSON | st.just({"$ref": "#/components/schemas/Item"}) | st.just({"$ref": "#"}) | st.just({"$ref": "#/paths"})
            )
            return
        value = inner


def test_entangled_unions_end() -> None:
    """Eight unions of each other: every pair of alternatives may be asked for, and the work is bounded."""
    names = [f"N{index}" for index in range(8)]

    def schemas_of(extra: int) -> Any:
        return {
            name: {
                "anyOf": [
                    {
                        "type": "object",
                        "required": ["next"],
                        "properties": {"next": {"$ref": f"#/components/schemas/{other}"}, "n": {"maximum": index + extra}},
                    }
                    for index, other in enumerate(names)
                ]
            }
            for name in names
        }

    reference = {"$ref": "#/components/schemas/N0"}
    old, new = echo(reference, schemas=schemas_of(0)), echo(reference, schemas=schemas_of(1))
    assert rules(old, new) == []
    assert "request-alternative" in rules(new, old)
    with pytest.raises(TooMuch, match="1,000"):
        compare(Document(old), Document(new), limit=1000)


def test_a_long_chain_of_references_needs_no_stack() -> None:
    count = 2_000
    chain = {
        f"N{i}": {"type": "object", "properties": {"next": {"$ref": f"#/components/schemas/N{i + 1}"}}} for i in range(count)
    }
    old = {**chain, f"N{count}": {"type": "string"}}
    new = {**chain, f"N{count}": {"type": "integer"}}
    reference = {"$ref": "#/components/schemas/N0"}
    assert rules(echo(reference, schemas=old), echo(reference, schemas=new)) == ["request-type"]
