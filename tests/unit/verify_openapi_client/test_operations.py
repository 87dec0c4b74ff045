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
INTEGER = {"type": "integer"}
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


LIST_OF_INTEGERS = {"type": "array", "items": INTEGER}


def test_one_value_or_a_list_in_another_order_breaks_nobody_and_a_value_that_becomes_ambiguous_does() -> None:
    """In a URL one value is a list of one too, so `oneOf` refused it from the start where both are alternatives."""

    def alternatives(*schemas: Any) -> Any:
        return get(query(schema={"oneOf": list(schemas)}))

    both, turned = alternatives(INTEGER, LIST_OF_INTEGERS), alternatives(LIST_OF_INTEGERS, INTEGER)
    assert (changes(both, turned), changes(turned, both)) == ([], [])
    assert rules(get(query(schema=INTEGER)), both) == ["request-overlap"]


FILTER = {"type": "object", "properties": {"origin": {"type": "string", "enum": ["a", "b"]}}}
FEWER = {"type": "object", "properties": {"origin": {"type": "string", "enum": ["a"]}}}

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
    (
        [query(schema={"type": "object"}, style="deepObject")],
        [query(schema={"type": "object"}, style="deepObject", explode=True)],
        [],
    ),
    ([query()], [query(allowReserved=True)], []),
    ([query(allowReserved=True)], [query()], ["parameter-serialization"]),
    # Null cannot be sent in a URL or header, so `Optional[str]` and `str` are the same there.
    ([query(schema={"anyOf": [STRING, {"type": "null"}]})], [query(schema=STRING)], []),
    ([{**query(schema={"type": ["string", "null"]}), "in": "header"}], [{**query(), "in": "header"}], []),
    # One value is a list of one where values are repeated, or where it has no comma.
    ([query(schema=INTEGER)], [query(schema=LIST_OF_INTEGERS)], ["parameter-type"]),
    ([query()], [query(schema={"type": "array", "items": STRING})], ["parameter-type"]),
    ([query(schema=INTEGER)], [query(schema=LIST_OF_INTEGERS, explode=False)], ["parameter-type"]),
    ([query()], [query(schema={"type": "array", "items": STRING}, explode=False)], ["parameter-type", "request-type"]),
    ([query(schema=INTEGER)], [query(schema={**LIST_OF_INTEGERS, "minItems": 2})], ["parameter-type", "request-type"]),
    ([query(schema=LIST_OF_INTEGERS)], [query(schema=INTEGER)], ["request-type"]),
    ([query(schema=LIST_OF_INTEGERS)], [query(schema={"type": "array", "items": STRING})], []),
    # A number is text, and fits where its text does.
    ([query(schema={"type": "boolean"})], [query(schema={"type": "string", "maxLength": 5})], ["parameter-type"]),
    ([query(schema={"type": "boolean"})], [query(schema={"enum": ["true", "false"]})], ["parameter-type"]),
    ([query(schema=INTEGER)], [query(schema={"type": "string", "maxLength": 5})], ["parameter-type", "request-bound"]),
    # What is left out is what the default says.
    ([query(schema={"default": 1})], [query(schema={"default": 2})], ["request-default"]),
    ([query(schema={"default": 1})], [query(schema={})], ["request-default"]),
    ([query(schema={})], [query(schema={"default": 1})], []),
    ([query(schema={"default": None})], [query(schema={})], []),
    ([query(schema={"default": 1}, required=True)], [query(schema={"default": 2}, required=True)], []),
    (
        [query(schema={"allOf": [STRING, {"default": "a"}]})],
        [query(schema={"allOf": [STRING, {"default": "b"}]})],
        ["request-default"],
    ),
    # A filter's property loses a value.
    ([query(schema=FILTER, style="deepObject")], [query(schema=FEWER, style="deepObject")], ["request-enum-value"]),
    # Names that differ in their case are two parameters of one document.
    ([{**query(each), "in": "header"} for each in ("A", "a")], [{**query(each), "in": "header"} for each in ("a", "A")], []),
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


