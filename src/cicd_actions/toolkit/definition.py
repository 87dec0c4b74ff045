"""What an action is: its name, its inputs, its outputs, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:  # every action starts with this module, and most of what a report is made of is needed at its end only
    from cicd_actions.toolkit.report import Report
    from cicd_actions.toolkit.runtime import Runtime

I = TypeVar("I")  # noqa: E741 - the inputs' type


@dataclass(frozen=True)
class Output:
    """An output's name and what it holds."""

    name: str
    help: str


@dataclass(frozen=True)
class Action(Generic[I]):
    """One action. `summary` is one sentence for the Marketplace, `--help` and the README's table.

    `icon` (a Feather icon) and `color` are the branding that GitHub's Marketplace shows.
    """

    name: str
    summary: str
    inputs: type[I]
    outputs: tuple[Output, ...]
    run: Callable[[I, Runtime], Report]
    icon: str
    color: str


AnyAction = Action[Any]
