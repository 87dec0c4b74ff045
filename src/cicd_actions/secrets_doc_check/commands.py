"""The commands of GitHub's own command line that set a name where it is used."""

from __future__ import annotations

import shlex

from cicd_actions.secrets_doc_check.model import DEPENDABOT, Kind, Use, levels


def setter(kind: Kind, name: str, level: str) -> str:
    """Returns the command that sets a name at a level: `repository`, `Dependabot` or `environment NAME`."""
    flag = ""
    if level == DEPENDABOT:
        flag = " --app dependabot"
    elif level.startswith("environment "):
        flag = f" --env {shlex.quote(level.removeprefix('environment '))}"
    return f"gh {kind} set {name}{flag}"


def setters(name: str, uses: list[Use]) -> list[str]:
    """Returns the commands for all uses: one for each kind and level."""
    found: list[str] = []
    for kind in Kind:
        of_kind = [use for use in uses if use.kind is kind]
        if kind is not Kind.SETTING and of_kind:
            found += [setter(kind, name, level) for level in levels(of_kind) or ["repository"]]
    return found
