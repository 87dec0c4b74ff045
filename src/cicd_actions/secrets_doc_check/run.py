"""The action: the three lists, joined by name."""

from __future__ import annotations

import difflib
import gc
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cicd_actions.github import contents
from cicd_actions.github.client import GitHub
from cicd_actions.secrets_doc_check import block, documentation, mentions, reporting, uses
from cicd_actions.secrets_doc_check.code import scanning
from cicd_actions.secrets_doc_check.inputs import Inputs
from cicd_actions.secrets_doc_check.inventory import Row, compare
from cicd_actions.secrets_doc_check.model import Column, Entry, Missing, Use, of_the_system
from cicd_actions.secrets_doc_check.rules import STALE, State, adopted, finding, judged, state_of, unread
from cicd_actions.secrets_doc_check.settings import gather
from cicd_actions.toolkit import git, markdown
from cicd_actions.toolkit.errors import ActionError, Failed, UnusableInput
from cicd_actions.toolkit.findings import Finding
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.report import Block, CodeBlock, OutputValue, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.repository_files import Fetch, Files, Unavailable
from cicd_actions.workflows.tree import Tree

REPORT_LIMIT = 60_000
"""Bytes of the output `report`: what a comment on a pull request holds."""

_DEPENDABOT = (".github/dependabot.yml", ".github/dependabot.yaml")


@dataclass
class _Gathered:
    """The three lists, as they were found."""

    tree: Tree
    uses: list[Use] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    column: Column = field(default_factory=Column)
    purposes: dict[str, str] = field(default_factory=dict)
    """What workflows say of the secrets they declare."""
    declared: list[Entry] = field(default_factory=list)
    comments: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The comment block at the end of each workflow file, with its first line."""
    environments: frozenset[str] = frozenset()
    workflows: int = 0
    """Workflow and action files that were read."""
    code: int = 0
    """Files of code that were read."""


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Gathers the lists, writes or checks the document, compares, reports. Raises `UnusableInput` and `Failed`."""
    if inputs.write and inputs.check_write:
        raise UnusableInput(
            "`write` and `check-write` exclude each other.",
            fix="Give one: the first changes the file, the other only checks it.",
        )
    # Thousands of nodes are made, and none of them in a cycle: looking for cycles would take a quarter of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _checked(inputs, runtime)
    finally:
        if collecting:
            gc.enable()


def _checked(inputs: Inputs, runtime: Runtime) -> Report:
    gathered = _gather(inputs, runtime)
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
            runtime.log(f"Wrote {target}.")
    entries = _entries(documents, gathered)
    rows = compare(gathered.uses, [*entries, *gathered.declared], gathered.column, dict(inputs.ignore), code=bool(inputs.code))
    _hint_mentions(rows, gathered.tree, documents, inputs)
    return _report(inputs, runtime, gathered, rows, documents, changed)


def _gather(inputs: Inputs, runtime: Runtime) -> _Gathered:
    tree = Tree(runtime.workspace)
    fetch = _fetcher(inputs.github_token, runtime) if inputs.github_token else None
    files = Files(tree, runtime.variables.get("GITHUB_REPOSITORY") or tree.origin(), fetch)
    inspections = {path: one for path in tree.matching(inputs.workflows) if (one := files(path)) is not None}
    found = uses.collect(inspections, files)
    gathered = _Gathered(
        tree, found.uses, [*found.findings, *map(adopted, files.findings)], purposes=found.purposes, workflows=len(inspections)
    )
    for path in _DEPENDABOT:
        text = tree.read(path) if path in tree.paths else None
        if text is not None:
            gathered.uses += uses.dependabot(path, text)
    for path, text in files.texts.items():
        first_line, comment = documentation.trailing_comment(text)
        if comment:
            gathered.comments[path] = first_line, comment
    for name, declarations in found.interface.items():
        for file, description in declarations:
            place = Place(file.path, file.secrets[name].line, file.secrets[name].column)
            # The caller decides where it lives and who sets it.
            gathered.declared.append(Entry(name, place, () if description else (Missing.PURPOSE,)))
    for code in scanning.scan(tree, inputs.code):
        gathered.code += 1
        gathered.uses += [use for use in code.uses if not of_the_system(use.name)]
        gathered.findings += code.told
        gathered.column.settings += code.settings
    named = {one for use in gathered.uses for one in use.environments or ()}
    gathered.environments = frozenset(inputs.environments or named)
    if inputs.github_token:
        by_dependabot = any(use.dependabot for use in gathered.uses)
        asked = gather(inputs.github_token, sorted(gathered.environments), runtime, dependabot=by_dependabot)
        asked.settings += gathered.column.settings
        gathered.column = asked
    return gathered


