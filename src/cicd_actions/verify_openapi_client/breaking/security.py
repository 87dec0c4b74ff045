"""Compares what a caller has to prove: alternatives of which one is enough, each a set of schemes that are all needed."""

from __future__ import annotations

from typing import NamedTuple

from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, mapping, sequence, text
from cicd_actions.verify_openapi_client.breaking.rules import rule

TIGHTENED = rule(
    "security-tightened",
    "callers have to prove more",
    whom="callers that prove what was enough",
    why="The API now answers their requests with 401 or 403.",
    compatibly="Accept the old way as an alternative for a while; give callers the new scope or scheme first.",
)


class Credential(NamedTuple):
    """What a scheme asks of a caller: `kind` as it travels, and the flows and scopes of a token. Names do not travel."""

    kind: str
    flows: frozenset[str]
    scopes: frozenset[str]

    def meets(self, needed: Credential) -> bool:
        """Returns whether it is enough: each flow that gave the token is still there, and no scope is missing."""
        return self.kind == needed.kind and self.flows <= needed.flows and needed.scopes <= self.scopes


Alternative = list[Credential]


def compare(comparison: Comparison, label: str, old: Part, new: Part) -> None:
    """Compares the security of one operation: each old alternative still has to be enough."""
    after = alternatives(comparison.new, new)
    for proven, words in alternatives(comparison.old, old):
        if any(_enough(proven, needed) for needed, _ in after):
            continue
        now = " or ".join(sorted(text_ for _, text_ in after))
        own = new.at("security")
        at = own if own.raw is not None else comparison.new.root.at("security")
        # One change of the document's own security is one finding, however many operations it reaches.
        inherited = own.raw is None and old.at("security").raw is None
        place = at if inherited else Part(at.raw, at.pointer, f"{old.place}/security")
        what = f"Callers now need {now}; {words} was enough."
        if now == words:
            what = f"Callers now need another kind of {now}: the security scheme itself changed."
        comparison.found(TIGHTENED, what, (label,), place, in_base=False, detail=f"{words} -> {now}")


def alternatives(document: Document, operation: Part) -> list[tuple[Alternative, str]]:
    """Returns the alternatives of an operation, with words for each. No security at all is one that needs nothing."""
    written = mapping(operation.raw).get("security")
    if written is None:
        written = mapping(document.root.raw).get("security")
    found: list[tuple[Alternative, str]] = []
    for requirement in sequence(written):
        alternative: Alternative = []
        words: list[str] = []
        for name, scopes in mapping(requirement).items():
            scheme = document.followed(document.root.at("components", "securitySchemes", str(name)))
            wanted = frozenset(scope for scope in sequence(scopes) if isinstance(scope, str))
            alternative.append(Credential(*_identity(str(name), scheme), wanted))
            words.append(f"{name}{' (' + ', '.join(sorted(wanted)) + ')' if wanted else ''}")
        found.append((alternative, " and ".join(sorted(words)) or "no credential"))
    return found or [([], "no credential")]


def _identity(name: str, scheme: Part) -> tuple[str, frozenset[str]]:
    """Returns what a scheme asks of a caller. Its name, description and format hint are not sent."""
    raw = mapping(scheme.raw)
    kind = text(raw.get("type"))
    if kind == "apiKey":
        place, key = text(raw.get("in")), text(raw.get("name"))
        return f"apiKey {place} {key.lower() if place == 'header' else key}", frozenset()
    if kind == "http":
        return f"http {text(raw.get('scheme')).lower()}", frozenset()
    if kind == "oauth2":
        return kind, frozenset(_flow(flow, mapping(fields)) for flow, fields in mapping(raw.get("flows")).items())
    if kind == "openIdConnect":
        return f"openIdConnect {text(raw.get('openIdConnectUrl'))}", frozenset()
    return kind or f"unknown {name}", frozenset()


def _flow(name: str, fields: object) -> str:
    """A flow and the addresses at which a caller gets the token."""
    urls = (text(mapping(fields).get(key)) for key in ("authorizationUrl", "deviceAuthorizationUrl", "tokenUrl"))
    return " ".join((str(name), *urls))


def _enough(proven: Alternative, needed: Alternative) -> bool:
    return all(any(one.meets(each) for one in proven) for each in needed)
