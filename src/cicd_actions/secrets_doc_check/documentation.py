"""The second list: the names that documentation explains, in lists, tables, headings, comments and code blocks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from cicd_actions.secrets_doc_check.records import Entry, Missing, Place
from cicd_actions.secrets_doc_check.wording import cell_head, head, missing

BEGIN = "<!-- secrets-doc-check: begin -->"
END = "<!-- secrets-doc-check: end -->"

LONGEST_LINE = 4_000
"""Characters of a line that are looked at: no name, and nothing that people write about one, stands further right."""

_HEADING = re.compile(r" {0,3}(#{1,6})\s+")
_ITEM = re.compile(r"(\s*)(?:[-*+]|\d{1,9}[.)])\s+(?=\S)")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_DOTENV = re.compile(r"\s*(?:export\s+)?([A-Z][A-Z0-9_]+)=([^#]*)(?:#\s*(.*))?")
_SETTER = re.compile(r"\bgh\s+(?:secret|variable)\s+set\s+([A-Za-z_]\w*)(?:.{0,200}?\s(?:--env|-e)[= ]([\w./-]+))?")
_SUBJECT = re.compile(r"secret|variable|environment|credential|setting|config", re.IGNORECASE)
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
    certain: bool
    entries: list[Entry] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    open: list[_Open] = field(default_factory=list)
    inside: bool = False
    """Between the markers of the generated block."""

    @property
    def around(self) -> str:
        return "\n".join(text for _, text in self.headings)

    def add(self, name: str, place: Place, absent: tuple[Missing, ...], extra: str = "") -> None:
        certain = self.certain or self.inside or bool(_SUBJECT.search(self.around))
        self.entries.append(Entry(name.upper(), place, absent, certain, self._named(self.around + "\n" + extra)))

    def _named(self, text: str) -> tuple[str, ...]:
        return tuple(sorted(set(re.findall(r"[\w./-]+", text)) & self.environments))

    def close(self, indent: int, level: int) -> None:
        """End the entries that a line of this indentation, or a heading of this level, does not belong to."""
        while self.open and (self.open[-1].level >= level > 0 if self.open[-1].level else indent <= self.open[-1].indent):
            done = self.open.pop()
            text = "\n".join(done.text)
            absent = missing(text, around=self.around)
            for name, place in done.names:
                self.add(name, place, absent, text)


def scan(path: str, text: str, environments: Iterable[str] = (), *, first_line: int = 1) -> list[Entry]:
    """The entries of a Markdown text. `environments` are the names to look for in headings and texts. Takes linear time."""
    reader = _Reader(path, frozenset(environments), bool(_SUBJECT.search(path.rpartition("/")[2])))
    lines = text.splitlines()
    setters: list[tuple[str, Place, str]] = []
    index = 0
    fence = ""
    while index < len(lines):
        line = lines[index]
        number = first_line + index
        index += 1
        if line.strip() in {BEGIN, END}:
            reader.close(0, 1)
            reader.inside = line.strip() == BEGIN
            continue
        line = line[:LONGEST_LINE].replace("<!--", "    ").replace("-->", "   ")
        mark = _FENCE.match(line)
        if fence or mark:
            if mark and (not fence or (mark[1].startswith(fence) and not line.strip().strip(mark[1][0]))):
                fence = "" if fence else mark[1]
            else:
                _read_code(reader, lines, index - 1, number)
                setters += _setters(path, line, number)
            continue
        setters += _setters(path, line, number)
        if "|" in line and index < len(lines) and "-" in lines[index] and not lines[index].strip("|-: \t"):
            reader.close(0, 0)
            index = _read_table(reader, lines, index - 1, first_line)
        else:
            _read_line(reader, line, number)
    reader.close(-1, 1)
    reader.close(-1, 0)
    return _with_setters(reader.entries, setters)


def _read_line(reader: _Reader, line: str, number: int) -> None:
    if heading := _HEADING.match(line):
        level = len(heading[1])
        text = line[heading.end() :].strip().rstrip("#").strip()[:200]
        reader.close(-1, 0)
        reader.close(-1, level)
        reader.headings = [(above, title) for above, title in reader.headings if above < level]
        named = head(re.sub(r"^\d+[.)]\s*", "", text))
        if named and _only_asides(named.rest):
            names = [(name, Place(reader.path, number, line.index(name) + 1)) for name, _ in named.names]
            reader.open.append(_Open(names, -1, [], level))
        else:
            reader.headings.append((level, text))
        return
    item = _ITEM.match(line)
    if item is None:
        if line.strip() and reader.open:
            indent = len(line) - len(line.lstrip())
            if indent <= reader.open[-1].indent and not reader.open[-1].text:
                reader.close(indent, 0)
            if reader.open:
                reader.open[-1].text.append(line.strip())
        return
    indent = len(item[1])
    reader.close(indent, 0)
    named = head(line[item.end() :])
    if named:
        names = [(name, Place(reader.path, number, item.end() + offset + 1)) for name, offset in named.names]
        reader.open.append(_Open(names, indent, [named.rest]))
    elif reader.open:
        reader.open[-1].text.append(line[item.end() :])


def _only_asides(rest: str) -> bool:
    return not re.sub(r"\([^()]*\)", "", rest).strip()


def _read_code(reader: _Reader, lines: list[str], index: int, number: int) -> None:
    """A line of a code block: `NAME=value # purpose`, or an item of a list."""
    line = lines[index]
    if dotenv := _DOTENV.fullmatch(line):
        above = lines[index - 1].strip() if index else ""
        purpose = dotenv[3] or (above.lstrip("# ") if above.startswith("#") else "")
        absent = missing(purpose, around=reader.around)
        reader.add(dotenv[1], Place(reader.path, number, dotenv.start(1) + 1), absent, purpose)
        return
    item = _ITEM.match(line)
    named = head(line[item.end() :]) if item else None
    # An item of a list in YAML looks alike: its value holds an expression.
    if item and named and "${{" not in line and named.rest:
        for name, offset in named.names:
            absent = missing(named.rest, around=reader.around)
            reader.add(name, Place(reader.path, number, item.end() + offset + 1), absent, named.rest)


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
            done.append(Entry(name, place, absent, certain=False, environments=(environment,) if environment else ()))
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
    absent = missing("\n".join([others, *said.values()]) if len(roles) < 3 else others, **said, around=reader.around)
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
