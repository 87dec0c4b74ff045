"""The first list: every use of a secret or variable in workflows and actions, through the calls between them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from cicd_actions.secrets_doc_check.guards import Guards, guards
from cicd_actions.secrets_doc_check.model import GIVEN, NAME, Kind, Use
from cicd_actions.secrets_doc_check.rules import UNREAD, finding
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.findings import Finding
from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.workflows import calls
from cicd_actions.workflows.calls import Call, Origin, Scope
from cicd_actions.workflows.files import File, Job, Step
from cicd_actions.workflows.inspection import Inspection, Reading
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.references import references
from cicd_actions.workflows.repository_files import Files
from cicd_actions.workflows.templates import expressions
from cicd_actions.workflows.values import possible_of

MOST_CALLS = 20_000
"""Calls that are followed in all: a bound for workflows that call each other in many ways."""

_KINDS = {"secrets": Kind.SECRET, "vars": Kind.VARIABLE}
_SENSITIVE = re.compile(r"passw|secret|token|api[-_]?key|private[-_]?key|credential", re.IGNORECASE)


@dataclass
class Found:
    """The uses, and the findings on the way. Each use stands once, however many calls lead to it."""

    uses: list[Use] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    interface: dict[str, list[tuple[File, str]]] = field(default_factory=dict)
    """Secrets that callers outside the repository hand in: the file that declares them, and its description."""
    purposes: dict[str, str] = field(default_factory=dict)
    """What called workflows say of the secrets that they get by the same name."""


def collect(inspections: Mapping[str, Inspection], files: Files) -> Found:
    """Returns the uses in these files. `files` also gives files that are not among them but are called."""
    search = _Search(files)
    callable_only: list[File] = []
    for inspection in inspections.values():
        search.report_file(inspection)
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


def dependabot(path: str, text: str) -> list[Use]:
    """Returns the secrets that `.github/dependabot.yml` reads; Dependabot has its own store for them."""
    try:
        document = yaml12.read(text, strict=False)
    except yaml12.NotYaml:
        return []
    uses: list[Use] = []
    pending: list[yaml12.Node] = [document.root] if document.root else []
    while pending:
        node = pending.pop(0)
        if isinstance(node, yaml12.Mapping):
            pending += [value for _, value in node.entries]
        elif isinstance(node, yaml12.Sequence):
            pending += node.items
        else:
            for expression in expressions(node.text):
                for reference in references(expression.tree, frozenset({"secrets"})) if expression.tree else ():
                    if reference.name is not None:
                        place = Place(path, *document.place_in(node, expression.start + reference.start))
                        name, reads = reference.name.upper(), "Dependabot, for its registries"
                        uses.append(Use(Kind.SECRET, name, place, step="registries", dependabot=True, reads=reads))
    return uses


class _Search:
    def __init__(self, files: Files) -> None:
        self._files = files
        self.found = Found()
        self.visited: set[str] = set()
        self._calls = 0
        self._seen: set[object] = set()
        self._guards: dict[str, Guards] = {}

    def report_file(self, inspection: Inspection) -> None:
        """Take over what is wrong in the file itself."""
        file = inspection.file
        for problem in (*file.problems, *inspection.problems):
            # What is read but not as GitHub wants it is refused; only what hides names is unread.
            rule = "refused-file" if problem.rule in UNREAD and not problem.unread else problem.rule
            self._report(finding(rule, problem.message, Place(file.path, problem.line, problem.column), problem.fix))
        if "workflow_dispatch" in file.triggers:
            for declared in file.inputs.values():
                if _SENSITIVE.search(declared.name) and declared.kind in {"", "string"} and not declared.options:
                    message = f"GitHub shows what is typed into the input `{declared.name}` in the log and on the run's page"
                    fix = "Store it as a secret of the repository or the environment."
                    self._report(finding("secret-input", message, Place(file.path, declared.line, declared.column), fix))

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
                message = f"the workflows call each other in more than {MOST_CALLS} ways; the rest is skipped"
                self._report(finding("too-large", message, Place(call.file.path, 1)))
                return
            for name, declared in call.file.secrets.items():
                if declared.description and any(origin.name == name for origin in call.origins(name) or ()):
                    self.found.purposes.setdefault(name, " ".join(declared.description.split()))
                if call.interface:
                    self.found.interface.setdefault(name, []).append((call.file, declared.description))
            self._collect(call, inspection)
            if len(call.via) < calls.DEEPEST:
                waiting += self._calls_of(call, inspection)

    def _collect(self, call: Call, inspection: Inspection) -> None:
        # Most jobs read no name: their matrices are not unfolded.
        reading_jobs = {reading.job for reading in inspection.readings if reading.context in _KINDS}
        scopes = {job.id: calls.scopes(call, job) for job in call.file.jobs.values() if job.id in reading_jobs}
        if call.file.path not in self._guards:
            self._guards[call.file.path] = guards(inspection)
        guarded = self._guards[call.file.path]
        start = self._files(call.via[0].file) if call.via else inspection
        untrusted = bool(start and calls.UNTRUSTED & set(start.file.triggers))
        for reading in inspection.readings:
            kind = _KINDS.get(reading.context)
            if kind is None:
                continue
            job = call.file.jobs.get(reading.job)
            place = Place(call.file.path, *inspection.place(reading))
            step = calls.step_of(job.steps, reading) if job else None
            handing = bool(job and reading.path[:3] == ("jobs", job.id, "secrets"))
            target = self._target(call.file, job) if job and handing else None
            optional = reading.reference.optional or guarded.guards(reading) or _declared_optional(target, reading)
            for name, named in self._names(call, reading, place, job, step, scopes.get(reading.job, [])):
                # A workflow of another repository may read the name in an environment: any level that has it will do.
                elsewhere = handing and target is None and name.upper() == reading.path[-1].upper()
                where = None if elsewhere else named
                for origin in self._origins(call, name, kind, place, reading.reference.beside):
                    own = call.handed is None or kind is Kind.VARIABLE or origin.name == name.upper()
                    self._add(
                        Use(
                            kind,
                            origin.name,
                            place,
                            job.id if job else "",
                            step.label if step else "",
                            # A name that the caller chose lives where the caller reads it, not in this job's environment.
                            where if own else (),
                            optional or origin.optional,
                            call.via,
                            call.interface,
                            passes=target is not None,
                            untrusted=untrusted and kind is Kind.SECRET,
                            reads=_reader(job, step, reading),
                        ),
                        call.file.path,
                        step,
                        reading,
                    )

    def _names(
        self, call: Call, reading: Reading, place: Place, job: Job | None, step: Step | None, scopes: list[Scope]
    ) -> list[tuple[str, tuple[str, ...] | None]]:
        """The names that a reading stands for, each with the environments of the job."""
        if reading.name is not None:
            return [(reading.name, calls.environments(scopes))]
        index = reading.reference.index
        chosen: dict[str, list[Scope]] = {}
        resolved = index is not None and job is not None
        for scope in scopes if index is not None else ():
            values = possible_of(index, calls.with_env(scope.known, call.file, job, step)) if job else None
            resolved = resolved and values is not None
            for value in values or ():
                if isinstance(value, str) and value:
                    chosen.setdefault(value, []).append(scope)
        if not resolved:
            text = reading.reference.text or reading.context
            message = f"cannot tell which {reading.context} `{text}` reads: the name is known only when the workflow runs"
            self._report(finding("not-analysable", message, place, f"Name what is needed: `{reading.context}.NAME`."))
        return [(name, calls.environments(chosen[name])) for name in sorted(chosen)]

    def _add(self, use: Use, path: str, step: Step | None, reading: Reading) -> None:
        inside = step if step and calls.takes(step, reading) else None
        arrived = list(calls.arrivals(self._files, inside.uses, path, reading.path[-1])) if inside else []
        if arrived and all(arrival.optional for arrival in arrived):
            use = replace(use, optional=True)
        self._once(use)
        for arrival in arrived:
            optional = use.optional or arrival.optional
            self._once(replace(use, place=arrival.place, via=(*use.via, use.place), optional=optional, reads=""))

    def _once(self, use: Use) -> None:
        key = (use.kind, use.name, use.place, use.environments, use.optional, use.interface, use.untrusted)
        if key not in self._seen:
            self._seen.add(key)
            self.found.uses.append(use)

    def _origins(self, call: Call, name: str, kind: Kind, place: Place, beside: tuple[str, ...]) -> Iterator[Origin]:
        """Yields the names of this repository that a name in the file stands for. `beside` are those that serve as well."""
        upper = name.upper()
        if kind is Kind.SECRET and upper in GIVEN:
            return
        # A called workflow may declare `access-token`: the caller chooses the repository's secret behind it.
        renamed = kind is Kind.SECRET and upper in call.file.secrets and (call.interface or call.handed is not None)
        if not renamed and (not NAME.fullmatch(name) or upper.startswith("GITHUB_")):
            context = "secrets" if kind is Kind.SECRET else "vars"
            if is_whole(name):
                message = f"`{context}[{name}]` is always empty: GitHub finds a {kind} by its name, never by a number"
                fix = f"Write the name: `{context}.NAME`."
            else:
                rule = "a name has letters, digits and `_`, and no digit or GITHUB_ in front"
                message = f"GitHub has no {kind} called `{name}`: {rule}"
                fix = f"Rename the {kind}."
            self._report(finding("bad-name", message, place, fix))
        elif kind is Kind.VARIABLE:
            yield Origin(upper, optional=False)
        else:
            yield from self._handed(call, upper, place, beside)

    def _handed(self, call: Call, name: str, place: Place, beside: tuple[str, ...]) -> Iterator[Origin]:
        origins = call.origins(name)
        declared = call.file.secrets.get(name)
        if origins is not None:
            # What a workflow declares as not required, it can do without.
            spared = declared is not None and not declared.required
            yield from (Origin(origin.name, origin.optional or spared) for origin in origins)
        elif name not in call.file.secrets and call.via and not any(call.origins(one.upper()) for one in beside):
            message = f"`secrets.{name}` is empty here: {call.via[-1]} does not hand it over"
            fix = (
                f"Declare it in {call.file.path}:\n\n    on:\n      workflow_call:\n        secrets:\n          {name}:\n"
                "            required: true\n\nThen hand it over where the workflow is called:\n\n"
                f"    secrets:\n      {name}: ${{{{ secrets.{name} }}}}"
            )
            self._report(finding("not-handed-over", message, place, fix))

    def _target(self, file: File, job: Job) -> Inspection | None:
        path = self._files.path_of(job.uses, file.path) if job.uses else None
        return self._files(path) if path else None

    def _calls_of(self, call: Call, inspection: Inspection) -> Iterator[Call]:
        for job in call.file.jobs.values():
            for step in job.steps:
                self._check_inputs(call.file, step.node, self._files.action(step.uses, call.file.path))
            if not job.uses:
                continue
            target = self._target(call.file, job)
            if target is not None:
                self._check_handed(call.file, job, target.file)
                self._check_inputs(call.file, job.node, target)
                yield calls.called(call, job, target.file, inspection)
                continue
            path = self._files.path_of(job.uses, call.file.path)
            if path is not None and "@" not in path:
                message = f"`{job.uses}` does not exist"
                self._report(finding("missing-file", message, Place(call.file.path, job.line)))
            elif job.inherits:
                message = (
                    f"`secrets: inherit` hands every secret to {job.uses.partition('@')[0]}, which is in another repository"
                )
                fix = "Name the secrets it needs:\n\n    secrets:\n      NAME: ${{ secrets.NAME }}"
                self._report(finding("not-analysable", message, _place(call.file, job.node, "secrets", job.line), fix))

    def _check_handed(self, file: File, job: Job, target: File) -> None:
        given = {key.text.upper(): key for key, _ in job.handed.entries} if job.handed else {}
        for name, key in given.items():
            if name not in target.secrets:
                message = f"GitHub refuses this call: `{target.path}` declares no secret `{key.text}`"
                fix = f"Declare it there, under `on.workflow_call.secrets`:\n\n    {key.text}:\n      required: true"
                self._report(finding("unknown-secret", message, Place(file.path, key.line, key.column), fix))
        for name, declared in target.secrets.items():
            if declared.required and name not in given and not job.inherits:
                message = (
                    f"GitHub refuses this call: `{target.path}` requires the secret `{declared.name}`,"
                    " and the job does not hand it over"
                )
                fix = f"    secrets:\n      {declared.name}: ${{{{ secrets.{declared.name} }}}}"
                self._report(finding("not-handed-over", message, Place(file.path, job.line), fix))

    def _check_inputs(self, file: File, node: yaml12.Mapping, target: Inspection | None) -> None:
        given = node.get("with")
        if target is None or not isinstance(given, yaml12.Mapping):
            return
        for key, _ in given.entries:
            if key.text.lower() not in target.file.inputs and target.file.problems == []:
                message = f"`{target.file.path}` declares no input `{key.text}`: its value gets lost"
                self._report(finding("unknown-input", message, Place(file.path, key.line, key.column)))

    def _report(self, found: Finding) -> None:
        if found not in self._seen:
            self._seen.add(found)
            self.found.findings.append(found)


def _declared_optional(target: Inspection | None, reading: Reading) -> bool:
    """Whether the reading hands a secret to a workflow that declares it as not required."""
    declared = target.file.secrets.get(reading.path[-1].upper()) if target else None
    return declared is not None and not declared.required


def _reader(job: Job | None, step: Step | None, reading: Reading) -> str:
    """Returns what takes the value, in Markdown."""
    holder, key = reading.path[-2:-1], reading.path[-1]
    of_job = f"the job `{job.id}`" if job else "all jobs"
    if step is None:
        if holder == ("env",):
            return f"the variable `{key}` of {of_job}"
        if holder == ("secrets",) and job:
            return f"the secret `{key}` of `{job.uses.partition('@')[0]}`"
        return f"`{'.'.join(part for part in reading.path[2 * bool(job) :] if not is_whole(part))}` of {of_job}"
    name = step.node.get("name")
    named = name.text if isinstance(name, yaml12.Scalar) and "${{" not in name.text else ""
    of_step = f'the step "{named}"' if named else of_job
    if holder == ("with",) and step.uses:
        return f"the input `{key}` of `{step.uses.partition('@')[0]}`"
    if holder == ("env",):
        return f"the variable `{key}` of {of_step}"
    return of_step if named else f"a command of {of_job}"


def _place(file: File, node: yaml12.Mapping, key: str, line: int) -> Place:
    found = node.key(key)
    return Place(file.path, found.line, found.column) if found else Place(file.path, line)
