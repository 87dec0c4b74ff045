"""Two sets of migrations that a person has labelled: dangerous for the traffic or the running release, or safe.

Each has a table of its name: `id` (key), `a` (integer, required), `b` (varchar(50)), `c` (text), `d` (timestamp with time zone).
The running release's models name all of them. `base` is SQL that runs before; `{t}` is the table. `up` is the revision's Python,
where `sql` stands for `op.execute`, and `apart` for `with op.get_context().autocommit_block()`.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """`models`: columns of the running release beside the usual ones, as SQLAlchemy. `without`: usual columns that it does not
    use. `phase` is what the revision declares."""

    name: str
    dangerous: bool
    up: str
    base: str = ""
    models: str = ""
    without: str = ""
    phase: str = ""


def bad(name: str, up: str, base: str = "", models: str = "", without: str = "") -> Case:
    return Case(name, True, up, base, models, without)


def good(name: str, up: str, base: str = "", models: str = "", without: str = "") -> Case:
    return Case(name, False, up, base, models, without)


OTHER = "create table {t}_other(id serial primary key, v int);"

FIRST = (
    # The code that runs now
    bad("drop_column", "op.drop_column('{t}', 'b')"),
    bad("drop_table", "op.drop_table('{t}')"),
    bad("rename_column", "op.alter_column('{t}', 'b', new_column_name='bb')"),
    bad("rename_table", "op.rename_table('{t}', '{t}_new')"),
    bad("required_column", "sql('alter table {t} add e int not null default 0'); sql('alter table {t} alter e drop default')"),
    bad(
        "set_not_null",
        "op.alter_column('{t}', 'a2', nullable=False)",
        "alter table {t} add a2 int;",
        "sa.Column('a2', sa.Integer)",
    ),
    bad(
        "drop_default",
        "op.alter_column('{t}', 'e', server_default=None)",
        "alter table {t} add e int not null default 1;",
        "sa.Column('e', sa.Integer, nullable=False, server_default='1')",
    ),
    bad(
        "rename_label",
        "sql(\"alter type {t}_mood rename value 'ok' to 'fine'\")",
        "create type {t}_mood as enum ('sad', 'ok'); alter table {t} add e {t}_mood;",
        "sa.Column('e', sa.Enum('sad', 'ok', name='{t}_mood'))",
    ),
    bad("drop_function", "sql('drop function {t}_f()')", "create function {t}_f() returns int language sql as 'select 1';"),
    bad("revoke", "sql('revoke insert on {t} from cicd_vm_app')", "grant select, insert on {t} to cicd_vm_app;"),
    bad("row_security", "sql('alter table {t} enable row level security')"),
    # Rewrites
    bad("change_type", "sql('alter table {t} alter a type text using a::text')"),
    bad("narrow", "op.alter_column('{t}', 'b', type_=sa.String(30))"),
    bad("bigint", "op.alter_column('{t}', 'a', type_=sa.BigInteger)"),
    bad(
        "json",
        "sql('alter table {t} alter j type jsonb using j::jsonb')",
        "alter table {t} add j json;",
        "sa.Column('j', sa.JSON)",
    ),
    bad("volatile_default", "sql('alter table {t} add e uuid default gen_random_uuid()')"),
    bad("serial_column", "sql('alter table {t} add e serial')"),
    bad("stored_column", "sql('alter table {t} add e int generated always as (a * 2) stored')"),
    bad("vacuum_full", "apart:\n    sql('vacuum full {t}')"),
    # Scans and builds
    bad("index", "op.create_index('{t}_a', '{t}', ['a'])"),
    bad("unique_constraint", "op.create_unique_constraint('{t}_u', '{t}', ['a'])"),
    bad("drop_index", "op.drop_index('{t}_i')", "create index {t}_i on {t}(a);"),
    bad("reindex", "sql('reindex table {t}')"),
    bad(
        "foreign_key",
        "op.create_foreign_key('{t}_fk', '{t}', '{t}_other', ['{t}_other_id'], ['id'])",
        OTHER + "alter table {t} add {t}_other_id int;",
    ),
    bad("check", "op.create_check_constraint('{t}_ck', '{t}', 'a > 0')"),
    # Data
    bad("update_all", "sql(\"update {t} set c = 'x'\")"),
    bad("alter_and_update", "op.add_column('{t}', sa.Column('e', sa.Integer)); sql('update {t} set e = a')"),
    bad("truncate", "sql('truncate {t}')"),
    # Locks
    bad("lock", "sql('lock table {t} in share row exclusive mode')"),
    bad(
        "two_tables",
        "op.add_column('{t}', sa.Column('e', sa.Integer)); op.add_column('{t}_other', sa.Column('e', sa.Integer))",
        OTHER,
    ),
    good("add_column", "op.add_column('{t}', sa.Column('e', sa.Text))"),
    good("constant_default", "op.add_column('{t}', sa.Column('e', sa.Integer, server_default='7', nullable=False))"),
    good(
        "create_table",
        "op.create_table('{t}_new', sa.Column('id', sa.Integer, primary_key=True)); op.create_index('{t}_ni', '{t}_new', ['id'])",
    ),
    good("index_concurrently", "apart:\n    op.create_index('{t}_a', '{t}', ['a'], postgresql_concurrently=True)"),
    good(
        "drop_index_concurrently",
        "apart:\n    op.drop_index('{t}_i', postgresql_concurrently=True)",
        "create index {t}_i on {t}(a);",
    ),
    good(
        "foreign_key_not_valid",
        "op.create_foreign_key('{t}_fk', '{t}', '{t}_other', ['{t}_other_id'], ['id'], postgresql_not_valid=True)",
        OTHER + "alter table {t} add {t}_other_id int;",
    ),
    good("check_not_valid", "op.create_check_constraint('{t}_ck', '{t}', 'a > -5', postgresql_not_valid=True)"),
    good("widen", "op.alter_column('{t}', 'b', type_=sa.String(80))"),
    good("to_text", "op.alter_column('{t}', 'b', type_=sa.Text)"),
    good("drop_unused_column", "op.drop_column('{t}', 'c')", without="c"),
    good("comment", "sql(\"comment on table {t} is 'x'\")"),
)
"""30 dangerous and 11 safe ones: the kinds that linters have rules for."""

_BATCHES = """
apart:
    bind = op.get_bind()
    while bind.execute(sa.text("update {t} set c = 'x' where id in (select id from {t} where c <> 'x' limit 30)")).rowcount:
        pass
