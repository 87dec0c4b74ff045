"""The rules: what a change is called, why it breaks whom, and how to reach the same end compatibly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Effect(str, Enum):
    """What a change does: it breaks a caller on the wire, or only the names in generated code."""

    BREAKING = "breaking"
    GENERATED_SYMBOL = "generated-symbol"

    def __str__(self) -> str:
        return self.value


class Flow(str, Enum):
    """Which way a document travels: `request` from the caller to the API, `response` back."""

    REQUEST = "request"
    RESPONSE = "response"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Rule:
    """One kind of change. `whom` finishes "This breaks …"; `why` and `compatibly` are sentences.

    A `removal` is accepted once what is removed was deprecated.
    """

    id: str
    title: str
    whom: str
    why: str
    compatibly: str
    effect: Effect = Effect.BREAKING
    removal: bool = False


_ALL: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = _ALL
"""Every rule by its id."""


def rule(
    id: str,
    title: str,
    *,
    whom: str,
    why: str,
    compatibly: str,
    effect: Effect = Effect.BREAKING,
    removal: bool = False,
) -> Rule:
    """Registers a rule. Raises `ValueError` for an id that is taken."""
    if id in _ALL:
        raise ValueError(f"two rules are called {id}")
    made = Rule(id, title, whom, why, compatibly, effect, removal)
    _ALL[id] = made
    return made


def for_flow(kind: str, flow: Flow) -> Rule:
    """The rule of a schema's difference in the direction in which it breaks."""
    return _ALL[f"{flow}-{kind}"]


_SENDERS = "callers that send it"
_READERS = "callers that read the answer"
_ADD_NEW = "Add a new property or operation beside it, mark the old one `deprecated`, and remove it when no caller uses it."


def _both(kind: str, request: tuple[str, str, str], response: tuple[str, str, str], *, removal: bool = False) -> None:
    """Registers two rules of one difference: (title, why, compatibly) where the request narrows, and the response widens."""
    rule(f"request-{kind}", request[0], whom=_SENDERS, why=request[1], compatibly=request[2], removal=removal)
    rule(f"response-{kind}", response[0], whom=_READERS, why=response[1], compatibly=response[2], removal=removal)


DEFAULT = rule(
    "request-default",
    "a default changed or is removed",
    whom="callers that leave the value out",
    why="The API now does something else for the same request.",
    compatibly="Keep the default. To change it, add a new parameter or property, or a new operation.",
)


