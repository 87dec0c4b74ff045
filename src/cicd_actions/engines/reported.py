"""Reads what a user's `running-command` reports, and tells by it which release a service runs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from cicd_actions.engines.protocol import EngineUnreachable, Running, Target
from cicd_actions.engines.reference import is_digest
from cicd_actions.toolkit.printable import shortened

EXAMPLE = '{"api": {"image": "registry/api@sha256:…", "digest": "sha256:…", "sha": "4f2c…"}}'


def read(text: str) -> dict[str, Running]:
    """Returns what runs, by service. Raises `EngineUnreachable` for a report that cannot be read."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise EngineUnreachable(
            f"Could not read what runs: the `running-command` did not print JSON: {error}.",
            cause=f"It printed: {shortened(text.strip(), 300)}",
            fix=f"Let it print one JSON object, and nothing else, on its standard output:\n\n    {EXAMPLE}",
        ) from None
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise EngineUnreachable(
            "Could not read what runs: the `running-command` did not print an object of services.",
            fix=f"For example:\n\n    {EXAMPLE}",
        )
    return {service: _entry(service, entry) for service, entry in found.items()}


def _entry(service: str, entry: Mapping[str, object]) -> Running:
    fields: dict[str, str] = {}
    for key in ("image", "digest", "sha"):
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise EngineUnreachable(f"Could not read what runs: the `{key}` of {service} from `running-command` is not text.")
        fields[key] = value or ""
    if fields["digest"] and not is_digest(fields["digest"]):
        raise EngineUnreachable(
            f"Could not read what runs: the `digest` of {service} from `running-command` is {shortened(fields['digest'], 100)}",
            fix="Print `sha256:` and 64 hexadecimal digits, or leave `digest` out where it is not known.",
        )
    return Running(service, image=fields["image"], digest=fields["digest"], sha=fields["sha"])


def same(one: Running, other: Running) -> bool:
    """Whether both run the same image: the digest decides, where both have one."""
    if one.digest and other.digest:
        return one.digest == other.digest
    return one.image == other.image


def is_of(target: Target, now: Running) -> bool | None:
    """Whether a service runs the target: by the digests, else by the image's name, else by the commits.

    `None` where the two have nothing in common that could be compared: the program may name its releases in its own way.
    """
    wanted = target.image.digest or _digest(target.image.name)
    found = now.digest or _digest(now.image)
    if wanted and found:
        return wanted == found
    if now.image == target.image.pinned:
        return True
    return now.sha == target.sha if now.sha and target.sha else None


def _digest(image: str) -> str:
    digest = image.rpartition("@")[2]
    return digest if is_digest(digest) else ""