"""
_RANGES = """
apart:
    for low in range(0, op.get_bind().scalar(sa.text('select max(id) from {t}')) + 1, 1000):
        sql(f"update {t} set c = 'x' where id >= {low} and id < {low} + 1000")
"""
_PARTITIONED = (
    "create table {t}_p(id int not null, k int not null) partition by range (k);"
    "create table {t}_p1 partition of {t}_p for values from (0) to (1000);"
)

SECOND = (
    bad("rename_and_view_lacks", "op.rename_table('{t}', '{t}_n'); sql('create view {t} as select id, a, b, c from {t}_n')"),
    bad(
        "raising_trigger",
        "sql(\"create function {t}_r() returns trigger language plpgsql as 'begin raise exception ''no''; end'\"); sql('create trigger r before insert on {t} for each row execute function {t}_r()')",
    ),
    bad(
        "generated_always",
        "sql('alter table {t} alter e add generated always as identity')",
        "alter table {t} add e int not null default 1; alter table {t} alter e drop default;",
        "sa.Column('e', sa.Integer, nullable=False)",
    ),
    bad("stored_instead", "sql('alter table {t} drop c'); sql('alter table {t} add c text generated always as (b) stored')"),
    bad(
        "enum_to_text",
        "sql('alter table {t} alter e type text using e::text')",
        "create type {t}_mood as enum ('sad', 'ok'); alter table {t} add e {t}_mood;",
        "sa.Column('e', sa.Enum('sad', 'ok', name='{t}_mood'))",
    ),
    bad(
        "policy_changed",
        "sql('drop policy p on {t}'); sql('create policy p on {t} using (a > 5)')",
        "alter table {t} enable row level security; create policy p on {t} using (true);",
    ),
    bad(
        "validate_at_once",
        "sql('alter table {t} add constraint {t}_ck check (a > -5) not valid'); sql('alter table {t} validate constraint {t}_ck')",
    ),
    bad(
        "not_null_checked_late",
        "sql('alter table {t} add constraint {t}_nn check (e is not null) not valid'); sql('alter table {t} alter e set not null')",
        "alter table {t} add e int default 3;",
    ),
    bad("primary_key", "op.create_primary_key('{t}_pk', '{t}_k', ['v'])", "create table {t}_k(v int not null);"),
    bad("exclusion", "sql('alter table {t} add constraint {t}_ex exclude (a with =)')"),
    bad("cluster", "sql('cluster {t} using {t}_pkey')"),
    bad("tablespace_like", "sql('alter table {t} set unlogged')"),
    bad("refresh", "sql('refresh materialized view {t}_m')", "create materialized view {t}_m as select * from {t};"),
    bad("delete_all", "sql('delete from {t}')"),
    bad("update_from_join", "sql('update {t} x set c = y.b from {t} y where x.id = y.id')"),
    bad("do_block", "sql('do $$ begin update {t} set c = b; end $$')"),
    bad(
        "copy_table",
        "sql('alter table {t} add e int'); sql('create table {t}_copy as select * from {t}'); sql('delete from {t} where a > 0')",
    ),
    bad("partition_index", "sql('create index {t}_pi on {t}_p(id)')", _PARTITIONED),
    bad(
        "attach",
        "sql('alter table {t}_p attach partition {t}_q for values from (1000) to (3000)')",
        _PARTITIONED + "create table {t}_q(id int not null, k int not null check (k >= 1000));",
    ),
    bad(
        "swallowed",
        "try:\n    with op.get_bind().begin_nested():\n        sql('drop table {t}_missing')\nexcept sa.exc.DBAPIError:\n    pass",
    ),
    bad("batch_alter", "with op.batch_alter_table('{t}') as batch:\n    batch.alter_column('b', new_column_name='bb')"),
    bad(
        "other_schema",
        "sql('drop table {t}_s.k')",
        "create schema {t}_s; create table {t}_s.k(id serial primary key, v text);",
        "@sa.Table('k', metadata, sa.Column('id', sa.Integer, primary_key=True), sa.Column('v', sa.Text), schema='{t}_s')",
    ),
    bad("move_schema", "sql('create schema {t}_n'); sql('alter table {t} set schema {t}_n')"),
    bad(
        "array",
        "sql('alter table {t} alter e type text[] using array[e]')",
        "alter table {t} add e text;",
        "sa.Column('e', sa.Text)",
    ),
    bad("sequence_gone", "sql('drop sequence {t}_id_seq cascade')"),
    bad("lock_nowait", "sql('lock table {t} in exclusive mode nowait')"),
    good("rename_with_view", "op.rename_table('{t}', '{t}_n'); sql('create view {t} as select * from {t}_n')"),
    good("batches", _BATCHES),
    good("ranges", _RANGES),
    good(
        "not_null_after_check",
        "op.alter_column('{t}', 'e', nullable=False); sql('alter table {t} drop constraint {t}_nn')",
        "alter table {t} add e int default 3; alter table {t} add constraint {t}_nn check (e is not null);",
    ),
    good(
        "validate",
        "sql('alter table {t} validate constraint {t}_ck')",
        "alter table {t} add constraint {t}_ck check (a > -5) not valid;",
    ),
    good(
        "validate_key",
        "sql('alter table {t} validate constraint {t}_fk')",
        OTHER
        + "alter table {t} add {t}_other_id int; alter table {t} add constraint {t}_fk foreign key ({t}_other_id) references {t}_other(id) not valid;",
    ),
    good("reindex_concurrently", "apart:\n    sql('reindex table concurrently {t}')"),
    good(
        "unique_using_index",
        "apart:\n    sql('create unique index concurrently {t}_u on {t}(id, a)')\nsql('alter table {t} add constraint {t}_uc unique using index {t}_u')",
    ),
    good(
        "add_label",
        "apart:\n    sql(\"alter type {t}_mood add value 'great'\")",
        "create type {t}_mood as enum ('sad', 'ok'); alter table {t} add e {t}_mood;",
        "sa.Column('e', sa.Enum('sad', 'ok', name='{t}_mood'))",
    ),
    good(
        "trigger_that_fills",
        "sql(\"create function {t}_r() returns trigger language plpgsql as 'begin new.c = coalesce(new.c, new.b); return new; end'\"); sql('create trigger r before insert on {t} for each row execute function {t}_r()')",
    ),
    good(
        "policy_of_new_table",
        "sql('create table {t}_n(id int)'); sql('alter table {t}_n enable row level security'); sql('create policy p on {t}_n using (true)')",
    ),
    good("partition_of_new", "sql('create table {t}_p2 partition of {t}_p for values from (1000) to (2000)')", _PARTITIONED),
    good(
        "attach_checked",
        "sql('alter table {t}_p attach partition {t}_q for values from (1000) to (2000)')",
        _PARTITIONED + "create table {t}_q(id int not null, k int not null check (k >= 1000 and k < 2000));",
    ),
    good("batch_alter_adds", "with op.batch_alter_table('{t}') as batch:\n    batch.add_column(sa.Column('e', sa.Integer))"),
    good("other_schema_adds", "sql('create schema {t}_s'); sql('create table {t}_s.k(id int)')"),
    good("virtual_default", 'sql("alter table {t} add e timestamptz not null default now()")'),
    good("few_rows", "sql(\"update {t} set c = 'x' where id <= 300\")"),
    good("numeric_wider", "sql('alter table {t} alter e type numeric(12, 2)')", "alter table {t} add e numeric(10, 2);"),
    good("row_lock", "sql('select 1 from {t} where id = 100 for update')"),
    good(
        "new_function",
        "sql(\"create function {t}_g() returns int language sql as 'select 1'\"); sql(\"create or replace function {t}_f() returns int language sql as 'select 2'\")",
        "create function {t}_f() returns int language sql as 'select 1';",
    ),
    good("statistics", "sql('alter table {t} alter a set statistics 500'); apart:\n    sql('analyze {t}')"),
)
"""26 dangerous and 21 safe ones of harder shapes."""

_DEFAULT = """
sql('alter table {t} alter e set default 1')
sql('update {t} set e = 1 where a > 0')
sql('alter table {t} alter e set not null')
sql('alter table {t} alter e drop default')
"""

_INVALID = """
apart:
    try:
        sql('create unique index concurrently {t}_u on {t}((a * 0))')
    except sa.exc.DBAPIError:
        pass
