"""Migrate with the caller's own programs, before the roll-out.

The program gets the service, its image, the commit and the environment as separate arguments (see run_command).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cicd_actions.pipeline import step
from cicd_actions.pipeline.release_images import DeployError, release
from cicd_actions.pipeline.run_command import Unusable, settle_secrets, shown, words
from cicd_actions.toolkit import process
from cicd_actions.toolkit.errors import UnusableInput

# The job's own timeout-minutes ends what hangs; this is for a program called outside of it.
TIME_LIMIT = 3600.0

Inputs = Mapping[str, str]


def run(command: tuple[str, ...]) -> process.Finished:
    """Run the caller's program, its output shown as it comes."""
    shown(command)
    return process.run(command, timeout=TIME_LIMIT, on_line=lambda _, line: step.log(line))


def values(inputs: Inputs, service: str, image: str, sha: str) -> dict[str, str]:
    """What a command's placeholders stand for."""
    found = {"service": service, "image": image, "digest": image.partition("@")[2], "sha": sha}
    return {**found, "environment": inputs["environment"]}


def job_of(command: str, job: str, filled: Mapping[str, str]) -> tuple[str, ...]:
    """*command* with the arguments of *job* at its argument `{command}`, or at its end. Nothing is filled into the job's."""
    outer, inner = words(command, filled, "job-command"), words(job, {}, "migrate-command")
    at = outer.index("{command}") if "{command}" in outer else len(outer)
    return (*outer[:at], *inner, *outer[at + 1 :])


def migrate(inputs: Inputs) -> None:
    services, service = release(inputs["images"], inputs["digests"]), inputs["migrate-service"]
    if service not in services:
        raise DeployError(f"migrate-service: {service} is not deployed here; there are {', '.join(services)}")
    filled = values(inputs, service, services[service], inputs["sha"])
    done = run(job_of(inputs["job-command"], inputs["migrate-command"], filled))
    if done.exit_code:
        raise DeployError(
            f"the migration ended with {done.exit_code}. Nothing was rolled out: the release before it still runs"
        )


def main() -> None:
    inputs = step.inputs()
    try:
        settle_secrets(os.environ)
        migrate(inputs)
    except (DeployError, Unusable, UnusableInput) as error:
        step.fail(str(error))
