"""Compares schemas as sets of values: what is sent has to fit into what the other end knows."""

from __future__ import annotations

from dataclasses import replace

from cicd_actions.verify_openapi_client.breaking import objects, values
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, canonical, mapping, sequence
from cicd_actions.verify_openapi_client.breaking.graph import Choice, Graph, Looked
from cicd_actions.verify_openapi_client.breaking.rules import Flow
from cicd_actions.verify_openapi_client.breaking.sameness import Sameness
from cicd_actions.verify_openapi_client.breaking.shape import TYPES, Meaning, Shape, Whole
from cicd_actions.verify_openapi_client.breaking.shapes import Schemas
from cicd_actions.verify_openapi_client.breaking.sides import Difference, Pair, Sides

MOST_PAIRS = 200_000
"""Pairs of schemas that one comparison looks at: less than a minute's work."""


class SchemaComparison:
    """The schemas of two documents, compared from many places. Raises `graph.TooMuch` in `need` and `solve`."""

    def __init__(self, old: Document, new: Document, *, limit: int = MOST_PAIRS) -> None:
        self.sameness = Sameness(old, new)
        self._old = Schemas(old)
        self._new = Schemas(new)
        self._wholes: dict[tuple[bool, tuple[str, ...]], Whole] = {}
        self._shapes: dict[tuple[bool, tuple[str, ...]], Shape] = {}
        self._graph: Graph[Pair, Difference] = Graph(self._look, limit)

    def need(self, old: tuple[Part, ...], new: tuple[Part, ...], flow: Flow) -> Pair | None:
        """Have two schemas compared; `None` when they are the same."""
        pair = self._whole_pair(old, new, flow, turned=False)
        if pair is not None:
            self._graph.need(pair)
        return pair

    def solve(self) -> None:
        """Compare all that was asked for."""
        self._graph.solve()

    def marks(self, pairs: list[Pair]) -> int:
        """What is wrong with these pairs and everything below them, as a set of bits for `differences`."""
        return self._graph.marks(pairs)

    def differences(self, marks: int) -> list[Difference]:
        """What the bits stand for."""
        return self._graph.differences(marks)

    def meanings(self, old: tuple[Part, ...], new: tuple[Part, ...]) -> tuple[Meaning, Meaning]:
        """What the two schemas allow."""
        return self._old.meaning(self._old.whole(old)), self._new.meaning(self._new.whole(new))

    def _whole_pair(self, old: tuple[Part, ...], new: tuple[Part, ...], flow: Flow, *, turned: bool) -> Pair | None:
        if self.sameness.same(old, new):
            return None
        one, other = self._old.whole(old), self._new.whole(new)
        if (one.never, one.null_too) == (other.never, other.null_too) and self.sameness.same(one.parts, other.parts):
            return None
        self._wholes[True, one.key] = one
        self._wholes[False, other.key] = other
        return Pair("schema", one.key, other.key, flow, turned)

    def _look(self, pair: Pair) -> Looked[Pair, Difference]:
        if pair.level == "shape":
            sides = Sides(self._shapes[True, pair.old], self._shapes[False, pair.new], pair.flow, pair.turned)
            return self._compared(sides)
        old = self._old.meaning(self._wholes[True, pair.old])
        new = self._new.meaning(self._wholes[False, pair.new])
        if len(old.shapes) == 1 and len(new.shapes) == 1:
            sides = Sides(old.shapes[0], new.shapes[0], pair.flow, pair.turned)
            self._nulls(sides, old, new)
            return self._compared(sides)
        return self._unions(pair, old, new)

    def _compared(self, sides: Sides) -> Looked[Pair, Difference]:
        shared = values.compare(sides)
        if "object" in shared:
            objects.compare(
                sides,
                objects.visible(sides.old, sides.flow, self._old),
                objects.visible(sides.new, sides.flow, self._new),
            )
        if "array" in shared:
            objects.compare_arrays(sides)
        self._others(sides, shared)
        for one, other in sides.needed:
            pair = self._whole_pair(one, other, sides.flow, turned=sides.turned)
            if pair is not None:
                sides.looked.needs.append(pair)
        return sides.looked

    def _others(self, sides: Sides, shared: frozenset[str]) -> None:
        """Keywords whose meaning is not looked into: another text is taken for another meaning."""
        if not shared:
            return
        for keyword, texts in sides.known.others.items():
            theirs = sides.sent.others.get(keyword, frozenset())
            if texts <= theirs:
                continue
            if keyword == "not" and len(texts) == 1 and len(theirs) == 1:
                # Where more is excluded less is allowed, so below `not` the roles are swapped.
                old, new = (sides.old.where["not"],), (sides.new.where["not"],)
                pair = self._whole_pair(old, new, sides.flow, turned=not sides.turned)
                if pair is not None:
                    sides.looked.needs.append(pair)
                continue
            sides.differ("constraint", f"`{keyword}` differs.", keyword, "\n".join(sorted(texts - theirs)))

    def _nulls(self, sides: Sides, old: Meaning, new: Meaning) -> None:
        sent, known = (old, new) if sides.old_is_sent else (new, old)
        untyped = len(sent.shapes) == 1 and len(sent.shapes[0].types) == len(TYPES) - 1
        if sent.nullable and not known.nullable and not untyped:  # that anything was allowed is said by the type
            what = "is no longer accepted" if sides.old_is_sent else "may be answered from now on"
            sides.differ("null", f"null {what}.", "type")

    def _unions(self, pair: Pair, old: Meaning, new: Meaning) -> Looked[Pair, Difference]:
        empty_old, empty_new = _nothing(self._wholes[True, pair.old]), _nothing(self._wholes[False, pair.new])
        frame = Sides(empty_old, empty_new, pair.flow, pair.turned)
        self._nulls(frame, old, new)
        sent, known = (old, new) if frame.old_is_sent else (new, old)
        tagged = bool(sent.discriminator) and bool(known.discriminator)
        if tagged and sent.discriminator != known.discriminator:
            frame.differ(
                "discriminator",
                f"The discriminator goes from `{old.discriminator}` to `{new.discriminator}`.",
                detail=f"{old.discriminator} {new.discriminator}",
            )
        shapes = sent.shapes if len(known.shapes) < 2 else tuple(part for shape in sent.shapes for part in _by_type(shape))
        for shape in shapes:
            self._fits_one(frame, shape, sent.shapes, known.shapes, tagged=tagged and sent.discriminator == known.discriminator)
        return frame.looked

    def _fits_one(self, frame: Sides, shape: Shape, sent: tuple[Shape, ...], known: tuple[Shape, ...], *, tagged: bool) -> None:
        """One alternative of what is sent has to fit into one of those that are known."""
        name = shape.name or values.named(shape.types)
        candidates = [other for other in known if shape.types & other.types and not _told_apart(shape, other)]
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
        word = "is no longer accepted" if frame.old_is_sent else "may be answered from now on"
        otherwise = Difference(
            "alternative",
            frame.flow,
            f"The alternative {name} {word}.",
            shape.pointer,
            frame.old_is_sent,
            frame.old.place,
            name,
        )
        pairs = [self._shape_pair(frame, shape, other) for other in candidates]
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

    def _shape_pair(self, frame: Sides, sent: Shape, known: Shape) -> Pair:
        old, new = (sent, known) if frame.old_is_sent else (known, sent)
        self._shapes[True, old.key] = old
        self._shapes[False, new.key] = new
        return Pair("shape", old.key, new.key, frame.flow, frame.turned)


def _base(frame: Sides, shape: Shape) -> Part | None:
    return Part(None, shape.pointer, shape.place) if frame.old_is_sent else None


def _nothing(whole: Whole) -> Shape:
    """Stands for a whole union where only its place matters."""
    first = whole.parts[0] if whole.parts else Part(None, "#", "#")
    return Shape(whole.key, first.pointer, first.place)


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


def _told_apart(one: Shape, other: Shape) -> bool:
    """Whether a property with constant values says that no value can be both (a tagged union without discriminator)."""
    for name, parts in one.properties.items():
        if name in one.required and name in other.properties:
            mine, theirs = _constants(parts), _constants(other.properties[name])
            if mine and theirs and not mine & theirs:
                return True
    return False


def _constants(parts: tuple[Part, ...]) -> frozenset[str]:
    found: set[str] = set()
    for part in parts:
        raw = mapping(part.raw)
        found |= {canonical(value) for value in sequence(raw.get("enum"))}
        if "const" in raw:
            found.add(canonical(raw["const"]))
    return frozenset(found)
