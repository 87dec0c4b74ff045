"""Compares bodies: whether one is needed, its media types, and the schema of each."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Part, mapping
from cicd_actions.verify_openapi_client.breaking.rules import Flow, rule

BODY_REMOVED = rule(
    "request-body-removed",
    "the request has no body any more",
    whom="callers that send one",
    why="What they send is ignored without a word, or refused.",
    compatibly="Go on accepting the body, and ignore what is no longer needed.",
)
BODY_REQUIRED = rule(
    "request-body-required",
    "the request needs a body",
    whom="callers that send none",
    why="Requests without a body, which were accepted, are refused from now on.",
    compatibly="Keep the body optional, with defaults for callers that do not send it.",
)
REQUEST_MEDIA_TYPE = rule(
    "request-media-type-removed",
    "a media type is no longer accepted",
    whom="callers that send it",
    why="Their requests are answered with 415 from now on.",
    compatibly="Go on accepting the media type beside the new one.",
)
RESPONSE_MEDIA_TYPE = rule(
    "response-media-type-removed",
    "a media type is no longer answered",
    whom="callers that read it",
    why="They are answered with another media type, or with 406.",
    compatibly="Go on answering the media type to callers that ask for it.",
)


def compare_request(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    """Compare the request bodies of one operation."""
    before, after = comparison.old.followed(old.at("requestBody")), comparison.new.followed(new.at("requestBody"))
    place = f"{old.place}/requestBody"
    if after.raw is None:
        if before.raw is not None:
            at = Part(before.raw, before.pointer, place)
            comparison.found(BODY_REMOVED, "The request body is removed.", (label,), at, in_base=True)
        return
    if mapping(after.raw).get("required") is True and mapping(before.raw).get("required") is not True:
        what = "The request body is new and required." if before.raw is None else "The request body is newly required."
        comparison.found(BODY_REQUIRED, what, (label,), Part(after.raw, after.pointer, place), in_base=False)
    if before.raw is not None:
        compare_content(
            comparison,
            label,
            Part(before.raw, before.pointer, place),
            after,
            Flow.REQUEST,
        )


def compare_content(comparison: Comparison, label: str, old: Part, new: Part, flow: Flow) -> None:
    """Compare the media types of two bodies (parts with `content`) and their schemas."""
    after = {essence(name): part for name, part in new.at("content").entries()}
    for name, part in old.at("content").entries():
        other = after.get(essence(name)) or _covering(after, essence(name), flow)
        if other is not None:
            comparison.need(label, part.at("schema"), other.at("schema"), flow)
            continue
        found = RESPONSE_MEDIA_TYPE if flow is Flow.RESPONSE else REQUEST_MEDIA_TYPE
        now = f" (Now: {', '.join(sorted(after))}.)" if after else ""
        comparison.found(found, f"The media type {name} is removed.{now}", (label,), part, in_base=True)


def essence(media_type: str) -> str:
    """`Application/JSON; charset=utf-8` as `application/json` (RFC 9110, section 8.3.1)."""
    return media_type.split(";", 1)[0].strip().lower()


def _covering(known: dict[str, Part], media_type: str, flow: Flow) -> Part | None:
    """A range that holds the media type. An answer of any type is no promise of this one."""
    if flow is Flow.RESPONSE:
        return None
    return known.get(f"{media_type.split('/', 1)[0]}/*") or known.get("*/*")
