"""What the scratch server itself records of a migration, whatever tool runs it: event triggers, locks, statistics, the catalog.

PostgreSQL fires no event for DML, TRUNCATE, LOCK, VACUUM FULL, CLUSTER and REINDEX
(https://www.postgresql.org/docs/current/event-trigger-matrix.html). The catalog before and after, and the client's report of
its statements, show those. A failed transaction takes its part of the log with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.verify_migrations.wire import Connection, literal, name

SCHEMA = "cicd_vm"

CATALOG = r"""
create schema cicd_vm;
grant usage on schema cicd_vm to public;
create function cicd_vm.catalog() returns jsonb language sql stable security definer set search_path = pg_catalog as $$
with spaces as (
  select oid, nspname from pg_namespace
  where nspname not like 'pg\_%' and nspname not in ('information_schema', 'cicd_vm')
), owned as (
  select classid, objid from pg_depend where deptype = 'e'
), tables as (
  select c.*, s.nspname from pg_class c join spaces s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and not exists (
    select from owned where classid = 'pg_class'::regclass and objid = c.oid)
)
select jsonb_build_object(
  'tables', (select coalesce(jsonb_object_agg(t.oid::int8::text, jsonb_build_object(
    'schema', t.nspname, 'name', t.relname, 'kind', t.relkind, 'file', t.relfilenode::int8, 'child', t.relispartition,
    'rls', case when t.relrowsecurity then case when t.relforcerowsecurity then 'forced' else 'on' end else '' end,
    'replica', jsonb_build_array(t.relreplident, exists (select from pg_publication where puballtables)
      or exists (select from pg_publication_rel where prrelid = t.oid)),
    'bound', pg_get_expr(t.relpartbound, t.oid),
    'parent', (select inhparent::int8::text from pg_inherits where inhrelid = t.oid limit 1),
    'key', case when t.relkind = 'p' then pg_get_partkeydef(t.oid) end,
    'definition', case when t.relkind in ('v', 'm') then pg_get_viewdef(t.oid) end,
    'columns', (select jsonb_object_agg(a.attnum::text, jsonb_build_object(
        'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notnull', a.attnotnull,
        'default', pg_get_expr(d.adbin, d.adrelid), 'generated', a.attgenerated, 'identity', a.attidentity,
        'sequence', pg_get_serial_sequence(format('%I.%I', t.nspname, t.relname), a.attname)))
      from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped),
    'constraints', (select jsonb_object_agg(k.conname, jsonb_build_object(
        'type', k.contype, 'definition', pg_get_constraintdef(k.oid), 'valid', k.convalidated, 'columns', k.conkey,
        'target', k.confrelid::int8::text, 'targets', k.confkey))
      from pg_constraint k where k.conrelid = t.oid and k.contype <> 't'),
    'indexes', (select jsonb_object_agg(i.indexrelid::int8::text, jsonb_build_object(
        'name', x.relname, 'definition', pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid, 'unique', i.indisunique,
        'file', x.relfilenode::int8, 'columns', i.indkey::int2[]))
      from pg_index i join pg_class x on x.oid = i.indexrelid where i.indrelid = t.oid),
    'triggers', (select jsonb_object_agg(g.tgname, jsonb_build_object(
        'definition', pg_get_triggerdef(g.oid), 'function', md5(p.prosrc), 'enabled', g.tgenabled))
      from pg_trigger g join pg_proc p on p.oid = g.tgfoid where g.tgrelid = t.oid and not g.tgisinternal
        and g.tgname <> 'cicd_vm_moved'),
    'policies', (select jsonb_object_agg(p.polname, jsonb_build_object('command', p.polcmd, 'permissive', p.polpermissive,
        'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
        'roles', p.polroles::regrole[]::text))
      from pg_policy p where p.polrelid = t.oid)
  )), '{}') from tables t),
  'enums', (select jsonb_object_agg(format_type(t.oid, null), (select jsonb_agg(e.enumlabel order by e.enumsortorder)
      from pg_enum e where e.enumtypid = t.oid))
    from pg_type t join spaces s on s.oid = t.typnamespace where t.typtype = 'e'),
  'domains', (select jsonb_object_agg(format_type(t.oid, null), jsonb_build_object(
      'type', format_type(t.typbasetype, t.typtypmod), 'notnull', t.typnotnull,
      'checks', (select jsonb_agg(pg_get_constraintdef(k.oid) order by k.conname) from pg_constraint k
        where k.contypid = t.oid)))
    from pg_type t join spaces s on s.oid = t.typnamespace where t.typtype = 'd'),
  'functions', (select jsonb_object_agg(
      s.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
      md5(p.prosrc))
    from pg_proc p join spaces s on s.oid = p.pronamespace
    where not exists (select from owned where classid = 'pg_proc'::regclass and objid = p.oid)),
  'sequences', (select jsonb_object_agg(s.nspname || '.' || c.relname, pg_sequence_last_value(c.oid))
    from pg_class c join spaces s on s.oid = c.relnamespace where c.relkind = 'S'),
  'rights', (select jsonb_object_agg(kind || ' ' || id, jsonb_build_object('name', label, 'owner', pg_get_userbyid(owner),
      'held', (
        select jsonb_agg(privilege_type || ' for ' || case grantee when 0 then 'PUBLIC' else pg_get_userbyid(grantee) end)
        from aclexplode(acl) where grantee <> owner)))
    from (
      select case relkind when 'S' then 'sequence' else 'table' end kind, c.oid::int8::text id,
        concat_ws('.', nullif(s.nspname, 'public'), c.relname) label, relacl acl, relowner owner
      from pg_class c join spaces s on s.oid = c.relnamespace
      where relacl is not null and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      union all
      select 'column', a.attrelid::int8 || ' ' || a.attnum, concat_ws('.', nullif(t.nspname, 'public'), t.relname, a.attname),
        a.attacl, t.relowner
      from pg_attribute a join tables t on t.oid = a.attrelid where a.attacl is not null and not a.attisdropped
      union all
      select 'schema', s.oid::int8::text, s.nspname, n.nspacl, n.nspowner
      from spaces s join pg_namespace n on n.oid = s.oid where n.nspacl is not null
      union all
      select 'function', p.oid::int8::text, concat_ws('.', nullif(s.nspname, 'public'), p.proname),
        coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
      from pg_proc p join spaces s on s.oid = p.pronamespace
      where not exists (select from owned where classid = 'pg_proc'::regclass and objid = p.oid)
    ) kept)
) $$;
"""
"""One document of everything that a migration can change, by oid where a name can change. Each later snapshot is the same."""

_TRACE = r"""
create table cicd_vm.log(n bigserial, kind text, tag text, xid text, vx text, start jsonb, query text, objects jsonb,
  locks jsonb,  stats jsonb, lock_timeout text, catalog jsonb);
