"""The action: three lists of names, held together."""

from __future__ import annotations

import difflib
import gc
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cicd_actions.secrets_doc_check import block, documentation, presentation, uses
from cicd_actions.secrets_doc_check.code import scanning
from cicd_actions.secrets_doc_check.comparison import Row, State, compare
from cicd_actions.secrets_doc_check.gathering import gather
from cicd_actions.secrets_doc_check.inputs import Inputs
from cicd_actions.secrets_doc_check.records import Column, Entry, Missing, Place, Remark, Use
from cicd_actions.secrets_doc_check.tree import Tree
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.report import Block, CodeBlock, OutputValue, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.workflows.files import read
from cicd_actions.workflows.inspection import Inspection, inspect

REPORT_LIMIT = 60_000
"""Bytes of the output `report`: what a comment on a pull request holds."""


@dataclass
class _Gathered:
    """The three lists, as they were found."""

    tree: Tree
    uses: list[Use] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    column: Column = field(default_factory=Column)
    purposes: dict[str, str] = field(default_factory=dict)
    """What workflows say of the secrets they declare."""
    declared: list[Entry] = field(default_factory=list)
    comments: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The comment block at the end of each workflow file, with its first line."""
    environments: frozenset[str] = frozenset()


class _Files:
    """Workflow and action files by path; those that are called are read when they are asked for."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read: dict[str, Inspection | None] = {}
        self.texts: dict[str, str] = {}

    def __call__(self, path: str) -> Inspection | None:
        if path not in self._read:
            text = self._tree.read(path)
            self._read[path] = inspect(read(path, text)) if text is not None else None
            if text is not None:
                self.texts[path] = text
        return self._read[path]


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Gather the lists, write or check the document, compare, report. Raises `UnusableInput`."""
    if inputs.write and inputs.check_write:
        raise UnusableInput(
            "`write` and `check-write` are both given.", fix="Give one: the first changes the file, the other only looks."
        )
    # Thousands of nodes are made, and none of them in a cycle: looking for cycles would take a quarter of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        gathered = _gather(inputs, runtime)
    finally:
        if collecting:
            gc.enable()
    documents = _documents(gathered.tree, inputs)
    changed = ""
    target = inputs.write or inputs.check_write
    if target:
        before = documents[target]
        elsewhere = _outside_block(documents, target, gathered)
        after = block.updated(before, gathered.uses, elsewhere, gathered.purposes, target)
        changed = _difference(before, after, target)
        documents[target] = after
        if inputs.write and changed:
            _write(gathered.tree.root / target, after)
            runtime.log(f"{target} is written.")
    entries = _entries(documents, gathered)
    rows = compare(gathered.uses, [*entries, *gathered.declared], gathered.column, dict(inputs.ignore))
    return _report(inputs, runtime, gathered, rows, changed)


def _gather(inputs: Inputs, runtime: Runtime) -> _Gathered:
    tree = Tree(runtime.workspace)
    files = _Files(tree)
    inspections = {path: one for path in tree.matching(inputs.workflows) if (one := files(path)) is not None}
    found = uses.collect(inspections, files)
    gathered = _Gathered(tree, found.uses, found.remarks)
    for path, text in files.texts.items():
        gathered.comments[path] = documentation.trailing_comment(text)
    for name, declarations in found.interface.items():
        for file, description in declarations:
            place = Place(file.path, file.secrets[name].line, file.secrets[name].column)
            # Where it lives, and who sets it, is the caller's affair.
            gathered.declared.append(Entry(name, place, () if description else (Missing.PURPOSE,)))
            gathered.purposes.setdefault(name, " ".join(description.split()))
    for code in scanning.scan(tree, inputs.code):
        gathered.uses += [use for use in code.uses if not _given(use.name)]
        gathered.remarks += code.remarks
        gathered.column.settings += code.settings
    named = {one for use in gathered.uses for one in use.environments or ()}
    gathered.environments = frozenset(inputs.environments or named)
    if inputs.github_token:
        asked = gather(inputs.github_token, sorted(gathered.environments), runtime)
        asked.settings += gathered.column.settings
        gathered.column = asked
    return gathered


_GIVEN = frozenset("CI HOME HOSTNAME LANG LC_ALL LOGNAME PATH PWD SHELL TEMP TERM TMP TMPDIR TZ USER VIRTUAL_ENV".split())  # noqa: SIM905


def _given(name: str) -> bool:
    """Whether the system or GitHub's runner sets the variable itself."""
    return name in _GIVEN or name.startswith(("GITHUB_", "RUNNER_", "ACTIONS_"))


def _documents(tree: Tree, inputs: Inputs) -> dict[str, str]:
    """The texts of the documentation by path; the one to write is among them, whatever the globs say."""
    paths = tree.matching(inputs.docs)
    target = inputs.write or inputs.check_write
    texts = {path: text for path in paths if (text := tree.read(path)) is not None}
    if target and target not in texts:
        text = tree.read(target)
        full = tree.root / target
        if text is None and (os.path.lexists(full) or not full.parent.resolve().is_relative_to(tree.root.resolve())):
            raise UnusableInput(f"`{target}` is no file that can be read and written: {_why(tree, target)}.")
        texts[target] = text or ""
    return texts


def _why(tree: Tree, path: str) -> str:
    """What the tree told of a file that it did not read."""
    told = [remark.message for remark in tree.remarks if remark.place.file == path]
    return told[-1] if told else "it is a folder, or lies out of the repository"


