"""Reads the plain block style in which nearly every YAML file is written: about fifteen times as fast as a whole parser.

It reads a part of YAML, and only what that part means without a doubt: keys of one word, block collections, plain and quoted
texts on one line, `|` and `>` blocks, lists and pairs of words in brackets on one line, anchors and aliases. For everything
else it gives up, and `events` reads the text with PyYAML. Tests hold the two to each other, node for node.
"""

from __future__ import annotations

import re

from cicd_actions.toolkit.yaml12.nodes import DEEPEST, Mapping, Node, Scalar, Sequence, kind_of_plain
from cicd_actions.toolkit.yaml12.source_map import Document, Duplicate

# Tabs, carriage returns, controls and the line breaks of YAML 1.1 are left to the whole parser.
_UNUSUAL = re.compile(r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_KEY = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_./$-]{0,200}):(?: +|$)")
_DASH = re.compile(r"-(?: +|$)")
_QUOTED = re.compile(r"""\"((?:[^"\\]|\\["\\/nt])*)"|'((?:[^']|'')*)'""")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t"}
_END = re.compile(r" *(?:(?<= )#.*)?$")
_ANCHOR = re.compile(r"&([A-Za-z0-9_-]+)(?: +|$)")
_ALIAS = re.compile(r"\*([A-Za-z0-9_-]+)")
_HEADER = re.compile(r"([|>])([+-]?)$")
_ITEM = r"""(?:[A-Za-z0-9_/](?:[A-Za-z0-9_./*@+ -]*[A-Za-z0-9_./*@+-])?|"[^"\\]*"|'[^']*')"""
_PAIR = rf"[A-Za-z0-9_][A-Za-z0-9_.-]*: +{_ITEM}"
_LIST = re.compile(rf"\[ *(?:{_ITEM}(?: *, *{_ITEM})* *)?\]")
_PAIRS = re.compile(rf"\{{ *(?:{_PAIR}(?: *, *{_PAIR})* *)?\}}")
_IN_LIST = re.compile(rf"()({_ITEM})")
_IN_PAIRS = re.compile(rf"(?<![A-Za-z0-9_.-])([A-Za-z0-9_][A-Za-z0-9_.-]*): +({_ITEM})")
_USUAL_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$./")
_NO_PLAIN_START = frozenset("&*!%@`?:,[]{}#|>'\"")


class _GiveUp(Exception):
    """The text uses more of YAML than this reader knows."""


def read(document: Document, *, fold_case: bool, most_nodes: int) -> bool:
    """Fill the document; `False`, with the document untouched, when the whole parser has to read it."""
    if _UNUSUAL.search(document.text):
        return False
    reader = _Reader(document, fold_case=fold_case)
    try:
        root = reader.root()
    except _GiveUp:
        return False
    if reader.nodes > most_nodes:
        return False
    document.root = root
    document.duplicates += reader.duplicates
    return True


