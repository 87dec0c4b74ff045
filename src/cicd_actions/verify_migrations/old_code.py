"""What the running release meets on the new schema: which statements fail, and what became of table and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cicd_actions.verify_migrations.catalog import Catalog, called
from cicd_actions.verify_migrations.replay import Need, Refused, Statement
from cicd_actions.verify_migrations.rules import Trouble
from cicd_actions.verify_migrations.segments import Segment
from cicd_actions.verify_migrations.values import Type

_REFUSALS = {"23514", "23505", "23503", "23P01"}
"""A check, unique, foreign key or exclusion constraint refuses the values, which are made up."""

_CHANGES = frozenset({"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"})
"""What commands that change a table hold, and what reads and writes do not."""

_FAMILIES = {
    "number": {"smallint", "integer", "bigint", "oid"},
    "decimal": {"numeric", "money"},
    "float": {"real", "double precision"},
    "text": {"text", "character varying", "character", "citext", "name", "bpchar"},
    "json": {"json", "jsonb"},
}


def troubles(
    segments: Sequence[Segment],
    listed: Sequence[Statement],
    before: Mapping[Statement, Refused],
    after: Mapping[Statement, Refused],
    *,
    assumed: bool,
) -> list[Trouble]:
    """Returns what breaks. `assumed`: the models are not known, so all of base's schema counts as used."""
    base, now = segments[0].before, segments[-1].after
    new = [one for one in listed if one in after and one not in before]
    found = [_explained(_Failure(segments, one, after[one])) for one in new]
    needs = {one.need.oid: one.need for one in listed}
    for need in needs.values():
        found += _silent(segments, need, base, now)
    found += _elsewhere(segments, base, now)
    kept: dict[tuple[str, str], Trouble] = {}
    for each in found:
        kept.setdefault((each.rule, each.place), each)
    broken = {each.place.partition("#")[0] for each in kept.values() if each.rule == "table-missing"}
    result = [each for each in kept.values() if each.rule == "table-missing" or each.place.partition("#")[0] not in broken]
    precise = {each.place.partition("#")[0] for each in result if each.rule not in {"statement-fails", "constraint-violated"}}
    result = [each for each in result if each.rule != "statement-fails" or each.place not in precise]
    return [_softer(each) for each in result] if assumed else result


def _softer(trouble: Trouble) -> Trouble:
    if trouble.rule not in {"table-missing", "column-missing", "column-type"}:
        return trouble
    return replace(trouble, what=f"{trouble.what} (its models could not be asked: all of the schema counts as used)")


@dataclass(frozen=True)
class _Failure:
    """A statement that fails now. `old` and `new` are the columns of its table by number; `new` is empty without the table."""

    segments: Sequence[Segment]
    statement: Statement
    refused: Refused

    @property
    def need(self) -> Need:
        return self.statement.need

    @property
    def table(self) -> Mapping[str, Any]:
        return self.segments[0].before["tables"][self.need.oid]  # type: ignore[no-any-return]

    @property
    def now(self) -> Mapping[str, Any] | None:
        return self.segments[-1].after["tables"].get(self.need.oid)  # type: ignore[no-any-return]

    @property
    def old(self) -> Mapping[str, Any]:
        return self.table["columns"] or {}

    @property
    def new(self) -> Mapping[str, Any]:
        return (self.now or {}).get("columns") or {}

    @property
    def says(self) -> str:
        model = f" ({self.need.model})" if self.need.model else ""
        what = f"the running release's {self.statement.kind} on {called(self.table)}{model}"
        return f"{what} fails: {self.refused.message}"

    def trouble(self, rule: str, what: str = "", element: str = "") -> Trouble:
        label = called(self.table)
        where = f"{label}.{element}" if element and rule != "constraint-violated" else label
        return _made(self.segments, rule, f"{where}{f' {what};' if what else ':'} {self.says}", self.need, element)


def _explained(failure: _Failure) -> Trouble:
    explained = (explain(failure) for explain in (_table_gone, _column_gone, _required, _label_refused, _type_refused))
    found = next((each for each in explained if each is not None), None)
    if found is not None:
        return found
    # A row without a partition is refused by no constraint.
    partition = failure.table["kind"] == "p" and not failure.refused.constraint
    if failure.refused.code in _REFUSALS and not partition and not _made_by_the_server(failure):
        return failure.trouble("constraint-violated", element=failure.refused.constraint)
    return failure.trouble("grant-missing" if failure.refused.code == "42501" else "statement-fails")


