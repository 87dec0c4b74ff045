"""Follows calls within the repository: reusable workflows with the secrets they are handed, and composite actions."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from cicd_actions.secrets_doc_check.records import Place
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.yaml12 import Scalar
from cicd_actions.workflows.files import File, Job, Step
from cicd_actions.workflows.inspection import Inspection, Reading
from cicd_actions.workflows.values import possible

DEEPEST = 10
"""Levels of workflows that call workflows, and of nested composites: GitHub's own bounds."""


Files = Callable[[str], "Inspection | None"]
"""Gives the file at a path of the repository; `None` when there is none."""


@dataclass(frozen=True)
class Origin:
    """The secret of this repository behind a name in a called workflow."""

    name: str
    optional: bool


@dataclass(frozen=True)
class Call:
    """How a workflow is run: with everything (`handed` is `None`), or with the secrets of an explicit map."""

    file: File
    handed: Mapping[str, tuple[Origin, ...]] | None = None
    inputs: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    via: tuple[Place, ...] = ()
    interface: bool = False

    def origins(self, name: str) -> tuple[Origin, ...] | None:
        """What stands behind `secrets.name` here; `None` when nobody hands it in."""
        if self.handed is None:
            return (Origin(name, False),)
        return self.handed.get(name)

    def key(self) -> tuple[object, ...]:
        """Equal for calls that mean the same uses."""
        handed = None if self.handed is None else tuple(sorted((name, origins) for name, origins in self.handed.items()))
        return (self.file.path, str(handed), str(sorted(self.inputs.items(), key=str)), self.interface)


def local(uses: str) -> str | None:
    """The path in this repository that `uses:` names (`./…`, or GitHub's own `$/…`); `None` for another repository."""
    if not uses.startswith(("./", "$/")):
        return None
    path = posixpath.normpath(uses[2:])
    return None if path.startswith(("..", "/")) else path


def action_file(files: Files, uses: str) -> Inspection | None:
    """The metadata of a local action; `None` when it is not local or not there."""
    path = local(uses)
    if path is None:
        return None
    prefix = "" if path == "." else f"{path}/"
    return files(f"{prefix}action.yml") or files(f"{prefix}action.yaml")


def known_values(call: Call, job: Job) -> dict[str, frozenset[str] | None]:
    """What `inputs.x` and `matrix.x` can be in a job of the call, by that text in lower case."""
    known: dict[str, frozenset[str] | None] = {}
    for name, declared in call.file.inputs.items():
        values = frozenset(declared.options) if declared.options else None
        if name in call.inputs:
            values = call.inputs[name]
        elif call.via and declared.default is not None:
            values = frozenset({declared.default})
        known[f"inputs.{name}"] = values
    strategy = job.node.get("strategy")
    matrix = strategy.get("matrix") if isinstance(strategy, yaml12.Mapping) else None
    for name, values in _matrix(matrix).items():
        known[f"matrix.{name}"] = values
    return known


def _matrix(matrix: yaml12.Node | None) -> dict[str, frozenset[str] | None]:
    found: dict[str, frozenset[str] | None] = {}
    for key, values in matrix.entries if isinstance(matrix, yaml12.Mapping) else ():
        if key.text in {"include", "exclude"}:
            continue
        found[key.text.lower()] = _texts(values.items) if isinstance(values, yaml12.Sequence) else None
    more = matrix.get("include") if isinstance(matrix, yaml12.Mapping) else None
    for item in more.items if isinstance(more, yaml12.Sequence) else ():
        for key, value in item.entries if isinstance(item, yaml12.Mapping) else ():
            name, added = key.text.lower(), _texts([value])
            before = found.get(name, frozenset())
            found[name] = None if before is None or added is None else before | added
    return found


def _texts(nodes: list[yaml12.Node]) -> frozenset[str] | None:
    texts = [node.text for node in nodes if isinstance(node, Scalar) and "${{" not in node.text]
    return frozenset(texts) if len(texts) == len(nodes) else None


def environments(call: Call, job: Job) -> tuple[str, ...] | None:
    """The environments that a job can run in: none, or several by its inputs or matrix; `None` when nobody can say."""
    named = job.environment
    if named is None:
        return ()
    values = possible(named.text, known_values(call, job))
    return None if values is None else tuple(sorted(value for value in values if value))


def called(call: Call, job: Job, target: File, caller: Inspection) -> Call:
    """The call that a job makes."""
    handed = call.handed if job.inherits else _handed(call, job, caller)
    known = known_values(call, job)
    inputs: dict[str, frozenset[str] | None] = {}
    given = job.node.get("with")
    for key, value in given.entries if isinstance(given, yaml12.Mapping) else ():
        inputs[key.text.lower()] = possible(value.text, known) if isinstance(value, Scalar) else None
    via = (*call.via, Place(call.file.path, job.line))
    return Call(target, handed, inputs, via, call.interface)


def _handed(call: Call, job: Job, caller: Inspection) -> dict[str, tuple[Origin, ...]]:
    handed: dict[str, tuple[Origin, ...]] = {}
    for key, _ in job.handed.entries if job.handed else ():
        handed[key.text.upper()] = tuple(
            Origin(origin.name, origin.optional or reading.reference.optional)
            for reading in caller.readings
            if reading.path[:4] == ("jobs", job.id, "secrets", key.text) and reading.context == "secrets" and reading.name
            for origin in call.origins(reading.name.upper()) or ()
        )
    return handed


@dataclass(frozen=True)
class Arrival:
    """A place in a composite action where a value that was handed in is read."""

    place: Place
    optional: bool


def arrivals(files: Files, uses: str, key: str) -> Iterator[Arrival]:
    """Where a local composite action, and those it uses in turn, read the input `key`; each place once."""
    yield from _arrivals(files, uses, key.lower(), set(), 0)


def _arrivals(files: Files, uses: str, key: str, seen: set[tuple[str, str]], depth: int) -> Iterator[Arrival]:
    action = action_file(files, uses)
    if action is None or depth >= DEEPEST or (action.file.path, key) in seen:
        return
    seen.add((action.file.path, key))
    read = [reading for reading in action.readings if reading.context == "inputs" and (reading.name or "").lower() == key]
    guarded = {reading.step for reading in read if reading.site.condition}
    for reading in read:
        line, column = action.place(reading)
        optional = reading.reference.optional or reading.site.condition or reading.step in guarded
        yield Arrival(Place(action.file.path, line, column), optional)
        inner = handed_to(action.file.steps, reading)
        if inner:
            yield from _arrivals(files, inner.uses, reading.path[-1].lower(), seen, depth + 1)


def handed_to(steps: list[Step], reading: Reading) -> Step | None:
    """The step whose `with:` the reading stands in, when that step uses a local action."""
    if reading.step is None or reading.path[-2:-1] != ("with",):
        return None
    step = next((step for step in steps if step.index == reading.step), None)
    return step if step and local(step.uses) is not None else None
