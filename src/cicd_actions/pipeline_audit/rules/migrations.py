"""Rules about database migrations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit import startup
from cicd_actions.pipeline_audit.effects import COMPOSE, SWARM, Effect, Kind
from cicd_actions.pipeline_audit.facts import NO_DEPLOY, Facts, once
from cicd_actions.pipeline_audit.model import JobRun
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.deploys import _HEAD, _SET_IMAGE, _STATUS, _UNDO, _deploy
from cicd_actions.workflows.place import Place

_BUILD = "- run: docker build -t ghcr.io/org/api:$GITHUB_SHA . && docker push ghcr.io/org/api:$GITHUB_SHA"


def _startup(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying and facts.repository.deploys is not True:
        yield NO_DEPLOY
        return
    found: list[startup.Startup] = []
    looked = False
    for path in _dockerfiles(facts):
        looked = True
        found += startup.of_dockerfile(facts.repository, path)
    for path in _compose_files(facts):
        looked = True
        found += startup.of_compose(facts.repository, path)
    for path in facts.repository.named("Procfile"):
        found += startup.of_procfile(facts.repository, path)
    for path in facts.repository.named("render.yaml", "render.yml"):
        found += startup.of_render(facts.repository, path)
    for path in startup.migrating_modules(facts.repository):
        found += startup.of_python(facts.repository, path)
    for one in dict.fromkeys(found):
        message = f"`{one.detail}` runs whenever this container starts: every replica and every restart migrates."
        yield Broken(one.place, message, via=one.via, key=one.detail)
    if not found:
        yield (
            Held("No container that serves runs migrations when it starts.")
            if looked or facts.migrating
            else NotApplicable("The repository has neither migrations nor images that it deploys.")
        )


def _dockerfiles(facts: Facts) -> list[str]:
    """The Dockerfiles of images that are built: those that the workflows name, or all where none is named."""
    named = [file for _, effect in facts.pipeline.all(Kind.BUILD) for file in effect.files]
    built = [path for path in dict.fromkeys(named) if path in facts.repository.paths]
    if not built:
        built = facts.repository.named("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile")
    return [path for path in built if not startup.DEVELOPMENT.search(path.removesuffix("Dockerfile")) or path in named]


def _compose_files(facts: Facts) -> list[str]:
    """The Compose files that a deploy applies."""
    deploys = [effect for _, _, effect in facts.pipeline.deploys if effect.platform in {COMPOSE, SWARM}]
    named = [_in_repository(facts, file) for effect in deploys for file in effect.files]
    files = [path for path in named if path]
    if deploys and not any(effect.files for effect in deploys):
        files += [path for path in facts.repository.named("docker-compose.y*ml", "compose.y*ml") if "/" not in path]
    return [path for path in dict.fromkeys(files) if not startup.DEVELOPMENT.search(path)]


def _in_repository(facts: Facts, file: str) -> str:
    if file in facts.repository.paths:
        return file
    name = file.rpartition("/")[2]
    near = facts.repository.by_name.get(name, [])
    return near[0] if len(near) == 1 else ""


_DOCKERFILE = "FROM python:3.13-slim\nCOPY . .\n"

STARTUP = Rule(
    "startup-migration",
    Tier.CRITICAL,
    "Migrations never run when a serving container starts.",
    "Replicas race for the same tables, a restart can migrate, and a failed migration takes the service down with it.",
    "- uses: org/cicd-actions/run-migrations-oneshot@<sha>   # before roll-out\n  with:\n    image: ghcr.io/org/api@sha256:…",
    _startup,
    {
        "Dockerfile": _DOCKERFILE + "CMD alembic upgrade head && uvicorn app:app\n",
        ".github/workflows/deploy.yml": _HEAD + _deploy(_BUILD, _SET_IMAGE, _STATUS, _UNDO),
    },
    {
        "Dockerfile": _DOCKERFILE + 'CMD ["uvicorn", "app:app"]\n',
        ".github/workflows/deploy.yml": _HEAD
        + _deploy(
            _BUILD, "- run: docker run --rm ghcr.io/org/api:$GITHUB_SHA alembic upgrade head", _SET_IMAGE, _STATUS, _UNDO
        ),
    },
    "It reads CMD and ENTRYPOINT of the images that the workflows build, the scripts that they start (one level), the Compose"
    " files that a deploy applies, Procfile, render.yaml, and the application's lifespan. Compose files"
    " for development are left"
    " out, and so are services that only migrate.",
)


def _migrate_first(facts: Facts) -> Iterator[Answer]:
    if not facts.deploying:
        yield NO_DEPLOY
        return
    found = False
    told: set[Place] = set()
    for job in once(facts.deploying):
        for answer in _order(facts, job):
            found = True
            if isinstance(answer, Broken):
                if answer.place in told:
                    continue
                told.add(answer.place)
            yield answer
    if found:
        return
    jobs = [place for path in _compose_files(facts) if (place := startup.one_shot(facts.repository, path)) is not None]
    platform = next(iter(jobs), None) or _before_by_platform(facts)
    if platform:
        yield Held("The platform runs the migrations before the roll-out.", platform)
    elif facts.migrating:
        yield Unknown(
            "The repository has migrations, and no step of its deploys runs them. They may run by hand or in the platform."
        )
    else:
        yield NotApplicable("The repository has no migrations of a known tool.")


def _order(facts: Facts, job: JobRun) -> Iterator[Answer]:
    first = next(number for number, one in enumerate(job.effects) if one in job.deploys)
    own = [(number, effect) for number, (_, effect) in enumerate(job.effects) if effect.kind is Kind.MIGRATE]
    before = [effect for number, effect in own if number < first]
    before += [effect for one in job.ancestors for effect in _releasing(one)]
    late = [effect for number, effect in own if number > first]
    late += [effect for one in facts.after(job) if one not in facts.deploying for effect in _releasing(one)]
    beside = [
        (one, effect)
        for one in facts.run_of(job)
        if one is not job and not job.waits_for(one) and not one.waits_for(job) and one not in facts.deploying
        for effect in _releasing(one)
    ]
    ignored = [effect for effect in before if effect.tolerated]
    if ignored:
        message = f"The deploy goes on when the migration fails: the failure of `{ignored[0].detail}` is ignored."
        yield Broken(ignored[0].place, message, via=job.via, key="ignored")
    elif before:
        yield Held("The migrations end before the roll-out starts.", before[0].place)
    elif late:
        message = f"`{late[0].detail}` runs after the roll-out: the new code runs on the old schema until then."
        yield Broken(late[0].place, message, via=job.via, key="late")
    elif beside:
        one, effect = beside[0]
        message = f"`{one.job.id}` migrates while `{job.job.id}` rolls out: the deploy does not wait for it."
        yield Broken(effect.place, message, f"jobs:\n  {job.job.id}:\n    needs: {one.job.id}", job.via, "beside")


def _releasing(job: JobRun) -> list[Effect]:
    """The migrations of a job that works on a real database: neither a test's nor one on a container of the job."""
    if job.job.node.get("services") is not None or job.of(Kind.TEST):
        return []
    return list(job.of(Kind.MIGRATE))


