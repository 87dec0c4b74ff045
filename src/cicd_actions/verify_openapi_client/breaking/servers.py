"""Compares the servers that serve an operation."""

from __future__ import annotations

import itertools
import re
from urllib.parse import urlsplit

from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, mapping, sequence, text
from cicd_actions.verify_openapi_client.breaking.rules import rule

REMOVED = rule(
    "server-removed",
    "a server's address is removed",
    whom="callers that use this address",
    why="The document no longer promises that the API answers there.",
    compatibly="Keep the address in the list, and answer there, until no caller uses it.",
)

_MOST_ADDRESSES = 64
"""A server whose variables have more combinations counts as one pattern."""

_ANY = "{}"


def compare(
    comparison: Comparison, label: str, old: tuple[Part, Part], new: tuple[Part, Part], prefixes: tuple[str, str]
) -> None:
    """Compares the servers of one operation; each side is path item and operation.

    `prefixes` are the parts of the addresses that stand in the paths of the other side, so they do not count. A list that is
    absent, or is `/` alone, promises nothing (OpenAPI 3.1.1, section 4.8.1).
    """
    before, after = addresses(comparison.old, *old), addresses(comparison.new, *new)
    now = {address.removesuffix(prefixes[1]).rstrip("/") for address in after}
    for address, part in before.items():
        origin = address.removesuffix(prefixes[0]).rstrip("/")
        if origin and not any(_covers(one, origin) for one in now):
            others = f" (Now: {', '.join(sorted(after))}.)" if after else ""
            comparison.found(REMOVED, f"The server {address} is removed.{others}", (label,), part, in_base=True, detail=address)


def addresses(document: Document, item: Part, operation: Part) -> dict[str, Part]:
    """Returns the addresses of an operation: each value of a variable's `enum` filled in, `{}` for a free variable."""
    for owner in (operation, item, document.root):
        if owner.has("servers") and sequence(owner.raw["servers"]):
            group = owner.at("servers")
            found: dict[str, Part] = {}
            for part in group.items():
                url = text(mapping(part.raw).get("url"))
                for address in _filled(url, part):
                    found[address] = Part(part.raw, part.pointer, f"{group.place}/{url}")
            return found
    return {}


def prefix(document: Document, item: Part, operation: Part) -> str:
    """Returns the path that all servers of an operation share (`/api`); empty where they differ."""
    paths = {urlsplit(address).path.rstrip("/") for address in addresses(document, item, operation)}
    return paths.pop() if len(paths) == 1 else ""


def _filled(url: str, server: Part) -> list[str]:
    names = list(dict.fromkeys(re.findall(r"\{([^{}]*)\}", url)))
    choices: list[list[str]] = []
    for name in names:
        values = [str(value) for value in sequence(server.at("variables", name, "enum").raw)]
        choices.append(values or [_ANY])
    if len(names) > 8 or _product(choices) > _MOST_ADDRESSES:
        choices = [[_ANY] for _ in names]
    found: list[str] = []
    for chosen in itertools.product(*choices):
        address = url
        for name, value in zip(names, chosen, strict=True):
            address = address.replace(f"{{{name}}}", value)
        found.append(address.rstrip("/") or "/")
    return found


def _product(choices: list[list[str]]) -> int:
    total = 1
    for values in choices:
        total *= len(values)
    return total


def _covers(wide: str, narrow: str) -> bool:
    if wide == narrow or _ANY not in wide:
        return wide == narrow
    return re.fullmatch("[^/?#]*".join(re.escape(part) for part in wide.split(_ANY)), narrow) is not None
