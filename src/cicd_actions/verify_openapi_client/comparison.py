"""Loads the document of the current API, and compares the new one with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.verify_openapi_client import base, levels, overview, specification, symbols
from cicd_actions.verify_openapi_client.breaking import classify
from cicd_actions.verify_openapi_client.breaking.graph import TooMuch
from cicd_actions.verify_openapi_client.breaking.rules import RULES
from cicd_actions.verify_openapi_client.inputs import Inputs
from cicd_actions.verify_openapi_client.judgement import Compared
from cicd_actions.verify_openapi_client.repository import Repository
from cicd_actions.verify_openapi_client.specification import Specification


def compare(inputs: Inputs, repo: Repository, folder: Path, spec: Specification, variables: Mapping[str, str]) -> Compared:
    """Returns what the change from the base to the document breaks, or why that was skipped. Raises `UnusableInput`."""
    levels.check(inputs.rules, RULES)
    if inputs.base_spec:
        old = specification.load(folder / inputs.base_spec, input="base-spec", name=inputs.base_spec)
        # The folders above say where a runner keeps its files, which does not help.
        name = Path(inputs.base_spec).name if Path(inputs.base_spec).is_absolute() else inputs.base_spec
        return _compared(old, spec, f"`{name}`")
    if inputs.base_missing:
        return Compared(skipped=inputs.base_missing)
    path = _spec_path(inputs, repo, folder)
    if path:
        return _compared_with_git(inputs, repo, path, spec, variables)
    fix = "Hand the base in as a file:\n\n    base-spec: base/openapi.json"
    if inputs.base_ref:
        raise UnusableInput(
            f"Cannot read the OpenAPI document of `base-ref` {inputs.base_ref}: git does not track the document.", fix=fix
        )
    return Compared(skipped="git does not track the document, and there is no `base-spec`", fix=fix, undecided=True)


def _compared_with_git(
    inputs: Inputs, repo: Repository, path: str, spec: Specification, variables: Mapping[str, str]
) -> Compared:
    found = base.of_reference(repo, inputs.base_ref) if inputs.base_ref else base.of_event(repo, variables)
    if not found.commit:
        return Compared(skipped=found.missing, fix=found.fix, undecided=bool(found.fix))
    size, name = repo.size(found.commit, path), f"{path} of {found.commit[:12]}"
    if size is None:
        return Compared(skipped=f"{found.origin} ({found.commit[:12]}) does not have {path} yet")
    try:
        specification.check_size(size, input="base-ref", name=name)
        old = specification.parse(repo.show(found.commit, path) or b"", input="base-ref", name=name)
    except UnusableInput as error:
        fix = f"Correct the document of the base, or say why it cannot be compared:\n\n    base-missing: {name} cannot be read"
        return Compared(skipped=f"the base's document cannot be used: {error.what}", fix=fix, undecided=True)
    return _compared(old, spec, f"{found.origin}, {found.commit[:12]}")


def _spec_path(inputs: Inputs, repo: Repository, folder: Path) -> str:
    if inputs.spec_path:
        name = repo.relative(folder / inputs.spec_path)
        if name is None:
            raise UnusableInput(
                f"`spec-path` {inputs.spec_path} lies outside of the repository.", fix="It starts from `working-directory`."
            )
        return name
    return repo.tracked(folder / inputs.spec) if inputs.spec else ""


def _compared(old: Specification, new: Specification, origin: str) -> Compared:
    try:
        changes = classify.compare(old.document, new.document)
    except TooMuch as error:
        return Compared(skipped=f"the documents are too entangled to compare: {error}", undecided=True)
    changes += symbols.compare(old.document, new.document)
    return Compared(origin, changes=tuple(changes), overview=overview.compare(old.document, new.document))
