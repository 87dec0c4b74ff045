"""Dockerfiles (`ARG`, `ENV`), Compose and stack files (`${NAME}`), and `.env.example`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.secrets_doc_check.code.code_uses import CodeUses
from cicd_actions.secrets_doc_check.model import Kind, Setting
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.yaml12 import Document, Mapping, Node, NotYaml, Scalar, Sequence

_INSTRUCTION = re.compile(r"\s*(ARG|ENV)\s+(.*)", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r"""([A-Za-z_]\w*)(=(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'\\]|\\.)*)?""", re.DOTALL)
_GIVEN_ARGS = frozenset(
    "HTTP_PROXY HTTPS_PROXY FTP_PROXY NO_PROXY ALL_PROXY TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM"
    " BUILDOS BUILDARCH BUILDVARIANT".split()
)
"""Arguments that the builder gives: https://docs.docker.com/reference/dockerfile/#predefined-args"""

# Compose: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?error}`, `${NAME:+other}`; `$$` is a dollar sign.
_INTERPOLATION = re.compile(r"\$(?:\$|\{([A-Za-z_]\w*)(:?[-?+])?|([A-Za-z_]\w*))")


def dockerfile(path: str, text: str) -> CodeUses:
    """`ARG` is handed in by who builds (optional with a default); `ENV` is set in the image."""
    found = CodeUses(path, "Dockerfile")
    for line, instruction in _instructions(text):
        match = _INSTRUCTION.fullmatch(instruction)
        if match is None:
            continue
        word, rest = match[1].upper(), match[2]
        for name, has_value in _assignments(rest, old_form=word == "ENV"):
            if word == "ENV":
                found.settings.append(Setting(Kind.SETTING, name, f"image of {path}"))
            elif name.upper() not in _GIVEN_ARGS:
                found.use(name, line, 1, optional=has_value, how=word)
    return found


def _instructions(text: str) -> Iterator[tuple[int, str]]:
    """Each instruction with its line; lines that end in a backslash are joined, comments left out."""
    start = 0
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        start = start if parts else number
        if line.rstrip().endswith("\\"):
            parts.append(line.rstrip()[:-1])
            continue
        yield start, " ".join([*parts, line])
        parts = []
    if parts:
        yield start, " ".join(parts)


def _assignments(rest: str, *, old_form: bool) -> Iterator[tuple[str, bool]]:
    at = len(rest) - len(rest.lstrip())
    while match := _ASSIGNMENT.match(rest, at):
        if match[2] is None and old_form:
            # The old form `ENV NAME value` has one name.
            yield match[1], True
            return
        yield match[1], match[2] is not None
        behind = re.compile(r"\s+").match(rest, match.end())
        if behind is None:
            return
        at = behind.end()


def compose(path: str, text: str) -> CodeUses:
    """What a Compose or stack file takes from the environment in which it runs, and what it hands through by name alone."""
    found = CodeUses(path, "Compose file")
    try:
        document = yaml12.read(text, strict=False)
    except NotYaml as error:
        found.unread(error.problem, error.line or 1, error.column or 1)
        return found
    for scalar in _scalars(document.root):
        for match in _INTERPOLATION.finditer(scalar.text):
            name = match[1] or match[3]
            if name:
                place = document.place_in(scalar, match.start())
                found.use(name, *place, optional=(match[2] or "").lstrip(":") in {"-", "+"}, how="interpolation")
    _read_services(found, document)
    return found


def _read_services(found: CodeUses, document: Document) -> None:
    """`environment:` of each service: `NAME: value` sets it, `NAME:` and `- NAME` hand it through from outside."""
    services = document.root.get("services") if isinstance(document.root, Mapping) else None
    for key, service in services.entries if isinstance(services, Mapping) else ():
        environment = (
            next((value for name, value in service.merged() if name.text == "environment"), None)
            if isinstance(service, Mapping)
            else None
        )
        level = f"service {key.text} of {found.path}"
        if isinstance(environment, Mapping):
            for name, value in environment.merged():
                _pass_or_set(found, name, level, has_value=not isinstance(value, Scalar) or bool(value.text))
        for item in environment.items if isinstance(environment, Sequence) else ():
            if isinstance(item, Scalar):
                _pass_or_set(found, item, level, has_value="=" in item.text)


def _pass_or_set(found: CodeUses, key: Scalar, level: str, *, has_value: bool) -> None:
    name = key.text.partition("=")[0].strip()
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        return
    if has_value:
        found.settings.append(Setting(Kind.SETTING, name, level))
    else:
        found.use(name, key.line, key.column, how="environment")


def _scalars(root: Node | None) -> Iterator[Scalar]:
    """Every value once, aliases too."""
    pending: list[Node] = [root] if root is not None else []
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Scalar):
            yield node
        elif isinstance(node, Sequence):
            pending += reversed(node.items)
        else:
            pending += [value for _, value in reversed(node.entries)]


_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")


def dotenv(path: str, text: str) -> CodeUses:
    """The names of an example file; one with a value has a default."""
    found = CodeUses(path, ".env.example")
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match:
            value = re.sub(r"(?:^|\s)#.*", "", match[2]).strip().strip("'\"")
            found.use(match[1], number, match.start(1) + 1, optional=bool(value))
    return found
