"""Compares bodies: whether one is needed, its media types, the schema of each, and how the fields of forms are written."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking import media
from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Part, mapping, text
from cicd_actions.verify_openapi_client.breaking.matching import covering
from cicd_actions.verify_openapi_client.breaking.parameters import text_types
from cicd_actions.verify_openapi_client.breaking.rules import Effect, Flow, rule

_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}

BODY_REMOVED = rule(
    "request-body-removed",
    "the request no longer has a body",
    whom="callers that send one",
    why="The API silently ignores what they send, or refuses it.",
    compatibly="Keep accepting the body, and ignore what is no longer needed.",
)
BODY_REQUIRED = rule(
    "request-body-required",
    "the request needs a body",
    whom="callers that send none",
    why="The API now refuses requests without a body, which it accepted.",
    compatibly="Keep the body optional, with defaults for callers that do not send it.",
)
REQUEST_MEDIA_TYPE = rule(
    "request-media-type-removed",
    "a media type is no longer accepted",
    whom="callers that send it",
    why="The API now answers their requests with 415.",
    compatibly="Keep accepting the media type beside the new one.",
)
RESPONSE_MEDIA_TYPE = rule(
    "response-media-type-removed",
    "a media type is no longer answered",
    whom="callers that read it",
    why="The API answers with another media type, or with 406.",
    compatibly="Keep answering the media type to callers that ask for it.",
)


FIELD_TYPE = rule(
    "request-field-type",
    "a form's field has another type that is written the same",
    whom="typed code that passes the old type",
    why="The request on the wire stays the same, because fields travel as text. TypeScript that passes the old type no"
    " longer compiles.",
    compatibly="Keep the type, or release the client with the note that the field's type changes.",
    effect=Effect.GENERATED_SYMBOL,
)
REQUEST_ENCODING = rule(
    "request-encoding",
    "a form's field has to be written another way",
    whom="callers that send the form",
    why="The API reads the field in another media type or style than the one that callers send.",
    compatibly="Keep accepting the old media types and the old style, or add a new field.",
)
RESPONSE_ENCODING = rule(
    "response-encoding",
    "a part of a multipart answer is written another way",
    whom="callers that read the part",
    why="They read the part in the media type or style that it has today.",
    compatibly="Keep the old media type, or add a new part.",
)


def compare_request(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    """Compares the request bodies of one operation."""
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
    """Compares the media types of two bodies (parts with `content`) and their schemas.

    A request's media type has to be accepted still. An answer's has to be answered still; a further one breaks nothing.
    """
    before, after = list(old.at("content").entries()), list(new.at("content").entries())
    sent, known = (before, after) if flow is Flow.REQUEST else (after, before)
    matched = covering(sent, known, lambda wide, narrow: media.rank(wide[0], narrow[0]))
    pairs = matched.pairs if flow is Flow.REQUEST else [(known_, sent_) for sent_, known_ in matched.pairs]
    for (name, part), (their_name, other) in pairs:
        one, theirs = comparison.old.followed(part), comparison.new.followed(other)
        one = Part(one.raw, one.pointer, part.place)
        form = {name, their_name} <= _FORMS and flow is Flow.REQUEST and not (one.has("encoding") or theirs.has("encoding"))
        if form:
            _field_types(comparison, label, one.at("schema"), theirs.at("schema"))
        for keyword in ("schema", "itemSchema"):
            if one.has(keyword) or theirs.has(keyword):
                comparison.need(label, one.at(keyword), theirs.at(keyword), flow, "form" if form else "schema")
        _encodings(comparison, label, one, theirs, flow)
    found = RESPONSE_MEDIA_TYPE if flow is Flow.RESPONSE else REQUEST_MEDIA_TYPE
    for name, part in matched.missing if flow is Flow.RESPONSE else matched.unknown:
        now = f" (Now: {', '.join(sorted(each for each, _ in after))}.)" if after else ""
        comparison.found(found, f"The media type {name} is removed.{now}", (label,), part, in_base=True)


def _field_types(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    """Finds fields whose new type is written the same as the old one: only typed code meets the difference."""
    before, after = comparison.schemas.meanings((old,), (new,))
    if len(before.shapes) != 1 or len(after.shapes) != 1:
        return
    fields = before.shapes[0].properties, after.shapes[0].properties
    for name in sorted(fields[0].keys() & fields[1].keys()):
        found = text_types(*comparison.schemas.meanings(fields[0][name], fields[1][name]))
        if found:
            what = f"The field `{name}` goes from {found[0]} to {found[1]}."
            comparison.found(FIELD_TYPE, what, (label,), fields[1][name][0], in_base=False, detail=f"{name} {found[0]}")


def _encodings(comparison: Comparison, label: str, old: Part, new: Part, flow: Flow) -> None:
    """Compares how the fields of a form are written (OpenAPI 3.1.1, section 4.8.15)."""
    if not old.has("encoding") and not new.has("encoding"):
        return
    before, after = dict(old.at("encoding").entries()), dict(new.at("encoding").entries())
    fields = comparison.schemas.properties(old.at("schema")) & comparison.schemas.properties(new.at("schema"))
    for name in sorted((before.keys() | after.keys()) & fields):
        one, other = (mapping(side[name].raw) if name in side else {} for side in (before, after))
        sent, known = (one, other) if flow is Flow.REQUEST else (other, one)
        words = [_written(side) for side in (one, other)]
        refused = _refused(text(sent.get("contentType")), text(known.get("contentType")))
        if refused or words[0] != words[1]:
            kinds = [text(side.get("contentType")) or "any media type" for side in (one, other)]
            what = f"The field `{name}` goes from {kinds[0]}, {words[0]} to {kinds[1]}, {words[1]}."
            found = REQUEST_ENCODING if flow is Flow.REQUEST else RESPONSE_ENCODING
            at = Part(None, new.at("encoding", name).pointer, old.at("encoding", name).place)
            comparison.found(found, what, (label,), at, in_base=False, detail=what)


def _written(encoding: object) -> str:
    """Says the style of a field, with the defaults of the style filled in."""
    raw = mapping(encoding)
    style = text(raw.get("style")) or "form"
    explode = raw["explode"] if isinstance(raw.get("explode"), bool) else style == "form"
    return f"style {style}{', exploded' if explode else ''}"


def _refused(sent: str, known: str) -> bool:
    """Returns whether a media type that is sent is not among the known ones; an absent list means any."""
    accepted = [each.strip() for each in known.split(",") if each.strip()]
    if not accepted:
        return False
    offered = [each.strip() for each in sent.split(",") if each.strip()]
    return not offered or not all(any(media.rank(wide, one) for wide in accepted) for one in offered)
