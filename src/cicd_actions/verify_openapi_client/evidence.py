"""Gathers what the copy shows of a difference: why the client differs, what that touches, and the lines of the findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cicd_actions.verify_openapi_client import diagnosis, drift, line_numbers, overview
from cicd_actions.verify_openapi_client.inputs import Inputs
from cicd_actions.verify_openapi_client.judgement import Compared
from cicd_actions.verify_openapi_client.repository import Repository
from cicd_actions.verify_openapi_client.shadow import Shadow
from cicd_actions.verify_openapi_client.specification import Specification


@dataclass(frozen=True)
class Seen:
    """What the copy shows of a difference; `first_line` is the first of the client in git that differs."""

    causes: Sequence[diagnosis.Cause]
    touched: overview.Overview
    first_line: int


def look(found: drift.Drift, repo: Repository, copy: Shadow, where: str, inputs: Inputs, spec: Specification) -> Seen:
    """Says why the client differs, while the copy is there. `where` is the working directory from the repository's root."""
    if not found:
        return Seen((), overview.Overview((), ()), 1)
    texts = _texts(found, repo, copy)
    old, new = texts[found.files[0].path]
    first_line = min(drift.first_difference(old.encode(), new.encode()), max(len(old.splitlines()), 1))
    if found.unstable:
        return Seen((), overview.Overview((), ()), first_line)
    seen = diagnosis.Client(repo, copy.tree, where, inputs.generate_command, inputs.format_command or ())
    touched = overview.touched(found.patch.decode("utf-8", "replace"), texts, spec.document)
    return Seen(diagnosis.causes(found, seen), touched, first_line)


def _texts(found: drift.Drift, repo: Repository, copy: Shadow) -> dict[str, tuple[str, str]]:
    texts: dict[str, tuple[str, str]] = {}
    for file in found.files:
        old = repo.show(repo.head, file.was or file.path) or b""
        new = copy.tree / file.path
        content = new.read_bytes() if new.is_file() else b""
        texts[file.path] = (old.decode("utf-8", "replace"), content.decode("utf-8", "replace"))
    return texts


def lines(spec: Specification, spec_file: str, compared: Compared) -> dict[str, int]:
    """Returns the lines of the document, where git has it, that the findings stand on, by pointer."""
    wanted = [change.pointer for change in compared.changes if not change.in_base]
    return line_numbers.of(spec, wanted) if spec_file and wanted else {}