"""

REPORTED = (
    # https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    bad("invalid_index", _INVALID),
    # https://github.com/sbdchd/squawk/issues/115
    bad("default_update_not_null", _DEFAULT, "alter table {t} add e int;", "sa.Column('e', sa.Integer)"),
    # https://github.com/sbdchd/squawk/pull/144
    good("not_null_with_default", "sql('alter table {t} add e boolean not null default false')"),
    # https://github.com/ankane/strong_migrations/issues/98
    bad("plain_drop_index", "sql('drop index {t}_i')", "create index {t}_i on {t}(a);"),
    # https://github.com/ankane/strong_migrations/issues/119
    bad(
        "drop_foreign_key",
        "op.drop_constraint('{t}_fk', '{t}')",
        OTHER
        + "alter table {t} add {t}_other_id int; alter table {t} add constraint {t}_fk foreign key ({t}_other_id) references {t}_other(id);",
    ),
    # https://github.com/ankane/strong_migrations/issues/187
    good("new_table_with_key", "sql('create table {t}_n(id int primary key, t_id int references {t}(id))')"),
    # https://github.com/kaaveland/eugene/issues/109
    bad(
        "update_under_lock",
        "sql('alter table {t} add constraint {t}_fk foreign key (a) references {t}(id) not valid'); sql('update {t} set c = b')",
    ),
    # https://github.com/braintree/pg_ha_migrations/pull/62
    good("volatile_now", "sql('alter table {t} add e timestamptz not null default current_timestamp')"),
    # https://github.com/sbdchd/squawk/issues/693
    good(
        "primary_key_of_an_index",
        "sql('alter table {t}_k add constraint {t}_pk primary key using index {t}_ki')",
        "create table {t}_k(v int not null); create unique index {t}_ki on {t}_k(v);",
    ),
    # https://github.com/sbdchd/squawk/issues/649
    bad("unique_column", "sql('alter table {t} add e varchar(255) unique')"),
    # https://github.com/sbdchd/squawk/issues/314
    bad("column_with_check", "sql('alter table {t} add e int check (e >= 0)')"),
    # https://github.com/doctolib/safe-pg-migrations/issues/48
    bad(
        "both_steps_at_once",
        "sql('alter table {t} add constraint {t}_ck check (a > 0) not valid'); sql('alter table {t} validate constraint {t}_ck')",
    ),
)
"""What others reported of linters and tracers: missed, or a false alarm."""
