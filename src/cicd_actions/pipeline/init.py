"""`cicd-actions init`: writes a pipeline file and its caller, each guess with a comment that says from what."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.pipeline import changes
from cicd_actions.pipeline.detection import Found, Guess, detect
from cicd_actions.pipeline_file import reading
from cicd_actions.toolkit import git
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.grammar import boolean, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.report import Block, Bullets, Heading, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

CALLER = ".github/workflows/pipeline.yml"
COMMIT = "<full commit sha>"
"""Stands for the commit of a release until it is given: GitHub refuses it, so it cannot be forgotten."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Where, and whether to write."""

    config: str = declare(string, "Path of the pipeline file.", default=reading.DEFAULT)
    commit: str = declare(string, "Full commit SHA of the release of cicd-actions to pin.", default=COMMIT)
    force: bool = declare(boolean, "Overwrite files that exist.", default="false")
    check: bool = declare(boolean, "Write nothing: tell whether the pipeline file fits the repository.", default="false")


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Writes the files, or checks. Raises `Failed`, and `UnusableInput`."""
    root = runtime.workspace
    files = changes.tracked_files()
    if not files:
        raise UnusableInput("Could not look at the repository: git has no commit here.", fix="    git add --all && git commit")
    if inputs.check:
        return _check(root, inputs.config, files)
    found = detect(files, lambda name: _text(root / name), _repository(root))
    texts = {inputs.config: pipeline(found), CALLER: caller(inputs.commit)}
    texts["SECRETS.md"] = SECRETS
    reading.parse(texts[inputs.config], inputs.config)
    standing = [name for name in texts if (root / name).exists()]
    if standing and not inputs.force:
        raise Failed(f"Refused to overwrite {', '.join(standing)}.", fix="Run it with `--force true`, or move the files away.")
    for name, text in texts.items():
        path = runtime.place(name, input="config")
        path.write_text(text, "utf-8")
    blocks: list[Block] = []
    for title, lines in (("Could not be told", found.unknown), ("Look at these", found.flags)):
        if lines:
            blocks += [Heading(title), Bullets(lines)]
    headline = f"Wrote {', '.join(texts)}: {len(found.lanes)} lanes. Require the check `verify / check` in the branch's rules."
    return Report(Verdict.PASS, headline, {"lanes": list(found.lanes)}, blocks=blocks)


def _check(root: Path, config: str, files: list[str]) -> Report:
    """Tells whether what the file names exists. Raises `Failed`."""
    described = reading.load(root / config, config)
    folders = {str(parent) for name in files for parent in Path(name).parents}
    missing = [
        f"lanes.{name}.directory: {lane.directory}"
        for name, lane in described.lanes.items()
        if _plain(lane.directory) not in folders
    ]
    missing += [
        f"images.{name}.dockerfile: {each.dockerfile}"
        for name, each in described.images.items()
        if not each.command and _plain(each.dockerfile) not in files
    ]
    locks = [(name, each.lock) for name, lane in described.lanes.items() for each in (lane.python, lane.node) if each]
    missing += [f"lanes.{name}: the lock file {lock}" for name, lock in locks if lock and _plain(lock) not in files]
    if missing:
        raise Failed(
            f"{config} does not fit the repository: these do not exist.\n" + "\n".join(f"- {each}" for each in missing)
        )
    return Report(
        Verdict.PASS, f"{config} fits the repository: {len(described.lanes)} lanes.", {"lanes": list(described.lanes)}
    )


def _plain(path: str) -> str:
    return Path(path).as_posix()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.stat().st_size < 1024 * 1024 else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _repository(root: Path) -> str:
    """Returns `owner/name` by git's remote `origin`."""
    words = git.command("remote", "get-url", "origin")
    done = subprocess.run(words, cwd=root, env=git.variables(os.environ), capture_output=True, text=True, check=False)
    match = re.search(r"[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", done.stdout.strip())
    return match[1] if match else "your-org/your-app"


def pipeline(found: Found) -> str:
    """Returns the pipeline file's text."""
    lines = [
        "# What this repository does with a commit. Every key: docs/pipeline-file.md of org/cicd-actions.",
        "# A comment behind a value says what it was guessed from.",
        "version: 1",
        "",
        "lanes:" if found.lanes else "lanes: {}",
        *_mapping({name: Guess(lane) for name, lane in found.lanes.items()}, 1),
    ]
    if found.images:
        lines += ["", "images:", *_mapping({name: Guess(image) for name, image in found.images.items()}, 1)]
    lines += ["", "# Next: `services` and `release`, see docs/adopting.md of org/cicd-actions.", ""]
    return "\n".join(lines)


def _mapping(values: Mapping[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, each in values.items():
        value, why = (each.value, each.why) if isinstance(each, Guess) else (each, "")
        comment = f"  # {why}" if why else ""
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:{comment}"
            yield from _mapping(value, depth + 1)
        elif isinstance(value, list):
            yield f"{indent}{name}:{comment}"
            yield from (f"{indent}  - {json.dumps(item, ensure_ascii=False)}" for item in value)
        else:
            yield f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}{comment}"


def caller(commit: str) -> str:
    """Returns the workflow that calls verify.yml."""
    return f"""# What it does stands in .github/cicd.yml. Require the check `verify / check` in the branch's rules.
name: Pipeline

on:
  push:
    branches: [main]
  pull_request:
  merge_group:

concurrency:
  group: pipeline-${{{{ github.event.pull_request.number || github.run_id }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}

permissions: {{}}

jobs:
  verify:
    name: verify
    permissions:
      contents: read # check out, and read the history
      actions: read # read how the release's environments are protected
    uses: org/cicd-actions/.github/workflows/verify.yml@{commit}
"""


SECRETS = """# Secrets and variables

Everything that a person has to set, what for, where it lives, and how. After a change run
`cicd-actions secrets-doc-check --code auto --write SECRETS.md`.
"""

ACTION = Action(
    name="init",
    summary="Writes a pipeline file for this repository, each guess with what it was made from.",
    inputs=Inputs,
    outputs=(Output("lanes", "JSON list: the lanes."),),
    run="cicd_actions.pipeline.init.run",
    icon="edit",
    color="blue",
)
