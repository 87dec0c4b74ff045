"""Which uses an `if:` guards: a step that asks `env.TOKEN != ''` can do without the secret behind `TOKEN`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cicd_actions.workflows.inspection import Inspection, Reading

Scope = tuple[str, "int | None"]
"""A job (empty: the whole workflow) and a step of it (`None`: the whole job)."""

Name = tuple[str, str]
"""A context and a name in it, in upper case."""


@dataclass(frozen=True)
class Guards:
    """What the conditions of a file ask for: by scope, the names of contexts."""

    asked: dict[Scope, frozenset[Name]]
    """What the `if:` of exactly this job or step asks for, secrets and variables behind `env` names included."""
    environment: frozenset[tuple[Scope, str]]
    """The `env:` names that some condition in reach of them asks for, by where they are defined."""

    def guards(self, reading: Reading) -> bool:
        """Whether a condition asks for the value before, or because of, this reading of `secrets` or `vars`."""
        scope = (reading.job, reading.step)
        defined = _defines(reading)
        if defined is not None and (scope, defined) in self.environment:
            return True
        name = (reading.context, (reading.name or "").upper())
        scopes: Iterable[Scope] = {scope, (reading.job, None)} if reading.job else {scope}
        return any(name in self.asked.get(one, frozenset()) for one in scopes)


def _defines(reading: Reading) -> str | None:
    """The `env:` name that a reading gives a value, or `None`."""
    path = reading.path
    return path[-1].upper() if len(path) >= 2 and path[-2] == "env" and path[-3:-2] not in {("container",), ("with",)} else None


def guards(inspection: Inspection) -> Guards:
    """The guards of a workflow."""
    conditions = [reading for reading in inspection.readings if reading.site.condition and reading.name]
    if not conditions:
        return Guards({}, frozenset())
    asked: dict[Scope, set[Name]] = {}
    for reading in conditions:
        scope = (reading.job, reading.step)
        asked.setdefault(scope, set()).add((reading.context, (reading.name or "").upper()))
    behind: dict[tuple[Scope, str], set[Name]] = {}
    for reading in inspection.readings:
        defined = _defines(reading)
        if defined is not None and reading.context in {"secrets", "vars"} and reading.name:
            key = ((reading.job, reading.step), defined)
            behind.setdefault(key, set()).add((reading.context, reading.name.upper()))
    reached: set[tuple[Scope, str]] = set()
    for scope, names in asked.items():
        for name in [name for context, name in names if context == "env"]:
            # The nearest definition counts: the step's, then the job's, then the workflow's.
            for place in (scope, (scope[0], None), ("", None)):
                if (place, name) in behind:
                    reached.add((place, name))
                    names.update(behind[place, name])
                    break
    return Guards({scope: frozenset(names) for scope, names in asked.items()}, frozenset(reached))
