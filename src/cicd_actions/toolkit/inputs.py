"""Defines an action's inputs: a frozen dataclass whose fields are declared with `declare`.

The same definition reads the JSON object of a composite step, the flags of a shell, and writes `--help`, `action.yml` and
the table in the README.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood, Parser, boolean, fits, nearest
from cicd_actions.toolkit.redaction import Redactor

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Declaration:
    """Describes one input: how its text is read, what it means, and its default as text.

    `blank` says what text of nothing but white space means: the default, or text like any other.
    """

    parse: Parser[Any]
    help: str
    default: str = ""
    required: bool = False
    secret: bool = False
    action_default: str = ""
    blank: bool = True

    def read(self, text: str) -> Any:
        """Returns the value of the text, or the default. Raises `NotUnderstood`; its `example` is one that `parse` takes."""
        unset = not text.strip() if self.blank else not text
        try:
            return self.parse(self.default if unset else text)
        except NotUnderstood as error:
            raise NotUnderstood(str(error), example=error.example if fits(self.parse, error.example) else "") from None


def declare(
    parse: Callable[[str], T],
    help: str,
    *,
    default: str = "",
    required: bool = False,
    secret: bool = False,
    action_default: str = "",
    blank: bool = True,
) -> T:
    """Declares a field of an inputs class. `default` is text in the input's grammar, exactly as it stands in `action.yml`.

    `secret` values are redacted everywhere. `action_default` is the default in `action.yml` alone, for an expression
    such as `${{ github.token }}`, which means nothing outside GitHub. `blank=False` hands white space to the parser: an
    expectation of blank lines only would expect nothing.
    """
    declaration = Declaration(parse, help, default, required, secret, action_default, blank)
    return cast("T", dataclasses.field(metadata={"input": declaration}))


def declared(inputs: type[Any], name: str) -> Any:
    """Declares the same input as another action's: `url: str = declared(Other, "url")`. `name` is the field's."""
    (field,) = (field for field in dataclasses.fields(inputs) if field.name == name)
    return dataclasses.field(metadata={**field.metadata, "group": _group(inputs)})


def declarations(inputs: type[Any]) -> dict[str, Declaration]:
    """Returns every input of the class by its kebab-case name, in the order of the class."""
    return {
        field.name.replace("_", "-"): field.metadata["input"]
        for field in dataclasses.fields(inputs)
        if "input" in field.metadata
    }


def grouped(inputs: type[Any], groups: Mapping[str, str]) -> dict[str, dict[str, Declaration]]:
    """Returns every input once, by the title of its group and then by its name, for people.

    `groups` come first: titles with names. Every other input belongs to the class that declares it first, whose `GROUP` is the
    title; `More` holds those of a class without one, before the shared ones.
    """
    known, fields = declarations(inputs), {field.name.replace("_", "-"): field for field in dataclasses.fields(inputs)}
    taken = {title: names.split() for title, names in groups.items()}
    of_group = {name for names in taken.values() for name in names}
    rest: dict[str, list[str]] = {"More": []}
    for name in known:
        field = fields[name]
        owner = next(each for each in reversed(inputs.__mro__) if field.name in vars(each).get("__dataclass_fields__", ()))
        if name not in of_group:
            rest.setdefault(field.metadata.get("group") or _group(owner) or "More", []).append(name)
    found = {title: {name: known[name] for name in names} for title, names in (taken | rest).items() if names}
    return found if len(found) > 1 else {"": known}


def _group(inputs: type[Any]) -> str:
    return str(inputs.GROUP) if "GROUP" in vars(inputs) else ""


def from_json(text: str) -> dict[str, str]:
    """Reads the inputs of a composite step, as `toJSON(inputs)` writes them: an object of strings.

    Raises `UnusableInput` when the text is something else.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnusableInput(
            "Could not read the inputs: the variable INPUTS does not hold JSON.",
            cause=f"{error}.",
            fix="The action sets it itself:\n\n    env:\n      INPUTS: ${{ toJSON(inputs) }}",
        ) from None
    if not isinstance(found, dict):
        raise UnusableInput("Could not read the inputs: the variable INPUTS holds JSON, but not an object.")
    values: dict[str, str] = {}
    for name, value in found.items():
        if isinstance(value, bool):
            values[name] = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            values[name] = str(value)
        elif value is None:
            values[name] = ""
        else:
            raise UnusableInput(
                f"Cannot use the input `{name}`: it is not text.", fix=f"Write it as a block of text:\n\n    {name}: |\n      …"
            )
    return values


