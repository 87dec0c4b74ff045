"""`cicd-actions init`: writes a pipeline file and its callers, each guess with a comment that says from what."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.pipeline import caller, changes, starting_files
from cicd_actions.pipeline.detection import detect
from cicd_actions.pipeline.detection.model import Found, Repository, Variable
from cicd_actions.pipeline_file import reading
from cicd_actions.secrets_doc_check.code import scanning
from cicd_actions.secrets_doc_check.inputs import Inputs as Documented
from cicd_actions.secrets_doc_check.run import run as document_secrets
from cicd_actions.toolkit import git
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.grammar import argv, boolean, string
from cicd_actions.toolkit.inputs import declare, load
from cicd_actions.toolkit.report import Block, Bullets, Heading, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.workflows.tree import Tree

CALLER = ".github/workflows/pipeline.yml"
ROLLBACK = ".github/workflows/rollback.yml"
LOCK = ".github/workflows/lock.yml"
SECRETS = "SECRETS.md"
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
    found = detect(Repository(_repository(root), files, lambda name: _text(root / name), code_variables(root)))
    valid(found)
    texts = _texts(inputs, found, _branch(root))
    standing = [name for name in texts if (root / name).exists()]
    if standing and not inputs.force:
        raise Failed(f"Refused to overwrite {', '.join(standing)}.", fix="Run it with `--force`, or move the files away.")
    for name, text in texts.items():
        path = runtime.place(name, input="config")
        path.write_text(text, "utf-8")
    document_secrets(load(Documented, {"code": "auto", "write": SECRETS}, runtime.redactor), runtime)
    blocks: list[Block] = []
    for title, lines in (
        ("Not known", found.unknown),
        ("Look at these", found.flags),
        ("Next", _next(inputs, found, caller.required_check(texts[CALLER]))),
    ):
        if lines:
            blocks += [Heading(title), Bullets(lines)]
    return Report(
        Verdict.PASS, f"Wrote {', '.join(texts)}: {_counted(found.lanes)}.", {"lanes": list(found.lanes)}, blocks=blocks
    )


def valid(found: Found) -> None:
    """Takes out, and says, each guess that the pipeline file refuses: whatever a repository holds, the file is valid.

    Raises `UnusablePipeline` for a problem that no guess made.
    """
    while True:
        try:
            reading.parse(starting_files.pipeline(found))
        except reading.UnusablePipeline as error:
            taken = [each for each in error.problems if found.without(each.path)]
            if not taken:
                raise
            found.unknown += [f"Left out, because the file does not take it: {reading.shown(each)}" for each in taken]
        else:
            return


def _texts(inputs: Inputs, found: Found, branch: str) -> dict[str, str]:
    """Returns the files to write, by their paths. Nothing rolls back or locks what is never released."""
    releases = "engine" in found.release
    texts = {
        inputs.config: starting_files.pipeline(found),
        CALLER: starting_files.caller(inputs.commit, branch, release=releases),
        SECRETS: starting_files.SECRETS,
    }
    if releases:
        names = [each["name"] for each in found.release["environments"].value]
        texts[ROLLBACK] = starting_files.rollback(inputs.commit, names)
        texts[LOCK] = starting_files.lock(inputs.commit, names)
    return texts


def _next(inputs: Inputs, found: Found, check: str) -> list[str]:
    """Returns what a person does now, in this order."""
    steps = [] if inputs.commit != COMMIT else [f"Write the commit of a release of {starting_files.PLACE} for {COMMIT}."]
    steps += [
        "Read .github/cicd.yml: each comment says what its value was guessed from.",
        "Run `cicd-actions init --check` and `cicd-actions plan` after every change of it.",
        f"Once the pipeline has run, require the check `{check}` in the branch's rules.",
    ]
    if "engine" in found.release:
        steps.append("Create the environments with their branch rules and reviewers, and set what SECRETS.md lists.")
    return steps


def _check(root: Path, config: str, files: list[str]) -> Report:
    """Tells whether what the file names exists. Raises `Failed`."""
    described = reading.load(root / config, config)
    folders = {str(parent) for name in files for parent in Path(name).parents}
    missing: list[str] = []
    for name, lane in described.lanes.items():
        if _plain(lane.directory) not in folders:
            missing.append(f"lanes.{name}.directory: {lane.directory}")
            continue
        missing += [
            f"lanes.{name}: the lock file {each.lock}"
            for each in (lane.python, lane.node)
            if each and each.lock and _plain(each.lock) not in files
        ]
        commands = [*(lane.install or ()), *lane.prepare, *(each.run for each in lane.checks.values()), lane.openapi or ""]
        missing += [f"lanes.{name}: {path}" for path in _programs(commands, lane.directory) if path not in files]
    for name, image in described.images.items():
        if not image.command and _plain(image.dockerfile) not in files:
            missing.append(f"images.{name}.dockerfile: {image.dockerfile}")
        if _plain(image.context) not in folders:
            missing.append(f"images.{name}.context: {image.context}")
    for settings in [described.release, *described.release.environments] if described.release else []:
        told = [settings.roll_out_command, settings.running_command, settings.image_command, settings.job_command]
        missing += [f"release: {path}" for path in _programs([each or "" for each in told], ".") if path not in files]
    if missing:
        raise Failed(
            f"{config} does not fit the repository: these do not exist.\n"
            + "\n".join(f"- {each}" for each in dict.fromkeys(missing))
        )
    return Report(Verdict.PASS, f"{config} fits the repository: {_counted(described.lanes)}.", {"lanes": list(described.lanes)})


def _counted(lanes: Collection[str]) -> str:
    return f"{len(lanes)} lane{'' if len(lanes) == 1 else 's'}"


def _programs(commands: Iterable[str], folder: str) -> list[str]:
    """Returns the scripts of the repository that commands start, from its root: words such as `./go` and `tools/x.py`."""
    words = [word for command in commands if command for word in argv(command)]
    found = [word for word in words if re.fullmatch(r"\./(?!\.)[\w./-]*\w|[\w.-]+(?:/[\w.-]+)*\.(?:py|sh)", word)]
    return [posixpath.normpath(posixpath.join(folder, word)) for word in found]


def _plain(path: str) -> str:
    return Path(path).as_posix()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.is_file() and path.stat().st_size < 1024 * 1024 else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _repository(root: Path) -> str:
    """Returns `owner/name` by git's remote `origin`."""
    match = re.search(r"[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", _git(root, "remote", "get-url", "origin"))
    return match[1] if match else "your-org/your-app"


def _branch(root: Path) -> str:
    """Returns the default branch: the remote's, else the one that is checked out."""
    for words in (["rev-parse", "--abbrev-ref", "origin/HEAD"], ["symbolic-ref", "--short", "HEAD"]):
        done = _git(root, *words)
        name = done.removeprefix("origin/")
        if re.fullmatch(r"[\w./-]+", name) and name != "HEAD":
            return name
    return "main"


def _git(root: Path, *words: str) -> str:
    command, env = git.command(*words), git.variables(os.environ)
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False).stdout.strip()


def code_variables(root: Path) -> list[Variable]:
    """Returns the environment variables that the code reads."""
    return [
        Variable(use.name, use.place.file, use.required)
        for code in scanning.scan(Tree(root), (scanning.source(scanning.AUTO),))
        for use in code.uses
        if not use.aside and use.place.file.endswith(".py")
    ]


ACTION = Action(
    name="init",
    summary="Writes a pipeline file for this repository, each guess with what it was made from.",
    inputs=Inputs,
    outputs=(Output("lanes", "JSON list: the lanes."),),
    run="cicd_actions.pipeline.init.run",
    icon="edit",
    color="blue",
)
