"""The report: one table, worst first, the lines to paste, and annotations on the lines that use a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from cicd_actions.secrets_doc_check.comparison import Row, State
from cicd_actions.secrets_doc_check.records import Column, Kind, Place, Remark, Use
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, Inline, Link, Paragraph, Strong, Table

NAME = "secrets-doc-check"
MOST_PLACES = 5
"""Places that are shown in a cell; the others are counted."""


@dataclass(frozen=True)
class Links:
    """Makes links to lines on GitHub; elsewhere a place is text."""

    variables: Mapping[str, str]

    def to(self, place: Place) -> Link | Code:
        server, repository, sha = (self.variables.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY", "SHA"))
        if not (server and repository and sha):
            return Code(str(place))
        return Link(str(place), f"{server}/{repository}/blob/{sha}/{quote(place.file)}#L{place.line}")


def blocks(rows: Sequence[Row], column: Column, links: Links) -> list[Block]:
    """The table with the names that matter, what is ignored, and why something is unknown."""
    shown = [row for row in rows if not row.ignored]
    made: list[Block] = []
    if shown:
        made.append(Table(("name", "state", "used", "documented", "set"), [_cells(row, column, links) for row in shown]))
    paste = [_line(row) for row in shown if State.UNDOCUMENTED in row.states]
    if paste:
        made += [
            Paragraph("To document what is used, add these lines, for example to SECRETS.md:"),
            CodeBlock("\n".join(paste), "markdown"),
        ]
    spared = [row for row in rows if row.ignored]
    if spared:
        made.append(Details(f"Ignored ({len(spared)})", [Bullets([[Code(row.name), f": {row.ignored}"] for row in spared])]))
    if column.unknown:
        reasons = list(dict.fromkeys(column.unknown.values()))
        made.append(Details("Why something is unknown", [Paragraph(reason) for reason in reasons]))
    return made


def _cells(row: Row, column: Column, links: Links) -> list[Inline]:
    state: list[str | Code | Link | Strong] = []
    for one in State:
        if one in row.states:
            state += [", " if state else "", Strong(one.value) if one is not State.UNUSED else one.value]
    if row.hints:
        state.append(f" ({'; '.join(row.hints)})")
    return [Code(row.name), state or "ok", _used(row, links), _documented(row, links), _set(row, column)]


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
    # What is required first: that is where something breaks.
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
    if not row.entries:
        return "—"
    parts: list[str | Code | Link | Strong] = []
    for index, entry in enumerate(row.entries[:MOST_PLACES]):
        parts += ["; " if index else "", links.to(entry.place)]
    if row.missing:
        parts.append(f" without {' and '.join(str(part) for part in row.missing)}")
    return parts


def _set(row: Row, column: Column) -> Inline:
    levels = ", ".join(sorted({setting.level for setting in row.settings}))
    missing = f"not set: {', '.join(row.unset)}" if row.unset else ""
    asked = any(kind is not Kind.SETTING for kind in row.kinds)
    unknown = asked and (row.unknown or not column.looked or (not levels and bool(column.unknown)))
    said = [part for part in (levels, missing, "unknown" if unknown and not missing else "") if part]
    return "; ".join(said) if said else "—"


def _line(row: Row) -> str:
    """The line to paste."""
    kind = row.kinds[0]
    if kind is Kind.SETTING:
        return f"- `{row.name}`: what it is for. Lives in: the environment of the process. How: how to set it."
    environments = sorted({one for use in row.uses for one in use.environments or ()})
    where = f"environment {' and '.join(environments)}" if environments else "repository"
    flag = f" --env {environments[0]}" if environments else ""
    return f"- `{row.name}`: what it is for. Lives in: {where}. How: `gh {kind} set {row.name}{flag}`."


def findings(rows: Iterable[Row], remarks: Iterable[Remark], failing: frozenset[State]) -> list[Finding]:
    """One finding for each state of each name, on the first line that uses it (or documents it), and one for each remark."""
    found: list[Finding] = []
    for row in rows:
        for state in State:
            if state in row.states:
                severity = (
                    Severity.ERROR if state in failing else Severity.NOTICE if state is State.UNUSED else Severity.WARNING
                )
                found.append(_finding(row, state, severity))
    for remark in dict.fromkeys(remarks):
        place = remark.place
        severity = remark.severity
        found.append(
            Finding(
                f"{NAME}/{remark.rule}", severity, _sentence(remark.message), place.file, place.line, place.column, remark.fix
            )
        )
    return found


def _finding(row: Row, state: State, severity: Severity) -> Finding:
    place = _place(row, state)
    places = len({use.place for use in row.uses})
    also = f" It is used in {places} places." if places > 1 else ""
    hints = f" {_sentence('; '.join(row.hints))}" if row.hints and state in {State.UNDOCUMENTED, State.UNSET} else ""
    kind = " and ".join(one.value for one in row.kinds)
    if state is State.UNDOCUMENTED:
        message = f"The {kind} `{row.name}` is used here and documented nowhere.{hints}{also}"
        fix = f"Document it:\n\n    {_line(row)}"
    elif state is State.UNSET:
        where = ", ".join(row.unset)
        message = f"The {kind} `{row.name}` is empty here: it is not set ({where}).{hints}{also}"
        fix = "\n".join(f"    gh {row.kinds[0]} set {row.name}{_flag(level)}" for level in row.unset)
    elif state is State.INCOMPLETE:
        message = f"The documentation of `{row.name}` does not say {' and '.join(map(str, row.missing))}."
        fix = f"Write it like this:\n\n    {_line(row)}"
    else:
        what = "documented" if row.entries else f"set ({', '.join(sorted({setting.level for setting in row.settings}))})"
        message = f"`{row.name}` is {what}, and used nowhere that was looked at."
        fix = "Remove it, let the input `code` find it, or give the reason why it stays in the input `ignore`."
    file, line, column = (place.file, place.line, place.column) if place else ("", None, None)
    return Finding(f"{NAME}/{state}", severity, message, file, line, column, fix, f"{state}:{row.name}")


def _place(row: Row, state: State) -> Place | None:
    if state in {State.INCOMPLETE, State.UNUSED}:
        return row.entries[0].place if row.entries else None
    required = [use for use in row.uses if not use.optional] or row.uses
    return required[0].place


def _flag(level: str) -> str:
    return f" --env {level.removeprefix('environment ')}" if level.startswith("environment ") else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
