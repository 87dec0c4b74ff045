"""Finds the commit of the current API: the base that the change is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.verify_openapi_client.breaking.document import mapping, text
from cicd_actions.verify_openapi_client.inputs import Inputs
from cicd_actions.verify_openapi_client.repository import GitFailed, Repository

_LARGEST_EVENT = 32 * 1024 * 1024


@dataclass(frozen=True)
class Base:
    """The commit to compare with, or why there is none. `fix` is the YAML that gives one; empty where none can exist."""

    commit: str = ""
    origin: str = ""
    missing: str = ""
    fix: str = ""


CHECKOUT = """Check out the whole history:

    - uses: actions/checkout@<full commit sha>
      with:
        fetch-depth: 0"""

NAME_IT = """Name the base, or say why there is none:

    base-ref: origin/main
    # base-missing: this workflow does not compare"""


def check(inputs: Inputs) -> None:
    """Raises `UnusableInput` for inputs of the comparison that contradict each other."""
    if inputs.base_missing and (inputs.base_spec or inputs.base_ref):
        raise UnusableInput("`base-missing` is given beside a base.", fix="Leave one of them empty.")
    if inputs.base_spec and (inputs.base_ref or inputs.spec_path):
        raise UnusableInput(
            "`base-spec` is given beside `base-ref` or `spec-path`; each names the current API.", fix="Keep one of them."
        )


def of_reference(repository: Repository, reference: str) -> Base:
    """Returns the commit that the input `base-ref` names."""
    return _here(repository, reference, f"`base-ref: {reference}`")


def of_event(repository: Repository, variables: Mapping[str, str]) -> Base:
    """Returns the commit that GitHub's event names as the current one.

    A pull request: its base, or where it left the base's branch if the checkout is not the merge commit. A merge group:
    `merge_group.base_sha`. A push: `before`, which is all zeros for a new branch. Other events have none.
    """
    path = variables.get("GITHUB_EVENT_PATH")
    event = _read(Path(path)) if path else {}
    if not event:
        why = "the event file could not be read" if path else "there is no GitHub event to take a base from"
        return Base(missing=why, fix=NAME_IT)
    return _of(repository, event, variables.get("GITHUB_EVENT_NAME", "unknown"))


def _of(repository: Repository, event: Mapping[str, Any], name: str) -> Base:
    pull = text(mapping(mapping(event.get("pull_request")).get("base")).get("sha"))
    if pull:
        return _forked_from(repository, _here(repository, pull, "the pull request's base"))
    group = text(mapping(event.get("merge_group")).get("base_sha"))
    if group:
        return _here(repository, group, "the merge group's base")
    before = text(event.get("before"))
    if before:
        if not before.strip("0"):
            return Base(missing="the push made a new branch, so nothing was there before it")
        return _here(repository, before, "the commit before the push")
    return Base(missing=f"the event `{name}` has no base", fix=NAME_IT)


def _here(repository: Repository, reference: str, origin: str) -> Base:
    if reference and not reference.strip("0"):
        return Base(missing=f"{origin} is all zeros: nothing was there before")
    commit = repository.commit(reference)
    if commit is None:
        shown = reference if len(reference) != 40 else reference[:12]
        return Base(missing=f"{origin} ({shown}) is not in this checkout", fix=CHECKOUT)
    return Base(commit, origin)


def _forked_from(repository: Repository, base: Base) -> Base:
    """Returns where the pull request left the base's branch: what the branch got later is not removed by it."""
    if not base.commit:
        return base
    try:
        found = repository.git("merge-base", base.commit, "HEAD").decode().strip()
    except GitFailed:
        return base  # the history is too short to tell
    return Base(found, base.origin) if found else base


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST_EVENT))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
