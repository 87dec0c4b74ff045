"""How the expectations of a target are written: rules for JSON and headers, patterns, the place of the version."""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jsonpath

from cicd_actions.toolkit.grammar import NotUnderstood, fits

T = TypeVar("T")

COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
OPERATORS = ("=~", *COMPARISONS)
"""Between a JSONPath and a value. `exists` and `absent` stand alone; `count` and `every` stand before one of these."""


@dataclass(frozen=True)
class JsonRule:
    """A rule for the values at a JSONPath.

    `what` is empty (the one value), `count` (their number), `every` (each of at least one), `exists` or `absent`. `value` is
    a JSON value, or a compiled pattern for `=~`; the last two have neither an operator nor a value.
    """

    text: str
    path: str
    operator: str
    value: object
    what: str = ""


@dataclass(frozen=True)
class HeaderRule:
    """`Name == value`, `Name != value`, or `Name =~ regular expression` (found anywhere in the value)."""

    text: str
    name: str
    operator: str
    value: str


@dataclass(frozen=True)
class VersionSource:
    """Where an answer says its version: a JSONPath into the body, or a header."""

    text: str
    kind: str
    place: str


class _NotARule(NotUnderstood):
    """Raised for a line that is not a rule. `meant` are lines that the writer may have meant, the likeliest first."""

    def __init__(self, problem: str, *meant: str) -> None:
        super().__init__(problem)
        self.meant = meant


def compiled(path: str) -> jsonpath.JSONPath:
    """Returns the JSONPath of a text. Raises `NotUnderstood`.

    Only the first answer needs it, so a rule is read without it: loading JSONPath takes longer than a request.
    """
    try:
        made = jsonpath.JSONPathEnvironment(strict=True).compile(path)
    except (jsonpath.JSONPathError, ValueError, OverflowError, RecursionError) as error:  # it converts numbers unasked
        said = str(error).partition("\n")[0]
        raise NotUnderstood(f"`{path}` is not a JSONPath of RFC 9535: {said}") from None
    if not isinstance(made, jsonpath.JSONPath):
        raise NotUnderstood(f"`{path}` joins several paths; write one")
    return made


def _suggesting(read: Callable[[str], T], check: Callable[[T], object]) -> Callable[[str], T]:
    """Returns a reader whose `NotUnderstood` has the first of the lines meant that `read` and `check` accept as its example."""

    def suggesting(text: str) -> T:
        try:
            return read(text)
        except _NotARule as error:
            example = next((line for line in error.meant if fits(lambda line: check(read(line)), line)), "")
            raise NotUnderstood(str(error), example=example) from None

    return suggesting


def json_rule(text: str) -> JsonRule:
    """Reads one line of `expect-json`. Raises `NotUnderstood` with the line and, where there is one, a line that fits."""
    return _suggesting(_json_rule, lambda rule: compiled(rule.path))(text)


def _json_rule(text: str) -> JsonRule:
    at = _operator(text)
    before, operator = (text, "") if at is None else (text[: at[0]], at[1])
    found = re.fullmatch(r"(.*\S)\s+(exists|absent|count|every)\s*", before, re.DOTALL)
    path, what = (found[1], found[2]) if found else (before.strip(), "")
    value = "" if at is None else text[at[0] + len(operator) :].strip()
    alone = what in {"exists", "absent"}
    quoted = json.dumps(value, ensure_ascii=False)
    if not path.startswith("$") and (operator or alone):
        rest = f"{f' {what}' if what else ''}{f' {operator} ' if operator else ''}"
        paths = (f"$.{path.lstrip('.')}", f"$[{json.dumps(path, ensure_ascii=False)}]")
        meant = [f"{made}{rest}{wanted}" for made in paths for wanted in (value, quoted)]
        raise _NotARule(f"`{text}` does not begin with a JSONPath, which starts with `$`", *meant)
    if alone:
        if operator:
            raise _NotARule(f"`{text}`: nothing may follow `{what}`", f"{path} {what}")
        return JsonRule(text, path, "", None, what)
    if not operator:
        raise _NotARule(
            f"`{text}` has no operator: `exists`, `absent`, or one of {' '.join(OPERATORS)} and a value",
            *_completed(text, path, what),
        )
    if operator == "=~":
        if what == "count":
            raise _NotARule(f"`{text}`: `count` is a number, and `=~` matches text", f"{path} count >= 1")
        return JsonRule(text, path, operator, _matching(text, _unquoted(value), before), what)
    try:
        wanted = json.loads(value, parse_int=int)  # a number that is too long would equal each other such number
    except (ValueError, RecursionError):
        fixed = f"{path}{f' {what}' if what else ''} {operator}"
        problem = f"`{text}`: `{value}` is not a JSON value; text stands in double quotes"
        raise _NotARule(problem, f"{fixed} {quoted}", f"{fixed} 1") from None
    if what == "count" and (isinstance(wanted, bool) or not isinstance(wanted, int)):
        raise _NotARule(f"`{text}`: `count` needs a whole number", f"{path} count {operator} 1")
    if operator not in {"==", "!="} and (isinstance(wanted, bool) or not isinstance(wanted, (int, float, str))):
        problem = f"`{text}`: `{operator}` compares numbers or texts, and `{value}` is neither"
        raise _NotARule(problem, f"{path} == {value}")
    return JsonRule(text, path, operator, wanted, what)


