"""No regular expression of src takes more than linear time, whatever text it is given, in the way that it is applied.

Each pattern's repeats are pumped: what may precede one, then a text that it repeats, thousands of times, then a text that makes
the match fail. A match that takes long is judged by its growth: how much longer it takes on a text that is four times as long.
The measure is this thread's processor time, and the machine's own speed says what is long.
"""

from __future__ import annotations

import ast
import functools
import importlib
import math
import pkgutil
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

import cicd_actions

if sys.version_info >= (3, 11):
    from re import _parser as sre
else:
    import sre_parse as sre

LENGTHS = (60, 500, 4000)
"""How often a text is repeated. A cubic match is noticed on a short text: Python 3.10 cannot be stopped inside a long one."""

LONGER = 4
"""How many times as long the second text is. A linear match takes about 4 times as long on it, a quadratic one 16 times."""

TOO_MUCH = 8
"""How many times as long a match may take on the longer text: the middle between linear and quadratic."""

LIMIT = 0.25
"""Seconds of processor time after which a match is stopped. A linear match of the longer text takes 1 ms."""

WAYS = {"match": "match", "fullmatch": "fullmatch"} | dict.fromkeys(
    ("search", "finditer", "findall", "sub", "subn", "split"), "finditer"
)
"""Methods of a pattern, and the one that takes as long."""

EVERY_WAY = frozenset(WAYS.values())


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(cicd_actions.__path__, "cicd_actions."):
        # What runs in a user's image has its own text only, and imports what is not here.
        if not {"in_image", "in_project"} & set(found.name.split(".")) and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def ways_by_name(nodes: Sequence[ast.AST]) -> dict[str, frozenset[str]]:
    """How a module applies the patterns that it has named; every way where one is used as a value."""
    used = {node.value: node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found: dict[str, frozenset[str]] = {}
    for name in nodes:
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load):
            way = frozenset({WAYS[used[name]]}) if used.get(name) in WAYS else EVERY_WAY
            found[name.id] = found.get(name.id, frozenset()) | way
    return found


