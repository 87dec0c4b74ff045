"""Models a workflow file or an action's metadata file: every key with its line, and the problems of the file.

A file is never given up for one mistake: what cannot be read is a problem with its place, and the rest is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.toolkit.yaml12 import Document, Mapping, Node, NotYaml, Scalar, Sequence

LONGEST = 512 * 1024
"""Characters. GitHub reads workflow files of up to 512 KiB."""

MOST_NODES = 100_000

Kind = Literal["workflow", "action"]


@dataclass(frozen=True)
class Problem:
    """A problem in a file. `unread` says that it hides a part of the file from the reader."""

    rule: str
    message: str
    line: int
    column: int
    fix: str = ""
    unread: bool = False


class Site(NamedTuple):
    """A text in which expressions may stand, with the keys that lead to it: `("jobs", "build", "steps", "0", "run")`."""

    scalar: Scalar
    path: tuple[str, ...]
    is_key: bool = False

    @property
    def condition(self) -> bool:
        """Returns whether it is an `if:`, whose whole text is an expression."""
        if self.is_key:
            return False
        path = self.path
        if path in {("runs", "pre-if"), ("runs", "post-if")}:
            return True
        if path[-1] != "if" or path[0] not in {"jobs", "runs"}:
            return False
        if path[0] == "jobs" and (len(path) == 3 or (len(path) == 4 and path[2] == "snapshot")):
            return True
        return is_step(path[:-1])


def is_step(path: tuple[str, ...]) -> bool:
    """Returns whether a path leads to a step: one of a job, of a composite action, or beside others (`parallel`)."""
    first = 2 if path[0] == "jobs" else 1
    rest = path[first:]
    return (
        len(rest) >= 2
        and len(rest) % 2 == 0
        and rest[0] == "steps"
        and all(word == "parallel" for word in rest[2::2])
        and all(is_whole(word) for word in rest[1::2])
    )


@dataclass(frozen=True)
class Declared:
    """An input or a secret that a file declares."""

    name: str
    line: int
    column: int
    required: bool = False
    description: str = ""
    default: str | None = None
    options: tuple[str, ...] = ()
    kind: str = ""
    """The `type` of an input."""


@dataclass
class Step:
    index: int
    node: Mapping

    @property
    def label(self) -> str:
        """Returns what GitHub shows of it, or near that."""
        for key in ("name", "id", "uses", "run"):
            text = scalar_text(self.node.get(key)).strip()
            if text:
                line = text.splitlines()[0]
                return line.partition("@")[0] if key == "uses" else line
        return f"step {self.index + 1}"

    @property
    def uses(self) -> str:
        return scalar_text(self.node.get("uses"))


@dataclass
class Job:
    id: str
    node: Mapping
    line: int
    steps: list[Step] = field(default_factory=list)

    @property
    def uses(self) -> str:
        """Returns the reusable workflow that it calls, or nothing."""
        return scalar_text(self.node.get("uses"))

    @property
    def environment(self) -> Scalar | None:
        """Returns the name of its environment, which may be an expression."""
        node = self.node.get("environment")
        if isinstance(node, Mapping):
            node = node.get("name")
        return node if isinstance(node, Scalar) and node.text else None

    @property
    def inherits(self) -> bool:
        """Returns whether it hands on every secret: `secrets: inherit`."""
        return scalar_text(self.node.get("secrets")) == "inherit"

    @property
    def handed(self) -> Mapping | None:
        """Returns the secrets it hands to the workflow it calls, by name."""
        node = self.node.get("secrets")
        return node if isinstance(node, Mapping) else None


@dataclass
class File:
    """A workflow (`jobs`, `triggers`, what `workflow_call` declares) or an action (`inputs`, `steps` of a composite one)."""

    path: str
    kind: Kind
    document: Document
    problems: list[Problem] = field(default_factory=list)
    triggers: tuple[str, ...] = ()
    secrets: dict[str, Declared] = field(default_factory=dict)
    """What `on.workflow_call.secrets` declares, by upper-case name."""
    inputs: dict[str, Declared] = field(default_factory=dict)
    """Inputs of `workflow_call`, `workflow_dispatch` or the action, by lower-case name."""
    jobs: dict[str, Job] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    composite: bool = False

    @property
    def callable(self) -> bool:
        """Returns whether other workflows can call it."""
        return "workflow_call" in self.triggers

    @property
    def starts_itself(self) -> bool:
        """Returns whether an event starts it (so its secrets are those of this repository)."""
        return self.kind == "workflow" and (not self.callable or len(self.triggers) > 1)

    def sites(self) -> Iterator[Site]:
        """Returns every text that holds an expression, keys included, in the order of the file; aliases once for each use."""
        # The way to a node is a chain of keys, which becomes a path only for the few texts that count.
        pending: list[tuple[Node, _Chain, bool]] = []
        if isinstance(self.document.root, Mapping):
            pending.append((self.document.root, None, False))
        while pending:
            node, chain, is_key = pending.pop()
            if isinstance(node, Scalar):
                site = Site(node, _path(chain), is_key)
                if "${{" in node.text or site.condition:
                    yield site
            elif isinstance(node, Sequence):
                for index in range(len(node.items) - 1, -1, -1):
                    item = node.items[index]
                    if not isinstance(item, Scalar) or "${{" in item.text:
                        pending.append((item, (chain, str(index)), False))
            else:
                for key, value in reversed(node.entries):
                    if not isinstance(value, Scalar) or "${{" in value.text or key.text.endswith("if"):
                        pending.append((value, (chain, key.text), False))
                    if "${{" in key.text:
                        pending.append((key, (chain, key.text), True))


_Chain: TypeAlias = "tuple[_Chain, str] | None"


def _path(chain: _Chain) -> tuple[str, ...]:
    path: list[str] = []
    while chain is not None:
        chain, key = chain
        path.append(key)
    return tuple(reversed(path))


def scalar_text(node: Node | None) -> str:
    """Returns the text of a scalar; nothing for anything else."""
    return node.text if isinstance(node, Scalar) else ""


def kind_of(path: str) -> Kind:
    """Returns what a file is by its name: `action.yml` is an action's metadata anywhere but among the workflows."""
    folder, _, name = path.rpartition("/")
    # The path of a file of another repository ends with its commit: `owner/name/path@commit`.
    return (
        "action"
        if name.partition("@")[0] in {"action.yml", "action.yaml"} and not folder.endswith(".github/workflows")
        else "workflow"
    )


