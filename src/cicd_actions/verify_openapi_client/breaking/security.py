"""Compares what a caller has to prove: alternatives of which one is enough, each a set of schemes that all are needed."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, canonical, mapping, sequence, text
from cicd_actions.verify_openapi_client.breaking.rules import rule

TIGHTENED = rule(
    "security-tightened",
    "callers have to prove more",
    whom="callers that prove what was enough",
    why="Their requests are answered with 401 or 403 from now on.",
    compatibly="Accept the old way as an alternative for a while; give callers the new scope or scheme first.",
)

Alternative = dict[str, frozenset[str]]
"""Scheme (by what it is, not by its name) to the scopes that are needed."""


def compare(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    """Compare the security of one operation: each old alternative has to be enough still."""
    after = [alternative for alternative, _ in alternatives(comparison.new, new)]
    for alternative, words in alternatives(comparison.old, old):
        if any(_enough(alternative, needed) for needed in after):
            continue
        now = " or ".join(sorted(words_ for _, words_ in alternatives(comparison.new, new)))
        own = new.at("security")
        at = own if own.raw is not None else comparison.new.root.at("security")
        # One change of the document's own security is one finding, however many operations it reaches.
        inherited = own.raw is None and old.at("security").raw is None
        place = at if inherited else Part(at.raw, at.pointer, f"{old.place}/security")
        what = f"{words} is no longer enough; needed is {now}."
        comparison.found(TIGHTENED, what[0].upper() + what[1:], (label,), place, in_base=False, detail=f"{words} -> {now}")


def alternatives(document: Document, operation: Part) -> list[tuple[Alternative, str]]:
    """The alternatives that hold for an operation, with words for each. No security at all is one that needs nothing."""
    written = mapping(operation.raw).get("security")
    if written is None:
        written = mapping(document.root.raw).get("security")
    found: list[tuple[Alternative, str]] = []
    for requirement in sequence(written):
        alternative: Alternative = {}
        words: list[str] = []
        for name, scopes in mapping(requirement).items():
            scheme = document.followed(document.root.at("components", "securitySchemes", str(name)))
            wanted = frozenset(scope for scope in sequence(scopes) if isinstance(scope, str))
            alternative[_identity(str(name), scheme)] = wanted
            words.append(f"{name}{' (' + ', '.join(sorted(wanted)) + ')' if wanted else ''}")
        found.append((alternative, " and ".join(sorted(words)) or "no credential"))
    return found or [({}, "no credential")]


def _identity(name: str, scheme: Part) -> str:
    """What a scheme asks of a caller. Its name, description and format hint are not sent."""
    raw = mapping(scheme.raw)
    kind = text(raw.get("type"))
    if kind == "apiKey":
        place, key = text(raw.get("in")), text(raw.get("name"))
        return f"apiKey {place} {key.lower() if place == 'header' else key}"
    if kind == "http":
        return f"http {text(raw.get('scheme')).lower()}"
    if kind == "oauth2":
        # A token is a token, whichever flow it was got by, as long as the same server gives it.
        urls = {text(mapping(flow).get("tokenUrl")) or text(mapping(flow).get("authorizationUrl")) for flow in _flows(raw)}
        return f"oauth2 {canonical(sorted(urls))}"
    if kind == "openIdConnect":
        return f"openIdConnect {text(raw.get('openIdConnectUrl'))}"
    return kind or f"unknown {name}"


def _flows(raw: object) -> list[object]:
    flows = mapping(mapping(raw).get("flows"))
    return [flows[name] for name in sorted(flows)]


def _enough(proven: Alternative, needed: Alternative) -> bool:
    return all(scheme in proven and scopes <= proven[scheme] for scheme, scopes in needed.items())
