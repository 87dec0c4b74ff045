"""Rules about Alembic revisions: safe for the code that still runs, and backed up before a contract."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.facts import Facts
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.examples import HEAD, MIGRATE, SET_IMAGE, STATUS, UNDO, deploy_job
from cicd_actions.workflows.place import Place

_REVISION = re.compile(r"(^|/)(migrations|alembic)/versions/[^/]+\.py$")


def _revisions(facts: Facts, paths: frozenset[str]) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(paths):
        text = facts.repository.text(path) if _REVISION.search(path) else None
        if text is None:
            continue
        try:
            yield path, ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue


def _unsafe(facts: Facts) -> Iterator[Answer]:
    if not any(_REVISION.search(path) for path in facts.repository.paths):
        yield NotApplicable("The repository has no Alembic revisions.")
        return
    if facts.changed is None:
        yield Unknown("The change is not known: give `base`, and check out its history (`fetch-depth: 0`).")
        return
    some = False
    for path, tree in _revisions(facts, facts.changed):
        some = True
        yield from _of_revision(path, tree)
    if not some:
        yield NotApplicable("The change has no Alembic revision.")


def _of_revision(path: str, tree: ast.Module) -> Iterator[Answer]:
    if _contract(tree):
        yield Held('The revision says `deploy_phase = "contract"`.', Place(path, 1))
        return
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    upgrade, downgrade = functions.get("upgrade"), functions.get("downgrade")
    unsafe = list(_unsafe_operations(upgrade)) if upgrade else []
    for line, why in unsafe:
        yield Broken(Place(path, line), f"{why} The code that still runs does not work with it.", key=why)
    empty = downgrade is None or all(
        isinstance(one, (ast.Pass, ast.Raise)) or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in downgrade.body
    )
    if empty and upgrade is not None and not unsafe and not _additive(upgrade):
        yield Broken(
            Place(path, (downgrade or upgrade).lineno),
            "The revision has no working downgrade, and is not additive.",
            key="downgrade",
        )
    elif not unsafe:
        yield Held("The revision is backward compatible.", Place(path, 1))


def _contract(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "deploy_phase" for target in node.targets)
        and isinstance(node.value, ast.Constant)
        and node.value.value == "contract"
        for node in tree.body
    )


def _operations(function: ast.FunctionDef) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def _keyword(call: ast.Call, name: str) -> object:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else True
    return None


def _additive(function: ast.FunctionDef) -> bool:
    added = {
        "create_table",
        "add_column",
        "create_index",
        "Column",
        "execute",
        "f",
        "now",
        "get_bind",
        "batch_alter_table",
        "create_check_constraint",
    }
    return all(
        name in added or name[:1].isupper() or name in {"text", "PrimaryKeyConstraint", "func"}
        for name, _ in _operations(function)
    )


def _unsafe_operations(function: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    created = {
        argument.value
        for name, call in _operations(function)
        if name == "create_table"
        for argument in call.args[:1]
        if isinstance(argument, ast.Constant)
    }
    for name, call in _operations(function):
        table = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if name in {"drop_column", "drop_table"}:
            yield call.lineno, f"`{name}` removes what the running release may read."
        elif name == "rename_table" or (name == "alter_column" and _keyword(call, "new_column_name")):
            yield call.lineno, f"`{name}` renames what the running release reads."
        elif name == "alter_column" and _keyword(call, "nullable") is False:
            yield call.lineno, "`alter_column` makes a column NOT NULL that the running release may leave empty."
        elif name == "add_column" and table not in created:
            column = next((one for one in call.args if isinstance(one, ast.Call)), None)
            if column is not None and _keyword(column, "nullable") is False and _keyword(column, "server_default") is None:
                yield call.lineno, "`add_column` adds a NOT NULL column without a server default."


_REVISION_HEAD = 'import sqlalchemy as sa\nfrom alembic import op\n\nrevision = "0007"\ndown_revision = "0006"\n'


UNSAFE = Rule(
    "unsafe-migration",
    Tier.MAJOR,
    (
        "A migration is backward compatible with the code that still runs, or says `deploy_phase ="
        ' "contract"`; it has a working downgrade or is additive.'
    ),
    "While a release rolls out, and after a rollback, the old code runs on the new schema.",
    'deploy_phase = "contract"   # in the revision module, when no running code needs it any longer',
    _unsafe,
    {
        "migrations/versions/0007_drop.py": _REVISION_HEAD
        + '\n\ndef upgrade():\n    op.drop_column("items", "name")\n\n\ndef downgrade():\n    pass\n'
    },
    {
        "migrations/versions/0007_add.py": _REVISION_HEAD
        + (
            '\n\ndef upgrade():\n    op.add_column("items", sa.Column("note", sa.Text(),'
            ' nullable=True))\n\n\ndef downgrade():\n    op.drop_column("items", "note")\n'
        )
    },
    "It reads the Alembic revisions of the change (the input `base`), not those that were merged before.",
)


def _unbacked(facts: Facts) -> Iterator[Answer]:
    contracts = [path for path, tree in _revisions(facts, facts.repository.paths) if _contract(tree)]
    runs = [(job, effect) for job, effect in facts.pipeline.all(Kind.MIGRATE) if effect.what == "cicd-actions"]
    if not contracts and not any(effect.facts.get("allow-contract") for _, effect in runs):
        yield NotApplicable("The repository has no contract migration.")
        return
    for job, effect in runs:
        if effect.facts.get("allow-contract", "false") not in {"", "false"} and not effect.facts.get("backup-command"):
            yield Broken(effect.place, "`allow-contract` is set without a `backup-command`.", via=job.via, key=job.job.id)
    releasing = [
        (job, effect)
        for job in facts.deploying
        for one in [job, *job.ancestors]
        for effect in one.of(Kind.MIGRATE)
        if effect.what != "cicd-actions"
    ]
    for job, effect in releasing:
        saved = [one for each in [job, *job.ancestors] for one in each.of(Kind.BACKUP) if not one.tolerated]
        if not saved:
            yield Broken(
                effect.place,
                f"`{effect.detail}` runs contract migrations ({contracts[0] if contracts else ''}) without a backup before.",
                via=job.via,
                key=job.job.id,
            )
        else:
            yield Held("A backup is made before the migrations.", saved[0].place)
    if runs:
        yield Held("run-migrations-oneshot refuses contract migrations without a backup.", runs[0][1].place)
    elif not releasing:
        yield Unknown("No step of this repository runs the contract migrations.")


UNBACKED = Rule(
    "unbacked-contract",
    Tier.MAJOR,
    "A contract migration runs only when allowed for that deploy, after a backup that succeeded.",
    "A dropped column comes back only from a backup.",
    (
        "- uses: org/cicd-actions/run-migrations-oneshot@<sha>\n  with:\n    image: ghcr.io/org/api@sha256:…\n"
        "    engine: docker # or swarm, kubernetes, command\n"
        "    allow-contract: ${{ inputs.allow-contract }}\n    backup-command: ./backup.sh {environment}"
    ),
    _unbacked,
    {
        "migrations/versions/0007_drop.py": _REVISION_HEAD + 'deploy_phase = "contract"\n',
        ".github/workflows/deploy.yml": HEAD + deploy_job(MIGRATE, SET_IMAGE, STATUS, UNDO),
    },
    {
        "migrations/versions/0007_drop.py": _REVISION_HEAD + 'deploy_phase = "contract"\n',
        ".github/workflows/deploy.yml": HEAD
        + deploy_job('- run: pg_dump --file backup.sql "$DATABASE_URL"', MIGRATE, SET_IMAGE, STATUS, UNDO),
    },
)
