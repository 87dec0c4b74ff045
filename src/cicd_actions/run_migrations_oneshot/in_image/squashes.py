"""Django's squashes: migrations that replace others.

Django leaves a squash out of its graph while only some of what it replaces is applied, and runs the replaced ones instead.
Where their files are gone, it silently runs nothing, or what follows on a schema that lacks them:
https://docs.djangoproject.com/en/stable/topics/migrations/#squashing-migrations
"""

from __future__ import annotations

from typing import Any, Container, Mapping, Tuple

Key = Tuple[str, str]


def malformed(disk: Mapping[Key, Any]) -> str:
    """Returns what is wrong with the first `replaces` that Django cannot unpack, after it ran the migration; else nothing."""
    for key in sorted(disk):
        for each in getattr(disk[key], "replaces", None) or ():
            if isinstance(each, str) or len(tuple(each)) != 2:
                return f"`replaces` of {named(key)} holds {each!r}, which is not a pair of app and name"
    return ""


def replaced(key: Key, disk: Mapping[Key, Any]) -> list[Key]:
    """Returns all that a migration of the disk replaces, also through other squashes."""
    found: dict[Key, None] = {}
    todo = [key]
    while todo:
        for each in map(tuple, getattr(disk.get(todo.pop(0)), "replaces", None) or ()):
            if each not in found and each != key:
                found[each] = None
                todo.append(each)
    return list(found)


def stuck(disk: Mapping[Key, Any], applied: Container[Key]) -> list[dict[str, Any]]:
    """Returns the squashes that the database is half through and that Django cannot finish: what is `missing` has no file."""
    found = []
    for key in sorted(disk):
        parts = [each for each in replaced(key, disk) if not getattr(disk.get(each), "replaces", None)]
        left = [each for each in parts if each not in applied]
        missing = [named(each) for each in left if each not in disk]
        if missing and len(left) < len(parts):
            found.append({"revision": named(key), "missing": missing[:20]})
    return found


def nested(disk: Mapping[Key, Any], version: tuple[Any, ...]) -> dict[str, str]:
    """Returns a squash of the disk that replaces another one, as `revision` and `other`; nothing from Django 6.0 on.

    Before, Django takes them in the order of a set, and fails in one of the two: https://code.djangoproject.com/ticket/24529
    """
    squashed = {key for key, one in disk.items() if getattr(one, "replaces", None)}
    pairs = [(key, other) for key in sorted(squashed) for other in replaced(key, disk) if other in squashed]
    return {"revision": named(pairs[0][0]), "other": named(pairs[0][1])} if pairs and version < (6, 0) else {}


def over(loader: Any, target: Key) -> str:
    """Returns the squash that the graph has instead of a target, empty where it has the target."""
    if target in loader.graph.nodes or target in loader.applied_migrations:
        return ""
    return next((named(key) for key in loader.graph.nodes if target in replaced(key, loader.disk_migrations)), "")


def in_graph(loader: Any, target: Key) -> Key:
    """Returns the migration that stands for a target. For a squash that is half applied, Django takes the last replaced one."""
    seen = set()
    while target not in loader.graph.nodes and target in loader.replacements and target not in seen:
        seen.add(target)
        target = tuple(loader.replacements[target].replaces[-1])
    return target


def unknown(loader: Any) -> list[str]:
    """Returns applied migrations that a newer image brought. Older ones are gone from the image after a squash."""
    applied, disk = loader.applied_migrations, loader.disk_migrations
    squashed = {each for key in disk for each in replaced(key, disk)}
    newest: dict[str, Any] = {}
    for (app, name), record in applied.items():
        if (app, name) in disk and getattr(record, "applied", None) is not None:
            newest[app] = max(newest.get(app, record.applied), record.applied)
    return sorted(
        named((app, name))
        for (app, name), record in applied.items()
        if (app, name) not in disk and (app, name) not in squashed and app in newest and record.applied > newest[app]
    )


def named(key: Key) -> str:
    """Returns a migration as it is reported."""
    return ".".join(key)