def _made_by_the_server(failure: _Failure) -> bool:
    """Whether a unique constraint refuses a value that the statement leaves to the server, such as one of a sequence."""
    constraint = ((failure.now or {}).get("constraints") or {}).get(failure.refused.constraint) or {}
    numbers = constraint.get("columns") or ()
    names = {(failure.new.get(str(number)) or {}).get("name") for number in numbers}
    return failure.refused.code == "23505" and bool(names) and not names & failure.statement.written


def _table_gone(failure: _Failure) -> Trouble | None:
    now, table = failure.now, failure.table
    if failure.refused.code not in {"42P01", "3F000"} or (now and called(now) == called(table)):
        return None
    return failure.trouble("table-missing", f"is now {called(now)}" if now else "is gone")


def _column_gone(failure: _Failure) -> Trouble | None:
    if failure.refused.code != "42703" or failure.now is None:
        return None
    for at, column in failure.old.items():
        after = failure.new.get(at)
        if column["name"] in failure.need.columns and (after is None or after["name"] != column["name"]):
            became = f"is now {after['name']}" if after else "is gone"
            return failure.trouble("column-missing", became, column["name"])
    return None


def _required(failure: _Failure) -> Trouble | None:
    if failure.refused.code != "23502" or not failure.refused.column:
        return None
    was = next((column for column in failure.old.values() if column["name"] == failure.refused.column), None)
    if was is None:
        return failure.trouble("new-required-column", "is required", failure.refused.column)
    return failure.trouble("default-missing" if was["notnull"] else "column-required", element=failure.refused.column)


def _label_refused(failure: _Failure) -> Trouble | None:
    types = {column["type"] for column in failure.old.values()} if failure.refused.code == "22P02" else set()
    gone = [(type_, labels) for type_, labels in _labels_gone(failure.segments) if type_ in types]
    return _label(failure.segments, *gone[0]) if gone else None


def _type_refused(failure: _Failure) -> Trouble | None:
    if failure.refused.code not in {"42804", "22P02", "22001", "22003", "42883", "22007"}:
        return None
    changed = [column["name"] for at, column in failure.old.items() if failure.new.get(at, column)["type"] != column["type"]]
    return failure.trouble("column-type", element=changed[0]) if changed else None


def _silent(segments: Sequence[Segment], need: Need, base: Catalog, now: Catalog) -> Iterator[Trouble]:
    """What no statement of ours fails at: a type of another family, a label that is gone, rows that are hidden."""
    old, new = base["tables"][need.oid], now["tables"].get(need.oid)
    if new is None:
        return
    label = called(old)
    for at, column in (old["columns"] or {}).items():
        after = (new["columns"] or {}).get(at)
        if after is None or after["name"] != column["name"] or column["name"] not in need.columns:
            continue
        if not _same_family(column["type"], after["type"]):
            what = f"{label}.{column['name']} was {column['type']} and is {after['type']}"
            yield _made(segments, "column-type", what, need, column["name"])
        elif column["notnull"] and not after["notnull"]:
            yield _made(segments, "column-nullable", f"{label}.{column['name']} may be NULL now", need, column["name"])
        elif column["name"] in need.left and not column["notnull"] and _made_there(column) and not _made_there(after):
            what = f"{label}.{column['name']} has no default any longer, and the running release leaves it out"
            yield _made(segments, "default-missing", what, need, column["name"])
    if new["rls"] and new["rls"] != old["rls"] and old["rls"] != "forced":
        whom = " also for its owner" if new["rls"] == "forced" else ""
        yield _made(segments, "row-policy", f"row level security is on for {label}{whom}", need, "")
    elif new["rls"] and (old["policies"] or {}) != (new["policies"] or {}):
        yield _made(segments, "row-policy", f"the policies of {label} are others", need, "")


def _elsewhere(segments: Sequence[Segment], base: Catalog, now: Catalog) -> Iterator[Trouble]:
    for type_, gone in _labels_gone(segments):
        yield _label(segments, type_, gone)
    for name in base["functions"] or {}:
        if name not in (now["functions"] or {}) and not _replaced(name, now):
            guilty = _guilty(segments, partial(_has_function, name))
            yield Trouble("function-missing", f"{name} is gone", guilty, name)
    for thing, right in (base.get("rights") or {}).items():
        lost = set(right["held"] or ()) - set(_held(now, thing, right["held"] or ()))
        for each in sorted(lost):
            yield Trouble(
                "grant-missing",
                f"{right['name']}: {each} is revoked",
                _guilty(segments, partial(_has_right, thing, right["held"], each)),
                right["name"],
            )