class _Reader:
    """Goes through the lines; `at` is the line that comes next."""

    def __init__(self, document: Document, *, fold_case: bool) -> None:
        self._lines = document.text.split("\n")
        self._starts: list[int] = []
        start = 0
        for line in self._lines:
            self._starts.append(start)
            start += len(line) + 1
        self._length = len(document.text)
        self._fold_case = fold_case
        self._at = 0
        self._indent = -1
        self._depth = 0
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self.nodes = 0
        self.duplicates: list[Duplicate] = []

    def root(self) -> Node | None:
        self._skip()
        if self._indent == 0 and self._lines[self._at] == "---":
            self._at += 1
            self._skip()
            if self._indent < 0:
                raise _GiveUp
        if self._indent < 0:
            return None
        node = self._collection()
        if self._indent >= 0:
            raise _GiveUp
        return node

    def _skip(self) -> None:
        """Go to the next line that is neither empty nor a comment; the indentation is -1 at the end."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            stripped = line.lstrip(" ")
            if stripped and stripped[0] != "#":
                self._indent = len(line) - len(stripped)
                return
            self._at += 1
        self._indent = -1

    def _collection(self) -> Node:
        """The block collection that starts at the line and indentation reached."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise _GiveUp
        dash = _DASH.match(self._lines[self._at], self._indent)
        node = self._sequence(self._indent) if dash else self._mapping(self._indent)
        self._depth -= 1
        return node

    def _sequence(self, column: int) -> Sequence:
        node = Sequence([], self._at + 1, column + 1)
        self.nodes += 1
        while self._indent == column:
            line = self._lines[self._at]
            dash = _DASH.match(line, column)
            if not dash:
                break
            begin = dash.end()
            if begin == len(line) or line[begin] == "#":
                node.items.append(self._below(column, column + 1, indentless=False))
            elif _KEY.match(line, begin):
                # The mapping starts on the line of the dash.
                self._indent = begin
                node.items.append(self._collection())
            else:
                node.items.append(self._value(begin, column, indentless=False))
        if self._indent > column:
            raise _GiveUp
        return node

    def _mapping(self, column: int) -> Mapping:
        node = Mapping([], self._at + 1, column + 1)
        self.nodes += 1
        seen: dict[str, int] = {}
        # This loop is where the time goes: names are looked up once, and the usual value is read without a call.
        lines, starts, entries, key_at, fold = self._lines, self._starts, node.entries, _KEY.match, self._fold_case
        count = len(lines)
        while self._indent == column:
            at = self._at
            line = lines[at]
            match = key_at(line, column)
            if not match:
                raise _GiveUp
            text = match[1]
            start = starts[at] + column
            key = Scalar(text, kind_of_plain(text), "", at + 1, column + 1, start, start + len(text))
            name = text.upper() if fold else text
            if name in seen:
                self._notice_duplicate(key, seen)
            else:
                seen[name] = at + 1
            self.nodes += 1
            begin = match.end()
            if begin == len(line) or line[begin] == "#":
                entries.append((key, self._below(column, column + len(text) + 1, indentless=True)))
                continue
            if line[begin] not in _USUAL_START:
                entries.append((key, self._value(begin, column, indentless=True)))
                continue
            entries.append((key, self._plain(line, begin, at + 1, starts[at])))
            self.nodes += 1
            self._at = at + 1
            following = lines[at + 1] if at + 1 < count else ""
            content = following.lstrip(" ")
            if content and content[0] != "#":
                self._indent = len(following) - len(content)
            else:
                self._skip()
            if self._indent > column:
                # The text goes on in the next line.
                raise _GiveUp
        if self._indent > column:
            raise _GiveUp
        return node

    def _below(self, column: int, after: int, *, indentless: bool) -> Node:
        """The collection on the lines below a key or a dash; an empty scalar right behind it when there is none."""
        number, start = self._at + 1, self._starts[self._at] + after
        self._at += 1
        self._skip()
        if self._indent > column or (indentless and self._indent == column and _DASH.match(self._lines[self._at], column)):
            return self._collection()
        self.nodes += 1
        return Scalar("", "null", "", number, after + 1, start, start)

    def _value(self, begin: int, column: int, *, indentless: bool) -> Node:
        """What stands behind a key or a dash on the same line; what follows it is found."""
        line = self._lines[self._at]
        first = line[begin]
        if first == "&":
            return self._anchored(begin, column, indentless=indentless)
        number, offset = self._at + 1, self._starts[self._at]
        self.nodes += 1
        if first in "|>":
            return self._block(begin, column)
        if first in "\"'":
            match = _QUOTED.match(line, begin)
            if not match or not _END.match(line, match.end()):
                raise _GiveUp
            text = _unescaped(match[1]) if first == '"' else match[2].replace("''", "'")
            node: Node = Scalar(text, "str", first, number, begin + 1, offset + begin, offset + match.end())
        elif first == "*":
            node = self._alias(line, begin)
        elif first in "[{":
            node = self._flow(line, begin, number, offset)
        elif first in _NO_PLAIN_START or _DASH.match(line, begin):
            raise _GiveUp
        else:
            node = self._plain(line, begin, number, offset)
        self._at += 1
        self._skip()
        if self._indent > column:
            # The text goes on in the next line.
            raise _GiveUp
        return node

    def _anchored(self, begin: int, column: int, *, indentless: bool) -> Node:
        """What an anchor names, on its line or below it."""
        line, number, before = self._lines[self._at], self._at + 1, self.nodes
        match = _ANCHOR.match(line, begin)
        # In front of a key, it is the key that has the name.
        if not match or _KEY.match(line, match.end()) or line[match.end() : match.end() + 1] == "&":
            raise _GiveUp
        self._anchors[match[1]] = None
        if match.end() == len(line) or line[match.end()] == "#":
            node = self._below(column, match.end(), indentless=indentless)
            if isinstance(node, Scalar):
                raise _GiveUp
        else:
            node = self._value(match.end(), column, indentless=indentless)
        if not isinstance(node, Scalar):
            node.line, node.column = number, begin + 1
        self._anchors[match[1]] = (node, self.nodes - before)
        return node

    def _alias(self, line: str, begin: int) -> Node:
        """What an alias stands for: the same node, counted again with all below it."""
        match = _ALIAS.match(line, begin)
        named = self._anchors.get(match[1]) if match else None
        if not match or named is None or not _END.match(line, match.end()):
            raise _GiveUp
        # The caller has counted one.
        self.nodes += named[1] - 1
        return named[0]

    def _plain(self, line: str, begin: int, number: int, offset: int) -> Scalar:
        comment = line.find(" #", begin)
        text = (line[begin:] if comment < 0 else line[begin:comment]).rstrip(" ")
        if ": " in text or text[-1] == ":":
            raise _GiveUp
        return Scalar(text, kind_of_plain(text), "", number, begin + 1, offset + begin, offset + begin + len(text))

    def _flow(self, line: str, begin: int, number: int, offset: int) -> Sequence | Mapping:
        """A list in brackets, or pairs in braces, of words and quoted texts on one line."""
        listed = line[begin] == "["
        match = (_LIST if listed else _PAIRS).match(line, begin)
        if not match or not _END.match(line, match.end()):
            raise _GiveUp
        items: list[Node] = []
        entries: list[tuple[Scalar, Node]] = []
        seen: dict[str, int] = {}
        for found in (_IN_LIST if listed else _IN_PAIRS).finditer(line, begin + 1, match.end() - 1):
            start, end = found.span(2)
            style = line[start] if line[start] in "\"'" else ""
            text = found[2][1:-1] if style else found[2]
            kind = "str" if style else kind_of_plain(text)
            items.append(Scalar(text, kind, style, number, start + 1, offset + start, offset + end))
            if not listed:
                start, end = found.span(1)
                key = Scalar(found[1], kind_of_plain(found[1]), "", number, start + 1, offset + start, offset + end)
                self._notice_duplicate(key, seen)
                entries.append((key, items[-1]))
        self.nodes += len(items) + len(entries)
        return Sequence(items, number, begin + 1) if listed else Mapping(entries, number, begin + 1)

    def _notice_duplicate(self, key: Scalar, seen: dict[str, int]) -> None:
        name = key.text.upper() if self._fold_case else key.text
        if name in seen:
            self.duplicates.append(Duplicate(key.text, key.line, key.column, seen[name]))
        else:
            seen[name] = key.line

    def _block(self, begin: int, column: int) -> Scalar:
        """A `|` or `>` text, as in YAML 1.2.2, section 8.1."""
        line = self._lines[self._at]
        header = _HEADER.match(line, begin)
        if not header:
            raise _GiveUp
        number, start = self._at + 1, self._starts[self._at] + begin
        self._at += 1
        end = self._at
        while end < len(self._lines):
            stripped = self._lines[end].lstrip(" ")
            if stripped and len(self._lines[end]) - len(stripped) <= column:
                break
            end += 1
        body = self._lines[self._at : end]
        # After the last line break there is no line.
        after = self._starts[end] if end < len(self._lines) else self._length
        if end == len(self._lines) and body and not body[-1]:
            body.pop()
        first = next((one for one in body if one.strip(" ")), None)
        if first is None:
            raise _GiveUp
        indent = len(first) - len(first.lstrip(" "))
        if any(len(one) > indent and not one.strip(" ") for one in body) or any(
            one.strip(" ") and one[:indent].strip(" ") for one in body
        ):
            raise _GiveUp
        self._at = end
        self._skip()
        if end == len(self._lines) and not self._ends_with_break(body):
            raise _GiveUp
        text = _folded([one[indent:] for one in body], header[2], folds=header[1] == ">")
        return Scalar(text, "str", header[1], number, begin + 1, start, after)

    def _ends_with_break(self, body: list[str]) -> bool:
        return bool(body) and self._lines[-1] == ""


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text) if "\\" in text else text


def _folded(lines: list[str], chomping: str, *, folds: bool) -> str:
    """The lines joined: `>` makes a space of a single break between lines that are not indented further."""
    last = len(lines)
    while not lines[last - 1]:
        last -= 1
    trailing = "\n" * (len(lines) - last)
    lines = lines[:last]
    end = "" if chomping == "-" else "\n" + (trailing if chomping == "+" else "")
    if not folds:
        return "\n".join(lines) + end
    parts: list[str] = []
    empty = 0
    before: str | None = None
    for line in lines:
        if not line:
            empty += 1
            continue
        if before is not None:
            foldable = before[0] != " " and line[0] != " "
            parts.append("" if foldable and empty else " " if foldable else "\n")
        parts += ["\n" * empty, line]
        before, empty = line, 0
    return "".join(parts) + end
