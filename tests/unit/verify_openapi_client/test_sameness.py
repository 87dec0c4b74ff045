"""Equality of parts of two documents, by what their references lead to."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking.document import Document, Part
from cicd_actions.verify_openapi_client.breaking.sameness import Sameness


def _document(kind: str) -> Document:
    schemas = {"A": {"type": kind}, "B": {"$ref": "#/components/schemas/A"}, "C": {"$ref": "#/components/schemas/B"}}
    return Document({"openapi": "3.1.0", "components": {"schemas": schemas}})


def test_sameness_of_short_lived_values_never_takes_one_for_another() -> None:
    # Python gives a new object the id of one that is gone.
    sameness = Sameness(_document("string"), _document("string"))

    def same(one: int, other: int) -> bool:
        parts = [(Part({"type": "string", "maxLength": each}, "#", "#"),) for each in (one, other)]
        return sameness.same(*parts)

    for number in range(200):
        assert same(number, number - number % 2) is (number % 2 == 0)


def test_sameness_of_a_reference_to_a_changed_target_is_false() -> None:
    part = Part({"$ref": "#/components/schemas/B"}, "#", "#")
    assert Sameness(_document("string"), _document("string")).same((part,), (part,))
    assert not Sameness(_document("string"), _document("integer")).same((part,), (part,))