def _entries(documents: dict[str, str], gathered: _Gathered) -> list[Entry]:
    entries: list[Entry] = []
    for path, text in documents.items():
        entries += documentation.scan(path, text, gathered.environments)
    for path, (line, text) in gathered.comments.items():
        entries += documentation.scan(path, text, gathered.environments, first_line=line)
    return entries


def _outside_block(documents: dict[str, str], target: str, gathered: _Gathered) -> frozenset[str]:
    """The names that are documented outside of the target's block."""
    outside = dict(documents)
    text = outside.get(target, "")
    begin, end = text.find(documentation.BEGIN), text.find(documentation.END)
    if 0 <= begin < end:
        outside[target] = text[:begin] + text[end:]
    return frozenset(entry.name for entry in _entries(outside, gathered))


def _difference(before: str, after: str, path: str) -> str:
    """A unified diff; nothing when both are the same."""
    if before == after:
        return ""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, f"{path} (made anew)", lineterm="", n=2)
    return "\n".join(list(lines)[:400]) or "(line ends)"


def _write(path: Path, text: str) -> None:
    """Replace the file in one step, so that nobody ever sees half of it. Raises `Failed`."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # newline="": the text has the line ends of the file it replaces.
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Failed(f"{path.name} cannot be written: {error.strerror or error}.") from None


def _report(inputs: Inputs, runtime: Runtime, gathered: _Gathered, rows: list[Row], changed: str) -> Report:
    failing = frozenset(state for state in State if state.value in inputs.fail_on)
    remarks = [*gathered.tree.remarks, *gathered.remarks, *_idle(inputs, rows)]
    found = presentation.findings(rows, remarks, failing)
    by_state = {state: [row.name for row in rows if state in row.states] for state in State}
    blocks = presentation.blocks(rows, gathered.column, presentation.Links(runtime.variables))
    stale = bool(changed) and inputs.check_write is not None
    if stale:
        fix = f"Run the action with `write: {inputs.check_write}`, and commit what it writes."
        message = f"{inputs.check_write} is not what it would be if it were made anew."
        found.insert(0, Finding(f"{presentation.NAME}/stale", Severity.ERROR, message, inputs.check_write or "", 1, 1, fix))
        blocks.append(CodeBlock(changed, "diff"))
    unread = [remark for remark in remarks if remark.unread]
    unknown = [row for row in rows if row.unknown and not row.ignored] if State.UNSET in failing else []
    wrong = [state for state in State if state in failing and by_state[state]]
    if stale or wrong:
        verdict = Verdict.FAIL
    elif unread or unknown:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    if unknown:
        blocks.insert(0, _unknown(unknown, gathered.column))
    headline = _headline(rows, by_state, unread, unknown, stale=stale, written=inputs.write if changed else None)
    outputs: dict[str, OutputValue] = {
        "verdict": verdict,
        "reason": headline,
        **{state.value: names for state, names in by_state.items()},
        "report": markdown.render(blocks, lambda text: visible(runtime.redactor(text)), REPORT_LIMIT),
    }
    return Report(verdict, headline, outputs, found, blocks)


def _idle(inputs: Inputs, rows: Iterable[Row]) -> list[Remark]:
    """Names in `ignore` that are nowhere."""
    known = {row.name.upper() for row in rows}
    return [
        Remark("idle-ignore", f"the input `ignore` names `{name}`, which is nowhere", Place("", 0), notice=True)
        for name, _ in inputs.ignore
        if name not in known
    ]


def _unknown(rows: list[Row], column: Column) -> Block:
    names = ", ".join(row.name for row in rows[:10])
    why = next(iter(column.unknown.values()), "")
    if not column.looked:
        why = (
            "No `github-token` was given. It takes the token of an App, or a fine-grained one, with the repository permissions"
            " Secrets, Variables and Environments (read): GITHUB_TOKEN can never list secrets."
        )
    return Paragraph(f"Nobody could say whether these are set: {names}. {why}")


def _headline(
    rows: list[Row],
    by_state: dict[State, list[str]],
    unread: list[Remark],
    unknown: list[Row],
    *,
    stale: bool,
    written: str | None,
) -> str:
    counted = [f"{len(names)} {state}" for state, names in by_state.items() if names]
    parts = [f"{len(rows)} names: {', '.join(counted)}." if counted else f"{len(rows)} names, all is well."]
    if stale:
        parts.append("The document would change.")
    if written:
        parts.append(f"{written} is written.")
    if unread:
        parts.append(f"{len(unread)} places could not be read.")
    if unknown:
        parts.append(f"Of {len(unknown)} it is unknown whether they are set.")
    return " ".join(parts)


ACTION = Action(
    name=presentation.NAME,
    summary="Holds the secrets and variables that workflows use, the ones documented and the ones set together, by name.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive`."),
        Output("reason", "The verdict in a sentence."),
        Output("undocumented", "Names that are used and documented nowhere, as a JSON list."),
        Output("unused", "Names that are documented or set, and used nowhere, as a JSON list."),
        Output("unset", "Names that are required and not set, as a JSON list."),
        Output("incomplete", "Names whose documentation lacks the purpose, where it lives or how to set it, as a JSON list."),
        Output("report", "The table as Markdown, for a comment on a pull request."),
    ),
    run=run,
    icon="key",
    color="purple",
)
