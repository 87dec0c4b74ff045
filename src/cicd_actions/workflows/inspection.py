"""Inspects the expressions of a file: what they read, each with its place, and their problems."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.workflows.expressions import CONTEXTS, FUNCTIONS
from cicd_actions.workflows.files import File, Problem, Site
from cicd_actions.workflows.references import Reference, references
from cicd_actions.workflows.syntax import Call, Context, walk
from cicd_actions.workflows.templates import Found, expressions, parsed

_WATCHED = frozenset({"secrets", "vars", "env", "inputs"})


class Reading(NamedTuple):
    """One reference in a file. `job` and `step` say where; `step` is the step's index, `None` outside of steps."""

    context: str
    name: str | None
    site: Site
    reference: Reference
    offset: int
    """Where in the site's text it starts."""
    job: str
    step: int | None

    @property
    def path(self) -> tuple[str, ...]:
        return self.site.path


@dataclass
class Inspection:
    """All readings of a file in the order of its text, and the problems of its expressions."""

    file: File
    readings: list[Reading] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def place(self, reading: Reading) -> tuple[int, int]:
        """Returns line and column of a reading."""
        return self.file.document.place_in(reading.site.scalar, reading.offset)


@lru_cache(maxsize=8192)
def _known(source: str) -> tuple[tuple[Reference, ...], tuple[tuple[str, int], ...]]:
    """Returns the references of an expression, and the names in it that GitHub does not know, with their offsets.

    The same expressions stand in many files: each text is read once.
    """
    tree = parsed(source)[0]
    if tree is None:
        return (), ()
    unknown: list[tuple[str, int]] = []
    for node in walk(tree):
        if isinstance(node, Call) and node.name.lower() not in FUNCTIONS:
            unknown.append((f"the function `{node.name}`", node.start))
        elif isinstance(node, Context) and node.name.lower() not in CONTEXTS:
            unknown.append((f"`{node.name}`", node.start))
    return tuple(references(tree, _WATCHED)), tuple(unknown)


def inspect(file: File) -> Inspection:
    """Reads every expression of the file."""
    inspection = Inspection(file)
    for site in file.sites():
        if site.scalar.tag:
            _notice_tag(inspection, site)
        for found in expressions(site.scalar.text, condition=site.condition):
            _inspect(inspection, site, found)
    return inspection


def _inspect(inspection: Inspection, site: Site, found: Found) -> None:
    if found.problem:
        message = f"could not read this expression: {found.problem}"
        _notice(inspection, site, found.problem_offset, "broken-expression", message, unread=True)
        return
    read, unknown = _known(found.source)
    for name, offset in unknown:
        message = f"GitHub does not know {name}, and refuses the file"
        _notice(inspection, site, found.start + offset, "unknown-name", message)
    if not read:
        return
    job, step = _whereabouts(site.path)
    for reference in read:
        reading = Reading(reference.context, reference.name, site, reference, found.start + reference.start, job, step)
        inspection.readings.append(reading)
        if reference.context in {"secrets", "vars"}:
            refused = _refused(inspection.file, reading)
            if refused:
                _notice(inspection, site, reading.offset, "unavailable-context", *refused)


def _whereabouts(path: tuple[str, ...]) -> tuple[str, int | None]:
    """Returns the job that a path leads into, and the step."""
    job = path[1] if path[0] == "jobs" and len(path) > 1 else ""
    at = 2 if job else 1
    inside = len(path) > at + 1 and path[at] == "steps" and is_whole(path[at + 1])
    return job, int(path[at + 1]) if inside else None


def _notice(
    inspection: Inspection, site: Site, offset: int, rule: str, message: str, fix: str = "", *, unread: bool = False
) -> None:
    place = inspection.file.document.place_in(site.scalar, offset)
    inspection.problems.append(Problem(rule, message, *place, fix, unread))


def _notice_tag(inspection: Inspection, site: Site) -> None:
    scalar = site.scalar
    message = f"YAML takes `{scalar.tag}` for a tag, not for a part of the expression"
    fix = f"Write: if: ${{{{ {scalar.tag} {scalar.text} }}}}".replace("  ", " ")
    inspection.problems.append(Problem("broken-expression", message, scalar.line, scalar.column, fix, unread=True))


def _refused(file: File, reading: Reading) -> tuple[str, str] | None:
    """Returns why GitHub does not give the context here, and what to write; `None` where it does.

    As in https://docs.github.com/actions/reference/contexts-reference#context-availability (a test holds this to the
    schemas of npm `@actions/workflow-parser`).
    """
    context = reading.context
    if file.kind == "action":
        fix = f"Declare an input, and set it where the action is used: `with: {{name: ${{{{ {context}.NAME }}}}}}`."
        return f"an action cannot read `{context}`: GitHub gives an action only its inputs", fix
    if context == "vars" or secrets_allowed(reading.path):
        return None
    if reading.site.condition:
        fix = "Set the secret in the job's `env:`, and test that in the `if:` of its steps: `if: env.NAME != ''`."
        if "steps" not in reading.path:
            fix += " The `if:` of a job cannot read `env` either."
        return "GitHub does not give `secrets` to an `if:`", fix
    return f"GitHub does not give `secrets` to `{_shown(reading.path)}`", "Pass the secret in `env:` or `with:` of a step."


_STEP_KEYS = frozenset({"name", "run", "with", "env", "continue-on-error", "timeout-minutes", "working-directory"})


def secrets_allowed(path: tuple[str, ...]) -> bool:
    """Returns whether GitHub gives the context `secrets` to this place of a workflow."""
    if path[0] == "env":
        return True
    if path[0] != "jobs" or len(path) < 3:
        return False
    below = path[2:]
    if below[0] == "steps":
        step = 2
        while len(below) > step + 2 and below[step] == "parallel":
            step += 2
        return len(below) > step and below[step] in _STEP_KEYS
    if below[0] == "services":
        return len(below) > 2 and below[2] in {"env", "credentials"}
    if below[0] == "container":
        return len(below) > 1 and below[1] in {"env", "credentials"}
    return below[0] in {"env", "outputs", "secrets"}


def _shown(path: tuple[str, ...]) -> str:
    return ".".join(part for part in path if not is_whole(part))
