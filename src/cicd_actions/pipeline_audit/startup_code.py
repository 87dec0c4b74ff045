"""Finds migrations that an application's own Python starts, in what its framework calls before it serves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.commands import shown
from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.pipeline_audit.shell import commands
from cicd_actions.pipeline_audit.startup import Startup, migrates
from cicd_actions.workflows.place import Place

_APPLICATION = re.compile(r"lifespan|on_event|\.ready\(|def ready|before_first_request|on_startup|create_app")
_MIGRATION = re.compile(r"alembic|call_command|flask_migrate|aerich|yoyo")
_NOT_SERVED = re.compile(r"(^|/)(tests?|migrations|alembic|docs|examples)/|(^|/)(test_|conftest)")


def migrating_modules(repository: Repository) -> list[str]:
    """Returns the application's modules that name a migration tool, sorted. git looks through them where it can."""
    listed = repository.tree.grep(["grep", "-I", "--untracked", "-z", "--name-only", "-E", _MIGRATION.pattern, "--", "*.py"])
    found = [path for path in repository.tree.paths if path.endswith(".py") and not _NOT_SERVED.search(path)]
    return found if listed is None else [path for path in found if path in listed]


def of_python(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations that an application runs by itself when it starts: in its lifespan or a start-up event."""
    text = repository.text(path) or ""
    if not (_APPLICATION.search(text) and _MIGRATION.search(text)):
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for node in functions.values():
        if not _starts(node):
            continue
        for call in _calls(node):
            if _upgrade(call):
                yield Startup(Place(path, call.lineno), shown(ast.unparse(call)))
            elif isinstance(call.func, ast.Name) and call.func.id in functions:
                inner = functions[call.func.id]
                for deeper in _calls(inner):
                    if _upgrade(deeper):
                        yield Startup(Place(path, deeper.lineno), shown(ast.unparse(deeper)), (Place(path, call.lineno),))


def _starts(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if node.name in {"lifespan", "on_startup", "startup", "create_app"} or node.name.endswith("lifespan"):
        return True
    if node.name == "ready" and [argument.arg for argument in node.args.args] == ["self"]:
        return True
    return any(
        (
            isinstance(one, ast.Call)
            and isinstance(one.func, ast.Attribute)
            and one.func.attr == "on_event"
            and any(isinstance(a, ast.Constant) and a.value == "startup" for a in one.args)
        )
        or (isinstance(one, ast.Attribute) and one.attr in {"before_first_request", "before_serving"})
        for one in node.decorator_list
    )


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            yield one
            # asyncio.to_thread(command.upgrade, config, "head") calls it too.
            for argument in one.args:
                if isinstance(argument, (ast.Attribute, ast.Name)):
                    yield ast.copy_location(ast.Call(argument, [a for a in one.args if a is not argument], []), one)


def _upgrade(call: ast.Call) -> bool:
    try:
        name = ast.unparse(call.func)
        words = [
            argument.value
            for argument in ast.walk(call)
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        ]
    except (ValueError, RecursionError):
        return False
    if name.endswith(("command.upgrade", "alembic_upgrade")) or name == "upgrade":
        return True
    if name.endswith("call_command"):
        return "migrate" in words[:1]
    if name.rpartition(".")[2] in {
        "run",
        "check_call",
        "call",
        "Popen",
        "system",
        "check_output",
        "create_subprocess_exec",
        "create_subprocess_shell",
    }:
        return any(migrates(command) for command in commands(" ".join(words)))
    return False
