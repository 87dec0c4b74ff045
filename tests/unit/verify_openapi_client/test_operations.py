"""Paths, operations, parameters, bodies, responses, headers, security, servers, webhooks, callbacks."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.verify_openapi_client.breaking.rules import RULES, Effect
from tests.unit.verify_openapi_client.documents import changes, document, rules
from tests.unit.verify_openapi_client.test_schemas import NARROWER

STRING = {"type": "string"}
OK = {"200": {"description": ""}}


def query(name: str = "q", **fields: Any) -> Any:
    return {"name": name, "in": "query", "schema": STRING, **fields}


def get(*parameters: Any, path: str = "/items", **operation: Any) -> Any:
    inherited = operation.pop("inherited", [])
    return document({path: {"parameters": inherited, "get": {"parameters": list(parameters), "responses": OK, **operation}}})


def body(*media_types: str, required: bool = True) -> Any:
    return {"required": required, "content": {name: {"schema": STRING} for name in media_types}}


def post(request: Any = None) -> Any:
    return document({"/items": {"post": {"responses": OK, **({"requestBody": request} if request else {})}}})


def answers(**codes: Any) -> Any:
    responses = {code.lstrip("_"): {"description": "", **fields} for code, fields in codes.items()}
    return document({"/items": {"get": {"responses": responses}}})


def test_paths_and_operations() -> None:
    both = document({"/items": {"get": {"responses": OK}, "post": {"responses": OK}}, "/pets": {"get": {"responses": OK}}})
    one = copy.deepcopy(both)
    del one["paths"]["/items"]["post"]
    (removed,) = changes(both, one)
    assert (removed.rule.id, removed.operations, removed.pointer) == (
        "operation-removed",
        ("POST /items",),
        "#/paths/~1items/post",
    )
    del one["paths"]["/items"]
    (gone,) = changes(both, one)
    assert (gone.rule.id, gone.operations) == ("path-removed", ("GET /items", "POST /items"))


def test_a_moved_operation_says_where_to() -> None:
    (found,) = changes(get(operationId="list"), get(path="/things", operationId="list"))
    assert found.rule.id == "operation-moved"
    assert "GET /things" in found.what


def test_a_renamed_path_parameter_breaks_names_only() -> None:
    def item(name: str) -> Any:
        return get({"name": name, "in": "path", "required": True, "schema": STRING}, path=f"/items/{{{name}}}")

    (found,) = changes(item("id"), item("item_id"))
    assert found.rule.effect is Effect.GENERATED_SYMBOL
    assert found.rule.id == "path-parameter-name"


PARAMETERS = [
    ([query()], [], ["parameter-removed"]),
    ([], [query()], []),
    ([], [query(required=True)], ["parameter-required"]),
    ([query()], [query(required=True)], ["parameter-required"]),
    ([query(required=True)], [query()], []),
    ([query()], [{**query(), "in": "header"}], ["parameter-removed"]),
    ([{**query("X-A"), "in": "header"}], [{**query("x-a"), "in": "header"}], []),
    ([{**query("Accept"), "in": "header"}], [], []),
    ([query()], [query(schema={"type": "string", "maxLength": 3})], ["request-bound"]),
    (
        [query(schema={"type": "string", "enum": ["a", "b"]})],
        [query(schema={"type": "string", "enum": ["a"]})],
        ["request-enum-value"],
    ),
    ([query(schema=STRING)], [query(schema={"type": "integer"})], ["request-type"]),
    ([query(schema={"type": "integer"})], [query(schema=STRING)], ["parameter-type"]),
    ([query(schema={"type": "array"})], [query(schema={"type": "array"}, style="form", explode=True)], []),
    ([query(schema={"type": "array"})], [query(schema={"type": "array"}, explode=False)], ["parameter-serialization"]),
    ([query(schema={"type": "array"})], [query(schema={"type": "array"}, style="pipeDelimited")], ["parameter-serialization"]),
    ([query()], [query(explode=False)], []),
    (
        [query()],
        [{"name": "q", "in": "query", "content": {"application/json": {"schema": STRING}}}],
        ["parameter-serialization"],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), PARAMETERS, ids=range(len(PARAMETERS)))
def test_parameters(old: Any, new: Any, expected: list[str]) -> None:
    assert rules(get(*old), get(*new)) == expected


def test_parameters_are_inherited_from_the_path_item_and_overridden() -> None:
    assert rules(get(query()), get(inherited=[query()])) == []
    assert rules(get(inherited=[query(schema={"type": "integer"})]), get(query(schema={"type": "integer"}))) == []
    overridden = get(query(required=False), inherited=[query(required=True)])
    assert rules(get(query()), overridden) == []
    assert rules(get(inherited=[query()]), get()) == ["parameter-removed"]


def test_parameters_by_reference() -> None:
    old = get({"$ref": "#/components/parameters/Q"})
    old["components"] = {"parameters": {"Q": query()}}
    assert rules(old, get(query())) == []
    assert rules(old, get()) == ["parameter-removed"]


BODIES = [
    (None, body("application/json"), ["request-body-required"]),
    (None, body("application/json", required=False), []),
    (body("application/json"), None, ["request-body-removed"]),
    (body("application/json", required=False), body("application/json"), ["request-body-required"]),
    (body("application/json", "text/plain"), body("application/json"), ["request-media-type-removed"]),
    (body("application/json"), body("application/json", "text/plain"), []),
    (body("application/json; charset=utf-8"), body("Application/JSON"), []),
    (body("text/csv"), body("text/*"), []),
]


@pytest.mark.parametrize(("old", "new", "expected"), BODIES, ids=range(len(BODIES)))
def test_bodies(old: Any, new: Any, expected: list[str]) -> None:
    assert rules(post(old), post(new)) == expected


def content(*media_types: str) -> Any:
    return {"content": {name: {"schema": STRING} for name in media_types}}


def headers(**fields: Any) -> Any:
    return {"headers": {"X-Total": {"schema": STRING, **fields}}}


RESPONSES = [
    (answers(_200={}, _404={}), answers(_200={}), ["response-code-removed"]),
    (answers(_200={}), answers(_201={}), ["response-code-removed", "response-success-code-added"]),
    (answers(_200={}), answers(_200={}, _404={}), []),
    (answers(_200={}), answers(_200={}, _202={}), ["response-success-code-added"]),
    (answers(_200={}, default={}), answers(_200={}, _202={}, default={}), []),
    (answers(_200={}), answers(_2XX={}), ["response-success-code-added"]),
    (answers(_2XX={}), answers(_200={}), ["response-code-removed"]),
    (answers(_200=content("a/b", "c/d")), answers(_200=content("a/b")), ["response-media-type-removed"]),
    (answers(_200=content("a/b")), answers(_200=content("a/b", "c/d")), []),
    (answers(_200=content("a/b")), answers(_200={}), ["response-media-type-removed"]),
    (answers(_200=content("a/b")), answers(_200=content("*/*")), ["response-media-type-removed"]),
    (answers(_200=headers()), answers(_200={}), ["response-header-removed"]),
    (answers(_200=headers(required=True)), answers(_200=headers()), ["response-header-optional"]),
    (answers(_200=headers(schema=STRING)), answers(_200=headers(schema={"type": "integer"})), ["response-type"]),
]


@pytest.mark.parametrize(("old", "new", "expected"), RESPONSES, ids=range(len(RESPONSES)))
def test_responses(old: Any, new: Any, expected: list[str]) -> None:
    assert rules(old, new) == expected


SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "other": {"type": "apiKey", "in": "header", "name": "x-key"},
    "moved": {"type": "apiKey", "in": "query", "name": "X-Key"},
    "token": {"type": "http", "scheme": "bearer"},
    "oauth": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://t", "scopes": {}}}},
}

SECURITY: list[tuple[Any, Any, bool]] = [
    (None, [], True),
    ([], [{"key": []}], False),
    ([{"key": []}], [], True),
    ([{"key": []}], [{"other": []}], True),
    ([{"key": []}], [{"moved": []}], False),
    ([{"key": []}], [{"key": []}, {"token": []}], True),
    ([{"key": []}, {"token": []}], [{"token": []}], False),
    ([{"key": []}], [{"key": [], "token": []}], False),
    ([{"key": [], "token": []}], [{"token": []}], True),
    ([{"oauth": ["read"]}], [{"oauth": ["read", "write"]}], False),
    ([{"oauth": ["read", "write"]}], [{"oauth": ["read"]}], True),
    ([{}, {"key": []}], [{"key": []}], False),
]


@pytest.mark.parametrize(("old", "new", "fine"), SECURITY, ids=range(len(SECURITY)))
@pytest.mark.parametrize("everywhere", [True, False])
def test_security_is_a_choice_of_sets(old: Any, new: Any, fine: bool, everywhere: bool) -> None:
    def secured(security: Any) -> Any:
        spec = get() if everywhere or security is None else get(security=security)
        if everywhere and security is not None:
            spec["security"] = security
        spec["components"] = {"securitySchemes": SCHEMES}
        return spec

    assert set(rules(secured(old), secured(new))) == (set() if fine else {"security-tightened"})


def test_security_of_the_whole_document_is_one_finding() -> None:
    paths = {f"/p{index}": {"get": {"responses": OK}} for index in range(5)}
    components = {"securitySchemes": SCHEMES}
    (found,) = changes(document(paths), document(paths, security=[{"key": []}], components=components))
    assert len(found.operations) == 5


def test_servers() -> None:
    one: Any = {
        "servers": [
            {"url": "https://a.example/"},
            {"url": "https://{region}.example", "variables": {"region": {"default": "eu"}}},
        ]
    }
    two: Any = {"servers": [{"url": "https://eu.example"}, {"url": "https://a.example"}]}
    less: Any = {"servers": [{"url": "https://a.example"}]}
    paths = {"/a": {"get": {"responses": OK}}, "/b": {"get": {"responses": OK}}}
    assert rules(document(paths, **one), document(paths, **two)) == []
    (found,) = changes(document(paths, **two), document(paths, **less))
    assert (found.rule.id, len(found.operations)) == ("server-removed", 2)
    assert rules(document(paths), document(paths, **two)) == []


def test_webhooks_go_the_other_way() -> None:
    def hook(schema: Any) -> Any:
        sent = {"content": {"application/json": {"schema": schema}}}
        return document({}, webhooks={"created": {"post": {"requestBody": sent, "responses": OK}}})

    # What the API sends is an answer to those who receive it.
    assert rules(hook({"type": "integer"}), hook({"type": "number"})) == ["response-type"]
    assert rules(hook({"type": "number"}), hook({"type": "integer"})) == []
    assert rules(hook(STRING), document({}, webhooks={})) == ["webhook-removed"]


def test_callbacks_go_the_other_way() -> None:
    def calling(schema: Any) -> Any:
        sent = {"content": {"application/json": {"schema": schema}}}
        done = {"{$request.query.url}": {"post": {"requestBody": sent, "responses": OK}}}
        return get(callbacks={"done": done} if schema else {})

    (found,) = changes(calling({"type": "integer"}), calling({"type": "number"}))
    assert found.rule.id == "response-type"
    assert found.operations[0].startswith("GET /items → done → POST")
    assert rules(calling(STRING), calling(None)) == ["webhook-removed"]


def test_a_shared_schema_is_one_finding_with_all_its_operations() -> None:
    def shared(schema: Any) -> Any:
        answer = {
            "200": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}
        }
        paths = {f"/p{index}": {"get": {"responses": answer}} for index in range(7)}
        return document(paths, components={"schemas": {"Item": schema}})

    (found,) = changes(shared({"type": "integer"}), shared({"type": "number"}))
    assert len(found.operations) == 7


def test_a_renamed_component_of_the_same_shape_breaks_nobody_on_the_wire() -> None:
    def named(name: str) -> Any:
        schema = {"type": "object", "properties": {"child": {"$ref": f"#/components/schemas/{name}"}}}
        answer = {
            "200": {"description": "", "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
        }
        return document({"/p": {"get": {"responses": answer}}}, components={"schemas": {name: schema}})

    assert rules(named("Item"), named("Thing")) == []


def test_the_texts_of_the_rules_are_whole() -> None:
    for rule in RULES.values():
        assert rule.title, rule.id
        assert not rule.title[0].isupper(), rule.id
        assert not rule.title.endswith("."), rule.id
        assert rule.whom, rule.id
        assert rule.why.endswith((".", ".)")), rule.id
        assert rule.compatibly.endswith("."), rule.id


def test_every_rule_is_met_by_a_test() -> None:
    """Named in full where one is told apart, or by its kind in the table of schemas, which goes both ways."""
    texts = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    both_ways = {f"{flow}-{kind}" for kind, *_ in NARROWER for flow in ("request", "response")}
    assert [name for name in RULES if name not in both_ways and f'"{name}"' not in texts] == []
