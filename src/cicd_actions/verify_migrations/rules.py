"""The rules: what each says, why it matters, and what to write instead. Which facts lead to one is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cicd_actions.toolkit.findings import Severity

CLASSES = ("old-code", "locks", "data", "downgrade", "models", "revisions")


@dataclass(frozen=True)
class Rule:
    """`group` is one of `CLASSES`; `title` names the rule in a few words. `instead` has the words of `WORDS` in braces."""

    id: str
    group: str
    severity: Severity
    title: str
    why: str
    instead: str

    def told(self, tool: str) -> str:
        """Returns what to write instead, in the words of a tool."""
        return self.instead.format_map(WORDS[tool])


WORDS: Mapping[str, Mapping[str, str]] = {
    "alembic": {
        "build": "`op.create_index(…, postgresql_concurrently=True)`",
        "drop": "`op.drop_index(…, postgresql_concurrently=True)`",
        "apart": "in `op.get_context().autocommit_block()`",
        "not_valid": "`postgresql_not_valid=True`",
        "default": "`server_default`",
        "single": "Write one revision for each table, and set `transaction_per_migration=True` in env.py.",
        "merge": "`alembic merge heads`",
        "parent": "`down_revision` or `depends_on`",
    },
    "django": {
        "build": "`AddIndexConcurrently`",
        "drop": "`RemoveIndexConcurrently`",
        "apart": "in a migration with `atomic = False`",
        "not_valid": "`AddConstraintNotValid`, or SQL with `NOT VALID`",
        "default": "`db_default`",
        "single": "Write one migration for each table.",
        "merge": "`manage.py makemigrations --merge`",
        "parent": "`dependencies`",
    },
    "": {
        "build": "`CREATE INDEX CONCURRENTLY`",
        "drop": "`DROP INDEX CONCURRENTLY`",
        "apart": "outside of a transaction",
        "not_valid": "`NOT VALID`",
        "default": "default",
        "single": "Write one migration for each table.",
        "merge": "the tool's merge",
        "parent": "the parent",
    },
}
"""What the rules name, by tool. https://docs.djangoproject.com/en/stable/ref/contrib/postgres/operations/ has Django's."""

_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTICE

_EXPAND = (
    "Add the new shape first, and let a release use both. Remove the old shape when no running release uses it, with"
    ' `deploy_phase = "contract"`.'
)

