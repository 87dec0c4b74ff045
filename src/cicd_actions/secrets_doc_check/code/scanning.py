"""Which scanner reads which file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cicd_actions.secrets_doc_check.code import containers, javascript, python
from cicd_actions.secrets_doc_check.code.code_uses import CodeUses
from cicd_actions.toolkit.grammar import NotUnderstood, nearest
from cicd_actions.workflows.tree import Glob, Tree, glob

Scanner = Callable[[str, str], CodeUses]

SCANNERS: dict[str, Scanner] = {
    "python": python.scan,
    "javascript": javascript.scan,
    "dockerfile": containers.dockerfile,
    "compose": containers.compose,
    "dotenv": containers.dotenv,
}

_BY_NAME = (
    ("python", re.compile(r"\A.*\.py")),
    ("javascript", re.compile(r"\A.*\.(?:[cm]?[jt]s|[jt]sx|vue|svelte)")),
    ("dockerfile", re.compile(r"\A(?:.*[.-])?(?:Docker|Container)file(?:[.-].*)?")),
    ("compose", re.compile(r"\A(?:.*[.-])?(?:docker-)?(?:compose|stack)(?:[.-].*)?\.ya?ml")),
    # Never `.env` itself: it holds values.
    ("dotenv", re.compile(r"\A(?:.*)?\.env\.(?:example|sample|template|dist)|env\.example")),
)
_NOT_THE_APPLICATION = re.compile(
    r"(?:^|/)(?:tests?|__tests__|e2e|benchmarks?|fixtures?|node_modules|dist|build|vendor(?:ed)?|third[_-]party|generated"
    r"|__generated__|bower_components|\.yarn)/|(?:^|/)(?:test_[^/]*|conftest|noxfile|setup|fabfile)\.py$"
    r"|_test\.py$|\.(?:test|spec|stories)\.[cm]?[jt]sx?$|\.d\.[cm]?ts$|\.min\.js$|[._](?:gen|generated|pb2)\.\w+$|(?:^|/)[\w.-]+\.config\.[cm]?[jt]s$"
)
_GENERATED = re.compile(r"@generated|\bDO NOT EDIT\b|(?:auto[- ]?|Code )generated (?:by|from|with|code|file)", re.IGNORECASE)
"""What generators write into the head of a file: Go's convention, Facebook's marker, and their like."""

_HEAD = 1_000
"""Characters of a file in which such a mark counts."""

AUTO = "auto"


@dataclass(frozen=True)
class Source:
    """A line of the input `code`: a glob, and the kind of its files where it is given (`python: src/**`)."""

    glob: Glob
    kind: str = ""


def source(text: str) -> Source:
    """Read a line of the input `code`. Raises `NotUnderstood`."""
    kind, colon, rest = text.partition(":")
    if text.strip() == AUTO:
        return Source(glob("**"), AUTO)
    if not colon:
        return Source(glob(text))
    if kind.strip() not in SCANNERS:
        meant = nearest(kind.strip(), SCANNERS)
        raise NotUnderstood(
            f"`{kind}` is none of {', '.join(SCANNERS)}", example=f"{meant or 'python'}: {rest.strip() or 'src/**'}"
        )
    return Source(glob(rest.strip()), kind.strip())


def kind_of(path: str) -> str:
    """The kind of a file by its name, or nothing."""
    name = path.rpartition("/")[2]
    return next((kind for kind, pattern in _BY_NAME if pattern.fullmatch(name)), "")


def chosen(tree: Tree, sources: Iterable[Source]) -> dict[str, str]:
    """The files to read, each with its kind."""
    found: dict[str, str] = {}
    spared: set[str] = set()
    for one in sources:
        if one.glob.excludes:
            spared.update(path for path in tree.paths if one.glob.pattern.fullmatch(path))
            continue
        for path in tree.matching((one.glob,)):
            kind = kind_of(path) if one.kind in {"", AUTO} else one.kind
            if kind:
                found[path] = kind
    return {path: kind for path, kind in sorted(found.items()) if path not in spared}


def scan(tree: Tree, sources: Iterable[Source]) -> list[CodeUses]:
    """Returns what each file reads. The tree's findings tell which files could not be read.

    With `auto`, generated and vendored files are skipped, and uses in tests and tools are `aside`: they need no
    documentation.
    """
    sources = list(sources)
    automatic = any(one.kind == AUTO for one in sources)
    results: list[CodeUses] = []
    files = chosen(tree, sources)
    marked = tree.marked(list(files)) if automatic else set()
    for path, kind in files.items():
        text = tree.read(path) if path not in marked else None
        if text is None or (automatic and _GENERATED.search(text, 0, _HEAD)):
            continue
        found = SCANNERS[kind](path, text)
        read = {use.name for use in found.uses if not use.aside}
        found.uses = [use for use in found.uses if not use.aside or use.name not in read]
        if automatic and _NOT_THE_APPLICATION.search(path):
            found.uses = [replace(use, aside=True) for use in found.uses]
            found.findings, found.settings, found.unknown = [], [], {}
        results.append(found)
    return results