def read(path: str, text: str) -> File:
    """Returns the model of a file. Never raises: what is wrong stands in `problems`."""
    kind = kind_of(path)
    try:
        document = yaml12.read(text, strict=False, fold_case=True, longest=LONGEST, most_nodes=MOST_NODES)
    except NotYaml as error:
        message = f"could not read this file as YAML: {error.problem}"
        return File(
            path, kind, Document(""), [Problem("broken-file", message, error.line or 1, error.column or 1, unread=True)]
        )
    file = File(path, kind, document)
    for twice in document.duplicates:
        message = f"line {twice.first_line} has the key `{twice.key}` already; GitHub refuses the file"
        file.problems.append(Problem("duplicate-key", message, twice.line, twice.column))
    if not isinstance(document.root, Mapping):
        if document.root is None:
            # Comments alone hide nothing.
            message, fix = f"this {kind} is empty, and GitHub refuses it", "Delete the file, or take the comment signs away."
            file.problems.append(Problem("broken-file", message, 1, 1, fix))
        else:
            file.problems.append(Problem("broken-file", f"this {kind} is not a mapping", 1, 1, unread=True))
        return file
    _notice_merges(file)
    (_read_workflow if kind == "workflow" else _read_action)(file, document.root)
    return file


def _notice_merges(file: File) -> None:
    if "<<" not in file.document.text:
        return
    seen: set[int] = set()
    pending: list[Node] = [file.document.root] if file.document.root else []
    while pending:
        node = pending.pop()
        if isinstance(node, Scalar) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Sequence):
            pending += node.items
            continue
        for key, value in node.entries:
            pending.append(value)
            if key.text == "<<" and not key.style:
                message = "GitHub refuses merges (`<<`) in a file; it follows only anchors and aliases"
                fix = "Write the keys out, or put an alias in place of the whole mapping: `env: *name`."
                file.problems.append(Problem("merge-key", message, key.line, key.column, fix))


def _read_workflow(file: File, root: Mapping) -> None:
    on = root.get("on")
    if isinstance(on, Scalar):
        file.triggers = (on.text,)
    elif isinstance(on, Sequence):
        file.triggers = tuple(scalar_text(item) for item in on.items)
    elif isinstance(on, Mapping):
        file.triggers = tuple(key.text for key, _ in on.entries)
        for trigger in ("workflow_call", "workflow_dispatch"):
            declaration = on.get(trigger)
            if isinstance(declaration, Mapping):
                file.inputs |= {one.name.lower(): one for one in _declared(declaration.get("inputs"))}
                file.secrets |= {one.name.upper(): one for one in _declared(declaration.get("secrets"))}
    jobs = root.get("jobs")
    if not isinstance(jobs, Mapping):
        file.problems.append(Problem("broken-file", "this workflow has no `jobs:`", root.line, root.column, unread=True))
        return
    for key, node in jobs.entries:
        if isinstance(node, Mapping):
            file.jobs.setdefault(key.text, Job(key.text, node, key.line, _steps(file, node.get("steps"))))
        else:
            file.problems.append(Problem("broken-file", f"the job `{key.text}` is not a mapping", key.line, key.column))


def _read_action(file: File, root: Mapping) -> None:
    file.inputs = {one.name.lower(): one for one in _declared(root.get("inputs"))}
    runs = root.get("runs")
    if not isinstance(runs, Mapping):
        file.problems.append(Problem("broken-file", "this action has no `runs:`", root.line, root.column, unread=True))
        return
    file.composite = scalar_text(runs.get("using")) == "composite"
    file.steps = _steps(file, runs.get("steps"))


def _steps(file: File, node: Node | None) -> list[Step]:
    steps: list[Step] = []
    for index, item in enumerate(node.items if isinstance(node, Sequence) else ()):
        if isinstance(item, Mapping):
            steps.append(Step(index, item))
        else:
            file.problems.append(Problem("broken-file", f"step {index + 1} is not a mapping", item.line, item.column))
    if node is not None and not isinstance(node, Sequence):
        file.problems.append(Problem("broken-file", "`steps:` is not a list", node.line, node.column))
    return steps


def _declared(node: Node | None) -> Iterator[Declared]:
    for key, value in node.entries if isinstance(node, Mapping) else ():
        fields = value if isinstance(value, Mapping) else Mapping([], key.line, key.column)
        default, options = fields.get("default"), fields.get("options")
        yield Declared(
            key.text,
            key.line,
            key.column,
            required=scalar_text(fields.get("required")).lower() == "true",
            description=scalar_text(fields.get("description")).strip(),
            default=default.text if isinstance(default, Scalar) else None,
            options=tuple(scalar_text(item) for item in options.items) if isinstance(options, Sequence) else (),
            kind=scalar_text(fields.get("type")),
        )
