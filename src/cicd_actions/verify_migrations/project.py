"""The project as base has it and as this change has it: two work trees, and the programs that run in them."""

from __future__ import annotations

import ast
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.run_migrations_oneshot.command_line import migration_in
from cicd_actions.run_migrations_oneshot.programs import libpq_variables
from cicd_actions.toolkit import private, process
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.wire import Address
from cicd_actions.verify_openapi_client.repository import Repository

_PACKAGE = Path(__file__).resolve().parent.parent
_START = _PACKAGE / "verify_migrations/in_project/start.py"
_LINKED = (".venv", "venv", "node_modules")
"""Ignored folders with an environment: without `base-install-command` the base's tree borrows them."""


_OF_ROWS = re.compile(r"^[\w.]*\b(?:IntegrityError|DataError|RaiseException):", re.MULTILINE)
_ERROR = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|NotFound|History)\b")
_ERROR_WITHIN = 8000
"""Characters at the end of what a command printed that hold its error."""


@dataclass(frozen=True)
class Tree:
    """A work tree. `folder` is `working-directory` in it, `root` the repository's root; `borrowed` says that its
    `.venv` is a link to the other tree's, `separate` that it has an environment that `base-install-command` made."""

    root: Path
    folder: Path
    borrowed: bool = False
    separate: bool = False


@dataclass(frozen=True)
class Programs:
    """Runs programs in a tree, with a scratch database's address in the project's variable."""

    inputs: Inputs
    runtime: Runtime
    deadline: Deadline
    scratch: Path

    @property
    def tool(self) -> str:
        """The tool whose program can be asked: `alembic` (also by Flask-Migrate), `django`, or empty for another one."""
        found = migration_in(self.inputs.command)
        return {"alembic": "alembic", "flask": "alembic", "django": "django"}.get(found.tool, "") if found else ""

    @property
    def reads_settings_first(self) -> bool:
        """Returns whether the application reads its settings before its revisions are known, as Flask's does."""
        found = migration_in(self.inputs.command)
        return found is not None and found.tool == "flask"

    def python(self, tree: Tree, program: str, address: Address, **options: Any) -> dict[str, Any]:
        """Runs one of the tool's programs. Returns its result, which has `error` or `stop` where it failed."""
        command = migration_in(self.inputs.command)
        assert command is not None  # noqa: S101 - asked before
        own = Path(tempfile.mkdtemp(prefix=f"{program}-", dir=self.scratch))  # two run at once
        result = own / "result.json"
        whole = {
            "moved": [],
            **options,
            "program": f"{self.tool}_program",
            "program_name": program,
            "arguments": list(command.arguments),
            "script": command.script,
            "module": command.module,
            "tool": command.tool,
            "source": str(_PACKAGE),
            "start": str(_START),
            "result": str(result),
            "reached": address.database,
        }
        told = own / "options.json"
        private.write(told, json.dumps(whole))
        words = (*command.launcher, command.python, "-c", _START.read_text("utf-8"), str(told))
        done = self._run(tree, words, address, shown=f"{program}: {' '.join(self.inputs.command)}")
        try:
            found: dict[str, Any] = json.loads(result.read_text("utf-8"))
        except (OSError, ValueError):
            raise Inconclusive(
                f"The program `{program}` ended with {done.exit_code} and left no result.", cause=_tail(done)
            ) from None
        if done.timed_out:
            raise Inconclusive(f"The program `{program}` was not finished within `timeout`.", cause=_tail(done))
        return found

    def command(self, tree: Tree, words: Sequence[str], address: Address, name: str) -> process.Finished:
        """Runs a command of the user's. It may fail."""
        return self._run(tree, words, address, shown=f"{name}: {' '.join(words)}")

    def required(self, tree: Tree, words: Sequence[str], address: Address, name: str) -> None:
        """Runs a command of the user's. Raises `Inconclusive` when it fails."""
        done = self.command(tree, words, address, name)
        if done.exit_code or done.timed_out:
            how = "took longer than `timeout`" if done.timed_out else f"failed with exit code {done.exit_code}"
            raise Inconclusive(f"The command of `{name}` {how}, so nothing was judged.", cause=_tail(done))

    def _run(self, tree: Tree, words: Sequence[str], address: Address, *, shown: str) -> process.Finished:
        if not tree.folder.is_dir():
            raise Inconclusive(f"The base does not have the folder {self.inputs.working_directory}.")
        self.deadline.check(shown)
        with self.runtime.group(shown):
            return process.run(
                words,
                timeout=max(self.deadline.remaining, 0.1),
                env=self._environment(tree, address),
                cwd=tree.folder,
                on_line=lambda _stream, line: self.runtime.log(line),
                redactor=self.runtime.redactor,
            )

    def _environment(self, tree: Tree, address: Address) -> dict[str, str]:
        given = dict(self.runtime.environment.for_programs())
        found = {
            **given,
            **libpq_variables(address.libpq),
            self.inputs.database_url_variable: address.url,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if tree.borrowed:
            found["UV_NO_SYNC"] = "1"
        elif tree.separate:
            for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH"):
                found.pop(name, None)
            own = [str(folder / ".venv/bin") for folder in (tree.folder, tree.root) if (folder / ".venv/bin").is_dir()]
            found["PATH"] = os.pathsep.join([*own, found.get("PATH", os.defpath)])
        return found


def head_tree(repo: Repository, folder: Path) -> Tree:
    """Returns the tree of this change: the checkout itself."""
    return Tree(repo.root, folder)


def base_tree(repo: Repository, commit: str, folder: Path, inputs: Inputs, scratch: Path) -> Tree:
    """Writes the base's files below `scratch`. The repository does not change."""
    root = scratch / "base"
    root.mkdir()
    private_index = {"GIT_INDEX_FILE": str(scratch / "index")}
    repo.git("read-tree", commit, env=private_index)
    repo.git("checkout-index", "--all", "--quiet", f"--prefix={root}/", env=private_index)
    inside = os.path.relpath(folder.resolve(), repo.root)
    tree = Tree(root, root / inside)
    if inputs.base_install_command:
        return Tree(root, root / inside, separate=True)
    borrowed = False
    for place in {repo.root, folder.resolve()}:
        target = root / os.path.relpath(place, repo.root)
        for name in _LINKED:
            if (place / name).is_dir() and target.is_dir() and not (target / name).exists():
                (target / name).symlink_to(place / name)
                borrowed = borrowed or name != "node_modules"
    return Tree(tree.root, tree.folder, borrowed)


def same_text(one: str, two: str) -> bool:
    """Returns whether two revision files do the same: comments, layout, docstrings and `deploy_phase` do not count."""
    if one == two:
        return True
    try:
        return _meaning(one) == _meaning(two)
    except (SyntaxError, ValueError):
        return False


def _meaning(text: str) -> str:
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not _is_text(node) and not _is_phase(node)]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.body and _is_text(node.body[0]):
            node.body = node.body[1:]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_phase(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "deploy_phase" for target in targets)


