"""Image references, by the grammar of the container registries: `[registry/]repository[:tag][@digest]`.

https://github.com/distribution/reference/blob/main/reference.go
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.toolkit.grammar import NotUnderstood

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
LONGEST = 1024


@dataclass(frozen=True)
class Reference:
    """The parts of a reference; `tag` and `digest` are empty where the reference has none."""

    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def registry(self) -> str:
        """Returns the registry's host and port; Docker Hub's where the reference has none, as for Docker."""
        first, slash, _ = self.repository.partition("/")
        return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"

    @property
    def path(self) -> str:
        """Returns the repository's name within its registry (`library/nginx` for Docker Hub's `nginx`)."""
        registry = self.registry
        if registry != "docker.io":
            return self.repository.partition("/")[2]
        name = self.repository.removeprefix("docker.io/")
        return name if "/" in name else f"library/{name}"


def reference(text: str) -> Reference:
    """Reads a reference. Raises `NotUnderstood`."""
    match = _REFERENCE.fullmatch(text) if len(text) <= LONGEST else None
    if not match:
        raise NotUnderstood(f"`{text[:200]}` is not an image reference", example="ghcr.io/org/api:4f2c…")
    return Reference(match["repository"], match["tag"] or "", match["digest"] or "")


def repository_of(image: str) -> str:
    """Returns the repository of an image; empty for a bare digest, and for an id that is not a reference."""
    if is_digest(image):
        return ""  # it reads like a repository `sha256` with a tag
    try:
        return reference(image).repository
    except NotUnderstood:
        return ""


def is_digest(text: str) -> bool:
    """Whether the text is `sha256:` and 64 hexadecimal digits (or sha512 and 128)."""
    return bool(_DIGEST.fullmatch(text))