_both(
    "type",
    (
        "a type is no longer accepted",
        "What callers send today is now refused.",
        f"Accept both types for a while. {_ADD_NEW}",
    ),
    (
        "a new type is answered",
        "Callers read the value as the type that it has today.",
        _ADD_NEW,
    ),
)
_both(
    "null",
    (
        "null is no longer accepted",
        "Callers that send null are now refused.",
        "Keep accepting null, and read it as the default.",
    ),
    (
        "null may be answered",
        "Callers that read the value without a check for null fail on it.",
        "Answer an empty value, or add a new property that may be null.",
    ),
)
_both(
    "enum",
    (
        "the values are restricted to an enum",
        "Values outside the list, which were accepted, are now refused.",
        "Accept any value, and map the unknown ones to one of the list.",
    ),
    (
        "the values are no longer restricted to an enum",
        "Callers that handle every value of the list meet values that they do not know.",
        "Keep the list, and add a new property for the free text.",
    ),
)
_both(
    "enum-value",
    (
        "an enum's value is no longer accepted",
        "Callers that send this value are now refused.",
        "Keep accepting the value, and map it to its successor.",
    ),
    (
        "an enum has a new value",
        "Callers that handle every value of the list meet one that they do not know (an exhaustive `switch`, a strict parser).",
        "Answer the new value only to callers that ask for it, or in a new property; announce new enums as open at once.",
    ),
)
_both(
    "format",
    (
        "the format is stricter",
        "Values that were accepted do not have the new format.",
        "Keep accepting the old format, or add a new property with the new one.",
    ),
    (
        "the format changed",
        "Callers parse the value in the format that it has today.",
        "Add a new property with the new format, and keep the old one for a while.",
    ),
)
_both(
    "bound",
    (
        "a bound is tighter",
        "Values that were accepted lie outside the new bound.",
        "Keep the old bound for what exists, or cut the value instead of refusing it.",
    ),
    (
        "a bound is looser",
        "Callers that rely on the bound (a column's width, a buffer) meet values beyond it.",
        "Keep the bound, or add a new property without it.",
    ),
)
_both(
    "pattern",
    (
        "a pattern is new or changed",
        "Values that were accepted may not match it. (Patterns are compared as text, apart from equal spellings.)",
        "Keep accepting what the old pattern accepted.",
    ),
    (
        "a pattern is removed or changed",
        "Callers that rely on the pattern meet values that do not match it.",
        "Keep the pattern, or add a new property without it.",
    ),
)
_both(
    "required",
    (
        "a property is newly required",
        "Requests without it, which were accepted, are now refused.",
        "Keep it optional, with a default for callers that do not send it.",
    ),
    (
        "a property may be missing from the answer",
        "Callers read it without a check, because it was always there.",
        "Keep answering it always, with an empty or default value.",
    ),
)
_both(
    "property-removed",
    (
        "a property is removed from the request",
        "The API silently ignores what callers send, or refuses it.",
        "Keep accepting it, mark it `deprecated`, and remove it when no caller sends it.",
    ),
    (
        "a property is removed from the answer",
        "Callers that read it get nothing.",
        "Keep answering it, mark it `deprecated`, and remove it when no caller reads it.",
    ),
    removal=True,
)
_both(
    "property-hidden",
    (
        "a property is now read-only",
        "The API ignores or refuses what callers send in it.",
        "Keep accepting it, and add a read-only property with another name.",
    ),
    (
        "a property is now write-only",
        "The answer no longer has the property.",
        "Keep answering it, and add a write-only property with another name.",
    ),
)
_both(
    "property-closed",
    (
        "a property is no longer allowed",
        "The object takes no further properties, so requests that have this one are refused.",
        "Keep accepting the property, and ignore it.",
    ),
    (
        "a property is added to a closed object",
        "The object was promised to have no further properties (`additionalProperties: false`): strict callers refuse it.",
        "Open the object in one release, and add the property in a later one.",
    ),
)
_both(
    "additional",
    (
        "further properties are no longer accepted",
        "Requests with properties beyond the listed ones are now refused.",
        "Keep accepting further properties, and ignore them.",
    ),
    (
        "further properties may be answered",
        "The document promised that there are none beyond the listed ones, or promised their type.",
        "Keep the object closed, and move the rest into a separate property.",
    ),
)
_both(
    "alternative",
    (
        "an alternative is no longer accepted",
        "Callers that send this alternative are now refused.",
        "Keep accepting the alternative for a while.",
    ),
    (
        "an alternative may be answered that was not there",
        "Callers handle the alternatives of today and fail on a new one.",
        "Answer it only to callers that ask for it, or in a new property.",
    ),
)
rule(
    "request-overlap",
    "a value fits several alternatives of `oneOf`",
    whom=_SENDERS,
    why="`oneOf` refuses a value that fits more than one alternative.",
    compatibly="Use `anyOf`, or tell the alternatives apart by a required property with a constant.",
)
_both(
    "discriminator",
    (
        "the discriminator changed",
        "Callers send the old property or value to say which alternative it is.",
        "Keep accepting the old discriminator beside the new one.",
    ),
    (
        "the discriminator changed",
        "Callers tell the alternatives apart by the old property or value.",
        "Keep answering the old discriminator beside the new one.",
    ),
)
_both(
    "constraint",
    (
        "a constraint is new or changed",
        "Values that were accepted may not meet it.",
        "Keep accepting what was accepted.",
    ),
    (
        "a constraint is removed or changed",
        "Callers that rely on it meet values that do not meet it.",
        "Keep the constraint, or add a new property without it.",
    ),
)
