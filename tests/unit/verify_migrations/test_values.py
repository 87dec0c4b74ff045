"""Generated values: distinct where they are tame, within the type's bounds where they are hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.verify_migrations.inputs import Level, Setting, setting
from cicd_actions.verify_migrations.project import same_text, sizes
from cicd_actions.verify_migrations.rows import _constants, _pool
from cicd_actions.verify_migrations.values import Type, hostile, tame


@pytest.mark.parametrize(
    "type_",
    ["integer", "character varying(3)", "text", "uuid", "numeric(5,2)", "timestamp with time zone", "inet", "bytea", "text[]"],
)
def test_tame_values_are_distinct(type_: str) -> None:
    made = [tame(Type.of(type_), "name", i, {}) for i in range(1, 101)]
    assert len(set(made)) == 100


@pytest.mark.parametrize("size", [1, 2, 5, 50, 255])
def test_text_fits_its_column(size: int) -> None:
    type_ = Type.of(f"character varying({size})")
    assert all(len(make(type_, "a_long_column_name", i, {}) or "") <= size for i in range(200) for make in (tame, hostile))


def test_type_with_precision_and_zone_is_taken_apart() -> None:
    assert Type.of("timestamp(3) without time zone") == Type("timestamp without time zone", 3, 0, array=False)
    assert Type.of("numeric(10,2)[]") == Type("numeric", 10, 2, array=True)
    assert tame(Type.of("unknown_type"), "c", 1, {}) is None


def test_check_that_lists_values_gives_a_pool() -> None:
    listed = "CHECK (((st)::text = ANY ((ARRAY['a'::character varying, 'b''c'::character varying])::text[])))"
    assert _pool(listed) == ["a", "b'c"]
    assert _pool("CHECK ((age > 17))") == []
    assert _constants("CHECK ((k >= 1000) AND (k < 2000))") == ["1000", "2000"]


def test_revision_with_other_comments_and_phase_is_the_same() -> None:
    old = '"""Do it."""\nrevision = "a"\ndef upgrade():\n    op.x()\n'
    assert same_text(old, '# note\nrevision = "a"\ndeploy_phase = "expand"\n\n\ndef upgrade():\n    """Doc."""\n    op.x()\n')
    assert not same_text(old, old.replace("op.x", "op.y"))
    assert not same_text("SELECT 1", "SELECT 2")


def test_rule_setting_is_about_a_table_or_column() -> None:
    assert setting("blocking-* at audit_*: warn") == Setting("blocking-*", "audit_*", Level.WARN)
    assert setting("column-missing at users: off").holds("column-missing", "users#name")
    assert setting("column-missing at users.name: off").holds("column-missing", "users#name")
    assert not setting("column-missing at users.nick: off").holds("column-missing", "users#name")


@pytest.mark.parametrize("number", ["1e999", "9" * 5000, "NaN", "null", '"many"', "[" * 100_000])
def test_table_size_that_is_no_whole_number_is_refused(number: str, tmp_path: Path) -> None:
    file = tmp_path / "sizes.json"
    file.write_text(f'{{"orders": {number}}}', "utf-8")
    with pytest.raises(UnusableInput, match=r"^Could not read sizes\.json, the file of the input `table-sizes`: "):
        sizes(file, "sizes.json")
