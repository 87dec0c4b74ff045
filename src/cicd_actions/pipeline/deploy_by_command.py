"""Deploy with the caller's own programs: what runs now, roll out, roll back.

Each program gets the service, its image, the commit and the environment as separate arguments (see run_command).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping

from cicd_actions.pipeline import step
from cicd_actions.pipeline.run_command import Unusable, last_json_object, settle_secrets, shown, words
from cicd_actions.toolkit import process
from cicd_actions.toolkit.errors import UnusableInput

# The job's own timeout-minutes ends what hangs; this is for a program called outside of it.
TIME_LIMIT = 3600.0
SHA = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)

Inputs = Mapping[str, str]


class DeployError(Exception):
    """A message for the person who reads the log; the step fails with it."""


def pairs(lines: str, name: str) -> dict[str, str]:
    """Lines `service=value`, in order. Raises DeployError for a line of another form, or a service named twice."""
    found: dict[str, str] = {}
    for line in lines.splitlines():
        if not line.strip():
            continue
        service, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not value or not NAME.fullmatch(service):
            raise DeployError(f"{name}: {line!r} is not of the form `service=value`")
        if service in found:
            raise DeployError(f"{name}: {service} is named twice")
        found[service] = value
    return found


def release(images: str, digests: str) -> dict[str, str]:
    """service → `repository@sha256:…`. Raises DeployError unless both name the same services, each with a whole digest."""
    repositories, wanted = pairs(images, "images"), pairs(digests, "digests")
    if not wanted:
        raise DeployError("digests: nothing to deploy; it takes the output `digests` of build.yml")
    if set(repositories) != set(wanted):
        raise DeployError(f"images names {sorted(repositories)}, digests names {sorted(wanted)}: they must be the same")
    for service, digest in wanted.items():
        if not DIGEST.fullmatch(digest):
            raise DeployError(f"digests: {service}={digest} is not `sha256:` and 64 hexadecimal digits")
    return {service: f"{repositories[service]}@{digest}" for service, digest in wanted.items()}


def is_ancestor(older: str, newer: str) -> bool | None:
    """Whether *newer* contains *older*; None when git does not know one of the two."""
    done = subprocess.run(["git", "merge-base", "--is-ancestor", older, newer], capture_output=True, check=False)
    return {0: True, 1: False}.get(done.returncode)


def refuse_older(running: Mapping[str, object], sha: str) -> None:
    """Raise DeployError if something newer than *sha* runs: this run waited while a later one overtook it."""
    for service, now in running.items():
        current = now.get("sha") if isinstance(now, dict) else None
        if not isinstance(current, str) or not SHA.fullmatch(current):
            step.command("warning", f"{service}: the commit that runs now is not known, so a newer one cannot be told")
        elif current == sha or is_ancestor(current, sha):
            continue
        elif is_ancestor(sha, current):
            raise DeployError(
                f"{service} already runs {current}, which is newer than {sha}. Nothing was changed. "
                "To deploy the older commit on purpose, set `allow-older: true`"
            )
        else:
            step.command("warning", f"{service}: {current} runs now, and it is no ancestor of {sha}")


def run(command: tuple[str, ...]) -> process.Finished:
    """Run the caller's program, its output shown as it comes."""
    shown(command)
    return process.run(command, timeout=TIME_LIMIT, on_line=lambda _, line: step.log(line))


def values(inputs: Inputs, service: str, image: str, sha: str) -> dict[str, str]:
    """What a command's placeholders stand for."""
    found = {"service": service, "image": image, "digest": image.partition("@")[2], "sha": sha}
    return {**found, "environment": inputs["environment"]}


def what_runs(inputs: Inputs) -> dict[str, object]:
    """What runs now, per service, as the caller's program tells it."""
    done = run(words(inputs["running-command"], {"environment": inputs["environment"]}, "running-command"))
    if done.exit_code:
        raise DeployError(f"running-command ended with {done.exit_code}: what runs now is not known, so nothing was changed")
    return last_json_object(done.stdout, "running-command")