create table cicd_vm.known(last int8);
insert into cicd_vm.known select max(oid::int8) from pg_catalog.pg_class;
create function cicd_vm.vx() returns text language sql as $$
  select virtualtransaction from pg_catalog.pg_locks
  where pid = pg_catalog.pg_backend_pid() and locktype = 'virtualxid' limit 1 $$;
create function cicd_vm.locks() returns jsonb language sql as $$
  select coalesce(pg_catalog.jsonb_object_agg(relation::int8::text, modes), '{}') from (
    select relation, pg_catalog.jsonb_agg(mode) modes from pg_catalog.pg_locks
    where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted and mode <> 'SIReadLock'
      and relation >= 16384 and relation::int8 <= (select last from cicd_vm.known) group by 1) found $$;
create function cicd_vm.stats() returns jsonb language sql as $$
  select coalesce(pg_catalog.jsonb_object_agg(oid::int8::text, pg_catalog.jsonb_build_array(scans, read, ins, upd, del)), '{}')
  from (
    select oid, pg_catalog.pg_stat_get_xact_numscans(oid) scans, pg_catalog.pg_stat_get_xact_tuples_returned(oid) read,
      pg_catalog.pg_stat_get_xact_tuples_inserted(oid) ins,
      pg_catalog.pg_stat_get_xact_tuples_updated(oid) upd, pg_catalog.pg_stat_get_xact_tuples_deleted(oid) del
    from pg_catalog.pg_class where relkind in ('r', 'm') and oid >= 16384 and oid::int8 <= (select last from cicd_vm.known)
  ) found where scans > 0 or ins > 0 or upd > 0 or del > 0 $$;
create function cicd_vm.flush() returns void language sql as $$ select $$;
create function cicd_vm.totals() returns jsonb language sql as $$
  select coalesce(pg_catalog.jsonb_object_agg(id, pg_catalog.jsonb_build_array(read, changed)), '{}') from (
    select c.oid::int8::text id, CHANGED(c.oid) changed, READ(c.oid) + coalesce((
      select sum(READ(indexrelid)) from pg_catalog.pg_index where indrelid = c.oid), 0) read
    from pg_catalog.pg_class c where relkind in ('r', 'm') and oid >= 16384 and oid::int8 <= (select last from cicd_vm.known)
  ) found where read > 0 or changed > 0 $$;