_LISTED = (
    # The traffic
    Rule(
        *("table-rewrite", "locks", _E, "rewrites a table"),
        "PostgreSQL copies every row while no session can read or write the table.",
        "Add a new column, write both, fill the old rows in batches, then read the new column.",
    ),
    Rule(
        *("scan-under-lock", "locks", _E, "scans a table while writes wait"),
        "Every row is read while a lock keeps other sessions from writing.",
        "Add `CHECK (c IS NOT NULL) NOT VALID`, validate it in a later transaction, then `SET NOT NULL`, which scans nothing.",
    ),
    Rule(
        *("blocking-index", "locks", _E, "builds an index while writes wait"),
        "A build without CONCURRENTLY keeps every session from writing until it is done.",
        "Use {build} {apart}. For a constraint, build the unique index so, and then add it with `USING INDEX`.",
    ),
    Rule(
        *("blocking-index-drop", "locks", _E, "drops an index while all sessions wait"),
        "A drop without CONCURRENTLY locks the table against reads and writes, and waits behind every query on it.",
        "Use {drop} {apart}.",
    ),
    Rule(
        *("blocking-reindex", "locks", _E, "rebuilds an index while writes wait"),
        "REINDEX without CONCURRENTLY keeps every session from writing until it is done.",
        "Use `REINDEX INDEX CONCURRENTLY` {apart}.",
    ),
    Rule(
        *("constraint-validated", "locks", _E, "validates a constraint when it is added"),
        "Every row is checked while a lock keeps other sessions from writing.",
        "Add it with {not_valid}, and `VALIDATE CONSTRAINT` in a later transaction.",
    ),
    Rule(
        *("whole-table-update", "locks", _E, "changes every row in one transaction"),
        "Each changed row stays locked until the commit, and the table doubles in size.",
        "Change the rows in batches by ranges of the key, each committed, {apart}.",
    ),
    Rule(
        *("backfill-under-lock", "locks", _E, "changes rows while a table is locked"),
        "The lock of the schema change is held for as long as the rows take.",
        "Change the schema in one revision, and the rows in another, in batches.",
    ),
    Rule(
        *("several-exclusive-locks", "locks", _E, "locks several tables in one transaction"),
        "It holds each lock while it waits for the next one. Sessions that use the tables in another order deadlock.",
        "{single}",
    ),
    Rule(
        *("explicit-lock", "locks", _E, "locks a table explicitly"),
        "The lock is held until the commit, and other sessions wait behind it.",
        "Remove the LOCK statement. Where rows must not change, lock those rows.",
    ),
    Rule(
        *("error-swallowed", "locks", _E, "goes on after a statement that failed"),
        "The revision counts as applied, although one of its statements did not run. Databases may now differ.",
        "Remove the `try`, and ask the catalog first where a statement may not be needed.",
    ),
    Rule(
        *("invalid-index", "locks", _E, "leaves an invalid index"),
        "An invalid index slows every write and serves no query. `IF NOT EXISTS` takes it for the real one.",
        "Drop it with `DROP INDEX CONCURRENTLY IF EXISTS` before it is built.",
    ),
    Rule(
        *("no-lock-timeout", "locks", _N, "waits for locks without a limit"),
        "While a schema change waits for its lock, every other session waits behind it.",
        "Set `lock_timeout`. `run-migrations-oneshot` sets one.",
    ),
    Rule(
        *("cached-plans", "locks", _N, "changes the columns of a table"),
        'Prepared statements with `SELECT *` fail once in each session ("cached plan must not change result type").',
        "Name the columns in statements that are prepared.",
    ),
    # The code that runs now
    Rule(
        *("table-missing", "old-code", _E, "takes away a table that the running release uses"),
        "Every statement of the running release on it fails.",
        f"{_EXPAND} For a rename, leave a view with the old name.",
    ),
    Rule(
        *("column-missing", "old-code", _E, "takes away a column that the running release uses"),
        "The running release names every mapped column, so all its statements on the table fail.",
        _EXPAND,
    ),
    Rule(
        *("column-type", "old-code", _E, "changes a column's type under the running release"),
        "The running release sends and expects values of the old type.",
        "Add a column of the new type, write both, and read the new one in the next release.",
    ),
    Rule(
        *("column-required", "old-code", _E, "requires a column that the running release leaves empty"),
        "The running release still writes NULL there, and these statements fail.",
        'Let a release write it always, fill the old rows, and require it with `deploy_phase = "contract"`.',
    ),
    Rule(
        *("new-required-column", "old-code", _E, "adds a column that every INSERT needs"),
        "The running release does not know the column, so its INSERTs fail.",
        "Add it nullable, or with a {default}.",
    ),
    Rule(
        *("default-missing", "old-code", _E, "removes a default that the running release relies on"),
        "The running release leaves the column out of its INSERTs. They fail, or store NULL.",
        "Let a release write the column before the default is removed.",
    ),
    Rule(
        *("label-missing", "old-code", _E, "removes a label of an enum"),
        "The running release may write or read it.",
        _EXPAND,
    ),
    Rule(
        *("function-missing", "old-code", _E, "removes a function"),
        "Statements of the running release that call it fail.",
        _EXPAND,
    ),
    Rule(
        *("grant-missing", "old-code", _E, "takes a right away"),
        "The running release may connect with that role.",
        "Revoke it when no running release uses it.",
    ),
    Rule(
        *("row-policy", "old-code", _E, "changes which rows a role sees"),
        "The running release may see or write other rows than before, without an error.",
        "Let a release set what the policy asks for, before the policy counts.",
    ),
    Rule(
        *("statement-fails", "old-code", _E, "makes a statement of the running release fail"),
        "The statement worked on the schema that runs now.",
        _EXPAND,
    ),
    Rule(
        *("constraint-violated", "old-code", _N, "may refuse what the running release writes"),
        "Generated values that the old schema took are refused now. The application's own values may be fine.",
        "Check that the running release never writes such values.",
    ),
    Rule(
        *("column-nullable", "old-code", _N, "lets a column be NULL"),
        "The running release does not expect NULL there.",
        "Write NULL only when no running release is older than this one.",
    ),
    Rule(
        *("old-tests-fail", "old-code", _E, "breaks the running release's own tests"),
        "Its tests passed on its own schema, and fail on the new one.",
        _EXPAND,
    ),
    Rule(
        *("contract-unneeded", "old-code", _N, "declares a contract that nothing needs"),
        "The running release works with the new schema.",
        'Declare `deploy_phase = "expand"`, so that a rollback stays possible.',
    ),
    # The data
    Rule(
        *("fails-on-data", "data", _W, "fails on data that the schema allows"),
        "The schema allows such rows, so production may have them.",
        "Ask production for such rows before the deploy, and repair them in an earlier revision.",
    ),
    Rule(
        *("rows-deleted", "data", _E, "deletes every row of a table"),
        "The rows cannot be brought back by a downgrade.",
        "Keep the rows, or accept the finding with a reason.",
    ),
    Rule(
        *("upgrade-fails", "revisions", _E, "does not run"),
        "The upgrade fails on the schema that runs now.",
        "Correct the migration.",
    ),
    # The graph
    Rule(
        *("revision-changed", "revisions", _E, "changes a revision that was released"),
        "Databases that applied it never run it again, so they differ from new ones.",
        "Restore the file, and write a new revision.",
    ),
    Rule(
        *("revision-removed", "revisions", _E, "removes a revision that was released"),
        "Databases that applied it are ahead of the image, and every deploy is refused.",
        "Restore the file.",
    ),
    Rule(
        *("squash-incomplete", "revisions", _E, "removes migrations that a half-applied squash replaces"),
        "Django leaves a squash out until all of what it replaces is applied, or none is. It would skip what is missing and"
        " report success.",
        "Restore the replaced files. Remove them in a release after every database has applied them.",
    ),
    Rule(
        *("several-heads", "revisions", _E, "leaves several heads"),
        "The tool does not know which one comes last.",
        "Run {merge}, and commit the merge revision.",
    ),
    Rule(
        *("parent-missing", "revisions", _E, "names a parent that does not exist"),
        "The tool cannot walk the graph.",
        "Correct {parent}, or restore the file.",
    ),
    Rule(
        *("revision-twice", "revisions", _E, "uses a revision id twice"),
        "Alembic runs only one of the files.",
        "Give one of the files a new id.",
    ),
    Rule(
        *("head-not-reached", "revisions", _E, "does not reach the head"),
        "The upgrade succeeded, and the database is at another revision. Nothing committed it, or it went elsewhere.",
        "Let Alembic own the transaction: commit before `context.configure` in env.py.",
    ),
    # Back and forth
    Rule(
        *("downgrade-missing", "downgrade", _E, "has no downgrade"),
        "A revision that changes or removes something has to be undone by hand.",
        "Write `downgrade()`.",
    ),
    Rule(
        *("downgrade-fails", "downgrade", _E, "has a downgrade that fails"),
        "It cannot be undone when it is needed.",
        "Correct `downgrade()`.",
    ),
    Rule(
        *("downgrade-differs", "downgrade", _E, "has a downgrade that leaves another schema"),
        "After the downgrade, the schema is not what it was.",
        "Undo in `downgrade()` all that `upgrade()` does.",
    ),
    Rule(
        *("upgrade-again-fails", "downgrade", _E, "cannot be applied again after its downgrade"),
        "The downgrade leaves something behind that is in the way.",
        "Undo in `downgrade()` all that `upgrade()` does.",
    ),
    Rule(
        *("models-differ", "models", _E, "leaves models and schema apart"),
        "The new release's models do not match the schema that the migrations make.",
        "Run `alembic revision --autogenerate`, and commit what is missing.",
    ),
    # The check itself
    Rule(
        *("not-judged", "", _N, "could not be judged"),
        "The check did not see what it needs.",
        "See the message.",
    ),
    Rule(
        *("acknowledgement-expired", "", _W, "an acknowledgement has ended"),
        "Its last day has passed.",
        "Change the migration, or give a new date and reason.",
    ),
    Rule(
        *("acknowledgement-unused", "", _W, "an acknowledgement matches nothing"),
        "The finding is gone.",
        "Remove the entry.",
    ),
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in _LISTED}


@dataclass(frozen=True)
class Trouble:
    """A rule that facts led to. `place` is a table or column, for `rules` and the fingerprint; `file` starts from the root."""

    rule: str
    what: str
    revision: str = ""
    place: str = ""
    file: str = ""
    line: int = 0
    severity: Severity | None = None
    tool: str = "alembic"

    @property
    def sentence(self) -> str:
        """`what`, as a sentence begins; a name stays as it is written."""
        first = self.what.partition(" ")[0]
        return self.what[:1].upper() + self.what[1:] if first in {"the", "a", "one", "every", "after"} else self.what

    @property
    def level(self) -> Severity:
        return self.severity or RULES[self.rule].severity