def move(inputs: Inputs, service: str, image: str, sha: str) -> int:
    """Roll one service out (or back); returns the exit code of the caller's program."""
    return run(words(inputs["roll-out-command"], values(inputs, service, image, sha), "roll-out-command")).exit_code


def start(inputs: Inputs) -> None:
    if inputs["engine"] != "command":
        raise DeployError(f"engine: {inputs['engine']!r} is not known here; write `engine: command` and name your programs")
    if not SHA.fullmatch(inputs["sha"]):
        raise DeployError(f"sha: {inputs['sha']!r} is not a full commit SHA")
    for line in inputs["urls"].splitlines():
        service, _, url = line.partition("=")
        if not url.startswith(("http://", "https://")):
            raise DeployError(
                f"it is not known where the {service} answers: set the variable {service.upper()}_URL of the environment "
                f"{inputs['environment']}, or the input `{service}-url`, to a URL"
            )
    services, migrates = release(inputs["images"], inputs["digests"]), inputs["migrate-service"]
    if migrates not in services:
        raise DeployError(f"migrate-service: {migrates} is not deployed here; there are {', '.join(services)}")
    running = what_runs(inputs)
    if inputs["allow-older"] != "true":
        refuse_older(running, inputs["sha"])
    step.output("previous", json.dumps(running))
    step.output("migrate-image", services[migrates])


def previous_of(inputs: Inputs) -> dict[str, dict[str, str]]:
    """What `start` found, only the services that can be rolled out again."""
    found = json.loads(inputs["previous"] or "{}")
    return {
        service: now
        for service, now in found.items()
        if isinstance(now, dict) and all(isinstance(now.get(key), str) and now[key] for key in ("image", "sha"))
    }


def roll_out(inputs: Inputs) -> None:
    """All services or none: when one fails, those that moved go back to what ran before."""
    previous, moved = previous_of(inputs), list[str]()
    for service, image in release(inputs["images"], inputs["digests"]).items():
        if status := move(inputs, service, image, inputs["sha"]):
            stands = revert(inputs, moved, previous)
            raise DeployError(f"{service} was not rolled out: roll-out-command ended with {status}. {stands}")
        moved.append(service)


def revert(inputs: Inputs, moved: list[str], previous: Mapping[str, Mapping[str, str]]) -> str:
    """Take *moved* services back; returns what stands now, in words."""
    stands = []
    for service in reversed(moved):
        if service not in previous:
            stands.append(f"{service} stays on the new release, nothing ran before it")
            continue
        now = previous[service]
        status = move(inputs, service, now["image"], now["sha"])
        went = "is back on" if status == 0 else f"could NOT be taken back (exit {status}) to"
        stands.append(f"{service} {went} {now['sha']}")
    return "; ".join(stands) if stands else "No service had moved"


def roll_back(inputs: Inputs) -> None:
    previous = previous_of(inputs)
    missing = sorted(set(pairs(inputs["digests"], "digests")) - set(previous))
    if missing:
        raise DeployError(f"nothing is known to have run before for {', '.join(missing)}: this was the first deployment there")
    for service, now in previous.items():
        if status := move(inputs, service, now["image"], now["sha"]):
            raise DeployError(f"{service} could not be taken back to {now['sha']}: exit {status}. A person has to look now")
    commits = {now["sha"] for now in previous.values()}
    step.output("to-sha", commits.pop() if len(commits) == 1 else "")


PHASES = {"start": start, "roll-out": roll_out, "roll-back": roll_back}


def main() -> None:
    inputs = step.inputs()
    try:
        settle_secrets(os.environ)
        PHASES[inputs["phase"]](inputs)
    except (DeployError, Unusable, UnusableInput) as error:
        step.fail(str(error))
