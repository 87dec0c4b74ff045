"""The two sides of one comparison: what is sent, and what the other end knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cicd_actions.verify_openapi_client.breaking.document import Part
from cicd_actions.verify_openapi_client.breaking.graph import Looked
from cicd_actions.verify_openapi_client.breaking.rules import Flow
from cicd_actions.verify_openapi_client.breaking.shape import Shape


@dataclass(frozen=True)
class Difference:
    """What breaks at one place of a schema. `in_base` says that the pointer is one of the base document."""

    kind: str
    flow: Flow
    what: str
    pointer: str
    in_base: bool
    place: str
    detail: str


class Pair(NamedTuple):
    """A pair of schemas by their keys. `turned` says that the roles are swapped, as they are below `not`.

    `level` says how the value travels: as JSON (`schema`), as text, in which a number is a string too (`text`), as text that
    may be repeated, where one value is a list of one (`list`), as a form, or as its field, which is such a list unless it is
    an object. `shape ` in front stands for one alternative of a schema.
    """

    level: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    flow: Flow
    turned: bool


@dataclass
class Sides:
    """`sent` has to fit into `known`.

    For a request, `sent` is the old schema (what callers send today) and `known` the new one (what the API accepts from
    now on). For a response, `sent` is the new schema and `known` the old one, which callers were written for.
    """

    old: Shape
    new: Shape
    flow: Flow
    turned: bool
    looked: Looked[Pair, Difference] = field(default_factory=Looked)
    needed: list[tuple[tuple[Part, ...], tuple[Part, ...], bool]] = field(default_factory=list)

    @property
    def old_is_sent(self) -> bool:
        return (self.flow is Flow.REQUEST) != self.turned

    @property
    def sent(self) -> Shape:
        return self.old if self.old_is_sent else self.new

    @property
    def known(self) -> Shape:
        return self.new if self.old_is_sent else self.old

    def differ(self, kind: str, what: str, keyword: str = "", detail: str = "", *, at: Part | None = None) -> None:
        """Notes a difference at a keyword of the new shape, or of the old one where only that has it.

        `at` is the place in the old document where that is known better.
        """
        difference = Difference(kind, self.flow, what, *self.place(keyword, at), detail or what)
        self.looked.wrong.append(difference)

    def place(self, keyword: str = "", at: Part | None = None) -> tuple[str, bool, str]:
        """Returns the pointer, whether it is one of the base, and the place (the old document's, so that it stays)."""
        old = at or self.old.origin(keyword)
        if at is None and (keyword in self.new.where or keyword not in self.old.where):
            return self.new.origin(keyword).pointer, False, old.place
        return old.pointer, True, old.place

    def need(self, sent: tuple[Part, ...], known: tuple[Part, ...], *, turned: bool = False) -> None:
        """Has the parts compared in the same direction; `turned` asks that `known` fits into `sent`."""
        old, new = (sent, known) if self.old_is_sent else (known, sent)
        self.needed.append((old, new, turned))
