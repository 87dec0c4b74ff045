"""The names of secrets and variables that are set for a repository, at every level. Values are never kept."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.errors import Forbidden, NotFound, Permission
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.json_values import members, objects

SECRETS = Permission("Secrets")
VARIABLES = Permission("Variables")
ENVIRONMENTS = Permission("Environments")
DEPENDABOT = Permission("Dependabot secrets")


@dataclass(frozen=True)
class Listing:
    """The names at one level. `unknown` is the reason why they could not be listed; then `names` is empty."""

    names: frozenset[str] = frozenset()
    unknown: str = ""
    fix: str = ""


def repository(github: GitHub, what: str) -> Listing:
    """Returns the repository's own; `what` is `secrets` or `variables`."""
    needs = SECRETS if what == "secrets" else VARIABLES
    return _listing(github, f"{github.repo}/actions/{what}", what, f"list the repository's {what}", needs)


def organisation(github: GitHub, what: str) -> Listing:
    """Returns the organisation's, as far as this repository may use them."""
    needs = SECRETS if what == "secrets" else VARIABLES
    path = f"{github.repo}/actions/organization-{what}"
    return _listing(github, path, what, f"list the organisation's {what} that this repository may use", needs)


def environment(github: GitHub, name: str, what: str) -> Listing:
    """Returns those of an environment."""
    path = f"{github.repo}/environments/{segment(name)}/{what}"
    return _listing(github, path, what, f"list the {what} of the environment `{name}`", ENVIRONMENTS)


def dependabot(github: GitHub) -> Listing:
    """Returns the secrets that Dependabot reads from its own store."""
    return _listing(github, f"{github.repo}/dependabot/secrets", "secrets", "list Dependabot's secrets", DEPENDABOT)


def _listing(github: GitHub, path: str, key: str, what: str, needs: Permission) -> Listing:
    # GitHub gives at most 30 variables a page, and 100 secrets.
    per_page = 100 if key == "secrets" else 30
    names: set[str] = set()
    try:
        for page in github.pages(path, what, needs=needs, per_page=per_page):
            found = members(page).get(key)
            if not isinstance(found, list):
                raise Inconclusive(f"Could not {what}: the answer holds no list of {key}.")
            names |= {str(item["name"]).upper() for item in objects(found) if "name" in item}
    except (Forbidden, NotFound) as error:
        return Listing(unknown=error.what, fix=error.fix)
    return Listing(frozenset(names))
