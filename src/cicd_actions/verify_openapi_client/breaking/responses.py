"""Compares responses: status codes, headers, and bodies."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking import bodies, parameters
from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Part, mapping
from cicd_actions.verify_openapi_client.breaking.matching import Covered, covering, one_to_one
from cicd_actions.verify_openapi_client.breaking.rules import Flow, rule

CODE_REMOVED = rule(
    "response-code-removed",
    "a success status code is no longer answered",
    whom="callers that handle it",
    why="They get another code instead, which they may treat as an error, or as another kind of success.",
    compatibly="Keep answering the code, or add an operation that answers the new one.",
)
CODE_ADDED = rule(
    "response-success-code-added",
    "a further success status code is answered",
    whom="callers that know the success codes",
    why="They treat an unknown code, or an answer without the expected body, as an error.",
    compatibly="Answer the new code only to callers that ask for it (`Prefer: respond-async`), or in a new operation.",
)
HEADER_REMOVED = rule(
    "response-header-removed",
    "a header is no longer answered",
    whom="callers that read it",
    why="The header is missing from the answer.",
    compatibly="Keep answering the header until no caller reads it.",
    removal=True,
)
HEADER_OPTIONAL = rule(
    "response-header-optional",
    "a header may be missing from the answer",
    whom="callers that read it",
    why="They read it without a check, because it was always present.",
    compatibly="Keep answering the header always.",
)
HEADER_SERIALIZATION = rule(
    "response-header-serialization",
    "a header is written another way",
    whom="callers that read it",
    why="They parse the header's text in the old form.",
    compatibly="Add a header with another name for the new form, and keep the old one for a while.",
)


def compare(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    """Compares the responses of one operation. Codes of errors may come and go; a body has to fit the code that covered it."""
    before, after = list(old.entries()), list(new.entries())
    found = codes(after, before)
    for (_, answered), (_, known) in found.pairs:
        followed, theirs = comparison.old.followed(known), comparison.new.followed(answered)
        one = Part(followed.raw, followed.pointer, known.place)
        bodies.compare_content(comparison, label, one, theirs, Flow.RESPONSE)
        _headers(comparison, label, one, theirs)
    for code, part in found.missing:
        if code[:1] == "2":
            now = f" (Now: {', '.join(sorted(name for name, _ in after))}.)" if after else ""
            comparison.found(CODE_REMOVED, f"The status code {code} is removed.{now}", (label,), part, in_base=True)
    for code, part in found.unknown:
        if code[:1] == "2" and before:
            at = Part(part.raw, part.pointer, f"{old.place}/{code}")
            comparison.found(CODE_ADDED, f"The status code {code} is added.", (label,), at, in_base=False)


def codes(sent: list[tuple[str, Part]], known: list[tuple[str, Part]]) -> Covered[tuple[str, Part]]:
    """Pairs the status codes that are sent with those that the other end handles."""
    return covering(sent, known, lambda wide, narrow: _rank(wide[0], narrow[0]), ranges=True)


def _rank(wide: str, narrow: str) -> int:
    """A code is covered by itself, its range (`2XX`), or `default` (OpenAPI 3.1.1, section 4.8.16)."""
    if wide == narrow:
        return 4
    if wide.upper() == narrow.upper():
        return 3
    if wide.upper() == f"{narrow[:1]}XX":
        return 2
    return int(wide == "default" and not narrow.startswith("x-"))


def _headers(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    if not old.has("headers"):
        return  # a new header breaks nothing
    # The media types say what `Content-Type` is.
    before, after = (
        [entry for entry in each.at("headers").entries() if entry[0].lower() != "content-type"] for each in (old, new)
    )
    matched = one_to_one(before, after, lambda entry: entry[0], lambda entry: entry[0].lower())
    for name, part in matched.removed:
        comparison.found(HEADER_REMOVED, f"The header {name} is removed.", (label,), part, in_base=True)
    for (name, part), (_, other) in matched.pairs:
        header, theirs = comparison.old.followed(part), comparison.new.followed(other)
        at = Part(theirs.raw, theirs.pointer, part.place)
        if mapping(header.raw).get("required") is True and mapping(theirs.raw).get("required") is not True:
            comparison.found(HEADER_OPTIONAL, f"The header {name} may be missing.", (label,), at, in_base=False)
        one, two = (parameters.serialization(each, "header") for each in (header, theirs))
        if one.media != two.media:
            what = f"The header {name} goes from {one.media or 'plain text'} to {two.media or 'plain text'}."
            comparison.found(HEADER_SERIALIZATION, what, (label,), at, in_base=False, detail=f"{one.media} {two.media}")
        level = "schema" if one.media or two.media else "text"
        comparison.need(label, parameters.schema(header), parameters.schema(theirs), Flow.RESPONSE, level)
