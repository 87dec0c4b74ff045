"""The second list: the names that documentation explains.

It reads lists, tables, headings, definition lists, comments, code blocks, prose under a heading about secrets, and the
comments of an example dotenv file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from cicd_actions.secrets_doc_check import example_files
from cicd_actions.secrets_doc_check.entry_text import cell_head, head, missing, told
from cicd_actions.secrets_doc_check.example_files import LONGEST_LINE
from cicd_actions.secrets_doc_check.model import Entry, Missing, Subject
from cicd_actions.workflows.place import Place

SETTINGS = "Settings"
"""The heading in a generated block of what only code reads."""

BEGIN = "<!-- secrets-doc-check: begin -->"
END = "<!-- secrets-doc-check: end -->"

_HEADING = re.compile(r" {0,3}(#{1,6})\s+")
_ITEM = re.compile(r"(\s*)(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?(?=\S)")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_DOTENV = re.compile(r"\s*(?:export\s+)?([A-Z][A-Z0-9_]+)=([^#]*)(?:#\s*(.*))?")
_SETTER = re.compile(r"\bgh\s+(?:secret|variable)\s+set\s+([A-Za-z_]\w*)(?:.{0,200}?\s(?:--env|-e)[= ]([\w./-]+))?")
_DEFINITION = re.compile(r"\s{0,3}:\s+(?=\S)")
_TERM = re.compile(r"\s*<dt>\s*(?:<code>\s*)?`?([A-Za-z_]\w*)`?\s*(?:</code>\s*)?</dt>(.*)", re.IGNORECASE)
_TAG = re.compile(r"</?(?:dd|dl|dt|code|p|br)\b[^<>]{0,200}>", re.IGNORECASE)
_WORD = re.compile(r"`(?:secrets\.|vars\.|env\.)?([A-Za-z_]\w*)`|(?<![\w`.-])([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?![\w-])", re.ASCII)
_USED_BY = re.compile(r"Used by:")
_PROSE_SUBJECT = re.compile(r"secret|credential|environment variable|\bvariables\b|\btokens?\b", re.IGNORECASE)
_SECRETS = re.compile(r"secret|credential", re.IGNORECASE)
_SETTINGS = re.compile(r"variable|environment|setting|config", re.IGNORECASE)
_GITHUB = re.compile(r"github|\bactions\b|workflow|pipeline|\bCI\b", re.IGNORECASE)
_COLUMNS = (
    ("how", re.compile(r"\b(?:how|obtain|source|get|generate|set ?up|instructions?)\b", re.IGNORECASE)),
    ("where", re.compile(r"\b(?:where|lives?|level|scope|location|stored|environments?|kept)\b", re.IGNORECASE)),
    ("purpose", re.compile(r"\b(?:purpose|descriptions?|what|meaning|why|used?|usage|notes?)\b", re.IGNORECASE)),
)


@dataclass
class _Open:
    """An entry whose text may go on in the next lines."""

    names: list[tuple[str, Place]]
    indent: int
    text: list[str]
    level: int = 0
    """The level of the heading that opened it; 0 for an item of a list."""


@dataclass
class _Reader:
    path: str
    environments: frozenset[str]
    subject: Subject
    """What the file is about, by its name."""
    entries: list[Entry] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    told: list[tuple[int, frozenset[Missing]]] = field(default_factory=list)
    """What headings and the texts in front of lists say of all names below, with the level of the heading."""
    open: list[_Open] = field(default_factory=list)
    inside: bool = False
    """Between the markers of the generated block."""
    above: str = ""
    """The paragraph that was read last, below the same heading."""
    prose: list[tuple[int, str]] = field(default_factory=list)
    """The lines of the paragraph that is being read, by number."""
    blank: bool = False
    """Whether the line before was empty."""

    @property
    def around(self) -> str:
        return "\n".join(text for _, text in self.headings)

    def note(self, text: str) -> None:
        """Keeps what a heading, or a paragraph below it, says of all names that follow."""
        level = self.headings[-1][0] if self.headings else 0
        said = told(text) - frozenset().union(*(parts for _, parts in self.told))
        if said:
            self.told.append((level, said))

    def absent(self, text: str, **cells: str) -> tuple[Missing, ...]:
        """Returns what neither an entry nor the text above it says."""
        above = frozenset().union(*(parts for _, parts in self.told))
        return tuple(part for part in missing(text, around=self.around, **cells) if part not in above)

    def add(
        self, name: str, place: Place, absent: tuple[Missing, ...], extra: str = "", *, subject: Subject | None = None
    ) -> None:
        """Adds an entry. `extra` is its text, in which environments are looked for."""
        if subject is None and self.inside:
            # The block lists what code reads apart: without the code, its use cannot be seen.
            settings = bool(self.headings) and self.headings[-1][1].strip() == SETTINGS
            subject = Subject.SETTINGS if settings else Subject.GITHUB
        elif subject is None:
            subject = min(self.subject, _subject_of(self.around), key=list(Subject).index)
        # A generated entry whose purpose is not written yet documents nothing.
        todo = self.inside and Missing.PURPOSE in absent
        section = f"{self.path}\n{self.around}"
        named = self._named(self.around + "\n" + extra)
        self.entries.append(Entry(name.upper(), place, absent, subject, section, named, todo))

    def end_paragraph(self) -> None:
        """Ends a paragraph; under a heading about secrets, it documents the names in it."""
        lines, self.prose = self.prose, []
        if not lines or self.inside:
            return
        text = "\n".join(line for _, line in lines)
        self.above = " ".join(line for _, line in lines)
        self.note(self.above)
        if not _PROSE_SUBJECT.search(self.around):
            return
        absent = self.absent(text)
        for number, line in lines:
            for match in _WORD.finditer(line):
                # Any word may stand in backticks, so it counts only when the name is used.
                group = 1 if match[1] else 2
                place = Place(self.path, number, match.start(group) + 1)
                self.add(match[group], place, absent, text, subject=Subject.OTHER)

    def _named(self, text: str) -> tuple[str, ...]:
        return tuple(sorted(set(re.findall(r"[\w./-]+", text)) & self.environments))

    def close(self, indent: int, level: int) -> None:
        """End the entries that a line of this indentation, or a heading of this level, does not belong to."""
        while self.open and (self.open[-1].level >= level > 0 if self.open[-1].level else indent <= self.open[-1].indent):
            done = self.open.pop()
            text = "\n".join(done.text)
            absent = self.absent(text)
            for name, place in done.names:
                self.add(name, place, absent, text)


def scan(path: str, text: str, environments: Iterable[str] = (), *, first_line: int = 1) -> list[Entry]:
    """Returns the entries of a Markdown text, or of an example dotenv file. Takes linear time.

    `environments` are the names to look for in headings and texts.
    """
    if example_files.is_one(path):
        return example_files.entries(path, text, first_line)
    reader = _Reader(path, frozenset(environments), _subject_of_file(path))
    lines = text.splitlines()
    setters: list[tuple[str, Place, str]] = []
    index = 0
    fence = ""
    while index < len(lines):
        line = lines[index]
        number = first_line + index
        index += 1
        if line.strip() in {BEGIN, END}:
            reader.end_paragraph()
            reader.close(0, 1)
            reader.inside = line.strip() == BEGIN
            continue
        line = line[:LONGEST_LINE].replace("<!--", "    ").replace("-->", "   ")
        mark = _FENCE.match(line)
        if fence or mark:
            reader.end_paragraph()
            if mark and (not fence or (mark[1].startswith(fence) and not line.strip().strip(mark[1][0]))):
                fence = "" if fence else mark[1]
            else:
                _read_code(reader, lines, index - 1, number)
                setters += _setters(path, line, number)
            continue
        setters += _setters(path, line, number)
        if "|" in line and index < len(lines) and "-" in lines[index] and not lines[index].strip("|-: \t"):
            reader.end_paragraph()
            reader.close(0, 0)
            index = _read_table(reader, lines, index - 1, first_line)
        else:
            following = lines[index] if index < len(lines) else ""
            _read_line(reader, line, number, following)
    reader.end_paragraph()
    reader.close(-1, 1)
    reader.close(-1, 0)
    return _with_setters(reader.entries, setters)


def _subject_of(text: str) -> Subject:
    secrets = _SECRETS.search(text)
    if not secrets and not _SETTINGS.search(text):
        return Subject.OTHER
    return Subject.GITHUB if _GITHUB.search(text) else Subject.SECRETS if secrets else Subject.SETTINGS


def _subject_of_file(path: str) -> Subject:
    """What a document is about by its name: one called after secrets lists those of this repository."""
    found = _subject_of(path.rpartition("/")[2])
    return Subject.GITHUB if found is Subject.SECRETS else found


def _read_definition(reader: _Reader, line: str, number: int, following: str) -> bool:
    """A term of a definition list (`NAME`, then `: text`), or `<dt>NAME</dt>`; whether the line is one."""
    term = _TERM.fullmatch(line)
    named = head(line) if term is None and _DEFINITION.match(following) else None
    if term is None and named is None:
        return False
    reader.end_paragraph()
    reader.close(-1, 0)
    if term:
        names, text = [(term[1], Place(reader.path, number, term.start(1) + 1))], _TAG.sub(" ", term[2])
    else:
        names = [(name, Place(reader.path, number, offset + 1)) for name, offset in named.names] if named else []
        text = named.rest if named else ""
    reader.open.append(_Open(names, 0, [text]))
    return True


def _read_line(reader: _Reader, line: str, number: int, following: str) -> None:
    if heading := _HEADING.match(line):
        reader.end_paragraph()
        level = len(heading[1])
        text = line[heading.end() :].strip().rstrip("#").strip()[:200]
        reader.close(-1, 0)
        reader.close(-1, level)
        reader.headings = [(above, title) for above, title in reader.headings if above < level]
        reader.told = [(above, parts) for above, parts in reader.told if above < level]
        named = head(re.sub(r"^\d+[.)]\s*", "", text))
        if named and _only_asides(named.rest):
            names = [(name, Place(reader.path, number, line.index(name) + 1)) for name, _ in named.names]
            reader.open.append(_Open(names, -1, [], level))
        else:
            reader.headings.append((level, text))
            reader.above = ""
            reader.note(text)
        return
    if _read_definition(reader, line, number, following):
        return
    item = _ITEM.match(line)
    if item is None:
        _read_text(reader, line, number)
        return
    reader.end_paragraph()
    reader.blank = False
    indent = len(item[1])
    reader.close(indent, 0)
    named = head(line[item.end() :])
    if named:
        names = [(name, Place(reader.path, number, item.end() + offset + 1)) for name, offset in named.names]
        reader.open.append(_Open(names, indent, [named.rest]))
    elif reader.open:
        # The line with the users is made from the workflows: it says nothing about the name.
        if not (reader.inside and _USED_BY.match(line, item.end())):
            reader.open[-1].text.append(line[item.end() :])
    else:
        reader.prose.append((number, line))


def _read_text(reader: _Reader, line: str, number: int) -> None:
    """A line that is neither heading nor item: it belongs to the open entry, or to a paragraph."""
    if not line.strip():
        reader.end_paragraph()
        reader.blank = True
        return
    definition = _DEFINITION.match(line)
    # Behind an empty line, a text without indentation is a separate paragraph.
    if reader.open and reader.blank and not definition:
        reader.close(len(line) - len(line.lstrip()), 0)
    reader.blank = False
    if reader.open:
        reader.open[-1].text.append(_TAG.sub(" ", line[definition.end() :] if definition else line).strip())
    else:
        reader.prose.append((number, line))


def _only_asides(rest: str) -> bool:
    return not re.sub(r"\([^()]*\)", "", rest).strip()


def _read_code(reader: _Reader, lines: list[str], index: int, number: int) -> None:
    """A line of a code block: `NAME=value # purpose`, or an item of a list."""
    line = lines[index]
    if dotenv := _DOTENV.fullmatch(line):
        above = lines[index - 1].strip() if index else ""
        purpose = dotenv[3] or (above.lstrip("# ") if above.startswith("#") else "")
        absent = reader.absent(purpose)
        reader.add(dotenv[1], Place(reader.path, number, dotenv.start(1) + 1), absent, purpose)
        return
    item = _ITEM.match(line)
    about_secrets = "secret" in (reader.around + reader.above).lower()
    begin = item.end() if item else 0
    named = head(line[begin:]) if item or about_secrets else None
    # A line of YAML looks alike: its value holds an expression.
    if named and "${{" not in line and (named.rest or about_secrets):
        for name, offset in named.names:
            place = Place(reader.path, number, begin + offset + 1)
            reader.add(name, place, reader.absent(named.rest), named.rest, subject=None if item else Subject.OTHER)


def _setters(path: str, line: str, number: int) -> Iterator[tuple[str, Place, str]]:
    if "gh" in line:
        for match in _SETTER.finditer(line):
            yield match[1].upper(), Place(path, number, match.start(1) + 1), match[2] or ""


def _with_setters(entries: list[Entry], setters: list[tuple[str, Place, str]]) -> list[Entry]:
    """Let `gh secret set NAME` say how to set a name, and `--env` where it lives."""
    by_name: dict[str, set[Missing]] = {}
    for name, _, environment in setters:
        by_name.setdefault(name, set()).update({Missing.HOW, Missing.WHERE} if environment else {Missing.HOW})
    known = {entry.name for entry in entries}
    done = [
        replace(entry, missing=tuple(part for part in entry.missing if part not in by_name.get(entry.name, ())))
        for entry in entries
    ]
    for name, place, environment in setters:
        if name not in known:
            known.add(name)
            absent = (Missing.PURPOSE,) if environment else (Missing.PURPOSE, Missing.WHERE)
            done.append(Entry(name, place, absent, Subject.OTHER, environments=(environment,) if environment else ()))
    return done


def _read_table(reader: _Reader, lines: list[str], start: int, first_line: int) -> int:
    """Read the table whose head is `lines[start]`; gives the index of the line behind it."""
    end = start + 2
    while end < len(lines) and "|" in lines[end] and lines[end].strip():
        end += 1
    rows = [(first_line + index, _cells(lines[index])) for index in range(start + 2, end)]
    counts = Counter(column for _, cells in rows for column, (cell, _) in enumerate(cells) if cell_head(cell))
    if not counts:
        return end
    # The names stand in the column that holds the most of them, whatever its heading says.
    naming = min(counts, key=lambda column: (-counts[column], column))
    roles = _roles([cell for cell, _ in _cells(lines[start])], naming)
    for number, cells in rows:
        if naming < len(cells):
            _read_row(reader, number, cells, naming, roles)
    return end


def _read_row(reader: _Reader, number: int, cells: list[tuple[str, int]], naming: int, roles: dict[str, int]) -> None:
    cell, offset = cells[naming]
    named = cell_head(cell)
    if named is None:
        return
    said = {role: cells[column][0] for role, column in roles.items() if column < len(cells)}
    rest = [text for column, (text, _) in enumerate(cells) if column != naming and column not in roles.values()]
    others = "\n".join([named.rest, *rest])
    # Where a column is missing, the text of the others may say it.
    absent = reader.absent("\n".join([others, *said.values()]) if len(roles) < 3 else others, **said)
    if (
        "purpose" in roles
        and Missing.PURPOSE not in absent
        and _only_asides(said.get("purpose", ""))
        and _only_asides(named.rest)
    ):
        absent = (Missing.PURPOSE, *absent)
    for name, within in named.names:
        reader.add(name, Place(reader.path, number, offset + within + 1), absent, "\n".join([*said.values(), others]))


def _roles(heads: list[str], naming: int) -> dict[str, int]:
    """Which column says what, by its heading: each role is taken once, by the first column that fits."""
    roles: dict[str, int] = {}
    for index, text in enumerate(heads):
        for role, pattern in _COLUMNS if index != naming else ():
            if role not in roles and pattern.search(text):
                roles[role] = index
                break
    return roles


def _cells(line: str) -> list[tuple[str, int]]:
    """The cells of a row with their offsets; `\\|` stays within a cell."""
    cells: list[tuple[str, int]] = []
    at = 0
    for part in re.split(r"(?<!\\)\|", line[:LONGEST_LINE].replace("<!--", "    ").replace("-->", "   ")):
        cells.append((part, at))
        at += len(part) + 1
    if cells and not cells[0][0].strip():
        cells = cells[1:]
    if cells and not cells[-1][0].strip():
        cells = cells[:-1]
    return cells


def trailing_comment(text: str) -> tuple[int, str]:
    """The comment block at the end of a YAML file: its first line, and its text without the `#` signs."""
    lines = text.splitlines()
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    start = end
    while start and (lines[start - 1].startswith("#") or (not lines[start - 1].strip() and start < end)):
        start -= 1
    block = [re.sub(r"^#", " ", line) for line in lines[start:end]]
    return start + 1, "\n".join(re.sub(r"^ {1,2}(?=\S)", "", line) for line in block)
