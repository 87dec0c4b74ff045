"""Loads an OpenAPI document: JSON or YAML, bounded in size and depth, with references within the document only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.verify_openapi_client import validity
from cicd_actions.verify_openapi_client.breaking import references
from cicd_actions.verify_openapi_client.breaking.document import Document

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
"""The first line of what git holds in place of a file of Git LFS (its specification, "The Pointer")."""

LONGEST_JSON = 32 * 1024 * 1024
"""Bytes. GitHub's own document, among the largest that are public, has 12 MB."""

LONGEST_YAML = 2 * 1024 * 1024
"""Bytes. YAML is read a hundred times slower than JSON."""

DEEPEST = 100
"""Levels of objects and arrays within each other; documents that people use have fewer than 40."""

MOST_VALUES = 1_000_000
"""Values in the document. GitHub's own has 270,000; a JSON text within the limit may hold ten million tiny arrays."""

MOST_NODES = 250_000
"""Keys and values in YAML, which takes a tenth of a millisecond for each; documents within the limit have 100,000."""


@dataclass(frozen=True)
class Specification:
    """A loaded document: what it holds, its text, and what to call it in messages."""

    document: Document
    name: str
    text: str
    yaml: bool


def load(path: Path, *, input: str, name: str = "") -> Specification:
    """Reads the document in a file. Raises `UnusableInput`, which names the input `input`."""
    shown = name or str(path)
    try:
        check_size(path.stat().st_size, input=input, name=shown)
        # One byte more than allowed, for a file that grows, or a pipe, whose size says nothing.
        with path.open("rb") as file:
            content = file.read(LONGEST_JSON + 1)
    except OSError as error:
        raise UnusableInput(
            f"Could not read the OpenAPI document {shown} of the input `{input}`: {error.strerror}.",
            cause="No earlier step exported or downloaded it, or the path is wrong: paths start from `working-directory`.",
        ) from None
    return parse(content, input=input, name=shown)


def check_size(size: int, *, input: str, name: str) -> None:
    """Raises `UnusableInput` for a document of more bytes than are read."""
    if size > LONGEST_JSON:
        _too_long(name, size, LONGEST_JSON, input)


def parse(content: bytes, *, input: str, name: str) -> Specification:
    """Reads the document in these bytes. Raises `UnusableInput`, which names the input `input`."""
    check_size(len(content), input=input, name=name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableInput(f"The OpenAPI document {name} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    if not text.strip():
        raise UnusableInput(
            f"The OpenAPI document {name} is empty.", cause="The export failed, or wrote to another path.", fix=_check(input)
        )
    if content.startswith(LFS_POINTER):
        raise UnusableInput(
            f"The OpenAPI document {name} is a Git LFS pointer, not the document.",
            cause="The checkout did not fetch the files of Git LFS.",
            fix="    - uses: actions/checkout@<full commit sha>\n      with:\n        lfs: true",
        )
    root, yaml = _read(text, name, input)
    _bounded(root, name)
    document = Document(root, rooted_already=not references.possible(text))
    problems = validity.problems(root, document)
    if problems:
        first, more = problems[0], len(problems) - 1
        raise UnusableInput(
            f"{name} cannot be used: {first.message}",
            cause="\n".join(f"{problem.pointer}: {problem.message}" for problem in problems[1:6])
            + (f"\n… and {more - 5} more." if more > 5 else ""),
            fix=first.fix or f"Correct it at {first.pointer}.",
        )
    return Specification(document, name, text, yaml)


def _read(text: str, name: str, input_: str) -> tuple[Any, bool]:
    if re.match(r"\s*[{\[]", text):
        # Each value but the first stands behind one of these. Built, tiny values take fifty times the memory of their text.
        if sum(map(text.count, ",[{")) > MOST_VALUES:
            _too_many(name)
        try:
            return _json(text), False
        except RecursionError:
            _too_deep(name)
        except ValueError as error:
            if len(text) > LONGEST_YAML or isinstance(error, _NoNumber):
                raise UnusableInput(f"{name} is not JSON: {error}.", fix=_check(input_)) from None
            failed = error  # YAML's flow style looks the same from outside
            try:
                return _yaml(text, name, input_), True
            except UnusableInput:
                raise UnusableInput(f"{name} is not JSON: {failed}.", fix=_check(input_)) from None
    return _yaml(text, name, input_), True


class _NoNumber(ValueError):
    pass


def _json(text: str) -> Any:
    def refuse(word: str) -> NoReturn:
        raise _NoNumber(f"{word} is not a number of JSON (RFC 8259, section 6)")

    return json.loads(text, parse_constant=refuse)


def _yaml(text: str, name: str, input_: str) -> Any:
    size = len(text.encode())
    if size > LONGEST_YAML:
        raise UnusableInput(
            f"{name} is YAML of {size / 1e6:.1f} MB; at most {LONGEST_YAML / 1e6:.1f} MB of YAML is read.",
            cause="YAML is read a hundred times slower than JSON.",
            fix="Export the document as JSON, of which 32 MB are read.",
        )
    try:
        return _string_keys(yaml12.plain(yaml12.read(text, longest=LONGEST_YAML, most_nodes=MOST_NODES).root))
    except yaml12.NotYaml as error:
        raise UnusableInput(f"{name} is neither JSON nor YAML: {error}", fix=_check(input_)) from None


def _string_keys(root: Any) -> Any:
    """Keys as text, as in JSON: YAML has `200:` as a number. Shared values (aliases) stay shared."""
    done: dict[int, Any] = {}

    def convert(value: Any) -> Any:
        if not isinstance(value, (dict, list)):
            return value
        if id(value) not in done:
            if isinstance(value, dict):
                done[id(value)] = {_key(key): convert(item) for key, item in value.items()}
            else:
                done[id(value)] = [convert(item) for item in value]
        return done[id(value)]

    return convert(root)


def _key(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _bounded(root: Any, name: str) -> None:
    """Levels and values are counted without recursion: the reader may go deeper than Python's own stack."""
    level, count = [root], 0
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        count += len(below)
        if count > MOST_VALUES:
            _too_many(name)
        level = [value for value in below if isinstance(value, (dict, list))]
        if not level:
            return
    _too_deep(name)


def _too_many(name: str) -> NoReturn:
    raise UnusableInput(
        f"{name} holds more than {MOST_VALUES:,} values.",
        cause="The input names another file, or the document contains examples and data.",
    )


def _too_deep(name: str) -> NoReturn:
    raise UnusableInput(
        f"{name} is nested deeper than {DEEPEST} levels.",
        cause="The export has probably followed a reference to itself.",
        fix="Export recursive schemas as `$ref`.",
    )


def _too_long(name: str, size: int, limit: int, input_: str) -> NoReturn:
    raise UnusableInput(
        f"The OpenAPI document {name} of the input `{input_}` has {size / 1e6:.1f} MB; at most {limit / 1e6:.1f} MB are read.",
        cause="The input names another file, or the document contains examples and data.",
        fix=_check(input_),
    )


def _check(input_: str) -> str:
    return f"Check the input `{input_}`: it has to name the exported OpenAPI document, JSON or YAML."
