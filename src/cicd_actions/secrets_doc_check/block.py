"""Generates the documented block from the uses, and keeps every line that people wrote in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cicd_actions.secrets_doc_check.commands import setters
from cicd_actions.secrets_doc_check.documentation import BEGIN, END, SETTINGS
from cicd_actions.secrets_doc_check.entry_text import head, missing
from cicd_actions.secrets_doc_check.model import Kind, Missing, Use, home
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import visible

_NOTE = "<!-- Made by secrets-doc-check from the uses. Edit it freely: only the lines `Used by` are generated again. -->"
_TITLES = {Kind.SECRET: "Secrets", Kind.VARIABLE: "Variables", Kind.SETTING: SETTINGS}
_GONE = "No longer used"
_ITEM = re.compile(r"[-*+]\s+")
_USED_BY = re.compile(r"\s+[-*+] Used by:")
_JOB = re.compile(r"[A-Za-z_][\w-]*")


@dataclass
class _Written:
    """What the block holds already, without the generated lines."""

    entries: dict[str, list[str]] = field(default_factory=dict)
    """The lines of each entry by name; names of one entry share them."""
    prose: dict[str, list[str]] = field(default_factory=dict)
    """Other lines by the heading they stand under."""


def updated(text: str, uses: Iterable[Use], elsewhere: frozenset[str], purposes: dict[str, str], path: str) -> str:
    """Returns the document with its block generated again. `elsewhere` are names that are documented outside the block.

    Without markers the block is added at the end. The same uses give the same text, and a second run changes nothing.
    Raises `UnusableInput` when the markers do not form one pair.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    begins = [index for index, line in enumerate(lines) if line.strip() == BEGIN]
    ends = [index for index, line in enumerate(lines) if line.strip() == END]
    if (len(begins), len(ends)) not in {(0, 0), (1, 1)} or (begins and begins[0] > ends[0]):
        raise UnusableInput(
            f"Cannot find the block in {path}: its markers are not one pair.",
            fix=f"Leave exactly one of each, in this order:\n\n    {BEGIN}\n    {END}",
        )
    old = _read(lines[begins[0] + 1 : ends[0]]) if begins else _Written()
    names: dict[str, list[Use]] = {}
    for use in uses:
        if use.aside:
            continue
        if use.name.upper() not in elsewhere or use.name.upper() in old.entries:
            names.setdefault(use.name.upper(), []).append(use)
    block = [BEGIN, _NOTE, *_sections(names, old, purposes), END]
    if begins:
        made = [*lines[: begins[0]], *block, *lines[ends[0] + 1 :]]
    else:
        start = text.replace("\r\n", "\n").rstrip("\n")
        made = [*(start.split("\n") if start else ["# Secrets and variables"]), "", *block, ""]
    return newline.join(made)


def _read(lines: Sequence[str]) -> _Written:
    written = _Written()
    title = ""
    current: list[str] | None = None
    for line in lines:
        item = _ITEM.match(line)
        named = head(line[item.end() :]) if item else None
        if line.startswith("<!-- Made by secrets-doc-check") or _USED_BY.match(line):
            continue
        if item and named:
            twice = next((written.entries[name.upper()] for name, _ in named.names if name.upper() in written.entries), None)
            current = [line] if twice is None else twice
            if twice is not None and named.rest and named.rest not in "\n".join(twice):
                # A name that stands twice keeps what both entries say.
                twice.append(f"  {named.rest}")
            for name, _ in named.names:
                written.entries.setdefault(name.upper(), current)
        elif line.startswith("#"):
            title, current = line.lstrip("#").strip(), None
            written.prose.setdefault(title, [])
        elif current is not None and (not line.strip() or line[0].isspace() or (current[-1].strip() and not item)):
            current.append(line.rstrip())
        else:
            current = None
            written.prose.setdefault(title, []).append(line.rstrip())
    return written


def _sections(names: dict[str, list[Use]], old: _Written, purposes: dict[str, str]) -> list[str]:
    lines = _spaced(old.prose.get("", []))
    done: set[int] = set()
    for kind, title in _TITLES.items():
        section: list[str] = []
        for name in sorted(names):
            if min((use.kind for use in names[name]), key=list(Kind).index) is not kind:
                continue
            entry = old.entries.get(name) or _template(name, kind, names[name], purposes.get(name, ""))
            if id(entry) in done:
                continue
            done.add(id(entry))
            together = [use for other in names if old.entries.get(other) is entry for use in names[other]]
            section += [*_trimmed(entry), _used_by(together or names[name])]
            old.entries.setdefault(name, entry)
        prose = old.prose.get(title, [])
        if section or any(prose):
            lines += ["", f"### {title}", *_spaced(prose), "", *section]
    gone = list({id(entry): entry for entry in old.entries.values() if id(entry) not in done}.values())
    for title, prose in old.prose.items():
        if title not in {"", _GONE, *_TITLES.values()}:
            lines += ["", f"### {title}", *_spaced(prose)]
    if gone or any(old.prose.get(_GONE, [])):
        lines += ["", f"### {_GONE}", *_spaced(old.prose.get(_GONE, [])), ""]
        for entry in gone:
            lines += _trimmed(entry)
    return [*_trimmed(lines), ""] if any(lines) else ["", "Everything that is used is documented elsewhere.", ""]


def _spaced(prose: list[str]) -> list[str]:
    """Lines with one empty line in front, and none at the ends."""
    start = 0
    while start < len(prose) and not prose[start]:
        start += 1
    kept = [line for line in _trimmed(prose[start:]) if line != "Everything that is used is documented elsewhere."]
    return ["", *kept] if kept else []


def _trimmed(lines: list[str]) -> list[str]:
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]


def _template(name: str, kind: Kind, uses: list[Use], purpose: str) -> list[str]:
    if kind is Kind.SETTING:
        shown = ", ".join(f"`{_plain(source)}`" for source in sorted({use.place.file for use in uses})[:3])
        where, how = "the environment of the process", "set it where the process starts"
        read = f"read by {shown}"
    else:
        where, how = _plain(home(uses)), ", ".join(f"`{_plain(command)}`" for command in setters(name, uses))
        # What takes the value, as the workflows themselves tell it.
        read = _plain_markdown(f"read by {' and '.join(list(dict.fromkeys(use.reads for use in uses if use.reads))[:2])}")
    told = bool(purpose) and Missing.PURPOSE not in missing(purpose)
    return [f"- `{name}`: {_plain_markdown(purpose) if told else read}", f"  - Lives in: {where}", f"  - How: {how}"]


def _used_by(uses: list[Use]) -> str:
    """The files and jobs, without line numbers, so that the text changes only when the uses do."""
    places: dict[str, set[str]] = {}
    for use in uses:
        places.setdefault(use.place.file, set()).update({use.job} if _JOB.fullmatch(use.job) else set())
    shown = []
    for file in sorted(places):
        jobs = sorted(places[file])
        shown.append(f"`{_plain(file)}`" + (f" (job{'s' if len(jobs) > 1 else ''} {', '.join(jobs)})" if jobs else ""))
    optional = " (optional)" if all(use.optional for use in uses) else ""
    return f"  - Used by: {'; '.join(shown)}{optional}"


def _plain_markdown(text: str) -> str:
    """Markdown of ours with names from outside, on one line, where a name cannot end a comment."""
    return " ".join(visible(text).split()).replace("-->", "->").replace("<!--", "<-")


def _plain(text: str) -> str:
    """A name from outside on one line of Markdown, where it can end neither a code span nor a comment."""
    return " ".join(visible(text).split()).replace("`", "'").replace("-->", "->")
