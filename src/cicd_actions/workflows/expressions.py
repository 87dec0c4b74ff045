"""Reads GitHub's expressions.

The grammar is that of GitHub's own parsers (`actions/runner`, Sdk/DTExpressions2; npm `@actions/expressions`), as its
documentation describes it: https://docs.github.com/actions/reference/evaluate-expressions-in-workflows-and-actions
Its bounds are kept too: 21,000 characters, and 50 levels of nesting. Reading takes linear time.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from cicd_actions.workflows.syntax import IDENTIFIER, Access, Call, Comparison, Context, Literal, Logical, Node, Not

LONGEST = 21_000
DEEPEST = 50

FUNCTIONS = frozenset(
    "always cancelled case contains endswith failure format fromjson hashfiles join startswith success tojson".split()
)
"""Every function, in lower case: GitHub does not mind the case."""

CONTEXTS = frozenset("env github inputs job jobs matrix needs runner secrets steps strategy vars".split())


class NotAnExpression(ValueError):
    """The text does not fit the grammar; `offset` is where in the text."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(f"{problem} (at character {offset + 1})")
        self.problem = problem
        self.offset = offset


class Token(NamedTuple):
    """`kind` is the sign itself, or `string`, `number`, `name`, `end`."""

    kind: str
    text: str
    start: int
    end: int


# What ends a number or a name. A `.` ends a name, but not a number.
_SIGN = re.compile(r"&&|\|\||[=!<>]=|[()\[\],!<>*]")
_STRING = re.compile(r"'(?:[^']|'')*'")
_WORD = re.compile(r"[^\s()\[\],.!<>=&|]+")
_NUMBER_WORD = re.compile(r"[^\s()\[\],!<>=&|]+")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]Infinity")
_OTHER_BASE = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_SPACE = re.compile(r"\s*")
_WORDS = {"true": True, "false": False, "null": None, "NaN": math.nan, "Infinity": math.inf}


def tokens(text: str) -> list[Token]:
    """Returns the words and signs of an expression; the last one has the kind `end`. Raises `NotAnExpression`."""
    if len(text) > LONGEST:
        raise NotAnExpression(f"an expression has at most {LONGEST} characters, and this has {len(text)}", LONGEST)
    found: list[Token] = []
    at = _end_of(_SPACE, text, 0)
    while at < len(text):
        token = _token(text, at, found[-1].kind if found else "")
        found.append(token)
        at = _end_of(_SPACE, text, token.end)
    found.append(Token("end", "", len(text), len(text)))
    return found


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _token(text: str, at: int, before: str) -> Token:
    char = text[at]
    if char == "'":
        match = _STRING.match(text, at)
        if not match:
            raise NotAnExpression("this text is not closed by a single quote", at)
        return Token("string", match[0], at, match.end())
    if char == "." and before in {"name", ")", "]", "*"}:
        return Token(".", ".", at, at + 1)
    if char in "+-." or "0" <= char <= "9":
        return _number(text, at)
    sign = _SIGN.match(text, at)
    if sign:
        return Token(sign[0], sign[0], at, sign.end())
    return _name(text, at)


def _number(text: str, at: int) -> Token:
    word = text[at : _end_of(_NUMBER_WORD, text, at)]
    if not (_NUMBER.fullmatch(word) or _OTHER_BASE.fullmatch(word)):
        raise NotAnExpression(f"`{word[:80]}` is not a number", at)
    return Token("number", word, at, at + len(word))


def _name(text: str, at: int) -> Token:
    word = text[at : max(_end_of(_WORD, text, at), at + 1)]
    if not IDENTIFIER.fullmatch(word):
        hint = "; texts stand in single quotes" if word.startswith('"') else ""
        raise NotAnExpression(f"`{word[:80]}` is not understood here{hint}", at)
    return Token("name", word, at, at + len(word))


