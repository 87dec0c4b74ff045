"""What a Python project asks for: its requirements, each with the extra or group that brings it, and its Python.

Python 3.10 has no reader of TOML, so this reads the few tables that count by their lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TABLE = re.compile(r"\[\[?\s*([^\[\]\s](?:[^\]]*[^\]\s])?)\s*\]\]?")
_KEY = re.compile(r"([\w.\"-]+)\s*=\s*(.*)", re.DOTALL)
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass
class Project:
    """A project. `places` says for each requirement where it stands: `` (always), `extra:NAME` or `group:NAME`."""

    text: str = ""
    places: dict[str, set[str]] = field(default_factory=dict)
    extras: dict[str, set[str]] = field(default_factory=dict)
    includes: dict[str, set[str]] = field(default_factory=dict)
    python: str = ""

    def has(self, name: str) -> bool:
        """Returns whether the project requires a distribution."""
        return name in self.places

    def brings(self, *names: str) -> tuple[set[str], set[str]]:
        """Returns the extras and the groups that have to be installed beside the defaults, to have these requirements."""
        extras: set[str] = set()
        groups: set[str] = set()
        usual = {"dev", *self._included("dev")}
        for name in names:
            places = self.places.get(name, {""})
            if "" in places or any(f"group:{group}" in places for group in usual):
                continue
            kind, _, label = min(places).partition(":")
            (extras if kind == "extra" else groups).add(label)
        return extras, groups

    def _included(self, group: str) -> set[str]:
        found: set[str] = set()
        pending = [group]
        while pending:
            for name in self.includes.get(pending.pop(), set()) - found:
                found.add(name)
                pending.append(name)
        return found


def pyproject(text: str) -> Project:
    """Returns what a pyproject.toml says."""
    project = Project(text)
    entries = _entries(text)
    optional = {table for table, key, value in entries if key == "optional" and value == "true"}
    for table, key, value in entries:
        place = _place(table, key)
        if (group := table.removesuffix(".dependencies")) in optional:
            place = f"optional:{group.rpartition('.')[2]}"
        if (table, key) in {("project", "requires-python"), ("tool.poetry.dependencies", "python")}:
            match = re.search(r"3\.\d+", value)
            project.python = match[0] if match else ""
        elif table == "tool.poetry.extras":
            for name in re.findall(r"[\"']([\w.-]+)[\"']", value):
                project.places[name.lower()] = {f"extra:{key}"}
        elif place is not None and table.startswith("tool.poetry"):
            _add(project, f"{key} {value}", f"extra:{key}" if "optional = true" in value else place)
        elif place is not None:
            name = place.partition(":")[2]
            for group in re.findall(r"include-group\s*=\s*[\"']([\w.-]+)", value):
                project.includes.setdefault(name, set()).add(group)
            for requirement in re.findall(r"[\"']([^\"']+)[\"']", re.sub(r"\{[^}]*\}", "", value)):
                _add(project, requirement, place)
    return project


def requirements(text: str) -> Project:
    """Returns what a requirements file says."""
    project = Project(text)
    for line in text.splitlines():
        if line.strip() and not line.startswith(("#", "-", " ")):
            _add(project, line, "")
    return project


def _add(project: Project, requirement: str, place: str) -> None:
    match = _REQUIREMENT.match(requirement.strip())
    if match:
        name = re.sub(r"[-_.]+", "-", match[0].lower())
        project.places.setdefault(name, set()).add(place)
        for extra in re.findall(r"\[([\w, -]+)\]|extras\s*=\s*\[([^\]]*)\]", requirement):
            project.extras.setdefault(name, set()).update(re.findall(r"[\w-]+", "".join(extra)))


def _place(table: str, key: str) -> str | None:
    """Returns where the requirements of a key belong, `None` where it holds none."""
    if (table, key) == ("project", "dependencies") or table == "tool.poetry.dependencies":
        return ""
    if table == "project.optional-dependencies":
        return f"extra:{key}"
    if table == "project" and key.startswith("optional-dependencies."):
        return f"extra:{key.partition('.')[2]}"
    if table == "dependency-groups":
        return f"group:{key}"
    # Poetry and PDM install their development groups unless told otherwise.
    if re.fullmatch(r"tool\.poetry\.(group\.[\w-]+\.dependencies|dev-dependencies)|tool\.pdm\.dev-dependencies", table):
        return "group:dev"
    if (table, key) == ("tool.uv", "dev-dependencies"):
        return "group:dev"
    return None


def _entries(text: str) -> list[tuple[str, str, str]]:
    """Returns table, key and value of each entry; a value may go on over several lines."""
    found: list[tuple[str, str, str]] = []
    table, open_value = "", ""
    for line in text.splitlines():
        bare = re.sub(r"(?:^|\s)#(?=(?:[^\"']*[\"'][^\"']*[\"'])*[^\"']*$).*", "", line).strip()
        if open_value:
            open_value += f"\n{bare}"
        elif match := _TABLE.fullmatch(bare):
            table = match[1].replace('"', "")
            continue
        else:
            open_value = bare
        if _open(open_value):
            continue
        if match := _KEY.fullmatch(open_value):
            found.append((table, match[1].strip('"'), match[2]))
        open_value = ""
    return found


def _open(value: str) -> bool:
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", value.partition("=")[2])
    return bare.count("[") > bare.count("]") or bare.count("{") > bare.count("}")
