"""The files of a repository that a pipeline is made of, each read once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cached_property, partial

from cicd_actions.pipeline_audit.shell import Command, commands
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.yaml12 import Mapping, Node, NotYaml, Scalar, Sequence
from cicd_actions.workflows.repository_files import Fetch, Files
from cicd_actions.workflows.tree import Tree

PIPELINE_FILES = (".github/cicd.yml", ".github/cicd.yaml")

_DOCUMENT_SIZE = 256 * 1024

_MAKE_VARIABLE = re.compile(r"^(\w+)[ \t]{0,9}[:?]?=[ \t]{0,9}([^\n#]*)", re.MULTILINE)
_MAKE_REFERENCE = re.compile(r"(?<!\$)\$[({](\w+)[)}]")


@dataclass
class Repository:
    """One checkout. `name` is `owner/name`, where it is known."""

    tree: Tree
    name: str = ""
    fetch: Fetch | None = None
    _texts: dict[str, str | None] = field(default_factory=dict)
    _yaml: dict[str, list[Node]] = field(default_factory=dict)
    _scripts: dict[str, list[Command]] = field(default_factory=dict)

    @cached_property
    def files(self) -> Files:
        """The workflow and action files."""
        return Files(self.tree, self.name, self.fetch)

    @cached_property
    def paths(self) -> frozenset[str]:
        return frozenset(self.tree.paths)

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """The paths by their file names, sorted."""
        found: dict[str, list[str]] = {}
        for path in self.tree.paths:
            found.setdefault(path.rpartition("/")[2], []).append(path)
        return found

    def text(self, path: str) -> str | None:
        """Returns the text of a file, or `None` where there is none or it cannot be read."""
        if path not in self._texts:
            known = self.files.texts.get(path)
            self._texts[path] = known if known is not None else self.tree.glance(path) if path in self.paths else None
        return self._texts[path]

    def named(self, *patterns: str) -> list[str]:
        """Returns the paths whose file name fits one of the patterns (`*` and `?`), sorted."""
        fitting = re.compile("|".join(map(translate, patterns))).match
        return sorted(path for name, paths in self.by_name.items() if fitting(name) for path in paths if not vendored(path))

    def yaml(self, path: str) -> list[Node]:
        """Returns the documents of a YAML file, with the lines of the file; those that cannot be read are left out."""
        if path not in self._yaml:
            self._yaml[path] = list(_documents(self.text(path) or ""))
        return self._yaml[path]

    def script(self, path: str) -> list[Command]:
        """Returns the commands of a shell script; none for anything else."""
        if path not in self._scripts:
            text = self.text(path) if path in self.paths else None
            shell = text is not None and (path.endswith((".sh", ".bash")) or re.match(r"#!.*\b(ba|da|z)?sh\b", text))
            self._scripts[path] = commands(text or "") if shell else []
        return self._scripts[path]

    def make_target(self, target: str, folder: str = "") -> tuple[str, list[Command]]:
        """Returns the Makefile's path and the commands of one of its targets, with the lines of the file."""
        for name in ("Makefile", "makefile", "GNUmakefile"):
            path = f"{folder}{name}"
            text = self.text(path)
            if text is None:
                continue
            match = re.search(rf"^{re.escape(target)}\s*:(?!=)[^\n]*\n((?:[ \t]+[^\n]*\n?|\n)*)", text, re.MULTILINE)
            if match:
                before = text.count("\n", 0, match.start(1))
                lines = [re.sub(r"^\t[@+-]*", "", line) for line in match[1].split("\n")]
                given = {name: value.strip() for name, value in _MAKE_VARIABLE.findall(text)}
                recipe = _MAKE_REFERENCE.sub(partial(_given, given), "\n".join(lines))
                return path, commands("\n" * before + recipe.replace("$$", "$"))
        return "", []

    def recipe(self, name: str, folder: str = "") -> tuple[str, list[Command]]:
        """Returns the justfile's path and the commands of one of its recipes, with the lines of the file."""
        for file in ("justfile", "Justfile", ".justfile"):
            path = f"{folder}{file}"
            text = self.text(path)
            match = re.search(
                rf"^@?{re.escape(name)}\b[^:=\n]*:(?!=)[^\n]*\n((?:[ \t]+[^\n]*\n?|\n)*)", text or "", re.MULTILINE
            )
            if text is not None and match:
                lines = [re.sub(r"^[ \t]+[@-]*", "", line) for line in match[1].split("\n")]
                return path, commands("\n" * text.count("\n", 0, match.start(1)) + "\n".join(lines))
        return "", []

    def task(self, name: str, folder: str = "") -> tuple[str, list[Command]]:
        """Returns the Taskfile's path and the commands of one of its tasks, with the lines of the file."""
        for file in ("Taskfile.yml", "Taskfile.yaml", "taskfile.yml", "taskfile.yaml", "Taskfile.dist.yml"):
            path = f"{folder}{file}"
            for root in self.yaml(path) if path in self.paths else ():
                tasks = root.get("tasks") if isinstance(root, Mapping) else None
                one = tasks.get(name) if isinstance(tasks, Mapping) else None
                listed = one.get("cmds") or one.get("cmd") if isinstance(one, Mapping) else one
                items = listed.items if isinstance(listed, Sequence) else [listed]
                found = [item.get("cmd") if isinstance(item, Mapping) else item for item in items]
                return path, [
                    replace(command, line=command.line + one.line - 1 + (one.style in {"|", ">"}))
                    for one in found
                    if isinstance(one, Scalar)
                    for command in commands(one.text)
                ]
        return "", []

    def package(self, name: str) -> str:
        """Returns the folder, with its slash, of the workspace's package that a filter such as `web` or `@org/web...` names.

        Returns a folder that does not exist for none.
        """
        bare = name.strip("!^.{}[]\"'").removeprefix("/").removesuffix("/")
        names = re.compile(rf'\{{[^{{}}]*"name"\s*:\s*"{re.escape(bare)}"')
        for path in self.named("package.json"):
            folder = path.removesuffix("package.json")
            if bare and (f"/{folder}".endswith(f"/{bare}/") or names.match((self.text(path) or "").strip())):
                return folder
        return f"{name}/"

    def package_script(self, name: str, folder: str = "") -> tuple[str, int, list[Command]]:
        """Returns the path of package.json, the line, and the commands of one of its scripts."""
        path = f"{folder}package.json"
        text = self.text(path)
        try:
            scripts = json.loads(text).get("scripts", {}) if text else {}
        except (ValueError, AttributeError, RecursionError):
            return "", 0, []
        body = scripts.get(name) if isinstance(scripts, dict) else None
        if not isinstance(body, str):
            return "", 0, []
        at = (text or "").find(json.dumps(name))
        return path, (text or "").count("\n", 0, max(at, 0)) + 1, commands(body)

    @cached_property
    def deploys(self) -> bool | None:
        """What the pipeline file says with its key `deploys`: whether this repository deploys; `None` where it does not say."""
        for path in PIPELINE_FILES:
            for root in self.yaml(path):
                value = root.get("deploys") if isinstance(root, Mapping) else None
                if isinstance(value, Scalar) and value.kind == "bool":
                    return value.value() is True
        return None

    @cached_property
    def documents(self) -> list[tuple[str, str]]:
        """The Markdown files that people are expected to read, with their text."""
        found = [path for path in self.tree.paths if path.lower().endswith((".md", ".mdx", ".rst")) and not vendored(path)]
        found = [path for path in found if path.count("/") <= 3][:300]
        return [(path, text[:_DOCUMENT_SIZE]) for path in found if (text := self.text(path))]


def vendored(path: str) -> bool:
    """Tells whether a file is a copy of somebody else's, or made for a test."""
    return _VENDORED.search(path) is not None


_VENDORED = re.compile(r"(^|/)(node_modules|vendor|third_party|\.venv|venv|site-packages|fixtures|testdata)/")


def _documents(text: str) -> Iterable[Node]:
    line = 0
    for part in re.split(r"^---(?=\s|$)", text, flags=re.MULTILINE):
        try:
            root = yaml12.read("\n" * line + part.lstrip(" \t") if line else part, strict=False).root
        except NotYaml:
            root = None
        if root is not None:
            yield root
        line += part.count("\n")


def _given(values: dict[str, str], found: re.Match[str]) -> str:
    """Returns the value of a variable of make, or the reference itself."""
    return values.get(found[1], found[0])