def _fetcher(token: str, runtime: Runtime) -> Fetch:
    """Reads files of other repositories by GitHub's API, each once and within one deadline."""
    deadline = runtime.deadline(60.0)

    def fetch(repository: str, path: str, commit: str) -> str:
        try:
            return contents.text(GitHub(token, repository, runtime, deadline), path, commit)
        except ActionError as error:
            raise Unavailable(error.what) from None

    return fetch


def _documents(tree: Tree, inputs: Inputs) -> dict[str, str]:
    """The texts of the documentation by path; the one to write is among them, whatever the globs say."""
    paths = tree.matching(inputs.docs)
    target = inputs.write or inputs.check_write
    texts = {path: text for path in paths if (text := tree.read(path)) is not None}
    if target and target not in texts:
        text = tree.read(target)
        full = tree.root / target
        if text is None and (os.path.lexists(full) or not full.parent.resolve().is_relative_to(tree.root.resolve())):
            raise UnusableInput(f"Cannot read and write `{target}`: {_why(tree, target)}.")
        if _ignored(tree.root, target):
            raise UnusableInput(
                f"Cannot document in `{target}`: git ignores it, so no later check would read it.",
                fix=f"Name another file, or add a line to .gitignore:\n\n    !/{target}",
            )
        texts[target] = text or ""
    return texts


def _ignored(root: Path, path: str) -> bool:
    try:
        words = git.command("check-ignore", "--quiet", "--", f"./{path}")
        done = subprocess.run(words, cwd=root, env=git.variables(os.environ), capture_output=True, timeout=30, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _why(tree: Tree, path: str) -> str:
    """What the tree says about a file that it did not read."""
    told = [found.message.rstrip(".") for found in tree.findings if found.file == path]
    return told[-1] if told else "it is a folder, or lies outside the repository"


def _entries(documents: dict[str, str], gathered: _Gathered) -> list[Entry]:
    entries: list[Entry] = []
    for path, text in documents.items():
        entries += documentation.scan(path, text, gathered.environments)
    for path, (line, text) in gathered.comments.items():
        entries += documentation.scan(path, text, gathered.environments, first_line=line)
    return entries


def _outside_block(documents: dict[str, str], target: str, gathered: _Gathered) -> frozenset[str]:
    """The names that are documented outside the target's block."""
    outside = dict(documents)
    text = outside.get(target, "")
    begin, end = text.find(documentation.BEGIN), text.find(documentation.END)
    if 0 <= begin < end:
        outside[target] = text[:begin] + text[end:]
    return frozenset(entry.name for entry in _entries(outside, gathered) if not entry.example)


def _difference(before: str, after: str, path: str) -> str:
    """A unified diff; nothing when both are the same."""
    if before == after:
        return ""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, f"{path} (generated again)", lineterm="", n=2)
    return "\n".join(list(lines)[:400]) or "(line ends)"


def _write(path: Path, text: str) -> None:
    """Replaces the file in one step, so that no reader sees half of it. Raises `Failed`."""
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
        raise Failed(f"Could not write {path.name}: {error.strerror or error}.") from None


def _hint_mentions(rows: list[Row], tree: Tree, documents: dict[str, str], inputs: Inputs) -> None:
    """Adds to each undocumented name where a text mentions it, and how that text counts if it documents the name."""
    wanted = {row.name.upper(): row for row in rows if State.UNDOCUMENTED in row.states and not row.todo}
    documented: dict[str, set[str]] = {}
    for name, (place, read) in mentions.find(tree, wanted, documents).items():
        why = (
            "but not as an entry of a list, a table or a section about secrets"
            if read
            else "which the input `docs` does not name"
        )
        wanted[name].hints.append(f"mentioned in {place}, {why}")
        if not read and place.file not in documented:
            text = tree.glance(place.file) if place.file.lower().endswith((".md", ".mdx", ".markdown")) else None
            documented[place.file] = {entry.name.upper() for entry in documentation.scan(place.file, text or "")}
        if name in documented.get(place.file, ()):
            wanted[name].outside = [*(pattern.text for pattern in inputs.docs), place.file]


