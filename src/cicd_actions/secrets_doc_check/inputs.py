"""The inputs of secrets-doc-check."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.secrets_doc_check.code.scanning import Source, source
from cicd_actions.secrets_doc_check.rules import State
from cicd_actions.toolkit.grammar import NotUnderstood, choice, lines, optional, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.workflows.tree import Glob, glob

NOTHING = "nothing"

_IGNORED = re.compile(r"([A-Za-z_]\w*)\s*:\s*(\S.*)")


def ignored(text: str) -> tuple[str, str]:
    """Reads `NAME: reason`. The reason is required, so that the next reader knows it. Raises `NotUnderstood`."""
    match = _IGNORED.fullmatch(text)
    if match:
        return match[1].upper(), match[2]
    raise NotUnderstood(
        f"`{text}` is not a name with a reason", example=f"{text.strip(' :') or 'NAME'}: set by the platform team"
    )


def document(text: str) -> str:
    """Reads the path of a Markdown file within the repository. Raises `NotUnderstood` for a pattern."""
    path = glob(text.strip()).text
    if any(sign in path for sign in "*?!"):
        raise NotUnderstood(f"`{text}` is a pattern, not a file", example="SECRETS.md")
    if not path.lower().endswith((".md", ".mdx", ".markdown")):
        raise NotUnderstood(f"`{text}` is not the path of a Markdown file", example="SECRETS.md")
    return path.removeprefix("./")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Which files the check reads, and what makes it fail. Paths start at the repository's root."""

    workflows: tuple[Glob, ...] = declare(
        lines(glob),
        "Workflow and action files, one pattern per line; `!` in front excludes.",
        default=".github/workflows/*.yml\n.github/workflows/*.yaml\n**/action.yml\n**/action.yaml",
    )
    docs: tuple[Glob, ...] = declare(
        lines(glob),
        "Documentation, one pattern per line. The comment block at the end of each workflow file counts too.",
        default="README.md\nSECRETS.md\ndocs/**/*.md\ndocs/**/*.mdx\n**/.env.example",
    )
    code: tuple[Source, ...] = declare(
        lines(source),
        "Code whose environment variables count: `auto`, or one pattern per line. Write the kind in front where the file's"
        " name does not tell it: `python:`, `javascript:`, `dockerfile:`, `compose:`, `dotenv:`.",
    )
    ignore: tuple[tuple[str, str], ...] = declare(
        lines(ignored),
        "Names to ignore, one per line, each with the reason: `LEGACY_TOKEN: until the old pipeline is gone`.",
    )
    fail_on: tuple[str, ...] = declare(
        lines(choice(*(state.value for state in State), NOTHING)),
        "What fails the check, one per line: `undocumented`, `broken`, `unset`, `incomplete`, `unused`, or `nothing`."
        " The rest is a warning.",
        default=f"{State.UNDOCUMENTED}\n{State.BROKEN}",
    )
    github_token: str = declare(
        string,
        "Token that lists the names that are set, and reads called workflows of other repositories: an App's or a fine-grained"
        " one with Secrets, Variables and Environments (read). `GITHUB_TOKEN` can never list secrets.",
        secret=True,
    )
    environments: tuple[str, ...] = declare(
        lines(string), "Environments to ask GitHub for, one per line. Default: those that the workflows name."
    )
    write: str | None = declare(
        optional(document),
        "Document to write. The block between its markers is generated from the uses; the text that people wrote in it stays.",
    )
    check_write: str | None = declare(optional(document), "Document to check. The check fails if `write` would change it.")
