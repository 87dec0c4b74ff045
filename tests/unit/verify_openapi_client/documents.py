"""Builds OpenAPI documents: by hand for single rules, and with hypothesis for properties."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.breaking.classify import compare
from cicd_actions.verify_openapi_client.breaking.document import Document

Json = Any


def document(paths: Json = None, *, version: str = "3.1.0", **fields: Json) -> Json:
    """A whole document around these paths."""
    return {"openapi": version, "info": {"title": "t", "version": "1"}, "paths": paths or {}, **fields}


def echo(schema: Json, *, version: str = "3.1.0", schemas: Json = None) -> Json:
    """A document in which the schema is the body of a request."""
    body = {"content": {"application/json": {"schema": schema}}, "required": True}
    paths = {"/things": {"post": {"requestBody": body, "responses": {"204": {"description": ""}}}}}
    return document(paths, version=version, components={"schemas": schemas or {}})


def answer(schema: Json, *, version: str = "3.1.0", schemas: Json = None) -> Json:
    """A document in which the schema is what is answered."""
    content = {"application/json": {"schema": schema}}
    paths = {"/things": {"get": {"responses": {"200": {"description": "", "content": content}}}}}
    return document(paths, version=version, components={"schemas": schemas or {}})


def changes(old: Json, new: Json) -> list[Change]:
    return compare(Document(old), Document(new))


def rules(old: Json, new: Json) -> list[str]:
    """The ids of the rules that are broken, in order."""
    return sorted(change.rule.id for change in changes(old, new))


# --- strategies -------------------------------------------------------------------------------------------------------
# Each is built once: to build and to check it takes longer than to draw from it.

NAMES = st.sampled_from(["id", "name", "size", "owner", "note", "kind"])
COMPONENTS = ["Item", "Owner", "Node", "Pet"]
FORMATS = st.sampled_from(["date-time", "uuid", "email", "int32", "int64"])


@cache
def scalars(old: bool) -> st.SearchStrategy[Json]:
    bounds = st.integers(-3, 3)
    numbers = st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": bounds,
            "maximum": bounds,
            "exclusiveMinimum": st.booleans() if old else bounds,
            "multipleOf": st.sampled_from([1, 2, 3, 0.5]),
            "format": st.sampled_from(["int32", "int64", "double"]),
        },
    )
    texts = st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(3, 6),
            "pattern": st.sampled_from(["^a", "b$"]),
            "format": FORMATS,
        },
    )
    enums = st.fixed_dictionaries(
        {"type": st.just("string"), "enum": st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)}
    )
    return st.one_of(numbers, texts, enums, st.just({"type": "boolean"}), st.just({}))


@cache
def schemas(old: bool, *, properties: bool = True) -> st.SearchStrategy[Json]:
    """Schemas that refer to `COMPONENTS`, also in circles; without `properties`, objects are maps only."""
    reference = st.sampled_from(COMPONENTS).map(lambda name: {"$ref": f"#/components/schemas/{name}"})

    def nullable(schema: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        if old:
            return schema.map(lambda found: found if "$ref" in found else {**found, "nullable": True})
        return schema.map(lambda found: {"anyOf": [found, {"type": "null"}]})

    def deeper(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        objects = st.dictionaries(NAMES, inner, max_size=3).flatmap(
            lambda properties: st.fixed_dictionaries(
                {"type": st.just("object"), "properties": st.just(properties)},
                optional={
                    "required": st.lists(st.sampled_from(sorted(properties) or ["id"]), unique=True, max_size=2),
                    "additionalProperties": st.one_of(st.booleans(), inner),
                },
            )
        )
        maps = st.fixed_dictionaries(
            {"type": st.just("object")}, optional={"additionalProperties": st.one_of(st.booleans(), inner)}
        )
        arrays = st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"maxItems": st.integers(0, 4), "uniqueItems": st.booleans()}
        )
        unions = st.builds(
            lambda keyword, members: {keyword: members},
            st.sampled_from(["anyOf", "oneOf"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        both = st.lists(inner, min_size=1, max_size=2).map(lambda members: {"allOf": members})
        negated = inner.map(lambda schema: {"not": schema})
        return st.one_of(objects if properties else maps, arrays, unions, both, nullable(inner), negated)

    return st.recursive(st.one_of(scalars(old), reference), deeper, max_leaves=6)


PATHS = st.lists(st.sampled_from(["/items", "/items/{id}", "/pets/{pet}/toys"]), unique=True, min_size=1)
METHODS = st.lists(st.sampled_from(["get", "post", "delete"]), unique=True, min_size=1)
PARAMETERS = st.lists(st.tuples(NAMES, st.sampled_from(["query", "header", "cookie"])), unique=True, max_size=2)
CODES = st.lists(st.sampled_from(["200", "201", "404", "4XX", "default"]), unique=True, min_size=1)
SECURITY = st.lists(st.sampled_from([{}, {"key": []}, {"token": ["read"]}, {"key": [], "token": []}]), max_size=2)


@st.composite
def documents(draw: st.DrawFn) -> Json:
    """Whole documents, 3.0 and 3.1, every reference of which leads somewhere."""
    old = draw(st.booleans())
    schema = schemas(old)
    paths: Json = {}
    for path in draw(PATHS):
        item: Json = {}
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        item["parameters"] = [{"name": name, "in": "path", "required": True, "schema": draw(scalars(old))} for name in names]
        for method in draw(METHODS):
            operation: Json = {"operationId": f"{method}{path}", "responses": {}}
            operation["parameters"] = [
                {"name": name, "in": place, "required": draw(st.booleans()), "schema": draw(schema)}
                for name, place in draw(PARAMETERS)
            ]
            if method == "post":
                operation["requestBody"] = {
                    "required": draw(st.booleans()),
                    "content": {"application/json": {"schema": draw(schema)}},
                }
            for code in draw(CODES):
                operation["responses"][code] = {"description": "", "content": {"application/json": {"schema": draw(schema)}}}
            if draw(st.booleans()):
                operation["security"] = draw(SECURITY)
            item[method] = operation
        paths[path] = item
    return document(
        paths,
        version="3.0.3" if old else "3.1.0",
        components={
            "schemas": {name: draw(schema) for name in COMPONENTS},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    )


@cache
def _some(names: str, *, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names.split()), unique=True, min_size=least, max_size=3)


@st.composite
def http_documents(draw: st.DrawFn) -> Json:
    """Documents with every part of HTTP, in which two things may share what a careless key would be made of."""
    schema = st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "array", "items": {"type": "string"}}, {}])
    types = "a/b a/b;v=1 a/b;v=2 A/B a/b;charset=utf-8 a/* */* multipart/form-data"

    def content() -> Json:
        form = {"encoding": {"f": {"contentType": draw(st.sampled_from(["image/png", "image/*"]))}}}
        properties = {"type": "object", "properties": {"f": {"type": "string"}}}
        return {
            name: {"schema": properties, **form} if name.startswith("m") else {"schema": draw(schema)}
            for name in draw(_some(types))
        }

    def parameter(name: str, location: str, **fields: Json) -> Json:
        held = {"content": {"a/b": {"schema": draw(schema)}}} if draw(st.booleans()) else {"schema": draw(schema)}
        return {"name": name, "in": location, **held, **fields}

    def headers() -> Json:
        return {name: {"schema": draw(schema), "required": draw(st.booleans())} for name in draw(_some("X-A x-a X-B"))}

    def responses(least: int = 0) -> Json:
        codes = draw(_some("200 201 2XX 2xx 404 4XX default", least=least))
        return {code: {"description": "", "headers": headers(), "content": content()} for code in codes}

    def called() -> Json:
        return {"post": {"requestBody": {"content": content()}, "responses": responses()}}

    def operation(path: str) -> Json:
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        found: Json = {"responses": responses()}
        found["parameters"] = [{"name": name, "in": "path", "required": True, "schema": draw(schema)} for name in names]
        found["parameters"] += [parameter(name, "header") for name in draw(_some("X-A x-a"))]
        found["parameters"] += [parameter(name, "query", explode=draw(st.booleans())) for name in draw(_some("q Q"))]
        if draw(st.booleans()):
            found["requestBody"] = {"content": content(), "required": draw(st.booleans())}
        expressions = _some("{$request.body#/a} {$request.body#/b} https://c/{$request.query.q}")
        found["callbacks"] = {name: {each: called() for each in draw(expressions)} for name in draw(_some("one two"))}
        found["security"] = [{key: ["r"] for key in names_} for names_ in draw(st.lists(_some("o p k l"), max_size=3))]
        return found

    paths = {
        path: {method: operation(path) for method in draw(_some("get post query"))}
        for path in draw(_some("/x /x/{a} /y/{b}/{a}"))
    }
    urls = draw(_some("/ https://a/v1 https://{r}.a https://{r}.a/v1 https://{free}.b"))
    variables = {"r": {"default": "eu", "enum": ["eu", "us"]}, "free": {"default": "x"}}
    flows = [{name: {"tokenUrl": "https://t", "scopes": {}} for name in draw(_some("password implicit"))} for _ in "op"]
    schemes = {name: {"type": "oauth2", "flows": flow} for name, flow in zip("op", flows, strict=True)}
    schemes |= {name: {"type": "apiKey", "in": "header", "name": key} for name, key in (("k", "X-K"), ("l", "x-k"))}
    return document(
        paths,
        version="3.2.0",
        servers=[{"url": url, "variables": variables} for url in urls],
        webhooks={name: called() for name in draw(_some("made Made"))},
        components={"securitySchemes": schemes},
    )


def reordered(value: Json) -> Json:
    """The same with every object's keys in another order, and every list whose order means nothing turned round."""
    if isinstance(value, list):
        return [reordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    turned = {}
    for key in reversed(list(value)):
        item = reordered(value[key])
        unordered = key in {"parameters", "required", "enum", "anyOf", "oneOf", "allOf", "security", "tags", "servers"}
        turned[key] = item[::-1] if unordered and isinstance(item, list) else item
    return turned


def renamed(value: Json) -> Json:
    """The same with every component schema called otherwise."""

    def change(item: Json, inside: str) -> Json:
        if isinstance(item, list):
            return [change(each, "") for each in item]
        if not isinstance(item, dict):
            return item.replace("#/components/schemas/", "#/components/schemas/New") if inside == "$ref" else item
        if inside == "schemas":
            return {f"New{key}": change(each, key) for key, each in item.items()}
        return {key: change(each, key) for key, each in item.items()}

    return change(copy.deepcopy(value), "")


def inlined(value: Json) -> Json:
    """The same with the references outside of `components` replaced by what they mean, once."""
    schemas_ = value["components"]["schemas"]

    def change(item: Json) -> Json:
        if isinstance(item, list):
            return [change(each) for each in item]
        if not isinstance(item, dict):
            return item
        reference = item.get("$ref")
        if isinstance(reference, str):
            return copy.deepcopy(schemas_[reference.rsplit("/", 1)[-1]])
        return {key: change(each) for key, each in item.items()}

    return {**value, "paths": change(value["paths"])}


REWRITINGS: list[Callable[[Json], Json]] = [copy.deepcopy, reordered, renamed, inlined]