def form(**encoding: Any) -> Any:
    schema = {"type": "object", "properties": {"f": {"type": "array", "items": STRING}}}
    media: dict[str, Any] = {"schema": schema, **({"encoding": {"f": encoding}} if encoding else {})}
    return {"required": True, "content": {"multipart/form-data": media}}


BODIES = [
    (None, body("application/json"), ["request-body-required"]),
    (None, body("application/json", required=False), []),
    (body("application/json"), None, ["request-body-removed"]),
    (body("application/json", required=False), body("application/json"), ["request-body-required"]),
    (body("application/json", "text/plain"), body("application/json"), ["request-media-type-removed"]),
    (body("application/json"), body("application/json", "text/plain"), []),
    (body("application/json; charset=utf-8"), body("Application/JSON"), []),
    (body("text/csv"), body("text/*"), []),
    (body("text/*"), body("text/csv"), ["request-media-type-removed"]),
    (body("text/csv;header=present"), body("text/csv"), []),
    (body("text/csv"), body("text/csv;header=present"), ["request-media-type-removed"]),
    (form(contentType="image/png, image/jpeg"), form(contentType="image/png"), ["request-encoding"]),
    (form(contentType="image/png"), form(contentType="image/*"), []),
    (form(contentType="image/png"), form(), []),
    (form(), form(contentType="image/png"), ["request-encoding"]),
    (form(explode=True), form(), []),
    (form(), form(explode=False), ["request-encoding"]),
]


@pytest.mark.parametrize(("old", "new", "expected"), BODIES, ids=range(len(BODIES)))
def test_bodies(old: Any, new: Any, expected: list[str]) -> None:
    assert rules(post(old), post(new)) == expected


def test_a_part_of_a_multipart_answer_keeps_its_media_type() -> None:
    old, new = ({"responses": {"200": {"description": "", **form(contentType=kind)}}} for kind in ("image/png", "image/*"))
    assert rules(document({"/x": {"get": old}}), document({"/x": {"get": new}})) == ["response-encoding"]
    assert rules(document({"/x": {"get": new}}), document({"/x": {"get": old}})) == []


def content(*media_types: str, schema: Any = STRING) -> Any:
    return {"content": {name: {"schema": schema} for name in media_types}}


def by_content(media_type: str, schema: Any) -> Any:
    return {"headers": {"X-Total": {"content": {media_type: {"schema": schema}}}}}


def headers(**fields: Any) -> Any:
    return {"headers": {"X-Total": {"schema": STRING, **fields}}}


