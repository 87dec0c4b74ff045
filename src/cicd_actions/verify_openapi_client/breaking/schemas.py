"""Compares schemas as sets of values: what is sent has to fit into what the other end knows."""

from __future__ import annotations

from dataclasses import replace

from cicd_actions.verify_openapi_client.breaking import constraints, objects, overlap, values
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, canonical
from cicd_actions.verify_openapi_client.breaking.graph import Choice, Graph, Looked
from cicd_actions.verify_openapi_client.breaking.rules import Flow
from cicd_actions.verify_openapi_client.breaking.sameness import Sameness
from cicd_actions.verify_openapi_client.breaking.shape import SCALARS, TYPES, Meaning, Shape, Whole
from cicd_actions.verify_openapi_client.breaking.shapes import Schemas
from cicd_actions.verify_openapi_client.breaking.sides import Difference, Pair, Sides

MOST_PAIRS = 200_000
"""Pairs of schemas that one comparison looks at: less than a minute's work."""


_BELOW = {"schema": "schema", "form": "field", "field": "field", "list": "text", "text": "text"}
"""How a value travels → how its parts do."""


class SchemaComparison:
    """The schemas of two documents, compared from many places. Raises `graph.TooMuch` in `need` and `solve`."""

    def __init__(self, old: Document, new: Document, *, limit: int = MOST_PAIRS) -> None:
        self.sameness = Sameness(old, new)
        self._old = Schemas(old)
        self._new = Schemas(new)
        self._wholes: dict[tuple[bool, tuple[str, ...]], Whole] = {}
        self._shapes: dict[tuple[bool, tuple[str, ...]], Shape] = {}
        self._graph: Graph[Pair, Difference] = Graph(self._look, limit)

    def need(self, old: tuple[Part, ...], new: tuple[Part, ...], flow: Flow, level: str = "schema") -> Pair | None:
        """Has two schemas compared; returns `None` when they are the same. `level` is one of `Pair`."""
        pair = self._whole_pair(old, new, flow, turned=False, level=level)
        if pair is not None:
            self._graph.need(pair)
        return pair

    def solve(self) -> None:
        """Compares all that was asked for."""
        self._graph.solve()

    def marks(self, pairs: list[Pair]) -> int:
        """Returns what is wrong with these pairs and everything below them, as a set of bits for `differences`."""
        return self._graph.marks(pairs)

    def differences(self, marks: int) -> list[Difference]:
        """Returns what the bits stand for."""
        return self._graph.differences(marks)

    def meanings(self, old: tuple[Part, ...], new: tuple[Part, ...]) -> tuple[Meaning, Meaning]:
        """Returns what the two schemas allow."""
        return self._old.meaning(self._old.whole(old)), self._new.meaning(self._new.whole(new))

    def defaults(self, old: tuple[Part, ...], new: tuple[Part, ...]) -> tuple[object, object] | None:
        """Returns the defaults of both where the old one is no longer so; `None` where it is, or there was none.

        `null` counts as no default: it stands for a value that is left out.
        """
        before, after = self._old.whole(old).default, self._new.whole(new).default
        return (before, after) if before is not None and canonical(before) != canonical(after) else None

    def properties(self, part: Part) -> set[str]:
        """Returns the names of all properties of a schema in either document."""
        found: set[str] = set()
        for schemas in (self._old, self._new):
            for shape in schemas.meaning(schemas.whole((part,))).shapes:
                found |= shape.properties.keys()
        return found

    def _whole_pair(
        self, old: tuple[Part, ...], new: tuple[Part, ...], flow: Flow, *, turned: bool, level: str = "schema"
    ) -> Pair | None:
        old = tuple([self._old.document.followed(part, bare=True) for part in old])
        new = tuple([self._new.document.followed(part, bare=True) for part in new])
        if self.sameness.same(old, new):
            return None
        one, other = self._old.whole(old), self._new.whole(new)
        if one.beside == other.beside and self.sameness.same(one.parts, other.parts):
            return None
        self._wholes[True, one.key] = one
        self._wholes[False, other.key] = other
        return Pair(level, one.key, other.key, flow, turned)

    def _look(self, pair: Pair) -> Looked[Pair, Difference]:
        if pair.level.startswith("shape "):
            sides = Sides(self._shapes[True, pair.old], self._shapes[False, pair.new], pair.flow, pair.turned)
            return self._compared(sides, pair.level.removeprefix("shape "))
        old = self._old.meaning(self._wholes[True, pair.old])
        new = self._new.meaning(self._wholes[False, pair.new])
        if pair.level not in {"schema", "form"}:
            old, new = self._as_text(pair, old, new)
        if len(old.shapes) == 1 and len(new.shapes) == 1:
            sides = Sides(old.shapes[0], new.shapes[0], pair.flow, pair.turned)
            self._nulls(sides, old, new)
            return self._compared(sides, pair.level)
        return self._unions(pair, old, new)

    def _as_text(self, pair: Pair, old: Meaning, new: Meaning) -> tuple[Meaning, Meaning]:
        """Both meanings as they travel in a URL or header: null cannot, numbers are text, one value may be a list of one."""
        old_is_sent = (pair.flow is Flow.REQUEST) != pair.turned
        sent, known = (old, new) if old_is_sent else (new, old)
        mine, theirs = (self._old, self._new) if old_is_sent else (self._new, self._old)
        # Where values are not repeated a comma separates them, so only what has no comma is a list of one.
        repeated = pair.level in {"list", "field"}
        may_be_one = repeated or all(shape.types <= SCALARS - {"string"} for shape in sent.shapes)
        if may_be_one:
            sent, known = replace(sent, singles=_singles(sent, mine)), replace(known, singles=_singles(known, theirs))
        accepted = (*known.shapes, *known.singles)
        types = {name for shape in accepted for name in shape.types}
        parts: list[Shape] = []
        for whole in sent.shapes:
            for shape in _by_type(whole) if whole.types - types else [whole]:
                plain = shape.types <= SCALARS and "string" in types
                parts.append(values.as_text(shape) if plain and not shape.types <= types else shape)
        sent, known = replace(sent, nullable=False, shapes=tuple(parts)), replace(known, nullable=False, shapes=accepted)
        return (sent, known) if old_is_sent else (known, sent)

    def _compared(self, sides: Sides, level: str) -> Looked[Pair, Difference]:
        shared = values.compare(sides)
        if "object" in shared:
            old = objects.visible(sides.old, sides.flow, self._old)
            new = objects.visible(sides.new, sides.flow, self._new)
            objects.compare(sides, old, new)
            if sides.flow is Flow.REQUEST and not sides.turned:
                self._defaults(sides, old, new)
        if "array" in shared:
            objects.compare_arrays(sides)
        constraints.compare(sides, shared)
        self._others(sides, shared)
        below = "schema" if level == "field" and "object" in shared else _BELOW[level]
        for one, other, turned in sides.needed:
            pair = self._whole_pair(one, other, sides.flow, turned=sides.turned != turned, level=below)
            if pair is not None:
                sides.looked.needs.append(pair)
        return sides.looked

    def _defaults(self, sides: Sides, old: dict[str, tuple[Part, ...]], new: dict[str, tuple[Part, ...]]) -> None:
        """What a caller leaves out is what the default says, so another default is another request."""
        for name in old.keys() & new.keys() - sides.old.required:
            values_ = None if self.sameness.same(old[name], new[name]) else self.defaults(old[name], new[name])
            if values_ is not None:
                before, after = (canonical(value) if value is not None else "none" for value in values_)
                what = f"The default of the property `{name}` goes from {before} to {after}."
                sides.differ("default", what, detail=f"{name} {before} {after}", at=old[name][0])

    @staticmethod
    def _others(sides: Sides, shared: frozenset[str]) -> None:
        """Compares keywords whose meaning is not looked into: another text counts as another meaning."""
        if not shared:
            return
        same_condition = sides.known.others.get("if") == sides.sent.others.get("if")
        for keyword, texts in sides.known.others.items():
            theirs = sides.sent.others.get(keyword, frozenset())
            if texts <= theirs:
                continue
            if len(texts) == len(theirs) == 1 and (keyword == "not" or (keyword in {"then", "else"} and same_condition)):
                # Where more is excluded less is allowed, so below `not` the roles are swapped.
                sides.need((sides.sent.where[keyword],), (sides.known.where[keyword],), turned=keyword == "not")
                continue
            sides.differ("constraint", f"`{keyword}` differs.", keyword, "\n".join(sorted(texts - theirs)))

    def _nulls(self, sides: Sides, old: Meaning, new: Meaning) -> None:
        sent, known = (old, new) if sides.old_is_sent else (new, old)
        untyped = len(sent.shapes) == 1 and len(sent.shapes[0].types) == len(TYPES) - 1
        if sent.nullable and not known.nullable and not untyped:  # that anything was allowed is said by the type
            what = "is no longer accepted" if sides.old_is_sent else "may now be answered"
            sides.differ("null", f"null {what}.", "type")

    def _unions(self, pair: Pair, old: Meaning, new: Meaning) -> Looked[Pair, Difference]:
        empty_old, empty_new = _nothing(self._wholes[True, pair.old]), _nothing(self._wholes[False, pair.new])
        frame = Sides(empty_old, empty_new, pair.flow, pair.turned)
        self._nulls(frame, old, new)
        sent, known = (old, new) if frame.old_is_sent else (new, old)
        if known.discriminator and not sent.discriminator and len(sent.shapes) > 1:
            sent = _tagged_by_constants(sent, known.discriminator)
        if known.discriminator and sent.discriminator != known.discriminator and len(sent.shapes) > 1:
            before, after = (f"`{each.discriminator}`" if each.discriminator else "none" for each in (old, new))
            what = f"The discriminator goes from {before} to {after}."
            frame.differ("discriminator", what, detail=f"{before} {after}")
        self._exclusive(frame, sent, known)
        tagged = bool(known.discriminator) and sent.discriminator == known.discriminator
        shapes = sent.shapes if len(known.shapes) < 2 else tuple(part for shape in sent.shapes for part in _by_type(shape))
        level = f"shape {pair.level}"
        for shape in shapes:
            self._fits_one(frame, shape, sent.shapes, known.shapes, level, tagged=tagged)
        return frame.looked

    @staticmethod
    def _exclusive(frame: Sides, sent: Meaning, known: Meaning) -> None:
        """`oneOf` refuses what fits two of its alternatives, so callers must not have been able to send that.

        What callers send has the properties that they know. An answer that fits two alternatives breaks no reader.
        """
        if not known.exclusive or frame.flow is not Flow.REQUEST:
            return
        for shape in sent.shapes:
            others = (other for other in (*sent.shapes, *sent.singles) if other is not shape)
            if sent.exclusive and any(overlap.possible(shape, other, tagged=False) for other in others):
                continue  # what fits two was refused before
            fitting = [other for other in known.shapes if overlap.expected(shape, other)]
            pairs = ((one, other) for index, one in enumerate(fitting) for other in fitting[:index])
            if any(overlap.possible(one, other) for one, other in pairs):
                name = shape.name or values.named(shape.types)
                what = f"A value that fits several alternatives ({name}) no longer fits `oneOf`."
                frame.differ("overlap", what, detail="exclusive")
                return

    def _fits_one(
        self, frame: Sides, shape: Shape, sent: tuple[Shape, ...], known: tuple[Shape, ...], level: str, *, tagged: bool
    ) -> None:
        """Requires that one alternative of what is sent fits into one of those that are known."""
        name = shape.name or values.named(shape.types)
        candidates = [other for other in known if shape.types & other.types and not overlap.told_apart(shape, other)]
        if tagged and shape.tags:
            for tag in sorted(shape.tags - {tag for other in known for tag in other.tags}):
                word = "removed" if frame.old_is_sent else "added"
                frame.differ(
                    "discriminator",
                    f"The discriminator's value `{tag}` ({name}) is {word}.",
                    detail=tag,
                    at=_base(frame, shape),
                )
            candidates = [other for other in candidates if shape.tags & other.tags]
            if not candidates:
                return  # said by its tags
        word = "is no longer accepted" if frame.old_is_sent else "may now be answered"
        otherwise = Difference(
            "alternative",
            frame.flow,
            f"The alternative {name} {word}.",
            shape.pointer,
            frame.old_is_sent,
            frame.old.place,
            name,
        )
        pairs = [self._shape_pair(frame, level, shape, other) for other in candidates]
        frame.looked.choices.append(Choice(tuple(pairs), otherwise, self._nearest(shape, sent, candidates, pairs)))

    @staticmethod
    def _nearest(shape: Shape, sent: tuple[Shape, ...], candidates: list[Shape], pairs: list[Pair]) -> Pair | None:
        """The candidate that the alternative became: what differs there says more than that nothing fits."""
        for other, pair in zip(candidates, pairs, strict=True):
            if shape.name and shape.name == other.name:
                return pair
        if len(pairs) != 1:
            return None
        names = {each.name for each in sent if each is not shape}
        alone = len(sent) == 1 or (
            "object" not in shape.types and len([each for each in sent if each.types & shape.types]) == 1
        )
        return pairs[0] if alone or (shape.name and candidates[0].name and candidates[0].name not in names) else None

    def _shape_pair(self, frame: Sides, level: str, sent: Shape, known: Shape) -> Pair:
        old, new = (sent, known) if frame.old_is_sent else (known, sent)
        self._shapes[True, old.key] = old
        self._shapes[False, new.key] = new
        return Pair(level, old.key, new.key, frame.flow, frame.turned)


