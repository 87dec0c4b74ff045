#!/usr/bin/env python3
"""Deploys services to Fly with flyctl: the programs of `engine: command` in one file. A service `api` is the app `<prefix>api`.

    fly.py roll-out --prefix shop- SERVICE IMAGE SHA        replaces the app's machines, and asks each of them what it runs
    fly.py running --prefix shop- SERVICE…                  prints what runs, as JSON
    fly.py image IMAGE                                      exits with 1 where the registry does not have the image
    fly.py job --prefix shop- SERVICE IMAGE COMMAND…        runs a one-shot machine

`flyctl deploy` alone can succeed without effect: Fly puts a machine that cannot be updated back to its old version, which is
healthy. So the machines are asked.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import signal
import subprocess
import sys
import time
from typing import Any

Json = Any
JOB = "one-shot-job-"
REVISION = "org.opencontainers.image.revision"
ABSENT = re.compile(r"manifest unknown|no such manifest|not found|name unknown", re.IGNORECASE)


class Failed(Exception):
    """Why a program ends with 1."""


def flyctl(*words: str) -> str:
    done = subprocess.run(["flyctl", *words], text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failed(f"`flyctl {' '.join(words[:2])}` exited with code {done.returncode}.")
    return done.stdout


def machines(app: str) -> list[Json]:
    """Returns the app's machines, without those that only jobs and consoles made."""
    found = json.loads(flyctl("machine", "list", "--app", app, "--json"))
    grouped = [each for each in found if (each["config"].get("metadata") or {}).get("fly_process_group")]
    return [each for each in grouped if not each["name"].startswith(JOB)]


def entry(machine: Json) -> Json:
    reference = machine["image_ref"]
    image = f"{reference['registry']}/{reference['repository']}@{reference['digest']}"
    # As it was deployed, where that is a digest: another registry's image keeps its name.
    image = machine["config"]["image"] if "@sha256:" in machine["config"].get("image", "") else image
    return {"image": image, "digest": image.partition("@")[2], "sha": (reference.get("labels") or {}).get(REVISION, "")}


def roll_out(given: argparse.Namespace) -> None:
    app = given.prefix + given.service
    config = ["--config", given.config] if given.config else []
    options = ["--strategy", given.strategy, "--wait-timeout", f"{given.within}s", "--yes"]
    print(flyctl("deploy", "--app", app, "--image", given.image, *config, *options))
    found = machines(app)
    if not found:
        raise Failed(f"{app} has no machine, so nothing proves the image.")
    digest = given.image.partition("@")[2]
    for each in found:
        if entry(each)["digest"] != digest:
            raise Failed(f"The machine {each['id']} of {app} still runs {entry(each)['image']}.")
        failing = [check["name"] for check in each.get("checks") or [] if check["status"] != "passing"]
        if failing and each["state"] == "started":
            raise Failed(f"The machine {each['id']} of {app} does not pass its checks: {', '.join(failing)}.")


def running(given: argparse.Namespace) -> None:
    found = {}
    for service in given.services:
        theirs = [entry(each) for each in machines(given.prefix + service)]
        if theirs:
            same = all(each == theirs[0] for each in theirs)
            found[service] = theirs[0] if same else {"image": "several", "digest": "", "sha": ""}
    print(json.dumps(found))


def job(given: argparse.Namespace) -> None:
    """Runs a machine with the app's secrets to its end, and exits with its code."""
    app, name = given.prefix + given.service, f"{JOB}{secrets.token_hex(4)}"
    words = ["--app", app, "--name", name, "--restart", "no", "--detach", "--vm-memory", given.memory]
    flyctl("machine", "run", given.image, *words, "--", *given.command)
    (machine,) = [each for each in json.loads(flyctl("machine", "list", "--app", app, "--json")) if each["name"] == name]
    try:
        code = ended(app, machine["id"], given.job_within, given.every)
        print(flyctl("logs", "--app", app, "--machine", machine["id"], "--no-tail"))
    finally:
        flyctl("machine", "destroy", machine["id"], "--app", app, "--force")
    sys.exit(code)


def ended(app: str, machine: str, seconds: int, every: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for each in json.loads(flyctl("machine", "list", "--app", app, "--json")):
            exits = [event["request"]["exit_event"] for event in each.get("events") or [] if event["type"] == "exit"]
            if each["id"] == machine and exits:
                return 137 if exits[0].get("oom_killed") else int(exits[0]["exit_code"])
        time.sleep(every)
    raise Failed(f"The job did not end within {seconds} s.")


def image(given: argparse.Namespace) -> None:
    """Asks the registry. Exits with 1 where it does not have the image, with 2 where it does not tell."""
    done = subprocess.run(["docker", "manifest", "inspect", given.image], text=True, capture_output=True, check=False)
    sys.stderr.write(done.stderr)
    sys.exit(0 if not done.returncode else 1 if ABSENT.search(done.stderr) else 2)


def main(*words: str) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    verbs = parser.add_subparsers(required=True)
    for name, function, names in (
        ("roll-out", roll_out, ("service", "image", "sha")),
        ("running", running, ()),
        ("image", image, ("image",)),
        ("job", job, ("service", "image")),
    ):
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(function=function)
        verb.add_argument("--prefix", default="", help="What stands before the service in the name of the app.")
        verb.add_argument("--config", default="", help="fly.toml to deploy with. Default: the app's present configuration.")
        verb.add_argument("--strategy", default="rolling", choices=("rolling", "canary", "bluegreen"))
        verb.add_argument("--within", type=int, default=300, help="Seconds until a machine must be healthy.")
        verb.add_argument("--job-within", type=int, default=1800, help="Seconds until a job must have ended.")
        verb.add_argument("--memory", default="512", help="Megabytes of a job's machine.")
        verb.add_argument("--every", type=float, default=3, help="Seconds between two questions.")
        for each in names:
            verb.add_argument(each)
        if function is running:
            verb.add_argument("services", nargs="+")
        if function is job:
            verb.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    # A job that is ended early removes its machine.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        given.function(given)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
