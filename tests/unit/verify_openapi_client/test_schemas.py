"""Each difference of schemas, in the direction in which it breaks, and not in the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.verify_openapi_client.documents import answer, changes, echo, rules

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def closed(**properties: Any) -> Any:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def thing(*required: str, **properties: Any) -> Any:
    return {"type": "object", "properties": properties, "required": list(required)}


def patterned(**patterns: Any) -> Any:
    return {"type": "object", "patternProperties": patterns}


def conditional(schema: Any) -> Any:
    return {"type": "object", "if": {"required": ["a"]}, "then": thing(b=schema)}


NARROWER = [
    # (kind, wide, narrow): a request breaks from wide to narrow, an answer from narrow to wide
    ("type", {"type": ["string", "integer"]}, STRING),
    ("type", {"type": "number"}, INTEGER),
    ("type", {}, STRING),
    ("null", {"type": ["string", "null"]}, STRING),
    ("null", {"anyOf": [STRING, {"type": "null"}]}, STRING),
    ("null", {"anyOf": [STRING, {"type": "null"}]}, {"anyOf": [STRING]}),
    ("null", {"enum": ["a", None]}, {"enum": ["a"]}),
    ("enum", STRING, {"type": "string", "enum": ["a"]}),
    ("enum", STRING, {"const": "a"}),
    ("enum-value", {"enum": ["a", "b"]}, {"enum": ["a"]}),
    ("enum-value", {"enum": ["a", "b"]}, {"const": "a"}),
    ("enum-value", {"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, {"enum": ["a"]}),
    ("format", STRING, {"type": "string", "format": "uuid"}),
    ("format", {"type": "integer", "format": "int64"}, {"type": "integer", "format": "int32"}),
    ("bound", INTEGER, {"type": "integer", "minimum": 1}),
    ("bound", {"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 2}),
    ("bound", {"type": "number", "minimum": 1}, {"type": "number", "exclusiveMinimum": 1}),
    ("bound", {"type": "integer", "maximum": 10}, {"type": "integer", "maximum": 5}),
    ("bound", {"type": "string", "maxLength": 10}, {"type": "string", "maxLength": 5}),
    ("bound", STRING, {"type": "string", "minLength": 1}),
    ("bound", {"type": "array"}, {"type": "array", "maxItems": 3}),
    ("bound", {"type": "object"}, {"type": "object", "minProperties": 1}),
    ("bound", INTEGER, {"type": "integer", "multipleOf": 5}),
    ("bound", {"type": "integer", "multipleOf": 5}, {"type": "integer", "multipleOf": 10}),
    ("pattern", STRING, {"type": "string", "pattern": "^a"}),
    ("required", thing(a=STRING), thing("a", a=STRING)),
    ("additional", thing(a=STRING), closed(a=STRING)),
    ("additional", {"type": "object"}, {"type": "object", "additionalProperties": STRING}),
    (
        "type",
        {"type": "object", "additionalProperties": {"type": "number"}},
        {"type": "object", "additionalProperties": INTEGER},
    ),
    ("type", {"type": "array", "items": {"type": "number"}}, {"type": "array", "items": INTEGER}),
    ("type", {"type": "array"}, {"type": "array", "items": INTEGER}),
    ("type", {"type": "array", "prefixItems": [{"type": "number"}]}, {"type": "array", "prefixItems": [INTEGER]}),
    ("constraint", {"type": "array"}, {"type": "array", "uniqueItems": True}),
    ("constraint", {"type": "array"}, {"type": "array", "contains": STRING}),
    ("constraint", {"type": "object"}, {"type": "object", "propertyNames": {"pattern": "^a"}}),
    ("type", {"not": INTEGER}, {"not": {"type": "number"}}),
    ("bound", {"type": "object", "propertyNames": {"maxLength": 9}}, {"type": "object", "propertyNames": {"maxLength": 5}}),
    ("type", patterned(**{"^a": {"type": "number"}}), patterned(**{"^a": INTEGER})),
    ("constraint", {"type": "object"}, patterned(**{"^a": INTEGER})),
    ("constraint", {"type": "object"}, {"type": "object", "dependentRequired": {"a": ["b"]}}),
    (
        "constraint",
        {"dependentSchemas": {}, "type": "object"},
        {"type": "object", "dependentSchemas": {"a": {"minProperties": 2}}},
    ),
    ("type", {"type": "array", "contains": {"type": "number"}}, {"type": "array", "contains": INTEGER}),
    ("constraint", {"type": "array", "contains": STRING}, {"type": "array", "contains": STRING, "minContains": 2}),
    ("constraint", {"type": "array", "contains": STRING}, {"type": "array", "contains": STRING, "maxContains": 2}),
    ("type", conditional({"type": "number"}), conditional(INTEGER)),
    ("constraint", STRING, {"type": "string", "contentSchema": INTEGER}),
    ("format", STRING, {"type": "string", "contentEncoding": "base16"}),
    ("format", STRING, {"type": "string", "contentMediaType": "text/html"}),
    ("alternative", {"anyOf": [STRING, thing(a=STRING)]}, STRING),
    ("alternative", {"anyOf": [STRING, INTEGER, {"type": "boolean"}]}, {"anyOf": [STRING, INTEGER]}),
    ("bound", {"allOf": [STRING, {"maxLength": 9}]}, {"type": "string", "maxLength": 5}),
    ("type", {"allOf": [thing(a={"type": "number"})]}, {"allOf": [thing(a=INTEGER)]}),
]


@pytest.mark.parametrize(
    ("kind", "wide", "narrow"), NARROWER, ids=[f"{kind}-{index}" for index, (kind, *_) in enumerate(NARROWER)]
)
def test_a_narrower_schema_breaks_requests_and_a_wider_one_answers(kind: str, wide: Any, narrow: Any) -> None:
    assert set(rules(echo(wide), echo(narrow))) == {f"request-{kind}"}
    assert rules(echo(narrow), echo(wide)) == []
    assert set(rules(answer(narrow), answer(wide))) == {f"response-{kind}"}
    assert rules(answer(wide), answer(narrow)) == []


def test_a_property_that_is_removed_is_lost_in_both_directions() -> None:
    old, new = thing(a=STRING, b=STRING), thing(a=STRING)
    assert rules(echo(old), echo(new)) == ["request-property-removed"]
    assert rules(answer(old), answer(new)) == ["response-property-removed"]
    assert rules(echo(closed(a=STRING, b=STRING)), echo(closed(a=STRING))) == ["request-property-closed"]


def test_an_added_property_breaks_only_where_none_was_promised() -> None:
    assert rules(echo(thing(a=STRING)), echo(thing(a=STRING, b=STRING))) == []
    assert rules(answer(thing(a=STRING)), answer(thing(a=STRING, b=STRING))) == []
    assert rules(answer(closed(a=STRING)), answer(closed(a=STRING, b=STRING))) == ["response-property-closed"]
    assert rules(echo(closed(a=STRING)), echo(closed(a=STRING, b=STRING))) == []
    assert rules(echo(thing(a=STRING)), echo(thing("b", a=STRING, b=STRING))) == ["request-required"]
    assert rules(answer(thing("a", a=STRING)), answer(thing(a=STRING))) == ["response-required"]


def test_a_property_of_a_map_keeps_the_map_s_type() -> None:
    numbers = {"type": "object", "additionalProperties": INTEGER}
    named = {**numbers, "properties": {"total": STRING}}
    assert rules(echo(numbers), echo(named)) == ["request-type"]
    assert rules(answer(numbers), answer(named)) == ["response-type"]
    assert rules(echo(numbers), echo({**numbers, "properties": {"total": INTEGER}})) == []


def test_a_renamed_property_says_what_it_became() -> None:
    old, new = thing(name={**STRING, "title": "Name"}), thing(label={**STRING, "title": "Label"})
    (found,) = changes(answer(old), answer(new))
    assert "(Renamed to `label`?)" in found.what
    assert found.in_base
    assert found.pointer.endswith("/properties/name")


def test_read_only_properties_are_not_sent_and_write_only_ones_not_answered() -> None:
    old = thing(a=STRING, id={**INTEGER, "readOnly": True}, secret={**STRING, "writeOnly": True})
    new = thing(a=STRING)
    assert [change.detail for change in changes(echo(old), echo(new))] == ["secret"]
    assert [change.detail for change in changes(answer(old), answer(new))] == ["id"]
    required = {**old, "required": ["id"]}
    assert rules(echo(old), echo(required)) == []
    plain = thing(n=STRING)
    assert rules(echo(plain), echo(thing(n={**STRING, "readOnly": True}))) == ["request-property-hidden"]
    assert rules(answer(plain), answer(thing(n={**STRING, "writeOnly": True}))) == ["response-property-hidden"]
    writable = {**required, "properties": {**old["properties"], "id": INTEGER}}
    assert rules(echo(required), echo(writable)) == ["request-required"]
    answered = thing("secret", a=STRING, id=INTEGER, secret=STRING)
    assert rules(answer({**old, "required": ["secret"]}), answer(answered)) == []


def test_a_default_of_a_request_is_part_of_what_it_means() -> None:
    def page(*required: str, **size: Any) -> Any:
        return thing(*required, size={"type": "integer", **size})

    assert rules(echo(page(default=10)), echo(page(default=100))) == ["request-default"]
    assert rules(echo(page(default=10)), echo(page())) == ["request-default"]
    assert rules(echo(page()), echo(page(default=10))) == []
    assert rules(echo(page("size", default=10)), echo(page("size", default=100))) == []
    assert rules(answer(page(default=10)), answer(page(default=100))) == []
    wrapped = [thing(size={"allOf": [{"$ref": "#/components/schemas/N"}], "default": number}) for number in (1, 2)]
    assert rules(*(echo(each, schemas={"N": INTEGER}) for each in wrapped)) == ["request-default"]


def test_one_of_refuses_what_fits_two_of_it() -> None:
    loose, tight = ({keyword: [thing(a=STRING), thing(b=STRING)]} for keyword in ("anyOf", "oneOf"))
    assert rules(echo(loose), echo(tight)) == ["request-overlap"]
    assert rules(answer(loose), answer(tight)) == []
    assert rules(echo(tight), echo(loose)) == []
    assert rules(echo({"not": tight}), echo({"not": loose})) == ["request-overlap"]
    assert rules(echo({"not": loose}), echo({"not": tight})) == []
    assert rules(answer({"not": loose}), answer({"not": tight})) == []
    assert rules(answer({"not": tight}), answer({"not": loose})) == []
    short, long = {"type": "string", "maxLength": 3}, {"type": "string", "minLength": 5}
    assert rules(echo({"anyOf": [short, long]}), echo({"oneOf": [short, long]})) == []
    wider = {"type": "string", "maxLength": 7}
    assert rules(echo({"oneOf": [short, long]}), echo({"oneOf": [wider, long]})) == ["request-overlap"]
    assert (
        rules(
            echo({"anyOf": [closed(a=STRING), thing("b", b=STRING)]}), echo({"oneOf": [closed(a=STRING), thing("b", b=STRING)]})
        )
        == []
    )


def test_references_by_anchor_and_identifier_are_followed() -> None:
    def schemas(target: Any) -> Any:
        return {
            "Anchored": {"$anchor": "here", **target},
            "Own": {
                "$id": "https://example.com/own",
                "type": "object",
                "properties": {
                    "pointer": {"$ref": "#/$defs/n"},
                    "dynamic": {"$dynamicRef": "#n"},
                },
                "$defs": {"n": {"$dynamicAnchor": "n", **target}},
            },
        }

    references = ("#here", "https://example.com/own#/properties/pointer", "https://example.com/own#n")
    for reference in references:
        old, new = (answer({"$ref": reference}, schemas=schemas(each)) for each in (INTEGER, STRING))
        assert rules(old, old) == []
        assert rules(old, new) == ["response-type"]
    old, new = (answer({"$ref": "#/components/schemas/Own"}, schemas=schemas(each)) for each in (INTEGER, STRING))
    assert rules(old, new) == ["response-type"]


def test_a_dynamic_reference_that_others_override_counts_with_all_of_them() -> None:
    def schemas(item: Any) -> Any:
        page = thing(items={"type": "array", "items": {"$dynamicRef": "#item"}})
        return {
            "Page": {"$id": "https://example.com/page", **page, "$defs": {"item": {"$dynamicAnchor": "item"}}},
            "Pets": {
                "$id": "https://example.com/pets",
                "$ref": "page",
                "$defs": {"pet": {"$dynamicAnchor": "item", **item}},
            },
        }

    old, new = (answer({"$ref": "#/components/schemas/Pets"}, schemas=schemas(each)) for each in (INTEGER, STRING))
    assert rules(old, old) == []
    assert rules(old, new) == ["response-constraint"]


def test_heirs_of_a_parent_with_a_discriminator_are_its_alternatives() -> None:
    def pets(**cat: Any) -> Any:
        pet = {"$ref": "#/components/schemas/Pet"}
        return {
            "Pet": {**thing("kind", kind=STRING), "discriminator": {"propertyName": "kind"}},
            "Cat": {"allOf": [pet, *([thing(**cat)] if cat else [])]},
        }

    reference = {"$ref": "#/components/schemas/Pet"}
    old = answer(reference, schemas=pets(lives=INTEGER))
    assert rules(old, old) == []
    assert rules(old, answer(reference, schemas=pets())) == ["response-property-removed"]
    assert rules(old, answer(reference, schemas=pets(lives={"type": "number"}))) == ["response-type"]
    more = {**pets(lives=INTEGER), "Dog": {"allOf": [reference]}}
    assert rules(old, answer(reference, schemas=more)) == ["response-discriminator"]
    assert rules(echo(reference, schemas=pets(lives=INTEGER)), echo(reference, schemas=more)) == []


THREE_OH = {
    "null": ({"type": "string", "nullable": True}, STRING),
    "bound": ({"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 1, "exclusiveMinimum": True}),
}


@pytest.mark.parametrize("kind", THREE_OH)
def test_the_spellings_of_openapi_3_0(kind: str) -> None:
    wide, narrow = THREE_OH[kind]
    old, new = echo(wide, version="3.0.3"), echo(narrow, version="3.0.3")
    assert rules(old, new) == [f"request-{kind}"]
    assert rules(new, old) == []


SAME = [
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    ({"type": "string", "nullable": True}, {"anyOf": [STRING, {"type": "null"}]}),
    ({"type": "string", "nullable": True}, {"oneOf": [{"type": "null"}, STRING]}),
    ({"type": "string", "enum": ["a"], "nullable": True}, {"enum": ["a", None]}),
    ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 0}),
    ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, {"type": "integer", "minimum": 1}),
    ({"type": "number", "maximum": 0, "exclusiveMaximum": True}, {"type": "number", "exclusiveMaximum": 0}),
    ({"type": "string", "enum": ["a"]}, {"const": "a"}),
    ({"type": "string", "format": "binary"}, {"type": "string", "contentMediaType": "application/octet-stream"}),
    (
        {"allOf": [{"$ref": "#/components/schemas/A"}], "nullable": True},
        {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]},
    ),
]


@pytest.mark.parametrize(("old", "new"), SAME, ids=range(len(SAME)))
def test_3_0_and_3_1_say_the_same_in_two_ways(old: Any, new: Any) -> None:
    schemas = {"A": thing("a", a=STRING)}
    for make in (echo, answer):
        one, other = make(old, version="3.0.3", schemas=schemas), make(new, schemas=schemas)
        assert rules(one, other) == []
        assert rules(other, one) == []


EQUAL = [
    ({"type": ["string", "integer"]}, {"anyOf": [STRING, INTEGER]}),
    ({"anyOf": [STRING, INTEGER]}, {"oneOf": [INTEGER, STRING]}),
    ({"type": "boolean"}, {"type": "boolean", "enum": [True, False]}),
    ({"type": "object", "additionalProperties": True}, {"type": "object"}),
    ({"type": "object", "additionalProperties": {}}, {"type": "object"}),
    ({"type": "integer", "multipleOf": 1}, INTEGER),
    ({"allOf": [thing("a", a=STRING), thing(b=STRING)]}, thing("a", a=STRING, b=STRING)),
    ({**STRING, "description": "x", "example": "y", "title": "z", "deprecated": True, "default": "q"}, STRING),
    ({"enum": [1, 2.0]}, {"enum": [2, 1.0]}),
    ({"properties": {"a": STRING}}, thing(a=STRING)),
    ({"$ref": "#/components/schemas/Loop"}, {"$ref": "#/components/schemas/Same"}),
    ({"anyOf": [{"$ref": "#/components/schemas/Self"}, STRING]}, STRING),
    ({"type": "string", "pattern": "^.*$"}, STRING),
    ({"type": "string", "pattern": r"^\d{1,}.*$"}, {"type": "string", "pattern": "^[0-9]+"}),
    ({"type": "string", "format": "password"}, STRING),
    ({"type": "string", "format": "byte"}, {"type": "string", "contentEncoding": "base64"}),
    (patterned(**{r"^\d": {**STRING, "example": "x"}}), patterned(**{"^[0-9]": STRING})),
    ({**STRING, "if": {"minLength": 1}}, STRING),
    ({"not": {**INTEGER, "example": 1, "title": "x"}}, {"not": INTEGER}),
]


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=range(len(EQUAL)))
def test_two_ways_to_say_the_same(one: Any, other: Any) -> None:
    schemas = {
        "Loop": thing(next={"$ref": "#/components/schemas/Loop"}),
        "Same": thing(next={"$ref": "#/components/schemas/Loop"}),
        "Self": {"anyOf": [{"$ref": "#/components/schemas/Self"}, STRING]},
    }
    for make in (echo, answer):
        assert rules(make(one, schemas=schemas), make(other, schemas=schemas)) == []
        assert rules(make(other, schemas=schemas), make(one, schemas=schemas)) == []


def test_true_is_not_one() -> None:
    assert rules(echo({"enum": [1, True]}), echo({"enum": [1]})) != []
    assert rules(echo({"const": True}), echo({"const": 1})) != []


def test_a_change_deep_in_a_cycle_is_found_once() -> None:
    def node(**value: Any) -> Any:
        link = {"$ref": "#/components/schemas/Node"}
        return {"Node": thing("value", value=value, next=link, others={"type": "array", "items": link})}

    reference = {"$ref": "#/components/schemas/Node"}
    (found,) = changes(echo(reference, schemas=node(type="number")), echo(reference, schemas=node(type="integer")))
    assert found.rule.id == "request-type"
    assert found.pointer == "#/components/schemas/Node/properties/value/type"
    assert found.what.startswith("`Node.value`: ")


def test_values_of_an_enum_have_to_fit_a_bound() -> None:
    assert rules(echo({"enum": ["a", "bb"]}), echo({"type": "string", "maxLength": 2})) == []
    assert rules(echo({"enum": ["a", "bbb"]}), echo({"type": "string", "maxLength": 2})) == ["request-bound"]


def union(*names: str, mapping: Any = None, keyword: str = "oneOf") -> Any:
    return {
        keyword: [{"$ref": f"#/components/schemas/{name}"} for name in names],
        "discriminator": {"propertyName": "kind", **({"mapping": mapping} if mapping else {})},
    }


PETS = {
    "Cat": thing("kind", kind=STRING, lives=INTEGER),
    "Dog": thing("kind", kind=STRING, barks={"type": "boolean"}),
    "Hound": thing("kind", kind=STRING, barks={"type": "boolean"}),
}


def test_a_discriminator_s_value_is_part_of_the_wire() -> None:
    old = echo(union("Cat", "Dog"), schemas=PETS)
    assert rules(old, echo(union("Dog", "Cat"), schemas=PETS)) == []
    assert rules(old, echo(union("Cat"), schemas=PETS)) == ["request-alternative"]
    # Without a mapping the value is the component's name, so that a new name is a new value.
    assert rules(old, echo(union("Cat", "Hound"), schemas=PETS)) == ["request-discriminator"]
    assert rules(answer(union("Cat", "Dog"), schemas=PETS), answer(union("Cat", "Hound"), schemas=PETS)) == [
        "response-discriminator"
    ]
    mapped = {"Cat": "#/components/schemas/Cat", "Dog": "Hound"}
    assert rules(old, echo(union("Cat", "Hound", mapping=mapped), schemas=PETS)) == []
    other = union("Cat", "Dog")
    other["discriminator"]["propertyName"] = "species"
    assert "request-discriminator" in rules(old, echo(other, schemas=PETS))
    assert rules(answer(union("Cat"), schemas=PETS), answer(union("Cat", "Dog"), schemas=PETS)) == ["response-alternative"]


def test_a_discriminator_on_an_old_union_asks_for_its_values() -> None:
    plain = union("Cat", "Dog")
    del plain["discriminator"]
    assert rules(echo(plain, schemas=PETS), echo(union("Cat", "Dog"), schemas=PETS)) == ["request-discriminator"]
    assert rules(answer(plain, schemas=PETS), answer(union("Cat", "Dog"), schemas=PETS)) == []
    constant = {name: thing("kind", kind={"const": name}) for name in ("Cat", "Dog")}
    assert rules(echo(plain, schemas=constant), echo(union("Cat", "Dog"), schemas=constant)) == []


def test_an_alternative_that_changed_says_what_changed() -> None:
    new = {**PETS, "Dog": thing("kind", "barks", kind=STRING, barks={"type": "boolean"})}
    (found,) = changes(echo(union("Cat", "Dog"), schemas=PETS), echo(union("Cat", "Dog"), schemas=new))
    assert (found.rule.id, found.detail) == ("request-required", "barks")


def test_a_tagged_union_without_discriminator() -> None:
    def tagged(tag: str, **properties: Any) -> Any:
        return thing("tag", tag={"const": tag}, **properties)

    old = {"anyOf": [tagged("a", x=INTEGER), tagged("b", y=INTEGER)]}
    new = {"anyOf": [tagged("b", y=INTEGER), tagged("a", x={"type": "number"})]}
    assert rules(echo(old), echo(new)) == []
    assert set(rules(answer(old), answer(new))) <= {"response-type", "response-alternative"} != set()


def test_a_union_too_large_to_multiply_out_is_compared_by_its_text() -> None:
    members = [{"type": "string", "pattern": f"^{index}"} for index in range(600)]
    old = {"anyOf": members}
    assert rules(echo(old), echo({"anyOf": [*reversed(members)]})) == []
    assert rules(echo(old), echo({"anyOf": members[1:]})) == ["request-constraint"]