RESPONSES = [
    # Callers have to handle codes that are not documented, so an error's code may come and go.
    (answers(_200={}, _404={}), answers(_200={}), []),
    (answers(_200={}, default={}), answers(_200={}), []),
    (answers(_200={}), answers(_201={}), ["response-code-removed", "response-success-code-added"]),
    (answers(_200={}), answers(_200={}, _404={}), []),
    (answers(_200={}), answers(_200={}, _202={}), ["response-success-code-added"]),
    (answers(_200={}, default={}), answers(_200={}, _202={}, default={}), []),
    (answers(_200={}), answers(_2XX={}), ["response-success-code-added"]),
    (answers(_2XX={}), answers(_200={}), []),
    (answers(_200={}, _201={}), answers(_2XX={}), ["response-success-code-added"]),
    (answers(_200={}, _201={}), answers(_200={}), ["response-code-removed"]),
    (answers(default=content("a/b")), answers(_200=content("a/b", schema=INTEGER)), ["response-type"]),
    (answers(default=content("a/b")), answers(_200=content("a/b")), []),
    (answers(default=content("a/b", schema=INTEGER)), answers(_200=content("a/b")), ["response-type"]),
    (
        answers(_200={}, default=content("a/b", schema=INTEGER)),
        answers(_200={}, _404=content("a/b"), default=content("a/b", schema=INTEGER)),
        ["response-type"],
    ),
    (answers(_4XX=content("a/b")), answers(_4XX=content("a/b"), _404=content("c/d")), ["response-media-type-removed"]),
    (answers(_200=content("a/b", "c/d")), answers(_200=content("a/b")), ["response-media-type-removed"]),
    (answers(_200=content("a/b")), answers(_200=content("a/b", "c/d")), []),
    (answers(_200=content("a/b")), answers(_200={}), ["response-media-type-removed"]),
    (answers(_200=content("a/b")), answers(_200=content("*/*")), ["response-media-type-removed"]),
    (answers(_200=headers()), answers(_200={}), ["response-header-removed"]),
    (answers(_200=headers(required=True)), answers(_200=headers()), ["response-header-optional"]),
    (answers(_200=headers(schema=INTEGER)), answers(_200=headers(schema=STRING)), ["response-type"]),
    (answers(_200=headers(schema=STRING)), answers(_200=headers(schema=INTEGER)), []),  # a number in a header is text
    (answers(_200=headers(schema=STRING)), answers(_200=headers(schema={"type": ["string", "null"]})), []),
    (answers(_200=by_content("a/b", INTEGER)), answers(_200=by_content("a/b", STRING)), ["response-type"]),
    (answers(_200=by_content("a/b", STRING)), answers(_200=by_content("c/d", STRING)), ["response-header-serialization"]),
    (answers(_200=content("a/b;v=1", "a/b;v=2")), answers(_200=content("a/b;v=2")), ["response-media-type-removed"]),
    (answers(_200=content("a/b;v=1")), answers(_200=content("a/b")), ["response-media-type-removed"]),
    (answers(_200=content("a/b")), answers(_200=content("a/b; charset=utf-8")), []),
    (answers(_200=content("a/b")), answers(_200=content("a/b;v=2")), []),
    (answers(_200=content("a/*")), answers(_200=content("a/b", "a/c")), []),
    (answers(_200=content("a/*", schema=INTEGER)), answers(_200=content("a/b", "a/c")), ["response-type"]),
]


@pytest.mark.parametrize(("old", "new", "expected"), RESPONSES, ids=range(len(RESPONSES)))
def test_responses(old: Any, new: Any, expected: list[str]) -> None:
    assert rules(old, new) == expected


FLOW: Any = {"tokenUrl": "https://t", "scopes": {}}

SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "other": {"type": "apiKey", "in": "header", "name": "x-key"},
    "moved": {"type": "apiKey", "in": "query", "name": "X-Key"},
    "token": {"type": "http", "scheme": "bearer"},
    "oauth": {"type": "oauth2", "flows": {"clientCredentials": FLOW}},
    "more": {"type": "oauth2", "flows": {"clientCredentials": FLOW, "password": FLOW}},
    "elsewhere": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://u", "scopes": {}}}},
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
    ([{"oauth": []}], [{"more": []}], True),
    ([{"more": []}], [{"oauth": []}], False),
    ([{"oauth": []}], [{"elsewhere": []}], False),
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
            {"url": "https://{region}.example", "variables": {"region": {"default": "eu", "enum": ["eu"]}}},
        ]
    }
    two: Any = {"servers": [{"url": "https://eu.example"}, {"url": "https://a.example"}]}
    less: Any = {"servers": [{"url": "https://a.example"}]}
    paths = {"/a": {"get": {"responses": OK}}, "/b": {"get": {"responses": OK}}}
    assert rules(document(paths, **one), document(paths, **two)) == []
    (found,) = changes(document(paths, **two), document(paths, **less))
    assert (found.rule.id, len(found.operations)) == ("server-removed", 2)
    assert rules(document(paths), document(paths, **two)) == []