def patterns() -> Iterator[tuple[str, re.Pattern[str], frozenset[str]]]:
    """Where a pattern stands, the pattern, and how it is applied. What local variables are part of is left out."""
    for module in modules():
        file = Path(str(module.__file__))
        text = file.read_text(encoding="utf-8")
        if "re." not in text:
            continue
        nodes = list(ast.walk(ast.parse(text)))
        ways = ways_by_name(nodes)
        named = {
            node.value: ways.get(node.targets[0].id, EVERY_WAY)
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for call in nodes:
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
                continue
            function = call.func
            if not isinstance(function.value, ast.Name) or function.value.id != "re" or function.attr not in {*WAYS, "compile"}:
                continue
            way = named.get(call, EVERY_WAY) if function.attr == "compile" else frozenset({WAYS[function.attr]})
            place = 1 if function.attr == "compile" else {"sub": 4, "subn": 4, "split": 3}.get(function.attr, 2)
            flags = [each.value for each in call.keywords if each.arg == "flags"] + call.args[place : place + 1]
            try:
                text, *given = (
                    eval(compile(ast.Expression(each), str(file), "eval"), vars(module))  # noqa: S307 - our own source
                    for each in [call.args[0], *flags]
                )
            except NameError:
                continue
            if isinstance(text, str):
                yield f"{file.name}:{call.lineno}", re.compile(text, *given), way


def some(tree: Any) -> str:
    """A text that the tree matches, short."""
    out = ""
    for operation, value in tree:
        name = str(operation)
        if name == "LITERAL":
            out += chr(value)
        elif name in {"NOT_LITERAL", "ANY", "IN"}:
            out += next(iter(letters([(operation, value)])), "")
        elif name.endswith("REPEAT"):
            out += some(value[2]) * max(value[0], 1 if value[1] and not value[0] else 0)
        elif name == "SUBPATTERN":
            out += some(value[3])
        elif name == "ATOMIC_GROUP":
            out += some(value)
        elif name == "BRANCH":
            out += some(value[1][0])
    return out


PROBES = "a0 \t\n_-.:/\"'\\$#[{(<=,&%@|!*+?xZé~\x00"


def letters(tree: Any) -> list[str]:
    """A few characters that a part of a tree matches by itself."""
    found: list[str] = []
    for operation, value in tree:
        name = str(operation)
        if name == "LITERAL":
            found.append(chr(value))
        elif name == "NOT_LITERAL":
            found += [char for char in PROBES if char != chr(value)][:3]
        elif name == "ANY":
            found += ["a", " "]
        elif name == "IN":
            single = re.compile("".join(("[", "^" if str(value[0][0]) == "NEGATE" else "", *map(member, value), "]")))
            matched = [char for char in PROBES if single.match(char)]
            matched += [chr(each) for kind, each in value if str(kind) == "LITERAL"]
            matched += [chr(each[0]) for kind, each in value if str(kind) == "RANGE"]
            found += [char for char in matched if single.match(char)][:5]
        elif name.endswith("REPEAT"):
            found += letters(value[2])
        elif name == "SUBPATTERN":
            found += letters(value[3])
        elif name == "BRANCH":
            found += [char for branch in value[1] for char in letters(branch)]
    return list(dict.fromkeys(found))


def member(each: tuple[Any, Any]) -> str:
    kind, value = str(each[0]), each[1]
    if kind == "LITERAL":
        return re.escape(chr(value))
    if kind == "RANGE":
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    names = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
    return next((sign.upper() if "NOT" in str(value) else sign for word, sign in names.items() if word in str(value)), "")


def repeats(tree: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every repeat without a small bound: a text that leads to it, and what it repeats."""
    for operation, value in tree:
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            if value[1] > 50:
                yield before, value[2]
            yield from repeats(value[2], before)
        elif name == "SUBPATTERN":
            yield from repeats(value[3], before)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from repeats(branch, before)
        elif name in {"ASSERT", "ASSERT_NOT"}:
            yield from repeats(value[1], before)
        before += some([(operation, value)])


class Stopped(Exception):
    pass


def seconds(pattern: re.Pattern[str], how: str, text: str, limit: float = LIMIT) -> float:
    """Returns the processor time of one match in seconds; infinity when it was stopped at the limit."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    signal.signal(signal.SIGVTALRM, stop)
    # The signal may arrive as late as in `finally`: the outer `try` catches it there too.
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, limit)
            began = time.thread_time()
            for _ in pattern.finditer(text) if how == "finditer" else [getattr(pattern, how)(text)]:
                pass
            return time.thread_time() - began
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except Stopped:
        return math.inf


@functools.cache
def suspicious() -> float:
    """Returns the seconds from which a match is looked at closely: a fourth of what the quickest quadratic match takes here."""
    return min(seconds(re.compile(r".*b"), "finditer", "a" * LENGTHS[-1]) for _ in range(5)) / 4


def grows(pattern: re.Pattern[str], how: str, before: str, pump: str, after: str) -> bool:
    """Whether a longer text takes more than linearly longer. The quickest run counts: others work beside this one."""

    def took(length: int, limit: float = LIMIT) -> float:
        return seconds(pattern, how, before + pump * length + after, limit)

    length = next((length for length in LENGTHS if took(length) >= suspicious()), None)
    if length is None:
        return False
    once = took(length)
    if math.isinf(once):
        return True  # stopped twice
    once = min(once, took(length), took(length))
    # What is quicker than the suspicious took long by an accident the first time.
    linear = min(max(once, suspicious()) * TOO_MUCH, LIMIT)
    return all(took(length * LONGER, linear) > linear for _ in range(2))


def slow_on(pattern: re.Pattern[str], ways: frozenset[str] = EVERY_WAY) -> str:
    """A text that takes too long, described; empty when there is none."""
    tree = sre.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    for before, repeated in repeats(tree):
        for pump in dict.fromkeys([some(repeated), *letters(repeated)[:6]]):
            for after in ("", "\x00", "\n!") if pump else ():
                for how in sorted(ways):
                    if grows(pattern, how, before, pump, after):
                        return f"{how}: {before!r} + {pump!r} * N + {after!r}"
    return ""


def test_every_pattern_takes_linear_time() -> None:
    slow = {f"{where} {pattern.pattern[:90]!r}": slow_on(pattern, ways) for where, pattern, ways in patterns()}
    assert {where: text for where, text in slow.items() if text} == {}


@pytest.mark.parametrize("pattern", [r"a*a*b", r"\s+x", r"(?:a|b)*c.*d", r"(a+)+b", r"[^x]*y", r".*b"])
def test_slow_patterns_are_noticed(pattern: str) -> None:
    assert slow_on(re.compile(pattern))


@pytest.mark.parametrize("pattern", [r"a*b?", r"\A\s+x", r"(?<!\s)\s+x", r"[0-9]+(?:\.[0-9]*)?"])
def test_linear_patterns_pass(pattern: str) -> None:
    assert not slow_on(re.compile(pattern))