def _report(
    inputs: Inputs, runtime: Runtime, gathered: _Gathered, rows: list[Row], documents: dict[str, str], changed: str
) -> Report:
    failing = frozenset(state for state in State if state.value in inputs.fail_on)
    told = [*map(adopted, gathered.tree.findings), *gathered.findings, *_idle(inputs, rows)]
    found = [judged(one, failing) for one in dict.fromkeys([*reporting.findings(rows), *told])]
    by_state = {state: [row.name for row in rows if state in row.states] for state in State}
    by_state[State.BROKEN] = [f"{one.file}:{one.line}" for one in found if state_of(one.rule) is State.BROKEN]
    looked_at = _looked_at(gathered, documents)
    made = reporting.blocks(rows, gathered.column, reporting.Links.of(runtime.variables))
    blocks, alone = ([looked_at, *each] for each in made)
    stale = bool(changed) and inputs.check_write is not None
    if stale:
        fix = f"Run `bin/cicd-actions secrets-doc-check --write {inputs.check_write}`, and commit the file."
        message = f"{inputs.check_write} is out of date: `write` would change it."
        found.insert(0, finding(STALE, message, Place(inputs.check_write or "", 1), fix))
        for each in (blocks, alone):
            each.append(CodeBlock(changed, "diff"))
    hidden = [one for one in found if unread(one)]
    unknown = [row for row in rows if row.unknown and not row.ignored] if State.UNSET in failing else []
    if stale or any(by_state[state] for state in failing):
        verdict = Verdict.FAIL
    elif hidden or unknown:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    if unknown:
        for each in (blocks, alone):
            each.insert(0, _unknown(unknown, gathered.column))
    headline = _headline(rows, by_state, hidden, unknown, stale=stale, written=inputs.write if changed else None)
    outputs: dict[str, OutputValue] = {
        "verdict": verdict,
        "reason": headline,
        **{state.value: names for state, names in by_state.items()},
        "report": markdown.render(alone, lambda text: visible(runtime.redactor(text)), REPORT_LIMIT),
    }
    return Report(verdict, headline, outputs, found, blocks)


def _looked_at(gathered: _Gathered, documents: dict[str, str]) -> Paragraph:
    """What was read: the first thing to know when a name is missing."""
    named = sorted(documents)
    shown = ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
    parts = [
        f"{_count(gathered.workflows, 'workflow or action file')}",
        f"{_count(len(named), 'document')} ({shown})" if named else "no document (the input `docs` names none that exists)",
        _count(gathered.code, "file of code") if gathered.code else "",
    ]
    return Paragraph(f"Read {', '.join(part for part in parts if part)}.")


def _count(number: int, what: str) -> str:
    head, of, rest = what.partition(" of ")
    return f"{number} {head}{'' if number == 1 else 's'}{of}{rest}"


def _idle(inputs: Inputs, rows: Iterable[Row]) -> list[Finding]:
    """Names in `ignore` that no list has."""
    known = {row.name.upper() for row in rows}
    return [
        finding("idle-ignore", f"the input `ignore` names `{name}`, which is neither used, documented nor set", Place("", 0))
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
    return Paragraph(f"Could not determine whether these are set: {names}. {why}")


def _headline(
    rows: list[Row],
    by_state: dict[State, list[str]],
    hidden: list[Finding],
    unknown: list[Row],
    *,
    stale: bool,
    written: str | None,
) -> str:
    counted = [f"{len(names)} {state}" for state, names in by_state.items() if names]
    names = _count(len(rows), "name")
    parts = [f"{names}: {', '.join(counted)}." if counted else f"{names}, nothing to do."]
    if stale:
        parts.append("The document is out of date.")
    if written:
        parts.append(f"Wrote {written}.")
    if hidden:
        parts.append(f"Could not read {_count(len(hidden), 'place')}.")
    if unknown:
        parts.append(f"Could not determine whether {_count(len(unknown), 'name')} {'is' if len(unknown) == 1 else 'are'} set.")
    return " ".join(parts)
