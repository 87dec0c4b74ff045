"""`build-images`: builds every image of a release once and pushes it, all at once where Docker builds."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.pipeline import secret_files
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.grammar import argv, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.json_values import members
from cicd_actions.toolkit.process import filled
from cicd_actions.toolkit.report import Code, Inline, OutputValue, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the plan says of the build."""

    build: str = declare(string, "What to build as JSON, from the plan.", required=True)
    image: str = declare(string, "Image to build alone, on its own runner. Default: those that have none.")
    built: str = declare(
        string, "JSON object: the jobs that built images alone, as the context `needs` has them.", default="{}"
    )


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Builds. Raises `Failed` for an image that was not built, and `UnusableInput`."""
    build: dict[str, Any] = json.loads(inputs.build)
    listed: dict[str, dict[str, Any]] = build["images"]
    separate: list[str] = build["separate"]
    images = {name: each for name, each in listed.items() if (name == inputs.image if inputs.image else name not in separate)}
    secrets = secret_files.read(runtime, secret_files.BUILD)
    secret_files.mask(runtime, secrets)
    named = {name: each.get("build-secrets", []) for name, each in images.items()}
    secret_files.required(secrets, [key for keys in named.values() for key in keys], secret_files.BUILD)
    variables = {name: value for name, value in runtime.environment.for_programs().items() if name != secret_files.BUILD}
    docker = {name: each for name, each in images.items() if "command" not in each}
    digests = {}
    if docker:
        mounted = {key: secrets[key] for name in docker for key in named[name]}
        digests = _bake(docker, build["sha"], {**variables, **mounted}, runtime)
    for name, each in images.items():
        if "command" in each:
            own = {key: secrets[key] for key in named[name]}
            digests[name] = _by_command(name, each, build["sha"], {**variables, **own}, runtime)
    if not inputs.image:
        digests |= _built_elsewhere(separate, json.loads(inputs.built))
    ordered = {name: digests[name] for name in listed if name in digests}
    checksums = Path(tempfile.mkdtemp(prefix="cicd-actions-build-", dir=runtime.scratch)) / "checksums.txt"
    lines = [f"{digest.partition(':')[2]}  {listed[name]['repository']}\n" for name, digest in ordered.items()]
    checksums.write_text("".join(lines), "utf-8")
    rows: list[tuple[Inline, ...]] = [(name, listed[name]["repository"], Code(digest)) for name, digest in ordered.items()]
    outputs: dict[str, OutputValue] = {"digests": ordered, "checksums": str(checksums)}
    table = Table(("image", "repository", "digest"), rows)
    return Report(Verdict.PASS, f"Built {', '.join(ordered)}.", outputs, blocks=[table])


def _built_elsewhere(names: Sequence[str], jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns the digests of the images that other jobs built: each of these names one, the skipped ones none."""
    told: dict[str, Any] = {}
    for job in jobs.values():
        if job["result"] == "success":
            told |= json.loads(job["outputs"]["digests"])
    return {name: _digest(told.get(name), name, "the job that builds it") for name in names}


def bake_file(images: Mapping[str, Mapping[str, Any]], sha: str, source: str) -> dict[str, Any]:
    """Returns the definition for `docker buildx bake`: one target for each image, all in one group.

    The cache lies in the registry, where only a release writes: no pull request can plant a layer.
    """
    targets: dict[str, Any] = {}
    for name, each in images.items():
        repository = each["repository"]
        tags = [sha, *(tag.replace("{sha}", sha) for tag in each.get("tags", []))]
        target: dict[str, Any] = {
            "context": each.get("context", "."),
            "dockerfile": f"{Path.cwd()}/{each.get('dockerfile', 'Dockerfile')}",
            "tags": [f"{repository}:{tag}" for tag in tags],
            "platforms": each.get("platforms", ["linux/amd64"]),
            "labels": {"org.opencontainers.image.revision": sha, "org.opencontainers.image.source": source},
            "cache-from": [f"type=registry,ref={repository}:build-cache"],
            "cache-to": [f"type=registry,ref={repository}:build-cache,mode=max"],
            "args": {key: str(value).replace("{sha}", sha) for key, value in each.get("build-args", {}).items()},
            "secret": [f"id={key},env={key}" for key in each.get("build-secrets", [])],
        }
        if "target" in each:
            target["target"] = each["target"]
        targets[name] = target
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def _bake(images: Mapping[str, Any], sha: str, variables: Mapping[str, str], runtime: Runtime) -> dict[str, str]:
    source = f"{runtime.variables.get('GITHUB_SERVER_URL', '')}/{runtime.variables.get('GITHUB_REPOSITORY', '')}"
    folder = Path(tempfile.mkdtemp(prefix="cicd-actions-bake-", dir=runtime.scratch))
    file, metadata = folder / "bake.json", folder / "metadata.json"
    # HCL's interpolation would read `${`: https://docs.docker.com/build/bake/reference/
    file.write_text(json.dumps(bake_file(images, sha, source)).replace("${", "$${"), "utf-8")
    words = ["docker", "buildx", "bake", "--file", str(file), "--push", "--metadata-file", str(metadata)]
    with runtime.group(f"Build {', '.join(images)}"):
        code = _run(words, variables)
    if code:
        raise Failed(f"Could not build {', '.join(images)}: `docker buildx bake` ended with exit code {code}.")
    told = json.loads(metadata.read_text("utf-8"))
    return {name: _digest(told.get(name, {}).get("containerimage.digest"), name, "Docker") for name in images}


def _by_command(name: str, image: Mapping[str, Any], sha: str, variables: Mapping[str, str], runtime: Runtime) -> str:
    values = {"name": name, "image": image["repository"], "sha": sha}
    words = filled(argv(image["command"]), values)
    # A file, not a pipe: a child that the program leaves running may keep its output open.
    with runtime.group(f"Build {name}: {image['command']}"), tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            done = subprocess.run(words, env=dict(variables), stdout=output, check=False)
        except OSError as error:
            raise UnusableInput(
                f"Could not build the image `{name}`: `{words[0]}` could not be started: {error.strerror}."
            ) from None
        output.seek(0)
        printed = output.read()
        runtime.log(printed)
    if done.returncode:
        raise Failed(f"Could not build the image `{name}`: `{words[0]}` ended with exit code {done.returncode}.")
    return _digest(_last_object(printed).get("digest"), name, f"`{words[0]}`")


def _last_object(printed: str) -> dict[str, Any]:
    lines = [line for line in printed.splitlines() if line.strip()]
    try:
        found = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return members(found)


def _digest(found: object, name: str, who: str) -> str:
    if isinstance(found, str) and DIGEST.fullmatch(found):
        return found
    raise Failed(
        f"Could not tell the digest of the image `{name}`: {who} named none.",
        fix='A program prints it as its last line: {"digest": "sha256:…"}, with 64 hexadecimal digits.',
    )


def _run(words: list[str], variables: Mapping[str, str]) -> int:
    try:
        return subprocess.run(words, env=dict(variables), stdin=subprocess.DEVNULL, check=False).returncode
    except OSError as error:
        raise UnusableInput(
            f"Could not build with Docker: `{words[0]}` could not be started: {error.strerror}.",
            fix="Use a runner with Docker, or build the image by `command`.",
        ) from None


ACTION = Action(
    name="build-images",
    summary="Builds every image of a release once and pushes it.",
    inputs=Inputs,
    outputs=(
        Output("digests", "JSON object: the digest of each image, by its name."),
        Output("checksums", "Path of a file with the digest and repository of each image, for actions/attest."),
    ),
    run="cicd_actions.pipeline.build_images.run",
    icon="package",
    color="blue",
)
