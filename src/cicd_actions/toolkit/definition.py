"""What an action is: its name, its inputs, its outputs, and the function that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

InputsT = TypeVar("InputsT")


@dataclass(frozen=True, eq=False, repr=False)
class Output:
    """An output's name and what it holds."""

    name: str
    help: str


@dataclass(frozen=True, eq=False, repr=False)
class Action(Generic[InputsT]):
    """One action. `summary` is one sentence for the Marketplace, `--help` and the README's table.

    `run` is the dotted name of the function that takes inputs and runtime, and returns the report: `--help` loads none of it.
    `icon` (a Feather icon) and `color` are the branding that GitHub's Marketplace shows. `groups` are the inputs' names by
    title, separated by white space: first the at most five that everybody sets. See `inputs.grouped` for the others.
    """

    name: str
    summary: str
    inputs: type[InputsT]
    outputs: tuple[Output, ...]
    run: str
    icon: str
    color: str
    groups: Mapping[str, str] = field(default_factory=dict)


AnyAction = Action[Any]
