"""What one alternative of a schema allows, flat: every keyword of all its parts holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cicd_actions.verify_openapi_client.breaking.document import Part

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
"""JSON Schema's types; where `number` stands, `integer` does too, because every integer is a number."""

SCALARS = frozenset({"string", "number", "integer", "boolean"})


@dataclass(frozen=True)
class Bound:
    """An end of an interval."""

    value: int | float
    exclusive: bool


@dataclass(frozen=True)
class Whole:
    """A schema with its references and `allOf` followed: the parts that all hold. No parts: everything is allowed.

    `heirs` are the components on the way that inherit from a parent with a discriminator; `default` is the outermost one.
    """

    parts: tuple[Part, ...]
    never: bool = False
    null_too: bool = False
    heirs: frozenset[str] = frozenset()
    default: object = field(default=None, compare=False)

    @property
    def beside(self) -> tuple[bool, bool, frozenset[str]]:
        """Returns what counts beside the parts."""
        return self.never, self.null_too, self.heirs

    @cached_property
    def key(self) -> tuple[str, ...]:
        return (
            *(part.pointer for part in self.parts),
            *(("never",) if self.never else ()),
            *(("null",) if self.null_too else ()),
            *(f"as {heir}" for heir in sorted(self.heirs)),
        )


@dataclass
class Shape:
    """One alternative: what every value of it has to be."""

    key: tuple[str, ...]
    pointer: str
    place: str
    name: str = ""
    tags: frozenset[str] = frozenset()
    types: frozenset[str] = TYPES
    enum: dict[str, Any] | None = None
    extensible: dict[str, Any] = field(default_factory=dict)
    formats: frozenset[str] = frozenset()
    lower: Bound | None = None
    upper: Bound | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    multiples: frozenset[str] = frozenset()
    unique: bool = False
    patterns: frozenset[str] = frozenset()
    properties: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    additional: tuple[Part, ...] | bool = True
    items: tuple[Part, ...] | bool = True
    prefix: list[tuple[Part, ...]] = field(default_factory=list)
    constraints: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    others: dict[str, frozenset[str]] = field(default_factory=dict)
    where: dict[str, Part] = field(default_factory=dict)

    def origin(self, keyword: str) -> Part:
        """Where the keyword stands, or the shape itself."""
        return self.where.get(keyword) or Part(None, self.pointer, self.place)


@dataclass(frozen=True)
class Meaning:
    """What a schema allows: null or not, and the alternatives (without null). `discriminator` is a property's name.

    `exclusive` says that a value may fit one alternative only (`oneOf`). `singles` is what a text may be besides: one value of
    a list, where it travels in a URL or header.
    """

    nullable: bool
    shapes: tuple[Shape, ...]
    discriminator: str = ""
    exclusive: bool = False
    singles: tuple[Shape, ...] = ()


def types_of(value: Any) -> tuple[str, ...]:
    """The types that a value has; a fraction counts as a number and all its integers, as `number` does."""
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return ("integer",)
    if isinstance(value, float):
        return ("number", "integer")
    if isinstance(value, str):
        return ("string",)
    return ("array",) if isinstance(value, list) else ("object",)