def parse(text: str) -> Node:
    """Returns the tree of an expression without its `${{ }}`. Raises `NotAnExpression`."""
    reader = _Reader(tokens(text))
    if reader.now.kind == "end":
        raise NotAnExpression("an expression is missing", 0)
    tree = reader.expression(0)
    reader.expect("end")
    return tree


_STRENGTH = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4}


class _Reader:
    """Precedence climbing: an operator takes on its right only what binds more strongly than itself."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    @property
    def now(self) -> Token:
        return self._tokens[self._at]

    def _step(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def expect(self, kind: str) -> Token:
        if self.now.kind != kind:
            wanted = {"end": "the end of the expression", "name": "a name"}.get(kind, f"`{kind}`")
            found = f"`{self.now.text[:80]}`" if self.now.kind != "end" else "the end"
            raise NotAnExpression(f"expected {wanted}, found {found}", self.now.start)
        return self._step()

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotAnExpression(f"an expression has at most {DEEPEST} levels", self.now.start)

    def expression(self, least: int) -> Node:
        left = self._operand()
        before = self._depth
        while _STRENGTH.get(self.now.kind, 0) > least:
            operator = self.now.kind
            self._deeper()
            if operator in {"&&", "||"}:
                left = self._logical(operator, left)
            else:
                # A chain of comparisons is a tree as deep as the chain is long.
                self._step()
                right = self.expression(_STRENGTH[operator])
                left = Comparison(operator, left, right, left.start, right.end)
        self._depth = before
        return left

    def _logical(self, operator: str, first: Node) -> Logical:
        operands = [first]
        while self.now.kind == operator:
            self._step()
            operands.append(self.expression(_STRENGTH[operator]))
        return Logical(operator, tuple(operands), first.start, operands[-1].end)

    def _operand(self) -> Node:
        if self.now.kind == "!":
            start = self._step().start
            self._deeper()
            operand = self._operand()
            self._depth -= 1
            return Not(operand, start, operand.end)
        if self.now.kind in {"string", "number"} or (self.now.kind == "name" and self.now.text in _WORDS):
            return self._literal()
        if self.now.kind == "(":
            self._step()
            self._deeper()
            node = self.expression(0)
            self._depth -= 1
            self.expect(")")
        elif self.now.kind == "name":
            node = self._named()
        else:
            found = f"`{self.now.text}`" if self.now.kind != "end" else "the end"
            raise NotAnExpression(f"expected a value, found {found}", self.now.start)
        return self._accesses(node)

    def _literal(self) -> Literal:
        token = self._step()
        value: bool | float | str | None
        if token.kind == "string":
            value = token.text[1:-1].replace("''", "'")
        elif token.kind == "number":
            value = _whole(token.text) if _OTHER_BASE.fullmatch(token.text) else float(token.text)
        else:
            value = _WORDS[token.text]
        return Literal(value, token.start, token.end)

    def _named(self) -> Node:
        name = self._step()
        if self.now.kind != "(":
            return Context(name.text, name.start, name.end)
        self._step()
        arguments: list[Node] = []
        self._deeper()
        while self.now.kind != ")" or arguments:
            arguments.append(self.expression(0))
            if self.now.kind != ",":
                break
            self._step()
        self._depth -= 1
        return Call(name.text, tuple(arguments), name.start, self.expect(")").end)

    def _accesses(self, node: Node) -> Node:
        before = self._depth
        while self.now.kind in {".", "["}:
            opened = self._step().kind
            key: Node | None = None
            if self.now.kind == "*":
                self._step()
            elif opened == ".":
                name = self.expect("name")
                key = Literal(name.text, name.start, name.end)
            else:
                self._deeper()
                key = self.expression(0)
                self._depth -= 1
            if opened == "[":
                self.expect("]")
            self._deeper()
            node = Access(node, key, node.start, self._tokens[self._at - 1].end)
        self._depth = before
        return node


def _whole(text: str) -> float:
    try:
        return float(int(text, 0))
    except OverflowError:
        return math.inf
