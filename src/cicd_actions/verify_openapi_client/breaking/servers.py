"""Compares the servers that an operation is said to be found at."""

from __future__ import annotations

import re

from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, mapping, sequence, text
from cicd_actions.verify_openapi_client.breaking.rules import rule

REMOVED = rule(
    "server-removed",
    "a server's address is removed",
    whom="callers that use this address",
    why="The API is no longer promised to answer there.",
    compatibly="Keep the address in the list, and answer there, until nobody calls it.",
)


def compare(comparison: Comparison, label: str, old: tuple[Part, Part], new: tuple[Part, Part]) -> None:
    """Compare the servers of one operation; each side is path item and operation. No list at all promises nothing."""
    before, after = _servers(comparison.old, *old), _servers(comparison.new, *new)
    for url, part in before.items():
        if url not in after:
            now = f" (Now: {', '.join(sorted(after))}.)" if after else ""
            comparison.found(REMOVED, f"The server {url} is removed.{now}", (label,), part, in_base=True, detail=url)


def _servers(document: Document, item: Part, operation: Part) -> dict[str, Part]:
    """Addresses, with the default of each variable put in (OpenAPI 3.1.1, section 4.8.5)."""
    for owner in (operation, item, document.root):
        group = owner.at("servers")
        if sequence(group.raw):
            found: dict[str, Part] = {}
            for part in group.items():
                url = text(mapping(part.raw).get("url"))
                found[_address(url, part)] = Part(part.raw, part.pointer, f"{group.place}/{url}")
            return found
    return {}


def _address(url: str, server: Part) -> str:
    def value(match: re.Match[str]) -> str:
        default = mapping(server.at("variables", match[1]).raw).get("default")
        return str(default) if default is not None else match[0]

    return re.sub(r"\{([^{}]*)\}", value, url).rstrip("/") or "/"
