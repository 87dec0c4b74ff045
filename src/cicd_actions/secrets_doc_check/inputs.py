"""The inputs of secrets-doc-check."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.secrets_doc_check.code.scanning import Source, source
from cicd_actions.secrets_doc_check.comparison import State
from cicd_actions.secrets_doc_check.tree import Glob, glob
from cicd_actions.toolkit.grammar import NotUnderstood, choice, lines, optional, string
from cicd_actions.toolkit.inputs import declare

NOTHING = "nothing"

_IGNORED = re.compile(r"([A-Za-z_]\w*)\s*:\s*(\S.*)")


def ignored(text: str) -> tuple[str, str]:
    """`NAME: reason`. The reason is required: in a year nobody remembers it."""
    match = _IGNORED.fullmatch(text)
    if match:
        return match[1].upper(), match[2]
    raise NotUnderstood(f"`{text}` is no name with a reason", example=f"{text.strip(' :') or 'NAME'}: set by the platform team")


def document(text: str) -> str:
    """The path of a Markdown file within the repository."""
    path = glob(text.strip()).text
    if any(sign in path for sign in "*?!"):
        raise NotUnderstood(f"`{text}` is a pattern, not a file", example="SECRETS.md")
    return path.removeprefix("./")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is looked at, and what makes the check fail. Paths start at the repository's root."""

    workflows: tuple[Glob, ...] = declare(
        lines(glob),
        "Workflow and action files, one pattern per line; `!` in front excludes.",
        default=".github/workflows/*.yml\n.github/workflows/*.yaml\n**/action.yml\n**/action.yaml",
    )
    docs: tuple[Glob, ...] = declare(
        lines(glob),
        "Documentation, one pattern per line. The comment block at the end of each workflow file is read as well.",
        default="README.md\nSECRETS.md\ndocs/**/*.md",
    )
    code: tuple[Source, ...] = declare(
        lines(source),
        "Code whose environment variables count: `auto`, or one pattern per line, with the kind in front where the file's"
        " name does not say it (`python:`, `javascript:`, `dockerfile:`, `compose:`, `dotenv:`). Nothing by default.",
    )
    ignore: tuple[tuple[str, str], ...] = declare(
        lines(ignored),
        "Names that do not count, one per line, each with the reason: `LEGACY_TOKEN: until the old pipeline is gone`.",
    )
    fail_on: tuple[str, ...] = declare(
        lines(choice(*(state.value for state in State), NOTHING)),
        "What fails the check, one per line: `undocumented`, `unused`, `unset`, `incomplete`, or `nothing`."
        " The rest is a warning.",
        default=State.UNDOCUMENTED.value,
    )
    github_token: str = declare(
        string,
        "Token of an App or a fine-grained one with the repository permissions Secrets, Variables and Environments (read),"
        " to see which names are set. GITHUB_TOKEN can never list secrets. Without it, that column is unknown.",
        secret=True,
    )
    environments: tuple[str, ...] = declare(
        lines(string), "Environments to ask GitHub for, one per line. By default those that the workflows name."
    )
    write: str | None = declare(
        optional(document),
        "Document to write: the block between its markers is made from what is used, and what people wrote in it is kept."
        " It is made when there is none.",
    )
    check_write: str | None = declare(optional(document), "Document to check: fails if `write` would change it.")
