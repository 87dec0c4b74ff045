"""Follows calls: reusable workflows with the secrets they are handed, and composite actions with their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.yaml12 import Node, Scalar
from cicd_actions.workflows import matrix
from cicd_actions.workflows.files import File, Job, Step
from cicd_actions.workflows.inspection import Inspection, Reading
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.repository_files import Files
from cicd_actions.workflows.values import Known, Value, possible

DEEPEST = 10
"""Levels of workflows that call workflows, and of nested composites: GitHub's own bounds."""

UNTRUSTED = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment"})
"""Events whose runs get no secrets when a fork or Dependabot is behind them:
https://docs.github.com/actions/concepts/security/secrets#using-secrets"""


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
        """Returns what stands behind `secrets.name` here; `None` when the caller does not hand it in."""
        if self.handed is None:
            return (Origin(name, False),)
        return self.handed.get(name)

    def key(self) -> tuple[object, ...]:
        """Returns a key that is equal for calls with the same uses."""
        handed = None if self.handed is None else tuple(sorted((name, origins) for name, origins in self.handed.items()))
        return (self.file.path, str(handed), str(sorted(self.inputs.items(), key=str)), self.interface)


@dataclass(frozen=True)
class Scope:
    """One combination of a job's matrix: the values that are known, and the environments that the job can run in.

    `environments` is empty for a job without one, and `None` when the file does not tell which.
    """

    known: Known
    environments: tuple[str, ...] | None


def scopes(call: Call, job: Job) -> list[Scope]:
    """Returns the combinations of the job's matrix, each with its environments; one where there is no matrix."""
    named = job.environment.text if job.environment else ""
    strategy = job.node.get("strategy")
    node = strategy.get("matrix") if isinstance(strategy, yaml12.Mapping) else None
    found: list[Scope] = []
    for inputs in _chosen(_inputs(call), named):
        for combination in matrix.combinations(node, inputs):
            known = {**inputs, **combination}
            values = possible(named, known)
            found.append(Scope(known, None if values is None else tuple(sorted(value for value in values if value))))
    return found


def _chosen(inputs: dict[str, frozenset[Value] | None], text: str) -> list[dict[str, frozenset[Value] | None]]:
    """The inputs, once for each value of the one that chooses the environment: a name that it chooses too goes with it."""
    for name, values in inputs.items():
        if values and len(values) > 1 and name in text.lower():
            return [{**inputs, name: frozenset({value})} for value in sorted(values, key=str)]
    return [inputs]


def environments(found: list[Scope]) -> tuple[str, ...] | None:
    """Returns the environments of all combinations; `None` when one of them is not known."""
    together: set[str] = set()
    for scope in found:
        if scope.environments is None:
            return None
        together.update(scope.environments)
    return tuple(sorted(together))


def with_env(known: Known, file: File, job: Job, step: Step | None) -> Known:
    """Returns what is known, and the variables that the workflow, the job and the step set by `env:`."""
    found = dict(known)
    for node in (file.document.root, job.node, step.node if step else None):
        block = node.get("env") if isinstance(node, yaml12.Mapping) else None
        before = dict(found)
        for key, value in block.entries if isinstance(block, yaml12.Mapping) else ():
            texts = possible(value.text, before) if isinstance(value, Scalar) else None
            found[f"env.{key.text.lower()}"] = None if texts is None else frozenset[Value](texts)
    return found


def _inputs(call: Call) -> dict[str, frozenset[Value] | None]:
    """What `inputs.x` can be in the call, and `github.workflow`, which is the name of the workflow that starts."""
    known: dict[str, frozenset[Value] | None] = {}
    root = call.file.document.root
    if not call.via and not call.interface and isinstance(root, yaml12.Mapping):
        named = root.get("name")
        texts = possible(named.text, {}) if isinstance(named, Scalar) else frozenset({call.file.path})
        known["github.workflow"] = None if texts is None else frozenset[Value](texts)
    for name, declared in call.file.inputs.items():
        values: frozenset[str] | None = frozenset(declared.options) if declared.options else None
        if declared.kind == "boolean":
            values = frozenset({"true", "false"})
        if name in call.inputs:
            values = call.inputs[name]
        elif call.via and declared.default is not None and "${{" not in declared.default:
            values = frozenset({declared.default})
        known[f"inputs.{name}"] = None if values is None else frozenset[Value](values)
        if not call.via:
            known[f"github.event.inputs.{name}"] = known[f"inputs.{name}"]
    return known


def called(call: Call, job: Job, target: File, caller: Inspection) -> Call:
    """Returns the call that a job makes."""
    handed = call.handed if job.inherits else _handed(call, job, caller)
    known = [scope.known for scope in scopes(call, job)]
    inputs: dict[str, frozenset[str] | None] = {}
    given = job.node.get("with")
    for key, value in given.entries if isinstance(given, yaml12.Mapping) else ():
        inputs[key.text.lower()] = _possible_in(known, value)
    via = (*call.via, Place(call.file.path, job.line))
    return Call(target, handed, inputs, via, call.interface)


def _possible_in(known: list[Known], node: Node) -> frozenset[str] | None:
    """The texts of a value in all combinations of a matrix; `None` when one is not known."""
    together: frozenset[str] = frozenset()
    for one in known:
        values = possible(node.text, one) if isinstance(node, Scalar) else None
        if values is None:
            return None
        together |= values
    return together


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


def arrivals(files: Files, uses: str, caller: str, key: str) -> Iterator[Arrival]:
    """Yields where a local composite action, and those it uses in turn, read the input `key`; each place once."""
    yield from _arrivals(files, uses, caller, key.lower(), set(), 0)


def _arrivals(files: Files, uses: str, caller: str, key: str, seen: set[tuple[str, str]], depth: int) -> Iterator[Arrival]:
    action = files.action(uses, caller)
    if action is None or depth >= DEEPEST or (action.file.path, key) in seen:
        return
    seen.add((action.file.path, key))
    read = [reading for reading in action.readings if reading.context == "inputs" and (reading.name or "").lower() == key]
    guarded = {reading.step for reading in read if reading.site.condition}
    for reading in read:
        line, column = action.place(reading)
        optional = reading.reference.optional or reading.site.condition or reading.step in guarded
        yield Arrival(Place(action.file.path, line, column), optional)
        inner = step_of(action.file.steps, reading)
        if inner and takes(inner, reading):
            yield from _arrivals(files, inner.uses, action.file.path, reading.path[-1].lower(), seen, depth + 1)


def step_of(steps: list[Step], reading: Reading) -> Step | None:
    """Returns the step that the reading stands in."""
    return next((step for step in steps if step.index == reading.step), None) if reading.step is not None else None


def takes(step: Step, reading: Reading) -> bool:
    """Tells whether the step hands the value to an action, by its `with:`."""
    return bool(step.uses) and reading.path[-2:-1] == ("with",)
