"""Migrations as public projects have them, retyped on tables of ours: the kinds that their histories are made of.

Each comment names a project that has one. The tables are those of `labelled`.
"""

from __future__ import annotations

from tests.integration.verify_migrations.labelled import OTHER, bad, good

_TO_OTHER = OTHER + "alter table {t} add {t}_other_id int;"
_KEY = _TO_OTHER + "alter table {t} add constraint {t}_fk foreign key ({t}_other_id) references {t}_other(id);"
_ENUM = "create type {t}_mood as enum ('sad', 'ok'); alter table {t} add e {t}_mood;"
_ENUM_MODEL = "sa.Column('e', sa.Enum('sad', 'ok', name='{t}_mood'))"
_TEXT, _TEXT_MODEL = "alter table {t} add e text;", "sa.Column('e', sa.Text)"

PROJECTS = (
    # schireson/pytest-alembic
    bad(
        "default_then_required",
        "op.add_column('{t}', sa.Column('e', sa.Integer, server_default='9')); op.alter_column('{t}', 'e', server_default=None, nullable=False)",
    ),
    # conbench/conbench, pass-culture/pass-culture-main
    bad("required", "op.alter_column('{t}', 'c', existing_type=sa.Text(), nullable=False)"),
    # zesje/zesje
    bad("required_in_batch", "with op.batch_alter_table('{t}') as batch:\n    batch.alter_column('c', nullable=False)"),
    # moloch--/RootTheBox
    good("optional", "op.alter_column('{t}', 'a', existing_type=sa.Integer, nullable=True)"),
    # pypi/warehouse
    good(
        "commit_of_the_connection",
        "op.get_bind().commit()\nwith op.get_context().autocommit_block():\n    op.create_index('{t}_i', '{t}', ['a'], postgresql_concurrently=True)",
    ),
    # hypothesis/h
    good("commit_then_index", "sql('COMMIT')\nop.create_index(op.f('{t}_i'), '{t}', ['a'], postgresql_concurrently=True)"),
    # jibrelnetwork/jsearch-backend
    good(
        "commit_then_partial_index",
        "sql('COMMIT')\nsql('create index concurrently if not exists {t}_i on {t}(a, id) where a > 5')",
    ),
    # pass-culture/pass-culture-main
    good(
        "commit_then_validate",
        "sql('COMMIT')\nsql(\"set session statement_timeout = '300s'\")\nsql('alter table {t} validate constraint {t}_ck')\nsql('set session statement_timeout = 0')",
        "alter table {t} add constraint {t}_ck check (a > -5) not valid;",
    ),
    good(
        "unique_of_an_index",
        "sql('alter table {t} add constraint {t}_uc unique using index {t}_u')",
        "create unique index {t}_u on {t}(a, id);",
    ),
    bad("label_renamed", "sql(\"alter type {t}_mood rename value 'sad' to 'low'\")", _ENUM, _ENUM_MODEL),
    bad(
        "columns_indexes_and_keys",
        "op.add_column('{t}', sa.Column('e', sa.BigInteger()))\nop.create_index('{t}_e', '{t}', ['e'])\nop.create_foreign_key(None, '{t}', '{t}_other', ['e'], ['id'])",
        OTHER,
    ),
    good(
        "array_with_default",
        "op.add_column('{t}', sa.Column('e', sa.ARRAY(sa.String()), server_default='{}', nullable=False))",
    ),
    good(
        "function_replaced",
        "sql(\"create or replace function {t}_f() returns trigger language plpgsql as 'begin new.c = coalesce(new.c, new.b); return new; end'\")",
        "create function {t}_f() returns trigger language plpgsql as 'begin return new; end';"
        "create trigger r before insert on {t} for each row execute function {t}_f();",
    ),
    # indico/indico, apache/airflow, pypi/warehouse
    bad(
        "key_with_cascade",
        "op.drop_constraint('{t}_fk', '{t}', type_='foreignkey')\nop.create_foreign_key('{t}_fk', '{t}', '{t}_other', ['{t}_other_id'], ['id'], ondelete='CASCADE')",
        _KEY,
    ),
    # wheelodex/wheelodex
    bad(
        "columns_renamed",
        "op.alter_column('{t}', 'b', new_column_name='bb'); op.alter_column('{t}', 'c', new_column_name='cc')",
    ),
    bad(
        "table_with_sequence_renamed",
        "op.rename_table('{t}', '{t}_n'); sql('alter index {t}_pkey rename to {t}_n_pkey'); sql('alter sequence {t}_id_seq rename to {t}_n_id_seq')",
    ),
    # TomaszMurek1/stock-scout, RochDM231718/project
    good("labels_added", "sql(\"alter type {t}_mood add value if not exists 'great'\")", _ENUM, _ENUM_MODEL),
    # bossjones/sandbox_agent
    bad(
        "text_to_json",
        "from sqlalchemy.dialects import postgresql\nop.alter_column('{t}', 'e', type_=postgresql.JSONB, postgresql_using='to_jsonb(e)')",
        _TEXT,
        _TEXT_MODEL,
    ),
    # ilaflott/epmt
    bad("wider_key", "op.alter_column('{t}', 'id', existing_type=sa.Integer(), type_=sa.BigInteger())"),
    # pypi/warehouse
    bad(
        "text_to_enum",
        "sql(\"create type {t}_kind as enum ('a', 'b')\"); sql('alter table {t} alter e type {t}_kind using null')",
        _TEXT,
        _TEXT_MODEL,
    ),
    good(
        "timeouts_then_column",
        "op.get_bind().execute(sa.text('set lock_timeout = 120000'))\nop.add_column('{t}', sa.Column('e', sa.Boolean(), server_default=sa.text('false'), nullable=False))",
    ),
    bad(
        "key_of_random_uuids",
        "op.add_column('{t}', sa.Column('e', sa.UUID(), server_default=sa.text('gen_random_uuid()'), nullable=False))",
    ),
    # apache/superset
    bad(
        "bytes_in_batch",
        "with op.batch_alter_table('{t}') as batch:\n    batch.alter_column('e', type_=sa.LargeBinary(), postgresql_using='e::bytea')",
        _TEXT,
        _TEXT_MODEL,
    ),
    # pypi/warehouse
    bad(
        "indexes_dropped",
        "op.drop_index('{t}_i', table_name='{t}'); op.drop_index('{t}_j', table_name='{t}')",
        "create index {t}_i on {t}(a); create index {t}_j on {t}(b);",
    ),
    good("sequence_set", "sql(\"select setval('{t}_id_seq', max(id)) from {t}\")"),
    bad(
        "names_of_everything",
        "op.rename_table('{t}', '{t}_n'); sql('alter table {t}_n rename constraint {t}_pkey to {t}_n_pkey')",
    ),
    bad(
        "column_kept_by_a_trigger",
        """
        sql('lock table {t} in exclusive mode')
        op.add_column('{t}', sa.Column('e', sa.Integer(), nullable=True, server_default=sa.text('0')))
        sql('update {t} set e = j.e from (select b, max(a) as e from {t} group by b) j where j.b = {t}.b')
        op.alter_column('{t}', 'e', nullable=False)
        """,
    ),
    good("default_of_a_moment", "op.alter_column('{t}', 'd', server_default=sa.text('now()'))"),
    good("function_of_text", "sql(\"create function {t}_f(text) returns text as 'select lower($1)' language sql immutable\")"),
    bad(
        "rows_by_python",
        """
        bind = op.get_bind()
        for (one,) in bind.execute(sa.text('select distinct a from {t}')).fetchall():
            bind.execute(sa.text('update {t} set c = :c where a = :a'), {'c': str(one), 'a': one})
        op.alter_column('{t}', 'c', nullable=False)
        """,
    ),
    good(
        "two_optional_columns", "op.add_column('{t}', sa.Column('e', sa.Text)); op.add_column('{t}', sa.Column('f', sa.Text))"
    ),
    bad(
        "deferred_key",
        "op.drop_constraint('{t}_fk', '{t}', type_='foreignkey')\nop.create_foreign_key(None, '{t}', '{t}_other', ['{t}_other_id'], ['id'], initially='DEFERRED', deferrable=True)",
        _KEY,
    ),
    good("array_with_comment", "op.add_column('{t}', sa.Column('e', sa.ARRAY(sa.String()), comment='words'))"),
    # pass-culture/pass-culture-main
    good("default_of_a_text", "op.alter_column('{t}', 'c', server_default='{\"push\": true}')"),
    good(
        "unique_by_another_index",
        "sql('COMMIT')\nsql('create unique index concurrently if not exists {t}_v on {t}(id, a)')\nop.drop_constraint('{t}_u', '{t}', type_='unique')",
        "alter table {t} add constraint {t}_u unique (id, a);",
    ),
    bad("columns_dropped", "op.drop_column('{t}', 'b'); op.drop_column('{t}', 'c')"),
    good("check_of_null_not_valid", "sql('alter table {t} add constraint {t}_nn check (a is not null) not valid')"),
    bad("tables_dropped", "sql('drop table {t}, {t}_other')", OTHER),
    bad(
        "check_replaced",
        "op.drop_constraint('{t}_ck', '{t}'); sql('alter table {t} add constraint {t}_cl check (a > -9 or b is null)')",
        "alter table {t} add constraint {t}_ck check (a > -9);",
    ),
    bad("unique_of_two", "op.create_unique_constraint('{t}_u', '{t}', ['id', 'a'])"),
)
"""22 dangerous and 18 safe ones."""
