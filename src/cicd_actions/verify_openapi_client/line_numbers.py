"""Finds the lines of values in a JSON or YAML document by their JSON pointers."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterable
from typing import Any

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.verify_openapi_client.breaking.document import tokens
from cicd_actions.verify_openapi_client.specification import LONGEST_YAML, Specification

LONGEST = 8 * 1024 * 1024
"""Characters; in longer documents a line says little to anybody."""

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def of(specification: Specification, pointers: Iterable[str]) -> dict[str, int]:
    """The line, from 1, of each pointer that leads somewhere; a longer path than there is gives its last known part."""
    wanted = {pointer: tokens(pointer) for pointer in pointers}
    if not wanted or len(specification.text) > LONGEST:
        return {}
    return _in_yaml(specification.text, wanted) if specification.yaml else _in_json(specification.text, wanted)


def _in_json(text: str, wanted: dict[str, list[str]]) -> dict[str, int]:
    tree: dict[str, Any] = {}
    for keys in wanted.values():
        node = tree
        for key in keys:
            node = node.setdefault(key, {})
    offsets: dict[tuple[str, ...], int] = {}
    _walk(text, tree, offsets)
    ends = [match.start() for match in re.finditer("\n", text)]
    found: dict[str, int] = {}
    for pointer, keys in wanted.items():
        for length in range(len(keys), -1, -1):
            offset = offsets.get(tuple(keys[:length]))
            if offset is not None:
                found[pointer] = bisect.bisect_left(ends, offset) + 1
                break
    return found


def _walk(text: str, tree: dict[str, Any], offsets: dict[tuple[str, ...], int]) -> None:
    """Where each value of the tree starts; a member of an object starts at its key. The text is known to be JSON."""
    # One frame for each open bracket: its tree (None outside of what is wanted), its path, its index (None in objects).
    stack: list[tuple[dict[str, Any] | None, tuple[str, ...], list[int] | None]] = []
    node: dict[str, Any] | None = tree
    path: tuple[str, ...] = ()
    awaiting_key = False
    start = 0
    for match in _WORD.finditer(text):
        word = match[0]
        if awaiting_key and word[0] == '"':
            parent, above, _ = stack[-1]
            key = json.loads(word) if parent else ""
            node = parent.get(key) if parent else None
            path, start, awaiting_key = (*above, key) if node is not None else (), match.start(), False
        elif word in "{[":
            if node is not None:
                offsets.setdefault(path, start if stack and stack[-1][2] is None else match.start())
            stack.append((node, path, None if word == "{" else [0]))
            awaiting_key = word == "{"
            if word == "[":
                node, path = _at_index(stack[-1])
        elif word in "}]":
            stack.pop()
            awaiting_key = False
        elif word == ",":
            counter = stack[-1][2]
            if counter is None:
                awaiting_key = True
            else:
                counter[0] += 1
                node, path = _at_index(stack[-1])
        elif word != ":" and node is not None:
            offsets.setdefault(path, start if stack and stack[-1][2] is None else match.start())


def _at_index(
    frame: tuple[dict[str, Any] | None, tuple[str, ...], list[int] | None],
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    parent, above, counter = frame
    assert counter is not None  # noqa: S101 - it is an array's
    key = str(counter[0])
    node = parent.get(key) if parent else None
    return node, (*above, key) if node is not None else ()


def _in_yaml(text: str, wanted: dict[str, list[str]]) -> dict[str, int]:
    root = yaml12.read(text, longest=LONGEST_YAML).root
    found: dict[str, int] = {}
    for pointer, keys in wanted.items():
        node: yaml12.Node | None = root
        line = 1
        for key in keys:
            if isinstance(node, yaml12.Mapping):
                name = node.key(key)
                node = node.get(key)
                line = name.line if name is not None else line
            elif isinstance(node, yaml12.Sequence) and is_whole(key) and int(key) < len(node.items):
                node = node.items[int(key)]
                line = node.line
            else:
                break
        found[pointer] = line
    return found
