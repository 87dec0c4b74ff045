"""The inputs with which an action reads and writes records."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.toolkit.grammar import NotUnderstood, lines, string, variable_name
from cicd_actions.toolkit.inputs import declare

BOT = "github-actions"
"""The slug of the App behind GITHUB_TOKEN."""


def _key_name(text: str) -> str:
    return variable_name(text) if text.strip() else ""


def _workflow(text: str) -> str:
    path = text.strip()
    if not path.startswith(".github/workflows/"):
        raise NotUnderstood(f"`{path[:200]}` is not the path of a workflow file", example=".github/workflows/deploy.yml")
    return path


@dataclass(frozen=True, kw_only=True)
class RecordInputs:
    """What proves the writer of a record."""

    app: str = declare(string, "The application's name, where a repository has several. Default: the repository.")
    record_key: str = declare(
        _key_name,
        "The name of an environment variable with a secret key that only jobs of this environment have: `RECORD_KEY`."
        " Records are signed with it, and only signed ones count.",
    )
    records_app: str = declare(
        string, "The slug of the GitHub App that writes the records, as in `https://github.com/apps/SLUG`.", default=BOT
    )
    records_refs: tuple[str, ...] = declare(
        lines(string),
        "Without `record-key`: the branches and tags whose runs may write records, one pattern per line: `main`, `v*`."
        " Default: the default branch and the ref of this run.",
    )
    records_workflows: tuple[str, ...] = declare(
        lines(_workflow),
        "Without `record-key`: the workflow files whose runs may write records, one path per line."
        " Default: every file in `.github/workflows`.",
    )