create function cicd_vm.parts(totals jsonb) returns jsonb language plpgsql as $$
declare id text; part jsonb; found jsonb := '{}';
begin
  for id in select key from pg_catalog.jsonb_each(totals) where (value->>1)::int8 > 0 loop
    execute pg_catalog.format('select pg_catalog.jsonb_build_array(max(n), count(*)) from (select count(*) n from only %s'
      ' where xmin::text::int8 >= $1 group by xmin::text) groups', id::oid::regclass)
      into part using pg_catalog.current_setting('cicd_vm.xid')::int8;
    found := found || pg_catalog.jsonb_build_object(id, part);
  end loop;
  return found;
exception when undefined_table or syntax_error then return '{}';
end $$;
create function cicd_vm.seen() returns text language plpgsql security definer set search_path = pg_catalog as $$
declare totals jsonb; parts jsonb := '{}'; xid text := pg_current_xact_id_if_assigned()::text;
begin
  perform cicd_vm.flush();
  totals := cicd_vm.totals();
  if xid is null then
    parts := cicd_vm.parts(totals);
  end if;
  perform set_config('cicd_vm.xid', pg_snapshot_xmax(pg_current_snapshot())::text, false);
  return jsonb_build_object('vx', cicd_vm.vx(), 'at',
    (select case when is_called then last_value else 0 end from cicd_vm.log_n_seq),
    'xid', xid, 'locks', cicd_vm.locks(), 'totals', totals, 'parts', parts)::text;
end $$;
create function cicd_vm.before() returns event_trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  -- No write here: a transaction id makes DROP INDEX CONCURRENTLY fail ("must be first action in transaction").
  perform set_config('cicd_vm.start',
    jsonb_build_object('vx', cicd_vm.vx(), 'locks', cicd_vm.locks(), 'stats', cicd_vm.stats())::text, false);
  perform set_config('enable_seqscan', 'on', false);
end $$;
create function cicd_vm.after() returns event_trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  insert into cicd_vm.log(kind, tag, xid, vx, start, query, objects, locks, stats, lock_timeout) values ('ddl', tg_tag,
    pg_current_xact_id()::text, cicd_vm.vx(), nullif(current_setting('cicd_vm.start', true), '')::jsonb, current_query(),
    (select jsonb_agg(jsonb_build_object('name', object_identity, 'type', object_type, 'oid', objid::int8, 'tag', command_tag))
      from pg_event_trigger_ddl_commands()),
    cicd_vm.locks(), cicd_vm.stats(), current_setting('lock_timeout'));
  perform set_config('enable_seqscan', 'off', false);
end $$;
create function cicd_vm.dropped() returns event_trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  insert into cicd_vm.log(kind, tag, xid, query, objects) values ('drop', tg_tag, pg_current_xact_id()::text, current_query(),
    (select jsonb_agg(jsonb_build_object('name', object_identity, 'type', object_type, 'oid', objid::int8,
      'original', original))
      from pg_event_trigger_dropped_objects()));
end $$;
create function cicd_vm.rewritten() returns event_trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  insert into cicd_vm.log(kind, tag, xid, query, objects) values ('rewrite', tg_tag,
    pg_current_xact_id()::text, current_query(),
    jsonb_build_array(jsonb_build_object('oid', pg_event_trigger_table_rewrite_oid()::int8)));
end $$;
create function cicd_vm.moved() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare found jsonb;
begin
  execute format('select jsonb_agg(to_jsonb(t)) from %s t', tg_relid::regclass) into found;
  insert into cicd_vm.log(kind, tag, xid, objects, locks, stats, catalog)
    values ('revision', tg_op, pg_current_xact_id()::text, found, cicd_vm.locks(), cicd_vm.stats(), cicd_vm.catalog());
  perform cicd_vm.flush();
  return null;
end $$;
"""

_COUNTER = re.compile(r"\b(READ|CHANGED)\(([\w.]+)\)")
_COUNTED = {"READ": ("returned",), "CHANGED": ("updated", "deleted")}


def _counting(sql: str, *kinds: str) -> str:
    """Writes out `READ(…)` and `CHANGED(…)`: the server's functions of these kinds, added up."""

    def sum_(match: re.Match[str]) -> str:
        names = [f"pg_catalog.pg_stat_get_{kind}tuples_{name}({match[2]})" for name in _COUNTED[match[1]] for kind in kinds]
        return f"({' + '.join(names)})"

    return _COUNTER.sub(sum_, sql)


_FLUSHED = """
create or replace function cicd_vm.flush() returns void language sql set search_path = pg_catalog as $$
  select pg_stat_force_next_flush() $$
"""
"""From PostgreSQL 15, where a session's statistics are there for all once it has flushed them. They otherwise stay in the
session for up to a second. Before 15 they come later still, so only the open transaction's rows are counted."""

_FROM_ZERO = ("select pg_stat_force_next_flush()", "select pg_stat_reset()")
"""Forgets what the base's statements and the checks before the run did."""

