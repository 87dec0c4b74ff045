"""What a plan's JSON becomes: addresses and names, the dangerous first, and never a value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cicd_actions.pipeline.infrastructure.changes import NotAPlan, Planned, read


def terraform(*resources: tuple[str, list[str]], **more: Any) -> str:
    listed = [
        {
            "address": address,
            "change": {"actions": actions, "before": {"size": "s1", "same": 1}, "after": {"size": "s2", "same": 1}},
        }
        for address, actions in resources
    ]
    return json.dumps({"format_version": "1.2", "resource_changes": listed, **more})


def told(found: Planned) -> list[tuple[str, str]]:
    return [(each.action, each.address) for each in found.changes]


def test_read_terraform_tells_the_dangerous_first_and_only_names() -> None:
    text = terraform(
        ("a", ["create"]), ("b", ["no-op"]), ("c", ["update"]), ("d", ["create", "delete"]), ("e", ["delete"]),
        ("data.f", ["read"]), ("g", ["forget"]),
        output_changes={"host": {"actions": ["update"], "after": "value-1"}, "same": {"actions": ["no-op"]}},
    )  # fmt: skip
    found = read(text)
    assert told(found) == [("destroy", "e"), ("replace", "d"), ("change", "c"), ("create", "a"), ("forget", "g")]
    assert found.counted() == "1 to destroy, 1 to replace, 1 to change, 1 to create, 1 to forget, 1 outputs to change"
    assert {each.attributes for each in found.changes} == {("size",)}
    assert found.outputs == ("host",)
    assert not {"s1", "s2", "value-1"} & {word for each in found.changes for word in each.attributes}


def test_read_fingerprint_tells_values_apart() -> None:
    assert read(terraform(("a", ["update"]))).fingerprint == read(terraform(("a", ["update"]))).fingerprint
    assert read(terraform(("a", ["update"]))).fingerprint != read(terraform(("a", ["update"])).replace("s2", "s3")).fingerprint


def test_read_pulumi_tells_a_replacement_once() -> None:
    steps = [
        {"op": "same", "urn": "urn:a"},
        {"op": "create-replacement", "urn": "urn:b"},
        {"op": "replace", "urn": "urn:b", "diffReasons": ["size"]},
        {"op": "delete-replaced", "urn": "urn:b"},
        {"op": "delete", "urn": "urn:c"},
    ]
    found = read(json.dumps({"steps": steps, "changeSummary": {"replace": 1, "delete": 1, "same": 1}}))
    assert told(found) == [("destroy", "urn:c"), ("replace", "urn:b")]
    assert found.changes[1].attributes == ("size",)
    assert not read(json.dumps({"changeSummary": {"same": 3}}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", terraform(("a", ["explode"])), json.dumps({"changeSummary": {"delete": 1}}), '{"planned": 1}'),
        *(json.dumps({"format_version": "1.2", "resource_changes": changes}) for changes in ({"a": 1}, [None], ["a"], 1)),
        *(json.dumps({"format_version": "1.2", "resource_changes": [{"change": change}]}) for change in (1, [1])),
        json.dumps({"format_version": "1.2", "resource_changes": [{"change": {"actions": 1}}]}),
        *(json.dumps({"format_version": "1.2", "output_changes": outputs}) for outputs in ([1], {"host": None})),
        *(json.dumps({"steps": steps}) for steps in ({"a": 1}, [1], [{"op": "delete", "diffReasons": 1}])),
        *(f'{{"format_version": "1.2", "a": {value}}}' for value in ("9" * 5000, "[" * 100_000)),
    ],
)
def test_read_what_is_not_understood_is_never_no_changes(text: str) -> None:
    with pytest.raises(NotAPlan):
        read(text)


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), ['x["a"]', "x[0]"]),
        (('x["a"]',), ["x[0]"]),
        (("x[0]", 'x["a"]'), []),
        (("x*",), []),
        (("x",), ['x["a"]', "x[0]"]),
        (("*",), []),
    ],
)
def test_destroyed_leaves_out_only_what_is_named(patterns: tuple[str, ...], left: list[str]) -> None:
    found = read(terraform(('x["a"]', ["delete"]), ("x[0]", ["delete", "create"]), ("y", ["create"])))
    assert [each.address for each in found.destroyed(patterns)] == left
