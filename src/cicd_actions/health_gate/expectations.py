"""Judges one answer by what a target must answer. `prepare` loads JSONPath when the first request is on its way."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import jsonpath

from cicd_actions.health_gate.answer import LARGE_BODY, SMALL_BODY, Answer
from cicd_actions.health_gate.rules import HeaderRule, JsonRule, VersionSource, compiled, version_source
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood, StatusSet, fits
from cicd_actions.toolkit.long_numbers import whole
from cicd_actions.toolkit.printable import beginning

MOST_FIELDS = 500
"""Fields of an answer among which another place of the version is looked for."""

_PLAIN = re.compile(r"[A-Za-z_][0-9A-Za-z_]{0,40}")

SHOWN = 200
"""Characters of an answer that a message repeats."""


@dataclass(frozen=True)
class Mismatch:
    """One expectation that an answer does not meet."""

    kind: str
    expected: str
    came: str
    elsewhere: str = ""
    """Where else in the answer the expected version stands, as `version-from` takes it."""

    @property
    def label(self) -> str:
        """Returns a few characters for a timeline."""
        return {"version": "other version", "latency": "slow"}.get(self.kind, self.kind.replace("-", " "))


class Undecidable(Exception):
    """Raised when it cannot be decided whether the answer is right."""


@dataclass(eq=False, repr=False)
class Expectations:
    """All that is expected of one target's answers. `status` is `None` for a command, which has none."""

    status: StatusSet | None = None
    json_rules: Sequence[JsonRule] = ()
    header_rules: Sequence[HeaderRule] = ()
    body: Sequence[re.Pattern[str]] = ()
    version: str = ""
    version_from: VersionSource | None = None
    max_latency: float | None = None
    _paths: dict[str, jsonpath.JSONPath] = field(default_factory=dict)

    @property
    def reads_body(self) -> bool:
        return bool(self.json_rules or self.body or (self.version_from and self.version_from.kind == "json"))

    def prepare(self) -> None:
        """Compiles the JSONPaths. Raises `UnusableInput` for text that is not a JSONPath."""
        for rule in self.json_rules:
            self._compiled(rule.path, "expect-json", rule.text)
        if self.version_from and self.version_from.kind == "json":
            self._compiled(self.version_from.place, "version-from", self.version_from.text)

    def _compiled(self, path: str, name: str, text: str) -> jsonpath.JSONPath:
        if path not in self._paths:
            try:
                self._paths[path] = compiled(path)
            except NotUnderstood as error:
                raise UnusableInput(
                    f"Cannot use the input `{name}`: {error}.",
                    cause=f"The line was: {text}",
                    fix="For example:\n\n    $.status\n    $.checks[0].name\n    $['key with spaces']",
                ) from None
        return self._paths[path]

    def check(self, answer: Answer, seconds: float) -> tuple[list[Mismatch], str | None]:
        """Returns what is wrong with an answer that took `seconds`, the most telling first, and the version it names.

        Raises `Undecidable`.
        """
        wrong: list[Mismatch] = []
        if self.status is not None and answer.status not in self.status:
            came = f"status {answer.status}"
            location = answer.header("location")
            if location and answer.status // 100 == 3:
                came += f", a redirect to {beginning(location, SHOWN)}"
            wrong.append(Mismatch("status", f"status {self.status}", came))
        document = _Document(answer)
        version, problem = self._version(answer, document)
        if self.version and version != self.version:
            kind, came = ("no-version", problem) if version is None else ("version", _other_version(self.version, version))
            wrong.append(Mismatch(kind, f"version {self.version}", came, _place_of(self.version, answer, document)))
        wrong += [found for rule in self.header_rules if (found := _check_header(rule, answer))]
        wrong += [found for rule in self.json_rules if (found := self._check_json(rule, document))]
        if self.body:
            readable(answer)
            text = answer.text
            wrong += [
                Mismatch("body", f"a body that matches /{each.pattern}/", _body_shown(answer, text))
                for each in self.body
                if not each.search(text)
            ]
        if self.max_latency is not None and seconds > self.max_latency:
            wrong.append(
                Mismatch("latency", f"an answer within {self.max_latency * 1000:.0f} ms", f"it took {seconds * 1000:.0f} ms")
            )
        return wrong, version

    def _version(self, answer: Answer, document: _Document) -> tuple[str | None, str]:
        source = self.version_from
        if source is None:
            return None, ""
        if source.kind == "header":
            found = answer.header(source.place)
            return found, "" if found is not None else f"no header {source.place}"
        if document.problem:
            return None, document.problem
        values = self._values(source.place, document)
        if len(values) != 1:
            return None, _count(source.place, values)
        value = values[0]
        return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)), ""

    def _values(self, path: str, document: _Document) -> list[object]:
        try:
            return [match.value for match in self._paths[path].finditer(cast("Any", document.value))]
        except RecursionError:
            raise Undecidable(f"the JSON is nested too deep for {path}") from None

    def _check_json(self, rule: JsonRule, document: _Document) -> Mismatch | None:
        if document.problem:
            return Mismatch("json", rule.text, document.problem)
        problem = _broken(rule, self._values(rule.path, document))
        return Mismatch("json", rule.text, problem) if problem else None


