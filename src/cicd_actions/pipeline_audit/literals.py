"""Finds tokens that stand in files, by formats that carry a checksum: a match is a real token, not a sample."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.workflows.place import Place

_TOKEN = re.compile(r"(?<![A-Za-z0-9_])(gh[pousr]|npm)_([A-Za-z0-9]{36})(?![A-Za-z0-9_])")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_GREP = ["grep", "-I", "--untracked", "-z", "--name-only", "-E", "(gh[pousr]|npm)_[A-Za-z0-9]{36}"]


def genuine(body: str) -> bool:
    """Tells whether the last six characters are the CRC-32 of the others in base 62.

    The format of GitHub and npm: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
    """
    checksum = zlib.crc32(body[:30].encode())
    digits = ""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = _DIGITS[digit] + digits
    return digits == body[30:]


def tokens(repository: Repository) -> Iterator[tuple[Place, str]]:
    """Yields where a token stands, and whose it is. The token itself is never kept."""
    listed = repository.tree.grep(_GREP)
    paths = [path for path in repository.tree.paths if path in listed] if listed is not None else _likely(repository)
    for path in paths:
        for number, line in enumerate((repository.text(path) or "").splitlines(), 1):
            for match in _TOKEN.finditer(line):
                if genuine(match[2]):
                    yield Place(path, number, match.start() + 1), "npm" if match[1] == "npm" else "GitHub"


def _likely(repository: Repository) -> list[str]:
    """Where git is missing: the files in which tokens are usually left."""
    return [
        path
        for path in repository.tree.paths
        if path.startswith(".github/") or re.search(r"(\.ya?ml|\.env[\w.]*|\.npmrc|\.sh|Dockerfile|\.json|\.toml)$", path)
    ][:5000]