_ARMED = r"""
create event trigger cicd_vm_before on ddl_command_start execute function cicd_vm.before();
create event trigger cicd_vm_after on ddl_command_end execute function cicd_vm.after();
create event trigger cicd_vm_dropped on sql_drop execute function cicd_vm.dropped();
create event trigger cicd_vm_rewritten on table_rewrite execute function cicd_vm.rewritten();
alter event trigger cicd_vm_before enable always;
alter event trigger cicd_vm_after enable always;
alter event trigger cicd_vm_dropped enable always;
alter event trigger cicd_vm_rewritten enable always;
"""

VERSION_TABLES = """
select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and (c.relname in ('django_migrations', '_prisma_migrations', 'schema_migrations',
  'flyway_schema_history',
  'knex_migrations', 'ar_internal_metadata', '__EFMigrationsHistory', 'goose_db_version', 'databasechangelog')
  or (select pg_catalog.array_agg(attname::text) from pg_catalog.pg_attribute
      where attrelid = c.oid and attnum > 0 and not attisdropped) = '{version_num}')
"""
"""Alembic's table has one column, whatever it is called; the other tools' tables have fixed names."""


@dataclass(frozen=True)
class Entry:
    """One line of the server's log. `start` is the state before the command; locks and statistics are by oid."""

    n: int
    kind: str
    tag: str
    xid: str
    vx: str
    query: str
    start: Mapping[str, Any]
    objects: list[dict[str, Any]]
    locks: Mapping[str, list[str]]
    stats: Mapping[str, list[int]]
    lock_timeout: str
    catalog: Mapping[str, Any] | None = field(repr=False)


class Recorder:
    """Records what happens in a database. This one is PostgreSQL's; `unseen` says what another one cannot see."""

    salt = CATALOG
    unseen = ""

    def install(self, connection: Connection) -> None:
        """Prepares a database for `catalog`."""
        connection.rows(CATALOG)

    def catalog(self, connection: Connection) -> Any:
        """Returns the catalog of a prepared database."""
        return connection.document("select cicd_vm.catalog()")

    def arm(self, connection: Connection) -> None:
        """Begins to trace in a prepared database. Needs a superuser."""
        at_once = int(connection.value("show server_version_num") or 0) >= 150_000
        connection.rows(_counting(_TRACE, "xact_", *([""] if at_once else [])))
        for statement in (_FLUSHED, *_FROM_ZERO) if at_once else ():
            connection.rows(statement)
        for schema, table in connection.rows(VERSION_TABLES):
            whole = f"{name(schema or '')}.{name(table or '')}"
            connection.rows(
                f"create trigger cicd_vm_moved after insert or update or delete on {whole} for each statement"
                f" execute function cicd_vm.moved(); alter table {whole} enable always trigger cicd_vm_moved"
            )
        connection.rows(_ARMED)
        # A lookup by a key then reads one row of a small table, as of a large one. Commands scan as usual: see `before`.
        database = name(connection.value("select current_database()") or "")
        xid = connection.value("select pg_snapshot_xmax(pg_current_snapshot())")
        for setting in ("enable_seqscan = off", "jit = off", f"cicd_vm.xid = {literal(xid or '0')}"):
            connection.rows(f"alter database {database} set {setting}")

    def version_rows(self, connection: Connection) -> list[dict[str, Any]]:
        """Returns the rows of every version table."""
        found: list[dict[str, Any]] = []
        for schema, table in connection.rows(VERSION_TABLES):
            whole = f"{name(schema or '')}.{name(table or '')}"
            found += connection.document(f"select json_agg(to_jsonb(t)) from {whole} t") or []
        return found

    def state(self, error: Mapping[str, Any]) -> str:
        """Returns the SQLSTATE of an error that the project's driver raised."""
        return str(error.get("sqlstate") or "")

    def mark(self, connection: Connection, text: str) -> None:
        """Writes a line of our own into the log: what comes after it is another run."""
        connection.rows(f"insert into cicd_vm.log(kind, tag, catalog) values ('mark', {literal(text)}, cicd_vm.catalog())")

    def entries(self, connection: Connection) -> Iterator[Entry]:
        """Yields the log from its beginning."""
        for (text,) in connection.rows("select to_jsonb(l)::text from cicd_vm.log l order by n"):
            yield entry(text or "{}")


def entry(text: str) -> Entry:
    """Returns a line of the log from its JSON."""
    found = json.loads(text)
    return Entry(
        n=found["n"],
        kind=found["kind"],
        tag=found["tag"] or "",
        xid=found["xid"] or "",
        vx=found["vx"] or "",
        query=found["query"] or "",
        start=found["start"] or {},
        objects=found["objects"] or [],
        locks=found["locks"] or {},
        stats=found["stats"] or {},
        lock_timeout=found["lock_timeout"] or "",
        catalog=found["catalog"],
    )
