"""The third list: asks GitHub which names are set. A level that the token may not list is unknown, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from cicd_actions.github import settings
from cicd_actions.github.client import GitHub
from cicd_actions.secrets_doc_check.model import DEPENDABOT, ORGANISATION, REPOSITORY, Column, Kind, Setting
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.runtime import Runtime

SECONDS = 120.0
"""For all questions to GitHub together."""

_KINDS = {"secrets": Kind.SECRET, "variables": Kind.VARIABLE}


def gather(token: str, environments: Iterable[str], runtime: Runtime, *, dependabot: bool) -> Column:
    """Returns the names that are set in the repository, its organisation, these environments, and for Dependabot.

    Raises `UnusableInput` when GITHUB_REPOSITORY is not set, or GitHub refuses the token.
    """
    repository = runtime.variables.get("GITHUB_REPOSITORY", "")
    if not repository:
        raise UnusableInput(
            "The input `github-token` is given, but GITHUB_REPOSITORY is not set.",
            cause="Only GitHub's runner sets it.",
            fix="    export GITHUB_REPOSITORY=owner/name",
        )
    github = GitHub(token, repository, runtime, runtime.deadline(SECONDS))
    column = Column(looked=True)
    down = ""

    def ask(level: str, what: str, listing: Callable[[], settings.Listing]) -> None:
        nonlocal down
        kind = _KINDS[what]
        if not down:
            try:
                found = listing()
            except Inconclusive as error:
                # GitHub does not answer, so the next questions are not asked.
                down = error.what
            else:
                column.settings.extend(Setting(kind, name, level) for name in sorted(found.names))
                if found.unknown:
                    column.unknown[kind, level] = f"{found.unknown}\n{found.fix}".strip()
                return
        column.unknown[kind, level] = down

    for what in _KINDS:
        ask(REPOSITORY, what, partial(settings.repository, github, what))
        ask(ORGANISATION, what, partial(settings.organisation, github, what))
        for name in environments:
            ask(f"environment {name}", what, partial(settings.environment, github, name, what))
    if dependabot:
        ask(DEPENDABOT, "secrets", partial(settings.dependabot, github))
    return column