class _Document:
    """The body as JSON, read once and only when a rule asks."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._read = False
        self._value: object = None
        self._problem = ""

    @property
    def value(self) -> object:
        self._load()
        return self._value

    @property
    def problem(self) -> str:
        self._load()
        return self._problem

    def _load(self) -> None:
        if self._read:
            return
        self._read = True
        readable(self._answer)
        if self._answer.cut:
            self._problem = f"a body of more than {LARGE_BODY // 1024} KiB, which is not read as JSON"
            return
        try:
            self._value = json_value(self._answer)
        except RecursionError:
            self._problem = "JSON that is nested too deep"
        except ValueError as error:
            kind = self._answer.header("content-type") or "no content type"
            self._problem = f"a body that is not JSON ({kind}): {error}" if self._answer.body else "an empty body"


def _place_of(version: str, answer: Answer, document: _Document) -> str:
    """Returns where in an answer the version stands, as `version-from` takes it; empty for nowhere."""
    places = [f"header:{name}" for name, value in answer.headers if value == version]
    if len(answer.body) <= SMALL_BODY:  # a large one takes longer than the advice is worth
        with contextlib.suppress(Undecidable):
            places += [f"json:{path}" for path, value in _fields(document.value) if value == version]
    return next((place for place in places if fits(version_source, place)), "")


def _fields(document: object) -> Iterator[tuple[str, object]]:
    """Yields the first plainly named fields of an object and of the objects in it, with their JSONPaths."""
    waiting = [("$", document)]
    for path, value in waiting:
        if isinstance(value, dict) and len(waiting) < MOST_FIELDS:
            first = islice(value.items(), MOST_FIELDS)
            waiting += [(f"{path}.{key}", inner) for key, inner in first if _PLAIN.fullmatch(key)]
        yield path, value


def json_value(answer: Answer) -> object:
    """Returns the body's JSON. Raises `ValueError`, `RecursionError`, and `Undecidable` for a key that stands twice."""
    # Without a charset Python tells UTF-8, UTF-16 and UTF-32 apart (RFC 4627, section 3).
    text = answer.body.decode(answer.charset) if answer.charset else answer.body
    return json.loads(text, parse_int=whole, parse_constant=_no_constant, object_pairs_hook=_object)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Builds an object. Readers differ in which of two equal keys counts (RFC 8259, section 4), so neither is judged."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise Undecidable(f"the JSON has the key {_shown(twice)} twice in one object, and readers differ in which one counts")


def readable(answer: Answer) -> None:
    """Raises `Undecidable` for a body in a coding that cannot be undone."""
    if answer.coding:
        raise Undecidable(f"the body comes with the coding `{beginning(answer.coding, 40)}`, though none was asked for")


