"""The inputs, secrets and outputs of a reusable workflow as Markdown tables, from the workflow file itself."""

from __future__ import annotations

from typing import Any

from cicd_actions.toolkit.yaml12 import plain, read

HEADS = {"inputs": ("input", "default"), "secrets": ("secret", ""), "outputs": ("output", "")}


def tables(workflow: str) -> str:
    """The tables of the workflow with that text, one after the other."""
    document = plain(read(workflow).root)
    assert isinstance(document, dict)  # noqa: S101 - a workflow is a mapping, or nothing of it would run
    call = document["on"]["workflow_call"]
    return "\n".join(_table(kind, call[kind]) for kind in HEADS if kind in call)


def _table(kind: str, entries: dict[str, dict[str, Any]]) -> str:
    name, default = HEADS[kind]
    head = [name, *([default] if default else []), ""]
    lines = [_row(head), _row(["---"] * len(head))]
    for key, entry in entries.items():
        middle = [_default(entry)] if default else []
        lines.append(_row([f"`{key}`", *middle, entry["description"].strip()]))
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(entry: dict[str, Any]) -> str:
    if entry.get("required"):
        return "required"
    value = entry["default"]
    if isinstance(value, bool):
        value = str(value).lower()
    lines = str(value).split("\n")
    return "<br>".join(f"`{line}`" for line in lines if line) or "empty"
