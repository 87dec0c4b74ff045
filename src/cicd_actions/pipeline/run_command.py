"""Run one program of the caller's from an argument list, never through a shell.

The command line is written by the workflow's author; the values come from outside (a commit, an image's name). So it is
split first and filled afterwards: a value is always part of exactly one argument.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, MutableMapping

from cicd_actions.pipeline import step
from cicd_actions.toolkit import dotenv, redaction
from cicd_actions.toolkit.grammar import NotUnderstood, argv
from cicd_actions.toolkit.process import filled

DOTENV = "RELEASE_ENV"
# A secret that is not set arrives as an empty string, which a program would take for a value.
SECRETS = (DOTENV, "DATABASE_URL")


class Unusable(ValueError):
    """Something that the workflow was given cannot be used; the message says what to write instead."""


def words(command: str, values: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The arguments of *command*, the input *name*, with *values* filled in. Raises Unusable."""
    try:
        split = argv(command)
    except NotUnderstood as error:
        raise Unusable(f"{name}: {error}") from error
    if not split:
        raise Unusable(f"{name} is empty: it needs a command here")
    return filled(split, values)


def last_json_object(text: str, name: str) -> dict[str, object]:
    """The JSON object on the last line of *text* that is not empty. Raises Unusable if there is none."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise Unusable(f"{name} printed nothing on stdout; its last line has to be a JSON object")
    try:
        result = json.loads(lines[-1])
    except ValueError as error:
        raise Unusable(f"{name}: the last line it printed is not JSON") from error
    if not isinstance(result, dict):
        raise Unusable(f"{name}: the last line it printed is not a JSON object")
    return result


def settle_secrets(environment: MutableMapping[str, str]) -> None:
    """Drop secrets that were not set, and mask each value of a dotenv: GitHub masks only its lines as they stand."""
    for name in SECRETS:
        if not environment.get(name):
            environment.pop(name, None)
    try:
        values = dotenv.parse(environment.get(DOTENV, "")).values()
    except dotenv.NotDotenv as error:
        raise Unusable(f"the secret {DOTENV} is not a dotenv file: {error}") from error
    for value in values:
        for line in value.splitlines():
            if len(line) >= redaction.SHORTEST:
                step.command("add-mask", line)


def shown(command: tuple[str, ...]) -> None:
    step.log(f"[command]{shlex.join(command)}".replace("\n", " "))


def main() -> None:
    inputs = step.inputs()
    try:
        settle_secrets(os.environ)
        command = words(inputs["command"], json.loads(inputs["values"] or "{}"), "command")
        os.chdir(inputs["working-directory"] or ".")
    except Unusable as error:
        step.fail(str(error), 2)
    except OSError as error:
        step.fail(f"The folder {inputs['working-directory']!r} cannot be entered: {error.strerror}", 2)
    shown(command)
    try:
        if inputs["result"] != "json":
            # exec, so that a cancelled job's signal reaches the program itself.
            os.execvp(command[0], command)
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        step.fail(
            f"{command[0]!r} could not be started: {error.strerror}. Is it installed on this runner, and the path right?", 2
        )
    printed = done.stdout.decode("utf-8", "replace")
    step.log(printed)
    if done.returncode:
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
    try:
        step.output("result", json.dumps(last_json_object(printed, command[0])))
    except Unusable as error:
        step.fail(str(error))