def _tail(done: process.Finished) -> str:
    return visible("\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])) or "It printed nothing."


def first_line(error: Mapping[str, Any]) -> str:
    """Returns what the database said: lines after it say where in a function."""
    return next(iter(str(error["text"]).splitlines()), "")


def last_words(done: process.Finished) -> str:
    """Returns the error that a command ended with: a driver's details stand in lines after it."""
    lines = (done.stderr or done.stdout).strip().splitlines()
    at = next((at for at in range(len(lines) - 1, -1, -1) if _ERROR.match(lines[at])), len(lines) - 1)
    return " ".join(line.strip() for line in lines[max(at, 0) :][:3])


def refuses_rows(done: process.Finished) -> bool:
    """Returns whether a program in Python ended with an error of the rows: a constraint, a value, or what a trigger raises."""
    return _OF_ROWS.search(done.stderr[-_ERROR_WITHIN:]) is not None


def sizes(path: Path, shown: str) -> Mapping[str, int]:
    """Reads the file of `table-sizes`. Raises `UnusableInput`."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return {str(table): int(rows) for table, rows in found.items()}
    except (OSError, ValueError, OverflowError, AttributeError, TypeError) as error:
        raise UnusableInput(
            f"Could not read {shown}, the file of the input `table-sizes`: {error}.",
            fix='    {"users": 1200000, "orders": 48000}',
        ) from None


def scratch_folder(runtime: Runtime) -> tempfile.TemporaryDirectory[str]:
    """Returns a folder for the base's tree and the programs' results; it goes with the run."""
    path = runtime.variables.get("RUNNER_TEMP")
    return tempfile.TemporaryDirectory(prefix="verify-migrations-", dir=path if path and Path(path).is_dir() else None)


def broken(what: str, result: Mapping[str, Any], fix: str = "") -> Inconclusive:
    """Returns the error for a program whose result has an `error` or a `stop`."""
    error = result.get("error") or {}
    if error.get("encoding"):
        fix = f"The encoding is {error['encoding']}. Name the session's in the URL:\n\n    …/app?client_encoding=utf8"
    cause = f"{error.get('type', '')}: {error.get('text', '')}" if error else str(result.get("stop", ""))
    return Inconclusive(f"Could not read {what}.", cause=cause, fix=fix)