def from_flags(argv: list[str], inputs: type[Any]) -> dict[str, str]:
    """Reads the inputs among the flags `--name value` or `--name=value`; a flag given twice adds a line.

    A boolean's flag may stand alone: `--force` is `--force true`. Raises `UnusableInput` for a word that is not a flag, and
    for a flag without a value.
    """
    known = declarations(inputs)
    values: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            raise UnusableInput(f"`{word}` is not a flag.", fix="Write inputs as `--name value`; see --help.")
        name, equals, value = word[2:].partition("=")
        if name not in known:
            raise UnusableInput(_unknown(name, known, what="flag", prefix="--"))
        if not equals:
            alone = not words or words[0].startswith("--")
            if alone and known[name].parse is boolean:
                value = "true"
            elif not words:
                raise UnusableInput(f"The flag `--{name}` has no value.", fix=f"    --{name} {_example(known[name])}")
            else:
                value = words.pop(0)
        values[name] = f"{values[name]}\n{value}" if name in values else value
    return values


def load(inputs: type[T], values: Mapping[str, str], redactor: Redactor) -> T:
    """Returns the typed object. An empty value means the default, as it does for GitHub.

    Every input is read before anything is said, so one run shows all mistakes. Raises `UnusableInput`.
    """
    known = declarations(inputs)
    problems = [_unknown(name, known, what="input") for name in values if name not in known]
    fixes: list[str] = []
    parsed: dict[str, Any] = {}
    for name, declaration in known.items():
        text = values.get(name, "")
        if declaration.secret:
            redactor.add(text.strip())
        if declaration.required and not text.strip():
            problems.append(f"The input `{name}` is required. {declaration.help}")
            continue
        try:
            parsed[name.replace("-", "_")] = declaration.read(text)
        except NotUnderstood as error:
            problems.append(f"Cannot use the input `{name}`: {error}.")
            if error.example:
                fixes.append(as_yaml(name, error.example))
    if problems:
        raise UnusableInput("\n".join(problems), fix=instead(*fixes) if fixes else "")
    return inputs(**parsed)


def as_yaml(name: str, value: str) -> str:
    """Returns the lines of YAML that set a key to a text."""
    if "\n" in value:
        return "\n".join([f"{name}: |", *(f"  {line}" for line in value.splitlines())])
    # What YAML would read as a comment, a mapping or a list is quoted (YAML 1.2, section 7.3.3); JSON strings are YAML strings.
    plain = re.fullmatch(r"[A-Za-z0-9$/.^(_](?:[^\s:#,]|(?<=\S)#|:(?=\S)| (?=[^\s#]))*", value)
    return f"{name}: {value if plain else json.dumps(value, ensure_ascii=False)}"


def instead(*keys: str, under: str = "with") -> str:
    """Returns the fix that shows which YAML to write: keys of `with`, or keys alone."""
    shown = [line for key in keys for line in key.splitlines()]
    if under:
        shown = [f"{under}:", *(f"  {line}" for line in shown)]
    return "\n".join(["Write instead:", "", *(f"    {line}" for line in shown)])


def _example(declaration: Declaration) -> str:
    return declaration.default.splitlines()[0] if declaration.default else "VALUE"


def _unknown(name: str, known: Mapping[str, Declaration], *, what: str, prefix: str = "") -> str:
    meant = nearest(name, known)
    hint = f" Did you mean `{prefix}{meant}`?" if meant else f" Known are: {', '.join(known)}."
    return f"The {what} `{prefix}{name}` is unknown.{hint}"
