"""How the check is reported: the names worst first, the lines to paste, and a finding for each state of each name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from cicd_actions.secrets_doc_check.commands import setter, setters
from cicd_actions.secrets_doc_check.inventory import Row
from cicd_actions.secrets_doc_check.model import Column, Kind, Use, home
from cicd_actions.secrets_doc_check.rules import State, finding
from cicd_actions.toolkit.findings import Finding
from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, Inline, Link, Paragraph, Strong, Table
from cicd_actions.workflows.place import Place

MOST_PLACES = 5
"""Places that a cell shows; the others are counted."""

_HEAD = ("name", "state", "used", "documented", "set", "empty for")


@dataclass(frozen=True)
class Links:
    """Makes links to lines on GitHub; elsewhere a place is text."""

    folder: str
    """The address of the files at this commit, or nothing."""

    @staticmethod
    def of(variables: Mapping[str, str]) -> Links:
        server, repository, sha = (variables.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY", "SHA"))
        return Links(f"{server}/{repository}/blob/{sha}/" if server and repository and sha else "")

    def to(self, place: Place) -> Link | Code:
        if not self.folder or "@" in place.file:
            return Code(str(place))
        return Link(str(place), f"{self.folder}{quote(place.file)}#L{place.line}")


def _wrong(row: Row, column: Column) -> bool:
    # Without a token, whether a name is set is unknown for all of them: so each is not shown.
    return bool(row.states) or (row.unknown and column.looked)


def blocks(rows: Sequence[Row], column: Column, links: Links) -> tuple[list[Block], list[Block]]:
    """Returns the table of names that need something, the lines to paste, and the rest folded: two times.

    The first stands beside the findings, which say what is wrong and what to paste, so its table is folded. The second
    stands alone.
    """
    shown = [row for row in rows if not row.ignored]
    wrong = [row for row in shown if _wrong(row, column)]
    right = [row for row in shown if not _wrong(row, column)]
    beside: list[Block] = []
    alone: list[Block] = []
    if wrong:
        table = Table(_HEAD, [_cells(row, column, links) for row in wrong])
        beside.append(Details(f"Where they are used, documented and set ({len(wrong)})", [table], summary_only=True))
        alone.append(table)
    paste = [line(row) for row in wrong if State.UNDOCUMENTED in row.states and not row.todo]
    if paste:
        alone += [Paragraph("To document these names, add the lines to SECRETS.md:"), CodeBlock("\n".join(paste), "markdown")]
    made: list[Block] = []
    if paste:
        made += [
            Paragraph(f"`write` adds the {'entry that is' if len(paste) == 1 else 'entries that are'} missing:"),
            CodeBlock("bin/cicd-actions secrets-doc-check --write SECRETS.md", "console"),
        ]
    if right:
        title = f"Documented{' and set' if column.looked else ''} ({len(right)})" if wrong else f"All names ({len(right)})"
        made.append(Details(title, [Table(_HEAD, [_cells(row, column, links) for row in right])], summary_only=True))
    spared = [row for row in rows if row.ignored]
    if spared:
        made.append(Details(f"Ignored ({len(spared)})", [Bullets([[Code(row.name), f": {row.ignored}"] for row in spared])]))
    if column.unknown:
        reasons = list(dict.fromkeys(column.unknown.values()))
        made.append(Details("Why something is unknown", [Paragraph(reason) for reason in reasons]))
    return beside + made, alone + made


def _cells(row: Row, column: Column, links: Links) -> list[Inline]:
    state: list[str | Code | Link | Strong] = []
    for one in State:
        if one in row.states:
            state += [", " if state else "", Strong(one.value) if one is not State.UNUSED else one.value]
    if row.defaulted and not row.entries:
        state.append("optional, with a default")
    if row.hints:
        state.append(f" ({'; '.join(row.hints)})")
    untrusted = any(use.untrusted for use in row.uses)
    return [
        Code(row.name),
        state or "ok",
        _used(row, links),
        _documented(row, links),
        _set(row, column),
        "pull requests of forks and Dependabot" if untrusted else "—",
    ]


def _used(row: Row, links: Links) -> Inline:
    if not row.uses:
        return "—"
    parts: list[str | Code | Link | Strong] = [" and ".join(kind.value for kind in row.kinds)]
    if not row.required:
        parts.append(", optional")
    parts.append(": ")
    places = _by_place(row.uses)
    for index, (place, uses) in enumerate(places[:MOST_PLACES]):
        parts += ["; " if index else "", links.to(place), _where(uses)]
    more = len(places) - MOST_PLACES
    return [*parts, f"; and {more} more"] if more > 0 else parts


def _by_place(uses: Iterable[Use]) -> list[tuple[Place, list[Use]]]:
    places: dict[Place, list[Use]] = {}
    # Required uses first: those break when the name is empty.
    for use in sorted(uses, key=lambda use: (use.aside, use.optional)):
        places.setdefault(use.place, []).append(use)
    return list(places.items())


def _where(uses: list[Use]) -> str:
    use = uses[0]
    environments = sorted({one for each in uses for one in each.environments or ()})
    parts = [
        f"job {use.job}" if use.job else "",
        f"step {use.step}" if use.step and use.kind is not Kind.SETTING else use.step,
        f"environment {', '.join(environments)}" if environments else "",
        "environment unknown" if any(each.environments is None for each in uses) else "",
        f"called from {use.via[-1]}" if use.via else "",
        "for callers of this workflow" if use.interface else "",
    ]
    said = ", ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def _documented(row: Row, links: Links) -> Inline:
    places = list(dict.fromkeys(entry.place for entry in row.entries))
    if not places:
        return "—"
    parts: list[str | Code | Link | Strong] = []
    for index, place in enumerate(places[:MOST_PLACES]):
        parts += ["; " if index else "", links.to(place)]
    if row.missing:
        parts.append(f" without {' and '.join(str(part) for part in row.missing)}")
    return parts


def _set(row: Row, column: Column) -> Inline:
    found = ", ".join(sorted({setting.level for setting in row.settings}))
    missing = f"not set: {', '.join(row.unset)}" if row.unset else ""
    asked = any(kind is not Kind.SETTING for kind in row.kinds)
    unknown = asked and (row.unknown or not column.looked or (not found and bool(column.unknown)))
    said = [part for part in (found, missing, "unknown" if unknown and not missing else "") if part]
    return "; ".join(said) if said else "—"


def line(row: Row) -> str:
    """Returns the line that documents a name: to be pasted, with its purpose filled in."""
    if row.kinds == [Kind.SETTING]:
        where, how = "the environment of the process", "set it where the process starts"
        return f"- `{row.name}`: what it is for. Lives in: {where}. How: {how}."
    how = " and ".join(f"`{command}`" for command in setters(row.name, row.uses))
    return f"- `{row.name}`: what it is for. Lives in: {home(row.uses)}. How: {how}."


def findings(rows: Iterable[Row]) -> list[Finding]:
    """Returns a finding for each state of each name, on the first line that uses it, or else documents it."""
    found: list[Finding] = []
    for row in rows:
        found += [_finding(row, state) for state in State if state in row.states]
        if not row.ignored and {Kind.SECRET, Kind.VARIABLE} <= set(row.kinds):
            both = {kind: next(use for use in row.uses if use.kind is kind) for kind in (Kind.SECRET, Kind.VARIABLE)}
            message = (
                f"`{row.name}` is read as a secret ({both[Kind.SECRET].place}) and as a variable ({both[Kind.VARIABLE].place}):"
                " GitHub stores the two apart"
            )
            found.append(finding("two-kinds", message, both[Kind.VARIABLE].place, "Set both, or read one of them."))
    return found


def _finding(row: Row, state: State) -> Finding:
    places = len({use.place for use in row.uses})
    also = f" It is used in {places} places." if places > 1 else ""
    hints = f" {_sentence('; '.join(row.hints))}" if row.hints and state in {State.UNDOCUMENTED, State.UNSET} else ""
    kind = " and ".join(one.value for one in row.kinds)
    if state is State.UNDOCUMENTED and row.todo:
        message = f"The entry of `{row.name}` in {row.todo[0]} still says TODO, so it documents nothing.{also}"
        fix = f"Fill in the TODO in {row.todo[0]}."
    elif state is State.UNDOCUMENTED:
        message = f"The {kind} `{row.name}` is used here and not documented.{hints}{also}"
        fix = f"Document it:\n\n    {line(row)}"
        if row.outside:
            fix = "Name that file too:\n\n    docs: |\n" + "\n".join(f"      {pattern}" for pattern in row.outside)
    elif state is State.UNSET:
        message = f"The {kind} `{row.name}` is empty here: it is not set ({', '.join(row.unset)}).{hints}{also}"
        fix = "\n".join(f"    {setter(row.kinds[0], row.name, level)}" for level in row.unset)
    elif state is State.INCOMPLETE:
        message = f"The documentation of `{row.name}` does not say {' and '.join(map(str, row.missing))}."
        fix = f"Write it like this:\n\n    {line(row)}"
    else:
        what = "documented" if row.entries else f"set ({', '.join(sorted({setting.level for setting in row.settings}))})"
        message = f"`{row.name}` is {what}, and none of the files that were read uses it."
        fix = "Remove it, let the input `code` find its use, or give a reason to keep it in the input `ignore`."
    return finding(state.value, message, _place(row, state) or Place("", 0), fix, f"{state}:{row.name}")


def _place(row: Row, state: State) -> Place | None:
    if state in {State.INCOMPLETE, State.UNUSED}:
        # The one to complete is the one that says most.
        return min(row.entries, key=lambda entry: len(entry.missing)).place if row.entries else None
    required = [use for use in row.uses if not use.optional] or row.uses
    return required[0].place


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
