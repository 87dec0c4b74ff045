#!/usr/bin/env python3
"""Deploys image-backed services to Render with its command line: the programs of `engine: command` in one file.

    render.py roll-out SERVICE IMAGE SHA        deploys the image, waits for this deploy, and asks what is live then
    render.py running                           prints what is live, as JSON
    render.py image IMAGE                       exits with 1 where the registry does not have the image
    render.py job SERVICE IMAGE COMMAND…        runs a one-shot job on this machine: Render's own jobs run the old image

It needs RENDER_API_KEY and RENDER_SERVICES, which names each service's id: `api=srv-… worker=srv-…`. A deploy hook is no
substitute: it answers before the deploy begins.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

Json = Any
ABSENT = re.compile(r"manifest unknown|no such manifest|not found|name unknown", re.IGNORECASE)


class Failed(Exception):
    """Why a program ends with 1."""


def render(*words: str) -> str:
    done = subprocess.run(["render", *words, "--confirm", "--output", "json"], text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failed(f"`render {' '.join(words[:2])}` exited with code {done.returncode}: {done.stdout.strip()[-2000:]}")
    return done.stdout


def ids() -> dict[str, str]:
    return dict(each.split("=", 1) for each in os.environ["RENDER_SERVICES"].split())


def id_of(service: str) -> str:
    found = ids().get(service)
    if not found:
        raise Failed(f"RENDER_SERVICES does not name the id of {service}.")
    return found


def live(service: str) -> Json | None:
    """Returns the image that is live; `None` where there is none."""
    for each in json.loads(render("deploys", "list", id_of(service))):
        if each["status"] == "live":
            reference = (each.get("image") or {}).get("ref", "")
            digest = reference.partition("@")[2] or (each.get("image") or {}).get("sha", "")
            repository = re.sub(r"(@|:[^:/]*$).*", "", reference)
            return {"image": f"{repository}@{digest}" if digest else reference, "digest": digest}
    return None


def roll_out(service: str, image: str, _sha: str) -> None:
    render("deploys", "create", id_of(service), "--image", image, "--wait")
    now = live(service)
    if not now or now["digest"] != image.partition("@")[2]:
        raise Failed(f"{service} does not run {image}: {now['image'] if now else 'nothing'} is live.")


def running() -> None:
    found = {service: live(service) for service in ids()}
    print(json.dumps({service: entry for service, entry in found.items() if entry}))


def image(reference: str) -> None:
    """Asks the registry. Exits with 1 where it does not have the image, with 2 where it does not tell."""
    done = subprocess.run(["docker", "manifest", "inspect", reference], text=True, capture_output=True, check=False)
    sys.stderr.write(done.stderr)
    sys.exit(0 if not done.returncode else 1 if ABSENT.search(done.stderr) else 2)


def job(_service: str, reference: str, *command: str) -> None:
    """Runs the command in a container of the image here, with the job's variables, and exits with its code."""
    variables = [word for name in os.environ.get("JOB_VARIABLES", "").split() for word in ("--env", name)]
    entrypoint = ["--entrypoint", command[0]] if command else []
    words = ["docker", "run", "--rm", "--init", *variables, *entrypoint, reference, *command[1:]]
    sys.exit(subprocess.run(words, check=False).returncode)


def main(verb: str, *words: str) -> int:
    try:
        {"roll-out": roll_out, "running": running, "image": image, "job": job}[verb](*words)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
