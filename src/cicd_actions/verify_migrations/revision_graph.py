"""Compares the base's revision files with this change's: what was released stays as it is, and the graph has one end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cicd_actions.verify_migrations import project
from cicd_actions.verify_migrations.rules import Trouble


def troubles(base: Mapping[str, Any], head: Mapping[str, Any], relative: Callable[[str], str]) -> Iterator[Trouble]:
    """Yields what is wrong. `base` and `head` are what Alembic said of each tree; `relative` shortens a path."""
    for each in head["problems"]:
        rule = each["rule"]
        what = {
            "revision-twice": lambda e: f"{', '.join(map(relative, e['files']))} have the revision {e['revision']}",
            "parent-missing": lambda e: f"{e['revision']} follows {', '.join(e['missing'])}, which does not exist",
            "several-heads": lambda e: f"the heads are {', '.join(e['heads'])}",
        }[rule](each)
        yield Trouble(rule, what, each.get("revision", ""), file=(each.get("files") or [""])[-1])
    now = {each["revision"]: each for each in head["scripts"]}
    for old in base["scripts"]:
        new = now.get(old["revision"])
        if new is None:
            yield Trouble("revision-removed", f"{old['revision']} ({Path(old['path']).name}) is gone", old["revision"])
        elif not project.same_text(_text(old["path"]), _text(new["path"])):
            what = f"{old['revision']} was released, and its file has changed since"
            yield Trouble("revision-changed", what, old["revision"], file=new["path"])


def of_django(problems: Sequence[Mapping[str, Any]], files: Mapping[str, Mapping[str, Any]]) -> Iterator[Trouble]:
    """Yields what Django itself finds wrong with this change's files on the base's database."""
    for each in problems:
        rule, revision, what = each["rule"], each.get("revision", ""), each.get("what", "")
        if rule == "several-heads":
            what = f"the last migrations are {', '.join(each['heads'])}"
        elif rule == "squash-incomplete":
            missing = ", ".join(each["missing"])
            what = f"{revision} replaces {missing}, which the running release has not applied, and the file is gone"
        yield Trouble(rule, what, revision, file=str(files.get(revision, {}).get("path", "")))


def _text(path: str) -> str:
    return Path(path).read_text("utf-8", "replace")
