"""Compares two catalogs: as a whole by name (is the schema the same again?), and table by table by oid (what became of it?)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Catalog = Mapping[str, Any]


def flat(catalog: Catalog) -> dict[str, str]:
    """Returns everything in it by its name, as text that is equal when the thing is. Order of columns does not count."""
    return dict(_things(catalog))


def _things(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for table in (catalog["tables"] or {}).values():
        label = called(table)
        yield f"table {label}", f"{table['kind']} rls={table['rls']} {table['definition'] or ''}"
        for column in (table["columns"] or {}).values():
            rest = "not null" if column["notnull"] else ""
            made = f"{column['generated']}{column['identity']}"
            yield f"column {label}.{column['name']}", f"{column['type']} {rest} {column['default'] or ''} {made}".strip()
        for name, one in (table["constraints"] or {}).items():
            yield f"constraint {label}.{name}", f"{one['definition']}{'' if one['valid'] else ' NOT VALID'}"
        for one in (table["indexes"] or {}).values():
            yield f"index {one['name']}", f"{one['definition']}{'' if one['valid'] else ' INVALID'}"
        for name, one in (table["triggers"] or {}).items():
            yield f"trigger {label}.{name}", f"{one['definition']} {one['enabled']}"
        for name, one in (table["policies"] or {}).items():
            yield f"policy {label}.{name}", str(sorted(one.items(), key=str))
    for name, labels in (catalog["enums"] or {}).items():
        yield f"type {name}", "enum"
        for one in labels or ():
            yield f"label {name}.{one}", ""
    for name, domain in (catalog["domains"] or {}).items():
        yield f"domain {name}", str(sorted(domain.items(), key=str))
    for name, source in (catalog["functions"] or {}).items():
        yield f"function {name}", source
    for name in catalog["sequences"] or ():
        yield f"sequence {name}", ""


def additive(before: Catalog, after: Catalog) -> bool:
    """Returns whether everything of `before` is still there as it was."""
    new = flat(after)
    return all(new.get(name) == what for name, what in flat(before).items())


def differences(wanted: Catalog, got: Catalog) -> list[str]:
    """Returns what the second one lacks, has more, or has otherwise.

    A label of an enum may stay: PostgreSQL cannot remove one (https://www.postgresql.org/docs/current/sql-altertype.html).
    """
    old, new = flat(wanted), flat(got)
    found = [f"{name} is missing" for name in old if name not in new]
    found += [f"{name} stayed" for name in new if name not in old and not name.startswith("label ")]
    found += [f"{name} is `{new[name]}`, not `{what}`" for name, what in old.items() if new.get(name, what) != what]
    return sorted(found)


def called(table: Mapping[str, Any]) -> str:
    """Returns a table's name for people: without the schema where that is the usual one."""
    return str(table["name"]) if table["schema"] in {"public", "main"} else f"{table['schema']}.{table['name']}"


def named(catalog: Catalog, schema: str, name: str) -> tuple[str, Mapping[str, Any]] | None:
    """Returns the oid and the table of that name. Without a schema, `public` comes first."""
    found = [
        (oid, table)
        for oid, table in (catalog["tables"] or {}).items()
        if table["name"] == name and schema in {"", table["schema"]}
    ]
    return min(found, key=lambda pair: pair[1]["schema"] != "public", default=None)


def root(catalog: Catalog, oid: str) -> str:
    """Returns the oid of the partitioned table that a partition belongs to, else the table's own."""
    table = (catalog["tables"] or {}).get(oid)
    while table and table["child"] and table["parent"] in catalog["tables"]:
        oid = table["parent"]
        table = catalog["tables"][oid]
    return oid
