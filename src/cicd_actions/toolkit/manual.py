"""Writes an action's definition for people: `--help`, `action.yml`, and the tables of its README."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

from cicd_actions.toolkit.definition import AnyAction
from cicd_actions.toolkit.inputs import Declaration, grouped

EXIT_CODES: Mapping[int, str] = {
    0: "pass",
    1: "fail: proven wrong, or refused",
    2: "unusable input",
    3: "inconclusive: the action could not judge",
    130: "cancelled (SIGINT)",
    143: "cancelled (SIGTERM)",
}


def usage(action: AnyAction) -> str:
    """Returns the text of `--help`."""
    lines = [f"usage: cicd-actions {action.name} [--input VALUE …] [--json]", "", action.summary]
    for title, group in grouped(action.inputs, action.groups).items():
        lines += ["", f"inputs: {title[0].lower()}{title[1:]}" if title else "inputs:"]
        for name, declaration in group.items():
            lines.append(f"  --{name}{_default(declaration)}")
            lines += textwrap.wrap(declaration.help, 96, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += ["", "outputs:"]
    for output in action.outputs:
        lines.append(f"  {output.name}")
        lines += textwrap.wrap(output.help, 96, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += ["", "exit codes:", *(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())]
    lines += ["", "A flag that is given twice adds a line. --json prints outputs and findings as one JSON object."]
    return "\n".join(lines)


def _default(declaration: Declaration) -> str:
    if declaration.required:
        return "  (required)"
    return f"  (default: {declaration.default})" if declaration.default else ""


def action_yml(action: AnyAction, *, depth: int) -> str:
    """Returns `action.yml`: metadata and one step. `depth` is how many folders the launcher's root is above the action's."""
    quoted = json.dumps
    lines = [
        "# Made from the action's definition by `make metadata`; a test holds the two together.",
        f"name: {action.name}",
        f"description: {quoted(action.summary, ensure_ascii=False)}",
        "author: cicd-actions",
        "branding:",
        f"  icon: {action.icon}",
        f"  color: {action.color}",
        "inputs:",
    ]
    inputs = [each for group in grouped(action.inputs, action.groups).values() for each in group.items()]
    for name, declaration in inputs:
        lines += [
            f"  {name}:",
            f"    description: {quoted(declaration.help, ensure_ascii=False)}",
            f"    required: {'true' if declaration.required else 'false'}",
        ]
        if not declaration.required:
            lines.append(f"    default: {quoted(declaration.action_default or declaration.default, ensure_ascii=False)}")
    lines.append("outputs:")
    for output in action.outputs:
        lines += [
            f"  {output.name}:",
            f"    description: {quoted(output.help, ensure_ascii=False)}",
            f"    value: ${{{{ steps.run.outputs.{output.name} }}}}",
        ]
    lines += [
        "runs:",
        "  using: composite",
        "  steps:",
        "    - id: run",
        "      shell: bash",
        "      env:",
        "        INPUTS: ${{ toJSON(inputs) }}",
        # `exec`, because the runner signals only the shell.
        f'      run: exec "$GITHUB_ACTION_PATH/{"../" * depth}bin/cicd-actions" {action.name}',
    ]
    return "\n".join(lines) + "\n"


def readme_tables(action: AnyAction) -> str:
    """Returns the README's part between its markers: inputs, outputs and exit codes."""
    lines = ["## Inputs"]
    for title, group in grouped(action.inputs, action.groups).items():
        lines += ["", f"### {title}"] if title else []
        lines += ["", "| input | default | meaning |", "| --- | --- | --- |"]
        for name, declaration in group.items():
            default = declaration.action_default or declaration.default
            shown = "**required**" if declaration.required else " ".join(f"`{line}`" for line in default.splitlines())
            lines.append(f"| `{name}` | {shown} | {cell(declaration.help)} |")
    lines += ["", "## Outputs", "", "| output | meaning |", "| --- | --- |"]
    lines += [f"| `{output.name}` | {cell(output.help)} |" for output in action.outputs]
    lines += ["", "## Exit codes", "", "| code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Returns text that fits into a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
