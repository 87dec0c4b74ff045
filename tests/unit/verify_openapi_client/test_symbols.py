from __future__ import annotations

from typing import Any

from cicd_actions.verify_openapi_client import overview, symbols
from cicd_actions.verify_openapi_client.breaking.document import Document
from tests.unit.verify_openapi_client.documents import document


def found(old: Any, new: Any) -> list[tuple[str, str]]:
    return [(change.rule.id, change.what) for change in symbols.compare(Document(old), Document(new))]


def operation(**fields: Any) -> Any:
    return document({"/items": {"get": {"responses": {"200": {"description": ""}}, **fields}}})


def schemas(**found_: Any) -> Any:
    return document({}, components={"schemas": found_})


def test_operation_ids_and_tags() -> None:
    assert found(operation(operationId="a"), operation(operationId="b")) == [
        ("operation-id", "The operationId of GET /items goes from `a` to `b`.")
    ]
    assert found(operation(operationId="a"), operation())[0][1].endswith("goes from `a` to nothing.")
    assert found(operation(), operation(operationId="b")) == []
    assert found(operation(tags=["a", "b"]), operation(tags=["a", "c"])) == []
    assert found(operation(tags=["a", "b"]), operation(tags=["b", "a"])) == [
        ("operation-tag", "The first tag of GET /items goes from `a` to `b`.")
    ]


def test_a_renamed_component_says_what_it_became() -> None:
    item = {"type": "object", "properties": {"id": {"type": "integer"}}}
    assert found(schemas(Item=item), schemas(Thing={**item, "title": "Thing"})) == [
        ("component-name", "`Thing` is what `Item` was.")
    ]
    assert found(schemas(Item=item), schemas()) == [("component-name", "`Item` is gone.")]
    assert found(schemas(), schemas(Item=item)) == []
    # FastAPI does this when a model has another schema for input than for output.
    split = schemas(**{"Item-Input": item, "Item-Output": {}})
    assert found(schemas(Item=item), split) == [("component-name", "`Item-Input` and `Item-Output` is what `Item` was.")]
    assert {what for _, what in found(split, schemas(Item=item))} == {
        "`Item` is what `Item-Input` was.",
        "`Item` is what `Item-Output` was.",
    }


def test_names_of_enum_members() -> None:
    old = schemas(Color={"enum": [1, 2], "x-enum-varnames": ["RED", "BLUE"]})
    new = schemas(Color={"enum": [2, 1], "x-enum-varnames": ["AZURE", "RED"]})
    assert found(old, new) == [("enum-names", "The member of `Color` for 2 goes from `BLUE` to `AZURE`.")]


def test_an_overview_names_what_changed() -> None:
    old = document(
        {"/a": {"get": {"responses": {}}}, "/b": {"get": {"responses": {}}}}, components={"schemas": {"A": {}, "B": {}}}
    )
    new = document(
        {"/a": {"get": {"responses": {}, "summary": "x"}}, "/c": {"put": {"responses": {}}}},
        components={"schemas": {"A": {"type": "string"}, "C": {}}},
    )
    seen = overview.compare(Document(old), Document(new))
    assert seen.operations == (("GET /a", "changed"), ("GET /b", "removed"), ("PUT /c", "added"))
    assert seen.schemas == (("A", "changed"), ("B", "removed"), ("C", "added"))


def test_the_names_that_a_client_s_diff_is_in() -> None:
    spec = document(
        {"/items": {"get": {"operationId": "list_items", "responses": {}}}},
        components={"schemas": {"Item": {}, "Other": {}}},
    )
    old = """export interface components {
    schemas: {
        /** Item */
        Item: {
            id: number;
        };
        Other: string;
    };
}
"""
    new = old.replace("id: number;", "id: string;")
    patch = """diff --git a/x.ts b/x.ts
--- a/x.ts
+++ b/x.ts
@@ -5,1 +5,1 @@
-            id: number;
+            id: string;
"""
    seen = overview.touched(patch, {"x.ts": (old, new)}, Document(spec))
    assert seen.schemas == (("Item", "changed"),)
    assert seen.operations == ()
