"""Holds the user's programs of the engine `command`, as argument lists with placeholders."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cicd_actions.toolkit.errors import UnusableInput


class _Spelt:
    """Programs as the fields of a dataclass."""

    def refuse_misspelt(self) -> None:
        """Raises `UnusableInput` for a word in braces that looks like a placeholder and is not one.

        Other words in braces belong to the program: `${HOME}`, `{{.ID}}`, `{print}`.
        """
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # each class below is a dataclass
            for word in getattr(self, field.name) or ():
                for name in _BRACES.findall(word):
                    meant = _meant(name, (*PLACEHOLDERS, *_MORE.get(field.name, ())))
                    if meant:
                        raise UnusableInput(
                            f"Cannot use the `{field.name.replace('_', '-')}-command`: `{{{name}}}` is not a placeholder.",
                            cause=f"The placeholders are {', '.join(f'`{{{each}}}`' for each in PLACEHOLDERS)}.",
                            fix=f"Did you mean `{{{meant}}}`?",
                        )


@dataclass(frozen=True)
class Programs(_Spelt):
    """The user's programs, as argument lists with placeholders; `None` for those that are not set."""

    roll_out: tuple[str, ...] | None = None
    running: tuple[str, ...] | None = None
    image: tuple[str, ...] | None = None
    job: tuple[str, ...] | None = None
    logs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class StagePrograms(_Spelt):
    """The user's programs for a release that stands beside the old one."""

    stage: tuple[str, ...] | None = None
    prepare: tuple[str, ...] | None = None
    weigh: tuple[str, ...] | None = None
    promote: tuple[str, ...] | None = None
    abandon: tuple[str, ...] | None = None


PLACEHOLDERS = ("service", "image", "digest", "sha", "environment")
_MORE = {"job": ("command",), "prepare": ("until",), "weigh": ("percent",)}
"""The placeholders of single programs."""

_BRACES = re.compile(r"(?<![${])\{([A-Za-z_-]+)\}(?!\})")


def _meant(name: str, known: Sequence[str]) -> str:
    """Returns the placeholder that a word stands for by mistake; empty where it is one, or resembles none."""
    if name in known:
        return ""
    begun = [each for each in known if len(name) >= 3 and each.startswith(name.lower())]
    return next(iter(begun or difflib.get_close_matches(name.lower(), known, 1, 0.7)), "")
