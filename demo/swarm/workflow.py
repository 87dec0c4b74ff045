"""Makes the example's pipeline deploy to Swarm: other inputs of the one workflow that it calls, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from cicd_actions.toolkit.yaml12 import Scalar, read
from demo.export import entries

LOCAL = {"running-command", "image-command", "job-command", "roll-out-command"}
"""Inputs that only the engine `command` has."""


def on_swarm(text: str, inputs: Mapping[str, str]) -> str:
    """The text of the workflow with *inputs* in place of what it has of them and of LOCAL. Other lines stay as they are.

    Raises LookupError when it names no engine.
    """
    lines = text.splitlines(keepends=True)
    dropped: set[int] = set()
    at: Scalar | None = None
    for path, key, value in entries(read(text).root):
        if path[-1:] == ("with",) and isinstance(value, Scalar) and key.text in {*LOCAL, *inputs}:
            dropped.update(range(key.line - 1, value.line))
            if key.text == "engine":
                at = key
    if at is None:
        raise LookupError("the pipeline has no input `engine`")
    indent = " " * (at.column - 1)
    own = [f"{indent}{name}: {quoted(value)}\n" for name, value in inputs.items()]
    kept = [[line] if number not in dropped else [] for number, line in enumerate(lines)]
    kept[at.line - 1] = own
    return "".join(line for part in kept for line in part)


def quoted(text: str) -> str:
    """A single-quoted scalar."""
    return "'" + text.replace("'", "''") + "'"
