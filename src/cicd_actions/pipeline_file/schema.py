"""Writes the JSON Schema of the pipeline file, and the tables of its documentation, from the definition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.pipeline_file.model import Environment, Pipeline, Settings
from cicd_actions.pipeline_file.shape import Key, Kind, Object, Schema, Texts, keys
from cicd_actions.toolkit.manual import cell

TITLE = "The pipeline file of cicd-actions (.github/cicd.yml)"


def json_schema() -> Schema:
    """Returns the schema (draft 2020-12)."""
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE, **_of_keys(keys(Pipeline))}
    parts = {each.name: {"description": each.about, **_of_keys(each.known)} for each in _definitions(Pipeline).values()}
    return {**found, "$defs": parts}


def text() -> str:
    """Returns the schema as the file that is published."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def tables() -> str:
    """Returns a table of the keys for each mapping of the file, as Markdown."""
    top = _Definition("Pipeline", "The whole file.", keys(Pipeline), Pipeline)
    return "\n".join(_table(each) for each in (top, *_definitions(Pipeline).values()))


def _table(of: _Definition) -> str:
    title = "".join(f"-{char.lower()}" if char.isupper() else char for char in of.name).strip("-")
    overridden = set(keys(Settings)) if of.cls is Environment else set()
    lines = [f"### `{title}`", "", of.about, "", "| key | value | meaning |", "| --- | --- | --- |"]
    for name, each in of.known.items():
        if name not in overridden:
            required = " **Required.**" if each.required else ""
            lines.append(f"| `{name}` | {cell(each.kind.words())} | {cell(each.help)}{required} |")
    if overridden:
        lines += ["", "An environment also takes every key of `release` except `refs` and `environments`, and overrides it."]
    return "\n".join(lines) + "\n"


def _of_keys(known: Mapping[str, Key]) -> Schema:
    """Returns the schema of a mapping with known keys."""
    found: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"description": each.help, **each.kind.schema()} for name, each in known.items()},
    }
    required = [name for name, each in known.items() if each.required]
    return {**found, "required": required} if required else found


def _inner(kind: Kind[Any]) -> Iterator[Kind[Any]]:
    """Yields a kind and the kinds within it; an object's keys are not entered."""
    yield kind
    for name in ("of", "short", "full"):
        if isinstance(within := getattr(kind, name, None), Kind):
            yield from _inner(within)


@dataclass(frozen=True)
class _Definition:
    """A mapping with known keys that a reader meets in the file: its name in the schema, what it is, its keys."""

    name: str
    about: str
    known: Mapping[str, Key]
    cls: type[Any] | None = None


def _definitions(cls: type[Any], found: dict[str, _Definition] | None = None) -> dict[str, _Definition]:
    """Returns every mapping with known keys below the class by its name, in the order in which a reader meets them."""
    found = {} if found is None else found
    for each in keys(cls).values():
        for kind in _inner(each.kind):
            if isinstance(kind, Texts):
                found.setdefault(kind.name, _Definition(kind.name, f"{kind.what[0].upper()}{kind.what[1:]}.", kind.known))
            elif isinstance(kind, Object) and kind.cls.__name__ not in found:
                name = kind.cls.__name__
                found[name] = _Definition(name, (kind.cls.__doc__ or "").strip(), keys(kind.cls), kind.cls)
                _definitions(kind.cls, found)
    return found