def server(url: str, **variables: Any) -> Any:
    return {"url": url, "variables": {name: {"default": values[0], "enum": values} for name, values in variables.items()}}


FREE = {"url": "https://{r}.example", "variables": {"r": {"default": "eu"}}}

SERVERS: list[tuple[Any, Any, list[str]]] = [
    ([server("/")], [], []),
    ([server("/")], [server("https://a.example")], []),
    ([server("https://a.example")], [], ["server-removed"]),
    ([server("https://{r}.example", r=["eu", "us"])], [server("https://eu.example"), server("https://us.example")], []),
    ([server("https://{r}.example", r=["eu", "us"])], [server("https://{r}.example", r=["eu"])], ["server-removed"]),
    ([server("https://{r}.example", r=["eu", "us"])], [server("https://{x}.example", x=["us", "eu"])], []),
    ([server("https://eu.example")], [FREE], []),
    ([FREE], [server("https://eu.example")], ["server-removed"]),
]


@pytest.mark.parametrize(("old", "new", "expected"), SERVERS, ids=range(len(SERVERS)))
def test_servers_with_variables_are_sets_of_addresses(old: Any, new: Any, expected: list[str]) -> None:
    paths = {"/a": {"get": {"responses": OK}}}
    assert rules(document(paths, servers=old), document(paths, servers=new)) == expected


def listed(*paths: str, **fields: Any) -> Any:
    return document({path: {"get": {"responses": OK}, "post": {"responses": OK}} for path in paths}, **fields)


def test_a_prefix_that_moves_between_server_and_paths_breaks_nothing() -> None:
    old, new = (
        listed("/x", "/y", servers=[{"url": "https://a/api"}]),
        listed("/api/x", "/api/y", servers=[{"url": "https://a"}]),
    )
    assert rules(old, new) == []
    assert rules(new, old) == []
    relative = listed("/x", "/y", servers=[{"url": "/api"}]), listed("/api/x", "/api/y", servers=[{"url": "/"}])
    assert rules(*relative) == rules(relative[0], listed("/api/x", "/api/y")) == []
    lost = listed("/x", "/y", servers=[{"url": "https://a"}])
    assert rules(old, lost) == ["server-removed"]


def test_a_moved_prefix_is_one_finding() -> None:
    for before, after in (("", "/v2"), ("/v1", "/v2"), ("/api/v1", "")):
        old, new = (listed(*(f"{prefix}{path}" for path in ("/x", "/y", "/y/{id}"))) for prefix in (before, after))
        (found,) = changes(old, new)
        assert (found.rule.id, len(found.operations)) == ("operation-moved", 6)
        assert f"from `{before or '/'}` to `{after or '/'}`" in found.what


def test_what_changed_within_a_moved_prefix_is_still_found() -> None:
    old, new = listed("/x", "/y"), listed("/v2/x", "/v2/y")
    new["paths"]["/v2/x"]["get"]["parameters"] = [query(required=True)]
    assert rules(old, new) == ["operation-moved", "parameter-required"]


def test_path_parameters_travel_by_position() -> None:
    def pair(path: str, schema: Any) -> Any:
        named = [{"name": name, "in": "path", "required": True, "schema": schema[name]} for name in ("a", "b")]
        return get(*named, path=path)

    types = {"a": STRING, "b": INTEGER}
    assert rules(pair("/{a}/{b}", types), pair("/{a}/{b}", types)) == []
    assert "request-type" in rules(pair("/{a}/{b}", types), pair("/{b}/{a}", types))


def test_a_path_that_names_a_parameter_twice_compares_it_once() -> None:
    def twice(schema: Any, **fields: Any) -> Any:
        return get({"name": "id", "in": "path", "required": True, "schema": schema, **fields}, path="/users/{id}/roles/{id}")

    assert rules(twice(STRING), twice(STRING, description="now with a text")) == []
    assert rules(twice(STRING), twice(INTEGER)) == ["request-type"]


