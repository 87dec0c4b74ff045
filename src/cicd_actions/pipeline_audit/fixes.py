"""Writes what is safe to write as a patch: time limits, permissions, concurrency groups, and pins from a file of SHAs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from cicd_actions.pipeline_audit import known_actions
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.facts import Facts
from cicd_actions.pipeline_audit.life import Item
from cicd_actions.pipeline_audit.model import flat_text
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.yaml12 import Mapping as YamlMapping
from cicd_actions.toolkit.yaml12 import NotYaml
from cicd_actions.workflows.files import File

MINUTES = 30
"""The time limit that is written: long enough for nearly every job, and a twelfth of GitHub's six hours."""

_PIN = re.compile(r"([\w.-]+/[\w./-]+@\S+)\s+([0-9a-f]{40})")


def pins(text: str, shown: str) -> dict[str, str]:
    """Reads the file of SHAs: `name@ref` and a full commit SHA a line. Raises `UnusableInput`."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        match = _PIN.fullmatch(words)
        if match is None:
            raise UnusableInput(
                f"{shown}:{number}: this is not an action and a full commit SHA.",
                fix="Write lines such as:\n\n    docker/build-push-action@v6 53b7df96c91f9c12dcc8a07bcb9ccacbed38856a",
            )
        found[match[1]] = match[2]
    return found


def patch(facts: Facts, items: Iterable[Item], pinned: Mapping[str, str]) -> str:
    """Returns a unified diff for `git apply` against the open findings; nothing where none can be fixed safely."""
    rules: dict[str, set[str]] = {}
    for item in items:
        rules.setdefault(item.place.file, set()).add(item.rule)
    made: list[str] = []
    for file in facts.pipeline.files:
        wanted = rules.get(file.path, set())
        before = facts.repository.text(file.path)
        if not wanted or before is None or "\r" in before:
            continue
        after = _fixed(facts, file, before, wanted, pinned)
        if after != before and _reads(after):
            path = file.path
            made += difflib.unified_diff(
                before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
            )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in made)


def _reads(text: str) -> bool:
    try:
        yaml12.read(text)
    except NotYaml:
        return False
    return True


def _fixed(facts: Facts, file: File, text: str, wanted: set[str], pinned: Mapping[str, str]) -> str:
    lines = text.splitlines(keepends=True)
    inserted: dict[int, list[str]] = {}
    root = file.document.root
    if not isinstance(root, YamlMapping):
        return text
    jobs_key = root.key("jobs")
    if "unpinned-action" in wanted:
        _pin(file, lines, pinned)
    if "no-timeout" in wanted:
        for job in file.jobs.values():
            key = job.node.key("runs-on")
            value = job.node.get("runs-on")
            if job.uses or not job.steps or key is None or value is None or job.node.get("timeout-minutes") is not None:
                continue
            if _on_one_line(lines, key.line, value.line):
                # After a `runs-on` of several lines the next key's line is not known: there nothing is written.
                inserted.setdefault(key.line, []).append(" " * (key.column - 1) + f"timeout-minutes: {MINUTES}\n")
    if jobs_key is not None and jobs_key.column == 1:
        top: list[str] = []
        if "broad-token" in wanted and root.get("permissions") is None and _only_reads(facts, file):
            top.append("permissions:\n  contents: read\n\n")
        if "stale-ci-runs" in wanted and root.get("concurrency") is None and not _deploys(facts, file):
            top.append(_GROUP)
        line = jobs_key.line - 1
        while line > 0 and lines[line - 1].lstrip().startswith("#"):
            line -= 1
        inserted.setdefault(line, []).extend(top)
    made = [*inserted.get(0, [])]
    for number, text_line in enumerate(lines, 1):
        more = inserted.get(number, [])
        made += [text_line if text_line.endswith("\n") or not more else f"{text_line}\n", *more]
    return "".join(made)


def _on_one_line(lines: list[str], key: int, value: int) -> bool:
    text = lines[key - 1].strip()
    return key == value and text.startswith("runs-on:") and not text.endswith((">-", "|", ">", ","))


_GROUP = """\
concurrency:
  group: ${{ github.workflow }}-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}

"""


def _pin(file: File, lines: list[str], pinned: Mapping[str, str]) -> None:
    steps = [*(step for job in file.jobs.values() for step in job.steps), *file.steps]
    for node in [*(step.node for step in steps), *(job.node for job in file.jobs.values())]:
        value = node.get("uses")
        text = getattr(value, "text", "")
        sha = pinned.get(text)
        if value is None or sha is None:
            continue
        name, _, ref = text.partition("@")
        line = lines[value.line - 1]
        if line.count(text) == 1:
            rest = line.partition(text)[2].strip("'\"\n ")
            comment = "" if rest.startswith("#") else f" # {ref}"
            end = "\n" if line.endswith("\n") else ""
            lines[value.line - 1] = line.replace(text, f"{name}@{sha}").rstrip("\n") + comment + end


_READERS = re.compile(
    r"(actions/(checkout|setup-[a-z]+|cache|upload-artifact|download-artifact)|astral-sh/setup-uv"
    r"|pnpm/action-setup|oven-sh/setup-bun|ruby/setup-ruby)$"
)


def _only_reads(facts: Facts, file: File) -> bool:
    """Whether no job of the workflow can need a permission to write: known actions only, and no token in sight."""
    if re.search(r"GITHUB_TOKEN|github\.token|\bgh |git push|id-token|pull_request_target|GH_TOKEN", file.document.text):
        return False
    for job in facts.pipeline.jobs:
        if file.path not in {job.file.path, job.entry.path}:
            continue
        if job.of(Kind.PUBLISH, Kind.PUSH, Kind.DEPLOY, Kind.ROLLBACK, Kind.NOTIFY, Kind.CLOUD_LOGIN) or job.job.uses:
            return False
        if any(step.uses and not _READERS.match(known_actions.name_of(step.uses)) for step in job.steps):
            return False
    return "secrets" not in flat_text(file.document.root)


def _deploys(facts: Facts, file: File) -> bool:
    jobs = facts.pipeline.runs.get(file.path, [])
    return any(job.of(Kind.DEPLOY, Kind.PUBLISH, Kind.PUSH, Kind.MIGRATE) for job in jobs)
