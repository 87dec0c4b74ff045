"""The secrets of a deploy: DEPLOY_ENV for its programs, RELEASE_ENV for the release's jobs and services, both dotenv files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cicd_actions.pipeline.infrastructure import handed_on
from cicd_actions.pipeline_file.rules import REFUSED_ENV
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime

DEPLOY, RELEASE, BUILD = "DEPLOY_ENV", "RELEASE_ENV", "BUILD_ENV"


def read(runtime: Runtime, name: str) -> dict[str, str]:
    """Returns the variables that a secret holds, masked; none where it is not set. With DEPLOY_ENV those that the
    infrastructure's outputs brought to this job, too.

    Raises `UnusableInput` for text that is not a dotenv file, and for a variable that would steer the runner.
    """
    brought = handed_on.read(runtime) if name == DEPLOY else {}
    if not runtime.variables.get(name):
        return brought
    found = runtime.environment.file(name, input=name)
    for variable in found:
        if REFUSED_ENV.fullmatch(variable):
            raise UnusableInput(
                f"Could not use the secret {name}: its variable {variable} would steer the runner, a shell or an interpreter.",
                fix=f"Take the line out, and set the secret again: {_command(name, '' if name == BUILD else 'NAME')}",
            )
    return {**found, **brought}


def mask(runtime: Runtime, values: Mapping[str, str]) -> None:
    """Masks the values in every later line of the job. The runner masks whole lines, and a program may print less."""
    for value in values.values():
        for line in value.splitlines():
            runtime.mask(line)


def required(values: Mapping[str, str], names: Iterable[str], secret: str, environment: str = "") -> None:
    """Raises `UnusableInput` where the secret lacks a name, or holds it empty. For GitHub a forgotten secret is empty text.

    *environment* is empty for a secret of the repository.
    """
    missing = [name for name in names if not values.get(name)]
    if missing:
        of = f"environment {environment}" if environment else "repository"
        raise UnusableInput(
            f"Could not use the secret {secret} of the {of}: it does not set {', '.join(missing)}.",
            cause="A secret that is not handed on by name at each level, or that does not exist, is an empty string.",
            fix=f"Set it:\n\n    {_command(secret, environment)}\n\nand hand it on in the caller:\n\n"
            f"    secrets:\n      {secret}: ${{{{ secrets.{secret} }}}}",
        )


def _command(secret: str, environment: str) -> str:
    return f"gh secret set {secret} {f'--env {environment} ' if environment else ''}< file.env"
