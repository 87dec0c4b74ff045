"""Reads the grammar of inputs: durations, booleans, whole numbers, status sets, lists of lines, choices.

Each parser takes the text of an input and returns its value, or raises `NotUnderstood` with what to write instead.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Parser = Callable[[str], T]


class NotUnderstood(ValueError):
    """Raised for text that does not fit the grammar. `example` is a value that fits."""

    def __init__(self, problem: str, *, example: str = "") -> None:
        super().__init__(problem)
        self.example = example


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def duration(text: str) -> float:
    """Reads `500ms`, `20s`, `5m`, `1h` or `0s` as seconds. A bare number is an error, because its unit is not known."""
    match = _DURATION.fullmatch(text.strip())
    if match:
        return float(match[1]) * _UNITS[match[2]]
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()):
        raise NotUnderstood(f"`{text.strip()}` has no unit", example=f"{text.strip()}s")
    raise NotUnderstood(f"`{text}` is not a duration (500ms, 20s, 5m or 1h)", example="30s")


def boolean(text: str) -> bool:
    """Reads `true` or `false`."""
    if text.strip() in {"true", "false"}:
        return text.strip() == "true"
    guess = "false" if text.strip().lower() in {"false", "no", "off", "0", "n"} else "true"
    raise NotUnderstood(f"`{text}` is neither `true` nor `false`", example=guess)


def string(text: str) -> str:
    """Returns the text without the white space around it."""
    return text.strip()


def text_block(text: str) -> str:
    """Returns the text as it is, white space included (a body, a document)."""
    return text


def is_whole(text: str) -> bool:
    """Returns whether the text is a whole number of at most 18 digits that `int` reads, unlike `str.isdigit` for `²`."""
    return re.fullmatch(r"[0-9]{1,18}", text) is not None


def whole(least: int = 0, most: int | None = None) -> Parser[int]:
    """Returns a parser of a whole number within bounds."""
    bounds = f"from {least} to {most}" if most is not None else f"of {least} or more"

    def parse(text: str) -> int:
        if is_whole(text.strip()):
            number = int(text)
            if number >= least and (most is None or number <= most):
                return number
        raise NotUnderstood(f"`{text}` is not a whole number {bounds}", example=str(least))

    return parse


def number(text: str) -> float:
    """Reads a finite decimal number: `0.01`, `5`, `1e-3`."""
    if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", text.strip()):
        return float(text)
    raise NotUnderstood(f"`{text}` is not a number", example="0.01")


def optional(parse: Parser[T]) -> Parser[T | None]:
    """Returns a parser that gives `None` for blank text."""
    return lambda text: None if not text.strip() else parse(text)


def lines(parse: Parser[T]) -> Parser[tuple[T, ...]]:
    """Returns a parser of one value a line; it skips empty lines."""

    def parse_all(text: str) -> tuple[T, ...]:
        return tuple(parse(line.strip()) for line in text.splitlines() if line.strip())

    return parse_all


def choice(*allowed: str) -> Parser[str]:
    """Returns a parser of one of the words."""

    def parse(text: str) -> str:
        if text.strip() in allowed:
            return text.strip()
        known = ", ".join(f"`{word}`" for word in allowed)
        raise NotUnderstood(f"`{text}` is not one of {known}", example=nearest(text, allowed) or allowed[0])

    return parse


@dataclass(frozen=True)
class StatusSet:
    """Holds HTTP status codes: exact ones and whole classes (`2xx`)."""

    text: str
    codes: frozenset[int]
    classes: frozenset[int]

    def __contains__(self, status: object) -> bool:
        return isinstance(status, int) and (status in self.codes or status // 100 in self.classes)

    def __str__(self) -> str:
        return self.text


def status_set(text: str) -> StatusSet:
    """Reads `200`, `200,204`, `2xx`, or a mixture. Codes are 100 to 599 (RFC 9110, section 15)."""
    codes: set[int] = set()
    classes: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        if re.fullmatch(r"[1-5][0-9]{2}", part):
            codes.add(int(part))
        elif re.fullmatch(r"[1-5][xX]{2}", part):
            classes.add(int(part[0]))
        else:
            raise NotUnderstood(f"`{part}` is neither a status code (200) nor a class of them (2xx)", example="200,204")
    return StatusSet(",".join(part.strip() for part in text.split(",")), frozenset(codes), frozenset(classes))


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def variable_name(text: str) -> str:
    """Reads the name of an environment variable (letters, digits, `_`). Its errors never repeat the text."""
    if _VARIABLE.fullmatch(text.strip()):
        return text.strip()
    # A value that was written here by mistake is a secret, so the text is not repeated.
    raise NotUnderstood("this is not the name of an environment variable", example="DATABASE_URL")


def fits(parse: Parser[object], example: str) -> bool:
    """Returns whether there is an example and the parser accepts it: only then may it be shown."""
    try:
        return bool(example) and (parse(example), True)[1]
    except NotUnderstood:
        return False


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that `word` was probably meant to be."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


_SHELL_WORDS = {"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1", "2>"}


def argv(text: str) -> tuple[str, ...]:
    """Reads a program and its arguments: words with the quoting of a shell, or a JSON array of strings.

    Nothing is expanded, and there is no shell: an operator such as `&&` is an error that says so.
    """
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise NotUnderstood(f"it looks like a JSON array and is not one ({error})", example='["make", "deploy"]') from None
        if not found or not all(isinstance(word, str) for word in found):
            raise NotUnderstood("the JSON array of a command holds one string or more", example='["make", "deploy"]')
        return tuple(found)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise NotUnderstood(f"`{text}` cannot be split into words: {error}", example="./deploy.sh production") from None
    operators = [word for word in words if word in _SHELL_WORDS]
    if operators:
        raise NotUnderstood(
            f"`{operators[0]}` belongs to a shell, and commands run without one; move the line to a script, or name the shell",
            example=f"bash -c {shlex.quote(text)}",
        )
    return tuple(words)
