"""Each kind of change that checkers of OpenAPI documents know, forward and back, in requests and in answers.

A row says which way of the change breaks whom: `q` callers that send the value, `a` callers that read it. Where another checker
judges otherwise, the row says why this one does not.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.verify_openapi_client.documents import answer, document, echo, rules

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}


def s(**fields: Any) -> Any:
    return {**STRING, **fields}


def i(**fields: Any) -> Any:
    return {**INTEGER, **fields}


def array(**fields: Any) -> Any:
    return {"type": "array", "items": STRING, **fields}


def thing(properties: Any = None, *required: str, **fields: Any) -> Any:
    found = {"type": "object", "properties": {"a": STRING} if properties is None else properties, **fields}
    return {**found, "required": list(required)} if required else found


def ref(name: str) -> Any:
    return {"$ref": f"#/components/schemas/{name}"}


def tagged(field: str = "t", mapping: Any = None) -> Any:
    discriminator = {"propertyName": field, **({"mapping": mapping} if mapping else {})}
    return {"oneOf": [ref("Cat"), ref("Dog")], "discriminator": discriminator}


SCHEMAS = {
    "Cat": thing({"t": STRING, "m": STRING}, "t"),
    "Dog": thing({"t": STRING, "w": STRING}, "t"),
    "Bird": thing({"t": STRING, "x": INTEGER}, "t", "x"),
}
NAMES = {"cat": "#/components/schemas/Cat", "dog": "#/components/schemas/Dog"}
IF = {"if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}}
NEEDS_B = {"then": {"required": ["b"]}}
AB = {"a": STRING, "b": STRING}

NARROWER = [
    # (what is added, without it, with it): callers that send break with it, callers that read without it
    ("enum", STRING, s(enum=["a", "b"])),
    ("fewer values", s(enum=["a", "b"]), s(enum=["a"])),
    ("const", STRING, {"const": "a"}),
    ("allOf member", {"allOf": [ref("Cat")]}, {"allOf": [ref("Cat"), thing({}, "m")]}),
    ("one member of anyOf less", {"anyOf": [STRING, INTEGER, {"type": "boolean"}]}, {"anyOf": [STRING, INTEGER]}),
    ("one member of oneOf less", {"oneOf": [ref("Cat"), STRING, INTEGER]}, {"oneOf": [ref("Cat"), STRING]}),
    ("not null", {"type": ["string", "null"]}, STRING),
    ("not null, wrapped", {"oneOf": [{"type": "null"}, ref("Cat")]}, ref("Cat")),
    *((f"{key} set", base, {**base, key: 5}) for key, base in (("maximum", INTEGER), ("exclusiveMaximum", NUMBER))),
    *((f"{key} set", base, {**base, key: 5}) for key, base in (("minimum", INTEGER), ("exclusiveMinimum", NUMBER))),
    *((f"{key} set", base, {**base, key: 5}) for key, base in (("minLength", STRING), ("maxLength", STRING))),
    *((f"{key} set", base, {**base, key: 5}) for key, base in (("minItems", array()), ("maxItems", array()))),
    *((f"{key} set", base, {**base, key: 5}) for key, base in (("minProperties", thing()), ("maxProperties", thing()))),
    ("maximum lower", i(maximum=9), i(maximum=5)),
    ("minimum higher", i(minimum=5), i(minimum=9)),
    ("uniqueItems", array(), array(uniqueItems=True)),
    ("multipleOf", INTEGER, i(multipleOf=3)),
    ("a multiple of multipleOf", i(multipleOf=3), i(multipleOf=6)),
    ("pattern", STRING, s(pattern="^a$")),
    ("required", thing(), thing(None, "a")),
    ("required with a default", thing({"a": s(default="x")}), thing({"a": s(default="x")}, "a")),
    ("one type", {"type": ["string", "integer"]}, STRING),
    ("a type at all", {}, STRING),
    ("integer", NUMBER, INTEGER),
    ("format", STRING, s(format="uuid")),
    ("int32", i(format="int64"), i(format="int32")),
    ("float", {**NUMBER, "format": "double"}, {**NUMBER, "format": "float"}),
    ("prefixItems", {"type": "array", "prefixItems": [STRING]}, {"type": "array", "prefixItems": [STRING, INTEGER]}),
    (
        "no further items",
        {"type": "array", "prefixItems": [STRING]},
        {"type": "array", "prefixItems": [STRING], "items": False},
    ),
    ("if with then", thing(), thing(**IF, **NEEDS_B)),
    ("else", thing(**IF, **NEEDS_B), thing(**IF, **NEEDS_B, **{"else": {"required": ["c"]}})),
    ("contains", array(), array(contains=s(minLength=3))),
    ("minContains higher", array(contains=STRING), array(contains=STRING, minContains=2)),
    ("maxContains lower", array(contains=s(minLength=3), maxContains=4), array(contains=s(minLength=3), maxContains=2)),
    ("dependentRequired", thing(AB), thing(AB, dependentRequired={"a": ["b"]})),
    ("dependentSchemas", thing(), thing(dependentSchemas={"a": {"required": ["b"]}})),
    ("patternProperties", thing(), thing(patternProperties={"^x-": INTEGER})),
    ("propertyNames", thing(), thing(propertyNames={"pattern": "^a"})),
    ("unevaluatedProperties", thing(), thing(unevaluatedProperties=False)),
    ("additionalProperties", thing(), thing(additionalProperties=False)),
    ("additionalProperties of a type", thing(), thing(additionalProperties=STRING)),
    ("inside additionalProperties", thing(additionalProperties=thing()), thing(additionalProperties=thing(None, "a"))),
    (
        "contentSchema",
        s(contentMediaType="application/json"),
        s(contentMediaType="application/json", contentSchema=thing(AB, "a")),
    ),
    ("not", STRING, s(**{"not": {"enum": ["a"]}})),
    ("no value at all", STRING, False),
]

OTHERS = [
    # (kind, old, new, whom it breaks forward, whom back)
    ("another const", {"const": "a"}, {"const": "b"}, "qa", "qa"),
    ("another pattern", s(pattern="^a$"), s(pattern="^b$"), "qa", "qa"),
    ("another type", STRING, INTEGER, "qa", "qa"),
    ("one of two types exchanged", {"type": ["string", "integer"]}, {"type": ["string", "boolean"]}, "qa", "qa"),
    ("another format", s(format="date-time"), s(format="date"), "qa", "qa"),
    ("another multipleOf", i(multipleOf=3), i(multipleOf=5), "qa", "qa"),
    ("another media type within", s(contentMediaType="application/json"), s(contentMediaType="application/xml"), "qa", "qa"),
    ("another encoding", s(contentEncoding="base64"), s(contentEncoding="base32"), "qa", "qa"),
    ("another order of prefixItems", {"prefixItems": [STRING, INTEGER]}, {"prefixItems": [INTEGER, STRING]}, "qa", "qa"),
    (
        "an item that the bound did not allow",
        {"type": "array", "prefixItems": [STRING, INTEGER], "minItems": 2, "maxItems": 2},
        {"type": "array", "prefixItems": [STRING, INTEGER, STRING], "minItems": 2, "maxItems": 3},
        "a",
        "q",
    ),
    ("another component in allOf", {"allOf": [ref("Cat")]}, {"allOf": [ref("Dog")]}, "qa", "qa"),
    # Values that fit both alternatives are refused, and each value of a `Cat` fits a `Dog`.
    ("oneOf of what overlaps", ref("Cat"), {"oneOf": [ref("Cat"), ref("Dog")]}, "qa", "q"),
    ("anyOf becomes oneOf", {"anyOf": [ref("Cat"), ref("Bird")]}, {"oneOf": [ref("Cat"), ref("Bird")]}, "q", ""),
    # A caller that sends a `Cat` does not send what a `Bird` needs.
    ("oneOf of what is told apart", ref("Cat"), {"oneOf": [ref("Cat"), ref("Bird")]}, "a", "q"),
    # What callers send is ignored, what they read is gone, required or not.
    ("a property less", thing(AB), thing(), "qa", ""),
    ("a hidden property", thing(), thing({"a": s(readOnly=True)}), "q", ""),
    ("a hidden required property", thing(AB, "a"), thing(AB | {"a": s(readOnly=True)}, "a"), "q", "q"),
    ("a property that is no longer answered", thing(), thing({"a": s(writeOnly=True)}), "a", ""),
    ("a new property with a default", thing(AB), thing(AB | {"c": s(default="x")}, "c"), "q", "qa"),
    ("a new required property that is only written", thing(AB), thing(AB | {"c": s(writeOnly=True)}, "c"), "q", "q"),
    # Values that a readOnly property has are never sent, those of a writeOnly one never answered.
    ("bounds of what is never sent", thing({"a": i(readOnly=True)}), thing({"a": i(readOnly=True, maximum=5)}), "", "a"),
    (
        "values of what is never read",
        thing({"a": s(writeOnly=True, enum=["a", "b"])}),
        thing({"a": s(writeOnly=True, enum=["a"])}),
        "q",
        "",
    ),
    # A discriminator decides for those who read it: the value that it names has to be there and known.
    ("a discriminator", {"oneOf": [ref("Cat"), ref("Dog")]}, tagged(), "q", "a"),
    ("another discriminator", tagged("t"), tagged("m"), "qa", "qa"),
    ("a further name for an alternative", tagged("t", NAMES), tagged("t", {**NAMES, "kitten": NAMES["cat"]}), "a", "q"),
    ("exchanged names", tagged("t", NAMES), tagged("t", {"cat": NAMES["dog"], "dog": NAMES["cat"]}), "qa", "qa"),
    # Readers of a list that may grow expect further values.
    ("a value that may be missed", s(**{"x-extensible-enum": ["a", "b"]}), s(**{"x-extensible-enum": ["a"]}), "q", ""),
    ("no schema", thing(), {}, "a", "q"),
    ("a null of another kind, narrower", STRING, {"anyOf": [s(maxLength=3), {"type": "null"}]}, "qa", "qa"),
    ("a default of a property", thing({"a": s(default="x")}), thing({"a": s(default="y")}), "q", "q"),
    ("a default that is new", thing(), thing({"a": s(default="x")}), "", "q"),
]

SAME = [
    ("annotations", STRING, s(title="T", description="d", example="x", examples=["y"], deprecated=True, xml={"name": "z"})),
    ("an annotation in allOf", {"allOf": [thing()]}, {"allOf": [thing(), {"description": "x"}]}),
    ("properties in other members of allOf", {"allOf": [thing({"b": STRING}), thing()]}, thing(AB)),
    (
        "a bound that a sibling restates",
        {"allOf": [s(maxLength=5), s(maxLength=9)]},
        {"allOf": [s(maxLength=5), s(maxLength=20)]},
    ),
    ("a reference written out", ref("Cat"), SCHEMAS["Cat"]),
    ("a wrapper of one", ref("Cat"), {"oneOf": [ref("Cat")]}),
    ("another order", {"oneOf": [ref("Cat"), ref("Bird")]}, {"oneOf": [ref("Bird"), ref("Cat")]}),
    ("a schema that allows everything", {}, True),
    ("items that allow everything", {"type": "array", "items": {}}, {"type": "array"}),
    ("prefixItems like items", array(), array(prefixItems=[STRING])),
    ("`if` alone", thing(), thing(**IF)),
    ("numbers as fractions", i(maximum=5), i(maximum=5.0)),
    ("a bound of integers", i(exclusiveMaximum=6), i(maximum=5)),
    ("enum of one", {"enum": ["a"]}, {"const": "a"}),
    ("classes of a pattern", s(pattern=r"^\d+$"), s(pattern="^[0-9]+$")),
    ("a pattern of everything", STRING, s(pattern="^.*$")),
    ("items that the bound does not allow", array(maxItems=0), {"type": "array", "items": INTEGER, "maxItems": 0}),
    ("one item is unique", array(maxItems=1), array(maxItems=1, uniqueItems=True)),
    ("a discriminator's name", tagged("t", {"c": "Cat"}), tagged("t", {"c": NAMES["cat"]})),
    ("base64", s(format="byte"), s(contentEncoding="base64")),
    ("null in a list of types", {"anyOf": [{"type": "null"}, STRING]}, {"type": ["null", "string"]}),
]


def in_property(schema: Any) -> Any:
    return thing({"p": schema, "z": STRING})


def broken(old: Any, new: Any, wrap: Any = None) -> str:
    """Returns whom the change breaks: `q`, `a`, both or none."""
    old, new = (wrap(old), wrap(new)) if wrap else (old, new)
    sent = rules(echo(old, schemas=SCHEMAS), echo(new, schemas=SCHEMAS))
    read = rules(answer(old, schemas=SCHEMAS), answer(new, schemas=SCHEMAS))
    return ("q" if sent else "") + ("a" if read else "")


ROWS = [
    *((name, old, new, "q", "a") for name, old, new in NARROWER),
    *OTHERS,
    *((name, old, new, "", "") for name, old, new in SAME),
]


@pytest.mark.parametrize(("old", "new", "forward", "back"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_schema_change_breaks_those_it_should(old: Any, new: Any, forward: str, back: str) -> None:
    assert (broken(old, new), broken(new, old)) == (forward, back)
    assert (broken(old, new, in_property), broken(new, old, in_property)) == (forward, back)


PLACES = {
    "items": lambda schema: {"type": "array", "items": schema},
    "values": lambda schema: {"type": "object", "additionalProperties": schema},
    "allOf": lambda schema: {"allOf": [in_property(schema), thing(AB)]},
    "in anyOf": lambda schema: {"anyOf": [in_property(schema), {"type": "null"}]},
}


@pytest.mark.parametrize("place", sorted(PLACES))
def test_schema_change_breaks_wherever_it_stands(place: str) -> None:
    found = {name: (broken(old, new, PLACES[place]), broken(new, old, PLACES[place])) for name, old, new in NARROWER}
    assert {name: ways for name, ways in found.items() if ways != ("q", "a")} == {}


def operation(operation_: Any = None, *, schemes: Any = None, path: str = "/x", **fields: Any) -> Any:
    whole = {"responses": {"200": {"description": ""}}, **(operation_ or {})}
    return document({path: {"post": whole}}, components={"securitySchemes": schemes or {}}, **fields)


def body(content: Any, *, required: bool = False) -> Any:
    return operation({"requestBody": {"required": required, "content": content}})


def answers(**codes: Any) -> Any:
    return operation({"responses": {code.lstrip("_"): {"description": "", **fields} for code, fields in codes.items()}})


def parameter(**fields: Any) -> Any:
    return operation({"parameters": [{"name": "q", "in": "query", "schema": STRING, **fields}]})


def secured(scheme: Any) -> Any:
    return operation({"security": [{"key": ["r"]}]}, schemes={"key": scheme})


KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}
BEARER = {"type": "http", "scheme": "bearer"}
OAUTH = {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://a/token", "scopes": {"r": ""}}}}
OTHER_TOKEN = {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://b/token", "scopes": {"r": ""}}}}
JSON = {"application/json": {"schema": STRING}}
XML = {"application/xml": {"schema": STRING}}
LINES = {"application/jsonl": {"itemSchema": thing()}}
BOTH = {**JSON, **XML}
NUMBERS = {"application/json": {"schema": INTEGER}}
HEADER = {"X-A": {"schema": STRING}}

FAILURE, OTHER_FAILURE = answers(_404={"content": JSON}), answers(_404={"content": NUMBERS})
ANSWER, WIDER_ANSWER = answers(_200={"content": JSON}), answers(_200={"content": BOTH})

HTTP = [
    # (kind, old, new, the rule that it breaks forward, the one back; empty for none)
    ("path", document(), operation(), "", "path-removed"),
    ("body", operation(), body(JSON), "", "request-body-removed"),
    ("required body", operation(), body(JSON, required=True), "request-body-required", "request-body-removed"),
    ("body required", body(JSON), body(JSON, required=True), "request-body-required", ""),
    ("media type of a body", body(JSON), body({**JSON, **XML}), "", "request-media-type-removed"),
    ("parameter of a media type", body({"a/b;v=1": {}}), body({"a/b;v=2": {}}), *["request-media-type-removed"] * 2),
    ("schema of a media type", body({"application/json": {}}), body(JSON), "request-type", ""),
    ("schema of items", body({"application/jsonl": {}}), body(LINES), "request-type", ""),
    ("parameter", operation(), parameter(), "", "parameter-removed"),
    ("required parameter", parameter(), parameter(required=True), "parameter-required", ""),
    ("place of a parameter", parameter(), parameter(**{"in": "header"}), *["parameter-removed"] * 2),
    ("deprecated parameter", parameter(), parameter(deprecated=True), "", ""),
    ("empty value", parameter(), parameter(allowEmptyValue=True), "", "parameter-empty-value"),
    ("style", parameter(schema=array()), parameter(schema=array(), explode=False), *["parameter-serialization"] * 2),
    ("text of a header", answers(_200={"headers": HEADER}), answers(_200={}), "response-header-removed", ""),
    ("header of an error", answers(_404={"headers": HEADER}), answers(_404={}), "response-header-removed", ""),
    ("media type of an answer", ANSWER, WIDER_ANSWER, "", "response-media-type-removed"),
    ("success", answers(_200={}), answers(_200={}, _201={}), "response-success-code-added", "response-code-removed"),
    ("error", answers(_200={}), answers(_200={}, _404={}, _302={}), "", ""),
    ("body of an error", FAILURE, OTHER_FAILURE, *["response-type"] * 2),
    ("security", operation(schemes={"key": KEY}), secured(KEY), "security-tightened", ""),
    ("name of a key", secured(KEY), secured({**KEY, "name": "X-Other"}), *["security-tightened"] * 2),
    ("case of a key's header", secured(KEY), secured({**KEY, "name": "x-key"}), "", ""),
    ("kind of a scheme", secured(KEY), secured(BEARER), *["security-tightened"] * 2),
    ("format of a token", secured(BEARER), secured({**BEARER, "bearerFormat": "JWT"}), "", ""),
    ("address of the token", secured(OAUTH), secured(OTHER_TOKEN), *["security-tightened"] * 2),
    ("links and version", answers(_200={}), {**answers(_200={"links": {}}), "info": {"title": "x", "version": "0"}}, "", ""),
    ("server", operation(servers=[{"url": "https://a"}]), operation(servers=[{"url": "https://a"}, {"url": "/"}]), "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "forward", "back"), [pytest.param(*row[1:], id=row[0]) for row in HTTP])
def test_http_change_breaks_the_rule_it_should(old: Any, new: Any, forward: str, back: str) -> None:
    assert set(rules(old, new)) == {forward} - {""}
    assert set(rules(new, old)) == {back} - {""}
