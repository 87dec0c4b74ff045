"""What Django's squashes stand for, from the files and what is applied."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from cicd_actions.run_migrations_oneshot.in_image import squashes

_ONE, _TWO, _THREE, _SQUASH, _AGAIN = (("shop", name) for name in ("1", "2", "3", "s", "t"))


def disk(*plain: squashes.Key, **squashed: list[squashes.Key]) -> dict[squashes.Key, Any]:
    found: dict[squashes.Key, Any] = {key: SimpleNamespace(replaces=[]) for key in plain}
    return found | {("shop", name): SimpleNamespace(replaces=keys) for name, keys in squashed.items()}


def test_squash_of_a_squash_replaces_all_of_it() -> None:
    files = disk(s=[_ONE, _TWO], t=[_SQUASH, _THREE])
    assert squashes.replaced(_AGAIN, files) == [_SQUASH, _THREE, _ONE, _TWO]
    assert squashes.replaced(_ONE, files) == []
    assert squashes.replaced(_SQUASH, disk(s=[_SQUASH, _ONE])) == [_ONE]


@pytest.mark.parametrize(
    ("files", "applied", "missing"),
    [
        (disk(_ONE, _TWO, _THREE, s=[_ONE, _TWO, _THREE]), {_ONE}, None),
        (disk(s=[_ONE, _TWO, _THREE]), {_ONE, _TWO, _THREE}, None),
        (disk(s=[_ONE, _TWO, _THREE]), set(), None),
        (disk(_TWO, s=[_ONE, _TWO, _THREE]), {_ONE}, ["shop.3"]),
        (disk(s=[_ONE, _TWO], t=[_SQUASH, _THREE]), {_ONE, _TWO}, ["shop.3"]),
        (disk(t=[_SQUASH, _THREE]), {_SQUASH}, ["shop.3"]),
    ],
)
def test_squash_is_stuck_where_what_is_left_of_it_has_no_file(
    files: dict[squashes.Key, Any], applied: set[squashes.Key], missing: list[str] | None
) -> None:
    found = squashes.stuck(files, applied)
    assert [each["missing"] for each in found] == ([missing] if missing else [])


def test_squash_of_a_squash_is_nested_before_django_6() -> None:
    files = disk(s=[_ONE], t=[_SQUASH])
    assert squashes.nested(files, (5, 2, 1)) == {"revision": "shop.t", "other": "shop.s"}
    assert squashes.nested(files, (6, 0)) == {}
    assert squashes.nested(disk(s=[_ONE]), (5, 2)) == {}


def test_replaced_migration_is_not_newer_than_the_image() -> None:
    times = [SimpleNamespace(applied=dt.datetime(2026, 1, day, tzinfo=dt.timezone.utc)) for day in (1, 2, 3)]
    applied = dict(zip((_ONE, _TWO, _THREE), times, strict=True))
    loader = SimpleNamespace(applied_migrations=applied, disk_migrations=disk(_ONE, s=[_TWO]))
    assert squashes.unknown(loader) == ["shop.3"]


def test_target_is_the_last_replaced_one_where_the_squash_is_left_out() -> None:
    files = disk(_ONE, s=[_ONE, _TWO], t=[_THREE, _SQUASH])
    replacing = {key: one for key, one in files.items() if one.replaces}
    loader = SimpleNamespace(
        graph=SimpleNamespace(nodes={_ONE, _TWO}), replacements=replacing, disk_migrations=files, applied_migrations={}
    )
    assert [squashes.in_graph(loader, key) for key in (_AGAIN, _SQUASH, _ONE)] == [_TWO, _TWO, _ONE]
    loader.replacements = disk(s=[_SQUASH])
    assert squashes.in_graph(loader, _SQUASH) == _SQUASH
    loader.graph.nodes = {_AGAIN}
    assert [squashes.over(loader, key) for key in (_AGAIN, _TWO, ("late", "1"))] == ["", "shop.t", ""]