def _base(frame: Sides, shape: Shape) -> Part | None:
    return Part(None, shape.pointer, shape.place) if frame.old_is_sent else None


def _nothing(whole: Whole) -> Shape:
    """Stands for a whole union where only its place matters."""
    first = whole.parts[0] if whole.parts else Part(None, "#", "#")
    return Shape(whole.key, first.pointer, first.place)


def _singles(meaning: Meaning, schemas: Schemas) -> tuple[Shape, ...]:
    """Returns the shapes of one item of each list that may have one."""
    found: list[Shape] = []
    for shape in meaning.shapes:
        if "array" in shape.types and isinstance(shape.items, tuple) and shape.sizes.get("minItems", 0) < 2:
            found += schemas.meaning(schemas.whole(shape.items)).shapes
    return tuple(found)


def _by_type(shape: Shape) -> list[Shape]:
    """A shape of several types as one shape each: `[string, integer]` fits into `anyOf` of the two."""
    kinds = [name for name in sorted(shape.types) if not (name == "integer" and "number" in shape.types)]
    if len(kinds) < 2:
        return [shape]
    return [
        replace(
            shape,
            key=(*shape.key, f"type {kind}"),
            name="",
            types=frozenset({kind, "integer"} if kind == "number" else {kind}) & shape.types,
        )
        for kind in kinds
    ]


def _tagged_by_constants(sent: Meaning, name: str) -> Meaning:
    """The union with the constants of a required property as its tags, if each alternative has them."""
    tagged = [replace(shape, tags=overlap.texts(shape, name)) for shape in sent.shapes]
    return replace(sent, shapes=tuple(tagged), discriminator=name) if all(shape.tags for shape in tagged) else sent
