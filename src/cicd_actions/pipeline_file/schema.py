"""Writes the JSON Schema of the pipeline file, and the tables of its documentation, from the definition."""

from __future__ import annotations

import json

from cicd_actions.pipeline_file.model import Environment, Pipeline, Settings
from cicd_actions.pipeline_file.shape import Definition, Schema, definitions, keys, of_keys
from cicd_actions.toolkit.manual import cell

TITLE = "The pipeline file of cicd-actions (.github/cicd.yml)"


def json_schema() -> Schema:
    """Returns the schema (draft 2020-12)."""
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE, **of_keys(keys(Pipeline))}
    parts = {each.name: {"description": each.about, **of_keys(each.known)} for each in definitions(Pipeline).values()}
    return {**found, "$defs": parts}


def text() -> str:
    """Returns the schema as the file that is published."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def tables() -> str:
    """Returns a table of the keys for each mapping of the file, as Markdown."""
    top = Definition("Pipeline", "The whole file.", keys(Pipeline), Pipeline)
    return "\n".join(_table(each) for each in (top, *definitions(Pipeline).values()))


def _table(of: Definition) -> str:
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
