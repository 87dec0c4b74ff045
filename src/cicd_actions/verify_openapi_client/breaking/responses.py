"""Compares responses: status codes, headers, and bodies."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking import bodies
from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Part, mapping
from cicd_actions.verify_openapi_client.breaking.rules import Flow, rule

CODE_REMOVED = rule(
    "response-code-removed",
    "a status code is no longer answered",
    whom="callers that handle it",
    why="They meet another code in its place, which they may take for an error, or for a success.",
    compatibly="Go on answering the code, or add an operation that answers the new one.",
)
CODE_ADDED = rule(
    "response-success-code-added",
    "a further code of success is answered",
    whom="callers that know the codes of success",
    why="They take an unknown code, or an answer without the body they expect, for an error.",
    compatibly="Answer the new code only to callers that ask for it (`Prefer: respond-async`), or in a new operation.",
)
HEADER_REMOVED = rule(
    "response-header-removed",
    "a header is no longer answered",
    whom="callers that read it",
    why="They get nothing.",
    compatibly="Go on answering the header until nobody reads it.",
)
HEADER_OPTIONAL = rule(
    "response-header-optional",
    "a header may be missing from the answer",
    whom="callers that read it",
    why="They read it without a check, because it was always there.",
    compatibly="Go on answering the header always.",
)


def compare(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    """Compare the responses of one operation."""
    before, after = dict(old.entries()), dict(new.entries())
    for code, part in before.items():
        other = _answered(after, code)
        if other is None:
            now = f" (Now: {', '.join(sorted(after))}.)" if after else ""
            comparison.found(CODE_REMOVED, f"The status code {code} is removed.{now}", (label,), part, in_base=True)
            continue
        followed, theirs = comparison.old.followed(part), comparison.new.followed(other)
        one = Part(followed.raw, followed.pointer, part.place)
        bodies.compare_content(comparison, label, one, theirs, Flow.RESPONSE)
        _headers(comparison, label, one, theirs)
    for code, part in after.items():
        if code[:1] == "2" and _answered(before, code) is None and before:
            at = Part(part.raw, part.pointer, f"{old.place}/{code}")
            comparison.found(CODE_ADDED, f"The status code {code} is added.", (label,), at, in_base=False)


def _answered(known: dict[str, Part], code: str) -> Part | None:
    """The response for a code: its own, that of its range (`2XX`), or the default (OpenAPI 3.1.1, section 4.8.16)."""
    exact = known.get(code) or known.get(code.upper()) or known.get(code.lower())
    if exact is not None or code == "default":
        return exact
    return known.get(f"{code[:1]}XX") or known.get("default")


def _headers(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    after = {name.lower(): part for name, part in new.at("headers").entries()}
    for name, part in old.at("headers").entries():
        if name.lower() == "content-type":
            continue  # the media types say it
        header = comparison.old.followed(part)
        other = after.get(name.lower())
        if other is None:
            at = Part(part.raw, part.pointer, part.place)
            comparison.found(HEADER_REMOVED, f"The header {name} is removed.", (label,), at, in_base=True)
            continue
        theirs = comparison.new.followed(other)
        if mapping(header.raw).get("required") is True and mapping(theirs.raw).get("required") is not True:
            at = Part(theirs.raw, theirs.pointer, part.place)
            comparison.found(HEADER_OPTIONAL, f"The header {name} may be missing.", (label,), at, in_base=False)
        comparison.need(label, header.at("schema"), theirs.at("schema"), Flow.RESPONSE)