def test_a_webhook_s_answers_stay_accepted() -> None:
    def hook(**codes: Any) -> Any:
        sent = {"content": {"application/json": {"schema": STRING}}}
        responses = {code.lstrip("_"): {"description": ""} for code in codes}
        return document({}, webhooks={"created": {"post": {"requestBody": sent, "responses": responses}}})

    assert rules(hook(_200=1), hook(_202=1)) == ["webhook-answer-code"]
    assert rules(hook(_200=1), hook(_2XX=1)) == []
    assert rules(hook(_200=1, _404=1), hook(_200=1)) == []


def test_a_callback_is_known_by_its_expression() -> None:
    def calling(name: str, expression: str) -> Any:
        return get(callbacks={name: {expression: {"post": {"responses": OK}}}})

    old = calling("done", "{$request.body#/url}")
    assert rules(old, calling("done", "{$request.body#/callbackUrl}")) == ["webhook-removed"]
    assert rules(old, calling("finished", "{$request.body#/url}")) == []


def test_openapi_3_2_is_read() -> None:
    both = document({"/x": {"query": {"responses": OK}, "additionalOperations": {"COPY": {"responses": OK}}}}, version="3.2.0")
    assert rules(both, both) == []
    for gone in ("query", "additionalOperations"):
        less = copy.deepcopy(both)
        del less["paths"]["/x"][gone]
        assert rules(both, less) == ["operation-removed"]
    streams = [answers(_200={"content": {"a/b": {"itemSchema": schema}}}) for schema in (INTEGER, STRING)]
    assert rules(*streams) == ["response-type"]
    refers: Any = answers(_200={"content": {"a/b": {"$ref": "#/components/mediaTypes/M"}}})
    one, other = ({**refers, "components": {"mediaTypes": {"M": {"schema": schema}}}} for schema in (INTEGER, STRING))
    assert rules(one, other) == ["response-type"]


def test_a_removal_knows_whether_it_was_deprecated() -> None:
    old = listed("/x", "/y")
    for operation in old["paths"]["/x"].values():
        operation |= {"deprecated": True, "x-sunset": "2026-01-31"}
    (found,) = changes(old, listed("/y"))
    assert (found.deprecated, found.sunset) == (True, "2026-01-31")
    del old["paths"]["/x"]["get"]["deprecated"]
    (found,) = changes(old, listed("/y"))
    assert not found.deprecated
    (found,) = changes(get(query(deprecated=True)), get())
    assert found.deprecated


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


URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
FILE = {"type": "string", "format": "binary"}


@pytest.mark.parametrize(
    ("media", "old", "new", "broken"),
    [
        # A field travels as text, as a parameter does: null cannot be sent, a number is a text, one value is a list of one.
        (URLENCODED, {"anyOf": [STRING, {"type": "null"}]}, STRING, []),
        (URLENCODED, INTEGER, STRING, ["request-field-type"]),
        (URLENCODED, STRING, INTEGER, ["request-type"]),
        (URLENCODED, STRING, {"type": "array", "items": STRING}, ["request-field-type"]),
        (MULTIPART, FILE, {"type": "array", "items": FILE}, ["request-field-type"]),
        (MULTIPART, {"type": "array", "items": FILE}, FILE, ["request-type"]),
        # An object in it is JSON, and so is the whole body of another media type.
        (MULTIPART, {"properties": {"n": INTEGER}}, {"properties": {"n": STRING}}, ["request-type"]),
        ("application/json", INTEGER, STRING, ["request-type"]),
    ],
)  # fmt: skip
def test_a_form_is_compared_by_what_its_fields_look_like(media: str, old: Any, new: Any, broken: list[str]) -> None:
    def form(field: Any) -> Any:
        return post({"content": {media: {"schema": {"type": "object", "properties": {"f": field}}}}})

    assert rules(form(old), form(new)) == broken


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
