"""`break-release`: makes a broken release of one that passed, for a rehearsal. The images of the good one stay as they are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cicd_actions.pipeline.build_images import DIGEST
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.grammar import choice, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.report import Code, Inline, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

LABEL = "org.cicd-actions.rehearsal"
"""The run that made a broken image. It also gives each one a digest that no other image has."""

EVERYWHERE = frozenset({"swarm", "docker", "kubernetes", "command"})
WRONG_VERSION = "0" * 40
"""The commit that the gate expects of the fault `wrong-version`: no release answers with it."""


@dataclass(frozen=True)
class Fault:
    """Lines that a Dockerfile adds to the good image (`None`: the image is never pushed), and the engines that notice."""

    what: str
    lines: Sequence[str] | None = ()
    engines: frozenset[str] = EVERYWHERE


FAULTS = {
    "missing-image": Fault("An image that was never pushed.", None, frozenset({"swarm", "docker", "kubernetes"})),
    # A program that is in no image, so it needs no shell.
    "crash": Fault("A release that ends when it starts.", ('ENTRYPOINT ["/cicd-actions/rehearsal"]', "CMD []")),
    "never-ready": Fault(
        "A release that never becomes healthy.",
        ('HEALTHCHECK --interval=2s --timeout=2s --retries=2 CMD ["/cicd-actions/rehearsal"]',),
        frozenset({"swarm", "docker"}),
    ),
    "wrong-version": Fault("A release that runs, and answers as another version."),
}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The good release, and the fault."""

    fault: str = declare(choice(*FAULTS), "The fault.", required=True)
    settings: str = declare(string, "Settings of the environment as JSON, from the plan.", required=True)
    digests: str = declare(string, "JSON object: the digest of each image of the good release.", required=True)
    sha: str = declare(string, "Commit of the good release.", required=True)


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Makes the images and pushes them. Raises `Failed` for one that could not be made, and `UnusableInput`."""
    settings: dict[str, Any] = json.loads(inputs.settings)
    good: dict[str, str] = json.loads(inputs.digests)
    fault = FAULTS[inputs.fault]
    repositories = {each["image"]: each["repository"] for each in settings["services"]}
    mark = "-".join(runtime.variables.get(name, "0") for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"))
    broken = {
        image: _broken(repositories[image], digest, inputs.fault, fault, mark, runtime)
        for image, digest in good.items()
        if image in repositories
    }
    rows: list[tuple[Inline, ...]] = [(name, Code(good[name]), Code(digest)) for name, digest in broken.items()]
    sha = WRONG_VERSION if inputs.fault == "wrong-version" else inputs.sha
    outputs = {"digests": json.dumps(broken), "sha": sha}
    return Report(Verdict.PASS, fault.what, dict(outputs), blocks=[Table(("image", "passed", "broken"), rows)])


def _broken(repository: str, digest: str, name: str, fault: Fault, mark: str, runtime: Runtime) -> str:
    """Returns the digest of a broken image."""
    if fault.lines is None:
        return f"sha256:{hashlib.sha256(f'{repository} {mark}'.encode()).hexdigest()}"
    tag = f"{repository}:rehearsal-{name}-{mark}"
    recipe = [f"FROM {repository}@{digest}", f'LABEL {LABEL}="{mark}"', *fault.lines]
    variables = runtime.environment.for_programs()
    _docker(["build", "--tag", tag, "-"], variables, "\n".join(recipe) + "\n")
    _docker(["push", tag], variables)
    try:
        told = _docker(["image", "inspect", "--format", "{{json .RepoDigests}}", tag], variables)
        found: list[str] = json.loads(told)
    finally:
        _docker(["image", "rm", tag], variables)
    pushed = next((each.rpartition("@")[2] for each in found if each.rpartition("@")[0] == repository), "")
    if not DIGEST.fullmatch(pushed):
        raise Failed(f"Could not tell the digest of {tag}: the registry gave none.")
    return pushed


def _docker(words: Sequence[str], variables: Mapping[str, str], given: str = "") -> str:
    try:
        done = subprocess.run(
            ["docker", *words], input=given, env=dict(variables), capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise UnusableInput(
            f"Could not break the release: `docker` could not be started: {error.strerror}.",
            fix="Rehearse on a runner with Docker.",
        ) from None
    if done.returncode:
        raise Failed(f"Could not break the release: `docker {words[0]}` ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


ACTION = Action(
    name="break-release",
    summary="Makes a broken release of one that passed, for a rehearsal.",
    inputs=Inputs,
    outputs=(
        Output("digests", "JSON object: the digest of each broken image, by its name."),
        Output("sha", "Commit that the gate has to expect."),
    ),
    run="cicd_actions.pipeline.break_release.run",
    icon="zap",
    color="orange",
)