def _check_header(rule: HeaderRule, answer: Answer) -> Mismatch | None:
    value = answer.header(rule.name)
    if value is None:
        return None if rule.operator == "!=" else Mismatch("header", rule.text, f"no header {rule.name}")
    if rule.operator == "=~":
        holds = re.search(rule.value, value) is not None
    else:
        holds = (value == rule.value) is (rule.operator == "==")
    return None if holds else Mismatch("header", rule.text, f"{rule.name}: {beginning(value, SHOWN)}")


def _compare(found: object, operator: str, wanted: object) -> bool | None:
    """Returns `None` when the two cannot be compared. `true` is not `1`, as in JSON and unlike in Python."""
    if isinstance(wanted, re.Pattern):
        return wanted.search(found) is not None if isinstance(found, str) else None
    if operator in {"==", "!="}:
        return equal(found, wanted) is (operator == "==")
    if isinstance(found, str) and isinstance(wanted, str):
        return _ordered(found, operator, wanted)
    if _number(found) and _number(wanted):
        return _ordered(found, operator, wanted)
    return None


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _ordered(found: Any, operator: str, wanted: Any) -> bool:
    holds = {"<": found < wanted, "<=": found <= wanted, ">": found > wanted, ">=": found >= wanted}
    return bool(holds[operator])


def equal(one: object, other: object) -> bool:
    """Compares JSON values: `1` equals `1.0`, and never `true`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    return one == other


def _count(path: str, values: list[object]) -> str:
    if not values:
        return f"nothing is at {path}"
    return f"{len(values)} values are at {path}, and one was expected: {', '.join(_shown(value) for value in values[:3])}"


def _broken(rule: JsonRule, values: list[object]) -> str:
    """Returns how the values at the rule's path break the rule; empty when they keep it."""
    if rule.what == "absent":
        return _many(rule.path, values) if values else ""
    if rule.what == "count":
        inner = f", an array of {len(values[0])}" if len(values) == 1 and isinstance(values[0], list) else ""
        return "" if _compare(len(values), rule.operator, rule.value) else f"{len(values)} at {rule.path}{inner}"
    if not values or (not rule.what and len(values) != 1):
        return _count(rule.path, values)
    problems = (_differs(rule, value, len(values)) for value in values if rule.operator)
    return next(filter(None, problems), "")


def _differs(rule: JsonRule, value: object, count: int) -> str:
    holds = _compare(value, rule.operator, rule.value)
    if holds is None:
        wanted = "match" if rule.operator == "=~" else f"compare with {_shown(rule.value)}"
        return f"{_shown(value)}, which `{rule.operator}` cannot {wanted}"
    which = f"one of {count} values at {rule.path}" if rule.what else rule.path
    return "" if holds else f"{which} is {_shown(value)}"


def _many(path: str, values: list[object]) -> str:
    return f"{path} is {_shown(values[0])}" if len(values) == 1 else f"{len(values)} values are at {path}"


def _shown(value: object) -> str:
    return beginning(json.dumps(value, ensure_ascii=False), SHOWN)


def _body_shown(answer: Answer, text: str) -> str:
    if not answer.body:
        return "an empty body"
    searched = f" (searched: its first {LARGE_BODY // 1024} KiB)" if answer.cut else ""
    return f"a body that begins with {json.dumps(beginning(text.strip(), 60), ensure_ascii=False)}{searched}"


def abbreviated(expected: str, came: str) -> bool:
    """Returns whether one of two versions is only the beginning of the other, as an abbreviated commit is."""
    shorter, longer = sorted((expected, came), key=len)
    return 6 <= len(shorter) < len(longer) and longer.startswith(shorter)


def _other_version(expected: str, came: str) -> str:
    if abbreviated(expected, came):
        return (
            f"version {came}, which is only its beginning"
            if len(came) < len(expected)
            else f"version {came}, which only begins so"
        )
    return f"version {beginning(came, SHOWN)}" if came else "an empty version"