def _unquoted(value: str) -> str:
    """Returns a pattern without the double quotes in which JSON text stands: both ways of writing it are understood."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        with contextlib.suppress(ValueError):
            return str(json.loads(value))
    return value


def _completed(text: str, path: str, what: str) -> list[str]:
    """Returns rules that a line without an operator may mean."""
    if what:
        return [f"{path} {what} == {'1' if what == 'count' else 'true'}"]
    before, _, value = text.partition("=")
    value = value.strip()
    start = before.strip() if before.strip().startswith("$") else "$.status"
    return [f"{start} == {value}", f"{start} == {json.dumps(value)}"] if value else [f"{start} exists"]


def _operator(text: str) -> tuple[int, str] | None:
    """Returns the first operator outside brackets and quotes: those inside belong to the path (`$[?@.a == 1].b`)."""
    depth, quote, at = 0, "", 0
    while at < len(text):
        char = text[at]
        if quote:
            at += 1 if char == "\\" else 0
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "[(":
            depth += 1
        elif char in "])":
            depth -= 1
        elif depth == 0:
            for operator in OPERATORS:
                if text.startswith(operator, at):
                    return at, operator
        at += 1
    return None


def header_rule(text: str) -> HeaderRule:
    """Reads one line of `expect-header`. Raises `NotUnderstood`, as `json_rule` does."""
    return _suggesting(_header_rule, lambda _: None)(text)


def _header_rule(text: str) -> HeaderRule:
    found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(==|!=|=~)\s*(.*)", text)
    if not found:
        name = re.match(r"[0-9A-Za-z-]*", text)
        problem = f"`{text}` is not `Name == value`, `Name != value` or `Name =~ regular expression`"
        raise _NotARule(problem, f"{(name and name[0]) or 'Content-Type'} == value")
    if found[2] == "=~":
        _matching(text, found[3].strip(), f"{found[1]} ")
    return HeaderRule(text, found[1], found[2], found[3].strip())


def pattern(text: str) -> re.Pattern[str]:
    """Compiles a regular expression of Python's; `.` does not match a line's end, `^` and `$` match at lines."""
    try:
        with warnings.catch_warnings():
            # `[[` and the like mean what they always meant; Python warns that a later version may read them otherwise.
            warnings.simplefilter("ignore")
            return re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise NotUnderstood(f"`{text}` is not a regular expression: {error}", example=re.escape(text)) from None


def _matching(text: str, value: str, before: str) -> re.Pattern[str]:
    try:
        return pattern(value)
    except NotUnderstood as error:
        raise _NotARule(f"`{text}`: {error}", f"{before.rstrip()} =~ {re.escape(value)}") from None


def patterns(text: str) -> tuple[re.Pattern[str], ...]:
    """Compiles one regular expression a line. The line's end, as a block of YAML has it, is not part of it."""
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    try:
        return tuple(map(pattern, lines))
    except NotUnderstood as error:
        fixed = "\n".join(line if fits(pattern, line) else re.escape(line) for line in lines)
        raise NotUnderstood(str(error), example=fixed) from None


def stated(parse: Callable[[str], T], example: str) -> Callable[[str], T]:
    """Returns the parser of an expectation that refuses text of blank lines only: it would expect nothing."""

    def parse_stated(text: str) -> T:
        if text and not text.strip():
            raise NotUnderstood("it has only blank lines, so it would accept every answer", example=example)
        return parse(text)

    return parse_stated


def version_source(text: str) -> VersionSource:
    """Reads `json:$.version` or `header:X-Version`. Raises `NotUnderstood`."""
    kind, _, place = text.strip().partition(":")
    if kind == "json" and place.strip().startswith("$"):
        return VersionSource(text, kind, place.strip())
    if kind == "header" and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", place.strip()):
        return VersionSource(text, kind, place.strip())
    bare = text.strip()
    guess = f"json:{bare}" if bare.startswith("$") else f"json:$.{bare}" if "." in bare else f"header:{bare}"
    kind, _, place = guess.partition(":")
    known = ":" not in bare and fits(version_source, guess) and (kind == "header" or fits(compiled, place))
    example = guess if known else "header:X-Version"
    raise NotUnderstood(f"`{text}` is neither `json:` and a JSONPath nor `header:` and a name", example=example)