def _before_by_platform(facts: Facts) -> Place | None:
    for path in facts.repository.named("fly*.toml", "Procfile", "app.json", "railway.toml", "railway.json", "*.yaml", "*.yml"):
        if path.startswith(".github/"):
            continue
        text = facts.repository.text(path) or ""
        if "migrat" not in text and "upgrade" not in text and "release" not in text:
            continue
        match = re.search(
            (
                r"release_command|preDeployCommand|^release:|\"postdeploy\"|helm\.sh/hook:?\"?: *\"?pre-"
                r"|argocd\.argoproj\.io/hook: *PreSync"
            ),
            text,
            re.MULTILINE,
        )
        if match:
            return Place(path, text.count("\n", 0, match.start()) + 1)
    return None


_MIGRATE = "- run: docker run --rm -e DATABASE_URL ghcr.io/org/api@${{ vars.DIGEST }} alembic upgrade head"

MIGRATE_FIRST = Rule(
    "migrate-first",
    Tier.CRITICAL,
    "Migrations are a one-shot job of the new image, finished before the roll-out; their failure aborts it.",
    "New code on an old schema answers errors until somebody notices.",
    (
        "- uses: org/cicd-actions/run-migrations-oneshot@<sha>\n  with:\n    image:"
        " ghcr.io/org/api@sha256:…\n- uses: org/cicd-actions/roll-out@<sha>"
    ),
    _migrate_first,
    {".github/workflows/deploy.yml": _HEAD + _deploy(_SET_IMAGE, _STATUS, _MIGRATE, _UNDO)},
    {".github/workflows/deploy.yml": _HEAD + _deploy(_MIGRATE, _SET_IMAGE, _STATUS, _UNDO)},
    "A pre-deploy command of the platform counts: Fly.io `release_command`, Render `preDeployCommand`, Heroku `release:`, Helm"
    " and Argo CD hooks.",
)

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
        "- uses: org/cicd-actions/run-migrations-oneshot@<sha>\n  with:\n    allow-contract: ${{"
        " inputs.allow-contract }}\n    backup-command: ./backup.sh {environment}"
    ),
    _unbacked,
    {
        "migrations/versions/0007_drop.py": _REVISION_HEAD + 'deploy_phase = "contract"\n',
        ".github/workflows/deploy.yml": _HEAD + _deploy(_MIGRATE, _SET_IMAGE, _STATUS, _UNDO),
    },
    {
        "migrations/versions/0007_drop.py": _REVISION_HEAD + 'deploy_phase = "contract"\n',
        ".github/workflows/deploy.yml": _HEAD
        + _deploy('- run: pg_dump --file backup.sql "$DATABASE_URL"', _MIGRATE, _SET_IMAGE, _STATUS, _UNDO),
    },
)

RULES = (STARTUP, MIGRATE_FIRST, UNSAFE, UNBACKED)
