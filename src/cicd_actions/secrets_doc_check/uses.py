"""The first list: every use of a secret or variable in workflows and actions, through the calls between them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from cicd_actions.secrets_doc_check import calls
from cicd_actions.secrets_doc_check.calls import Call, Files, Origin
from cicd_actions.secrets_doc_check.guards import Guards, guards
from cicd_actions.secrets_doc_check.records import GIVEN, NAME, Kind, Place, Remark, Use
from cicd_actions.toolkit import yaml12
from cicd_actions.workflows.files import File, Job, Step
from cicd_actions.workflows.inspection import Inspection, Reading
from cicd_actions.workflows.values import possible_of

MOST_CALLS = 20_000
"""Calls that are followed in all: a bound for workflows that call each other in many ways."""

_KINDS = {"secrets": Kind.SECRET, "vars": Kind.VARIABLE}
_SENSITIVE = re.compile(r"passw|secret|token|api[-_]?key|private[-_]?key|credential", re.IGNORECASE)


@dataclass
class Found:
    """The uses, and what was noticed on the way. Each use stands once, however many calls lead to it."""

    uses: list[Use] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    interface: dict[str, list[tuple[File, str]]] = field(default_factory=dict)
    """Secrets that callers outside of the repository hand in: the file that declares them, and its description."""


def collect(inspections: Mapping[str, Inspection], files: Files) -> Found:
    """The uses in these files. `files` also gives files that are not among them but are called."""
    search = _Search(files)
    callable_only: list[File] = []
    for inspection in inspections.values():
        search.remark_file(inspection)
        if inspection.file.kind != "workflow":
            continue
        if inspection.file.starts_itself:
            search.follow(Call(inspection.file))
        else:
            callable_only.append(inspection.file)
    for file in callable_only:
        if file.path not in search.visited:
            search.follow(Call(file, interface=True))
    return search.found


class _Search:
    def __init__(self, files: Files) -> None:
        self._files = files
        self.found = Found()
        self.visited: set[str] = set()
        self._calls = 0
        self._seen: set[object] = set()
        self._guards: dict[str, Guards] = {}

    def remark_file(self, inspection: Inspection) -> None:
        """Take over what is wrong in the file itself."""
        file = inspection.file
        for problem in (*file.problems, *inspection.problems):
            place = Place(file.path, problem.line, problem.column)
            self._remark(Remark(problem.rule, problem.message, place, problem.fix, problem.unread))
        if "workflow_dispatch" in file.triggers:
            for declared in file.inputs.values():
                if _SENSITIVE.search(declared.name) and declared.kind in {"", "string"} and not declared.options:
                    message = f"what is typed into the input `{declared.name}` is shown in the log and the run's page"
                    fix = "Keep it as a secret of the repository or the environment."
                    place = Place(file.path, declared.line, declared.column)
                    self._remark(Remark("secret-input", message, place, fix, notice=True))

    def follow(self, start: Call) -> None:
        """Collect the uses of a run, and of every run it calls."""
        waiting = deque([start])
        while waiting:
            call = waiting.popleft()
            inspection = self._files(call.file.path)
            if inspection is None or call.key() in self._seen:
                continue
            self._seen.add(call.key())
            self.visited.add(call.file.path)
            self._calls += 1
            if self._calls > MOST_CALLS:
                message = f"more than {MOST_CALLS} calls between workflows: the rest is not followed"
                self._remark(Remark("too-large", message, Place(call.file.path, 1), unread=True))
                return
            if call.interface:
                for name, declared in call.file.secrets.items():
                    self.found.interface.setdefault(name, []).append((call.file, declared.description))
            self._collect(call, inspection)
            if len(call.via) < calls.DEEPEST:
                waiting += self._calls_of(call, inspection)

    def _collect(self, call: Call, inspection: Inspection) -> None:
        where = {job.id: calls.environments(call, job) for job in call.file.jobs.values()}
        if call.file.path not in self._guards:
            self._guards[call.file.path] = guards(inspection)
        guarded = self._guards[call.file.path]
        for reading in inspection.readings:
            kind = _KINDS.get(reading.context)
            if kind is None:
                continue
            job = call.file.jobs.get(reading.job)
            line, column = inspection.place(reading)
            place = Place(call.file.path, line, column)
            optional = reading.reference.optional or guarded.guards(reading) or self._spared(reading, job)
            step = next((step for step in job.steps if step.index == reading.step), None) if job else None
            for origin in self._origins(call, reading, kind, place, job):
                use = Use(
                    kind,
                    origin.name,
                    place,
                    job.id if job else "",
                    step.label if step else "",
                    where[job.id] if job else (),
                    optional or origin.optional,
                    call.via,
                    call.interface,
                )
                self._add(use, step, reading)

    def _add(self, use: Use, step: Step | None, reading: Reading) -> None:
        inside = calls.handed_to([step], reading) if step else None
        arrived = list(calls.arrivals(self._files, inside.uses, reading.path[-1])) if inside else []
        if arrived and all(arrival.optional for arrival in arrived):
            use = replace(use, optional=True)
        self._once(use)
        for arrival in arrived:
            optional = use.optional or arrival.optional
            self._once(replace(use, place=arrival.place, via=(*use.via, use.place), optional=optional))

    def _once(self, use: Use) -> None:
        key = (use.kind, use.name, use.place, use.environments, use.optional, use.interface)
        if key not in self._seen:
            self._seen.add(key)
            self.found.uses.append(use)

    def _origins(self, call: Call, reading: Reading, kind: Kind, place: Place, job: Job | None) -> Iterator[Origin]:
        """The names of this repository that a reading stands for."""
        names = [reading.name] if reading.name is not None else self._dynamic(call, reading, place, job)
        for name in names:
            upper = name.upper()
            if kind is Kind.SECRET and upper in GIVEN:
                continue
            if not NAME.fullmatch(name) or upper.startswith("GITHUB_"):
                message = f"no {kind} can be called `{name}`: letters, digits and `_`, and neither a digit nor GITHUB_ in front"
                self._remark(Remark("bad-name", message, place))
            elif kind is Kind.VARIABLE:
                yield Origin(upper, optional=False)
            else:
                yield from self._handed(call, upper, place)

    def _handed(self, call: Call, name: str, place: Place) -> Iterator[Origin]:
        origins = call.origins(name)
        declared = call.file.secrets.get(name)
        if origins is not None:
            # What a workflow declares as not required, it can do without.
            spared = declared is not None and not declared.required
            yield from (Origin(origin.name, origin.optional or spared) for origin in origins)
        elif name not in call.file.secrets and call.via:
            message = f"`secrets.{name}` is empty here: {call.via[-1]} does not hand it over"
            fix = f"Hand it over where the workflow is called:\n\n    secrets:\n      {name}: ${{{{ secrets.{name} }}}}"
            self._remark(Remark("not-handed-over", message, place, fix))

    def _dynamic(self, call: Call, reading: Reading, place: Place, job: Job | None) -> list[str]:
        """Remark a dynamic access. The names it can mean count as used where the file itself says them all."""
        text = reading.reference.text or reading.context
        message = f"`{text}` cannot be analysed: which {reading.context} it reads is known only when it runs"
        fix = f"Name what is needed: `{reading.context}.NAME`."
        self._remark(Remark("not-analysable", message, place, fix))
        index = reading.reference.index
        if index is None or job is None:
            return []
        return sorted(possible_of(index, calls.known_values(call, job)) or ())

    def _spared(self, reading: Reading, job: Job | None) -> bool:
        """Whether the reading hands a secret to a workflow that declares it as not required."""
        if job is None or reading.path[:3] != ("jobs", job.id, "secrets"):
            return False
        target = self._target(job)
        declared = target.file.secrets.get(reading.path[-1].upper()) if target else None
        return declared is not None and not declared.required

    def _target(self, job: Job) -> Inspection | None:
        path = calls.local(job.uses)
        return self._files(path) if path else None

    def _calls_of(self, call: Call, inspection: Inspection) -> Iterator[Call]:
        for job in call.file.jobs.values():
            for step in job.steps:
                self._check_inputs(call.file, step.node, calls.action_file(self._files, step.uses))
            if not job.uses:
                continue
            target = self._target(job)
            if target is not None:
                self._check_handed(call.file, job, target.file)
                self._check_inputs(call.file, job.node, target)
                yield calls.called(call, job, target.file, inspection)
            elif calls.local(job.uses):
                place = Place(call.file.path, job.line)
                self._remark(Remark("missing-file", f"there is no workflow `{job.uses}`", place, unread=True))
            elif job.inherits:
                message = (
                    f"`secrets: inherit` hands every secret to {job.uses.partition('@')[0]}, which is not in this repository"
                )
                fix = "Name the secrets it needs:\n\n    secrets:\n      NAME: ${{ secrets.NAME }}"
                self._remark(Remark("not-analysable", message, _place(call.file, job.node, "secrets", job.line), fix))

    def _check_handed(self, file: File, job: Job, target: File) -> None:
        given = {key.text.upper(): key for key, _ in job.handed.entries} if job.handed else {}
        for name, key in given.items():
            if name not in target.secrets:
                message = f"`{target.path}` declares no secret `{key.text}`, and GitHub refuses the call"
                fix = f"Declare it there, under `on.workflow_call.secrets`:\n\n    {key.text}:\n      required: true"
                self._remark(Remark("unknown-secret", message, Place(file.path, key.line, key.column), fix))
        for name, declared in target.secrets.items():
            if declared.required and name not in given and not job.inherits:
                message = f"`{target.path}` requires the secret `{declared.name}`, which is not handed over"
                fix = f"    secrets:\n      {declared.name}: ${{{{ secrets.{declared.name} }}}}"
                self._remark(Remark("not-handed-over", message, Place(file.path, job.line), fix))

    def _check_inputs(self, file: File, node: yaml12.Mapping, target: Inspection | None) -> None:
        given = node.get("with")
        if target is None or not isinstance(given, yaml12.Mapping):
            return
        for key, _ in given.entries:
            if key.text.lower() not in target.file.inputs and target.file.problems == []:
                message = f"`{target.file.path}` declares no input `{key.text}`: what is handed in gets lost"
                self._remark(Remark("unknown-input", message, Place(file.path, key.line, key.column)))

    def _remark(self, remark: Remark) -> None:
        if remark not in self._seen:
            self._seen.add(remark)
            self.found.remarks.append(remark)


def _place(file: File, node: yaml12.Mapping, key: str, line: int) -> Place:
    found = node.key(key)
    return Place(file.path, found.line, found.column) if found else Place(file.path, line)
