"""Python: `os.environ`, `os.getenv`, and settings classes of pydantic, by the syntax tree."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from cicd_actions.secrets_doc_check.code.code_uses import CodeUses

_READERS = {"get": True, "pop": True, "setdefault": True, "__getitem__": False}

_LIKE_A_NAME = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+")


def scan(path: str, text: str) -> CodeUses:
    """The variables that a module reads. A default (`os.environ.get`, a field with a value) makes a use optional."""
    found = CodeUses(path, "os.environ")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        _read_module(found, tree, text.splitlines())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = error.lineno if isinstance(error, SyntaxError) and error.lineno else 1
        found.unread(f"it is not Python of this interpreter ({type(error).__name__})", line)
    return found


def _read_module(found: CodeUses, tree: ast.Module, lines: list[str]) -> None:
    names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _read_call(found, node, names, lines)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_environ(node.value, names):
            _name(found, node.slice, node, lines, optional=False)
        elif isinstance(node, ast.Compare) and _is_environ(node.comparators[0], names):
            _name(found, node.left, node, lines, optional=True)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _LIKE_A_NAME.fullmatch(node.value):
            found.mention(node.value, node.lineno, node.col_offset + 1)
    _read_classes(found, tree)


@dataclass
class _Imported:
    """The names by which the module knows `os`, `os.environ` and `os.getenv`."""

    os: set[str] = field(default_factory=set)
    environ: set[str] = field(default_factory=set)
    getenv: set[str] = field(default_factory=set)


def _imported(tree: ast.Module) -> _Imported:
    names = _Imported()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.os |= {one.asname or "os" for one in node.names if one.name == "os"}
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            for one in node.names:
                if one.name in {"environ", "getenv"}:
                    getattr(names, one.name).add(one.asname or one.name)
    return names


def _is_environ(node: ast.expr, names: _Imported) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names.environ
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "environ"
        and isinstance(node.value, ast.Name)
        and node.value.id in names.os
    )


def _read_call(found: CodeUses, node: ast.Call, names: _Imported, lines: list[str]) -> None:
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in _READERS and _is_environ(function.value, names):
        if node.args:
            _name(found, node.args[0], node, lines, optional=_READERS[function.attr])
    elif (isinstance(function, ast.Name) and function.id in names.getenv) or (
        isinstance(function, ast.Attribute)
        and function.attr == "getenv"
        and isinstance(function.value, ast.Name)
        and function.value.id in names.os
    ):
        key = node.args[0] if node.args else next((one.value for one in node.keywords if one.arg == "key"), None)
        if key is not None:
            _name(found, key, node, lines, optional=True)


def _name(found: CodeUses, key: ast.expr, node: ast.expr, lines: list[str], *, optional: bool) -> None:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        found.use(key.value, key.lineno, key.col_offset + 1, optional=optional)
    else:
        found.dynamic(lines[node.lineno - 1].strip()[:80], node.lineno, node.col_offset + 1)


@dataclass
class _Config:
    prefix: str = ""
    case_sensitive: bool = False


def _read_classes(found: CodeUses, tree: ast.Module) -> None:
    """The fields of classes that derive from `BaseSettings`, also through other classes of the same module."""
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in classes.values():
        family = list(_family(node, classes))
        if not any("BaseSettings" in _bases(one) for one in family):
            continue
        config = _Config()
        for one in reversed(family):
            _read_config(one, config)
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                _read_field(found, node.name, statement, statement.target.id, config)


def _family(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    seen: set[str] = set()
    pending = [node]
    while pending:
        one = pending.pop(0)
        if one.name not in seen:
            seen.add(one.name)
            yield one
            pending += [classes[base] for base in _bases(one) if base in classes]


def _bases(node: ast.ClassDef) -> list[str]:
    return [
        base.id if isinstance(base, ast.Name) else base.attr
        for base in node.bases
        if isinstance(base, (ast.Name, ast.Attribute))
    ]


def _read_config(node: ast.ClassDef, config: _Config) -> None:
    """`model_config = SettingsConfigDict(…)` or a dict, the inner `class Config`, or arguments of the class itself."""
    pairs: list[tuple[str, ast.expr]] = [(one.arg, one.value) for one in node.keywords if one.arg]
    for statement in node.body:
        targets = (
            statement.targets
            if isinstance(statement, ast.Assign)
            else [statement.target]
            if isinstance(statement, ast.AnnAssign)
            else []
        )
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        if any(isinstance(target, ast.Name) and target.id == "model_config" for target in targets):
            if isinstance(value, ast.Call):
                pairs += [(one.arg, one.value) for one in value.keywords if one.arg]
            elif isinstance(value, ast.Dict):
                pairs += [
                    (key.value, one)
                    for key, one in zip(value.keys, value.values, strict=True)
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                ]
        elif isinstance(statement, ast.ClassDef) and statement.name == "Config":
            for inner in statement.body:
                if isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name):
                    pairs.append((inner.targets[0].id, inner.value))
    for name, value in pairs:
        if isinstance(value, ast.Constant):
            if name == "env_prefix" and isinstance(value.value, str):
                config.prefix = value.value
            elif name == "case_sensitive":
                config.case_sensitive = value.value is True


def _read_field(found: CodeUses, owner: str, statement: ast.AnnAssign, name: str, config: _Config) -> None:
    if name.startswith("_") or name == "model_config" or "ClassVar" in ast.unparse(statement.annotation):
        return
    default: bool = statement.value is not None
    aliases: list[str] = []
    field_call = _field_call(statement)
    if field_call is not None:
        default, aliases = _of_field(
            field_call, has_value=isinstance(statement.value, ast.Call) and statement.value is not field_call
        )
    # A field with an alias is read by it alone, without the prefix; otherwise by prefix and name, in any case.
    known = aliases or [config.prefix + name if config.case_sensitive else (config.prefix + name).upper()]
    if aliases and not config.case_sensitive:
        known = [alias.upper() for alias in aliases]
    for alias in dict.fromkeys(known):
        found.use(alias, statement.lineno, statement.col_offset + 1, optional=default or len(known) > 1, how=f"{owner}.{name}")


def _field_call(statement: ast.AnnAssign) -> ast.Call | None:
    """`Field(…)`, as the value or within `Annotated[…]`."""
    candidates: list[ast.expr] = [statement.value] if statement.value else []
    annotation = statement.annotation
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
        candidates += annotation.slice.elts
    for node in candidates:
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Field":
            return node
    return None


def _of_field(call: ast.Call, *, has_value: bool) -> tuple[bool, list[str]]:
    """Whether a `Field` has a default, and the names it is read by."""
    first = call.args[0] if call.args else None
    default = has_value or (first is not None and not (isinstance(first, ast.Constant) and first.value is Ellipsis))
    aliases: list[str] = []
    for keyword in call.keywords:
        if keyword.arg == "default":
            default = default or not (isinstance(keyword.value, ast.Constant) and keyword.value.value is Ellipsis)
        elif keyword.arg == "default_factory":
            default = True
        elif keyword.arg in {"alias", "validation_alias", "env"}:
            # `validation_alias` wins over `alias`, as in pydantic.
            texts = _texts(keyword.value)
            aliases = texts if keyword.arg != "alias" or not aliases else aliases
    return default, aliases


def _texts(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, (ast.List, ast.Tuple)):
        return [text for one in node.elts for text in _texts(one)]
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "AliasChoices":
        return [text for one in node.args for text in _texts(one)]
    return []