def _labels_gone(segments: Sequence[Segment]) -> Iterator[tuple[str, list[str]]]:
    now = segments[-1].after["enums"] or {}
    for type_, labels in (segments[0].before["enums"] or {}).items():
        gone = [label for label in labels or () if label not in (now.get(type_, labels) or ())]
        if gone:
            yield type_, gone


def _label(segments: Sequence[Segment], type_: str, gone: list[str]) -> Trouble:
    what = f"the type {type_} no longer has {', '.join(gone)}"
    return Trouble("label-missing", what, _guilty(segments, lambda c: (c["enums"] or {}).get(type_)), type_)


def _replaced(name: str, now: Catalog) -> bool:
    """A function with further arguments that have defaults is called as before. What else changed, the replay finds."""
    stem, _, arguments = name.partition("(")
    before = arguments.rstrip(")")
    return any(each.startswith(f"{stem}({before}") for each in (now["functions"] or {}))


def _held(catalog: Catalog, thing: str, held: Sequence[str]) -> Sequence[str]:
    """Returns the rights on a thing that are left; `held` for one that is gone, which other rules tell. Its owner has all."""
    found = (catalog.get("rights") or {}).get(thing)
    if found is not None:
        return [*(found["held"] or ()), *(each for each in held if each.endswith(f" for {found['owner']}"))]
    kind, oid, *number = thing.split()
    columns = ((catalog["tables"] or {}).get(oid) or {}).get("columns") or {}
    return () if kind == "column" and number[0] in columns else held  # a column's last right leaves no list behind


def _has_right(thing: str, held: Sequence[str], right: str, catalog: Catalog) -> bool:
    return right in _held(catalog, thing, held)


def _made_there(column: Mapping[str, Any]) -> bool:
    """Whether the server makes the value of a column that an INSERT leaves out."""
    return column["default"] is not None or bool(column["generated"]) or bool(column["identity"])


def _has_function(name: str, catalog: Catalog) -> bool:
    return name in (catalog["functions"] or {})


def _same_family(old: str, new: str) -> bool:
    if old == new:
        return True
    one, two = Type.of(old), Type.of(new)
    if one.array != two.array:
        return False
    family = next((bases for bases in _FAMILIES.values() if one.base in bases), {one.base})
    return two.base in family


def _made(segments: Sequence[Segment], rule: str, what: str, need: Need, element: str) -> Trouble:
    label = called(segments[0].before["tables"][need.oid])
    place = f"{label}#{element}" if element else label
    base = segments[0].before
    states = [lambda c: _state(c, need, element), lambda c: _state(c, need, ""), lambda c: _turned_back(c, base, need)]
    guilty = next(filter(None, (_changing(segments, state) for state in states)), "") or _locking(segments, need.oid)
    return Trouble(rule, what, guilty or segments[-1].revision, place)


def _state(catalog: Catalog, need: Need, element: str) -> Any:
    table = catalog["tables"].get(need.oid)
    if table is None:
        return None
    columns = table["columns"] or {}
    if element:
        named = next((column for column in columns.values() if column["name"] == element), None)
        return (named, (table["constraints"] or {}).get(element))
    rest = (table["triggers"], table["policies"], table["rls"], table.get("replica"))
    return (table["schema"], table["name"], columns, *rest)


def _turned_back(catalog: Catalog, base: Catalog, need: Need) -> list[str]:
    """Returns the table's sequences that give a number again that they gave at base."""
    columns = (base["tables"][need.oid]["columns"] or {}).values()
    at, now = base["sequences"] or {}, catalog["sequences"] or {}
    sequences = [column["sequence"] for column in columns if column.get("sequence") in now]
    return [each for each in sequences if (now[each] or 0) < (at.get(each) or 0)]


def _guilty(segments: Sequence[Segment], state: Any) -> str:
    """Returns the first revision that changed what `state` sees; else the last one."""
    return _changing(segments, state) or segments[-1].revision


def _changing(segments: Sequence[Segment], state: Any) -> str:
    return next((segment.revision for segment in segments if state(segment.before) != state(segment.after)), "")


def _locking(segments: Sequence[Segment], oid: str) -> str:
    """Returns the first revision with a command that locked the table: a rule or a domain changes it from outside."""
    held = (segment.revision for segment in segments for entry in segment.entries if set(entry.locks.get(oid, ())) & _CHANGES)
    return next(held, "")
