#!/usr/bin/env python3
"""Deploys prebuilt sites to Vercel: the programs of `engine: command` in one file. An image holds the output of `vercel build`.

    vercel.py roll-out SERVICE IMAGE SHA    deploys the image's /output without a domain, and promotes it
    vercel.py running                       prints what the domains serve, as JSON
    vercel.py image IMAGE                   exits with 1 where the registry does not have the image

It needs VERCEL_TOKEN, VERCEL_ORG_ID, and VERCEL_SERVICES, which names each service's project and its domain:
`web=prj_…:www.example.org`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = Any
API = os.environ.get("VERCEL_API", "https://api.vercel.com")
WITHIN = float(os.environ.get("VERCEL_WITHIN", "300"))
ABSENT = re.compile(r"manifest unknown|no such manifest|not found|name unknown", re.IGNORECASE)
IMAGE, SHA = "releaseImage", "releaseSha"
"""The keys of a deployment's metadata, by which it is found again."""


class Failed(Exception):
    """Why a program ends with 1."""


def call(*words: str, **more: str) -> str:
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, env={**os.environ, **more}, check=False)
    if done.returncode:
        raise Failed(f"`{' '.join(words[:2])}` exited with code {done.returncode}.")
    return done.stdout.strip()


def ask(path: str, **query: str) -> Json:
    """Asks the API. Returns `None` for what does not exist."""
    address = f"{API}{path}?{urllib.parse.urlencode({'teamId': os.environ['VERCEL_ORG_ID'], **query})}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {os.environ['VERCEL_TOKEN']}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise Failed(f"Vercel's API answered {error.code} to {path}.") from None
    except (urllib.error.URLError, ValueError) as error:
        raise Failed(f"Vercel's API does not answer: {error}") from None


def services() -> dict[str, tuple[str, str]]:
    """Returns the project and the domain of each service."""
    found = dict(each.split("=", 1) for each in os.environ["VERCEL_SERVICES"].split())
    return {service: (each.partition(":")[0], each.partition(":")[2]) for service, each in found.items()}


def served(domain: str) -> Json:
    """Returns what the domain serves: the newest production deployment is another one after a rollback."""
    meta = (ask(f"/v13/deployments/{domain}") or {}).get("meta") or {}
    return {"image": meta.get(IMAGE, ""), "digest": meta.get(IMAGE, "").partition("@")[2], "sha": meta.get(SHA, "")}


def roll_out(service: str, image: str, sha: str) -> None:
    if service not in services():
        raise Failed(f"VERCEL_SERVICES does not name the project of {service}.")
    project, domain = services()[service]
    found = ask("/v6/deployments", projectId=project, target="production", state="READY", limit="1", **{f"meta-{IMAGE}": image})
    known = (found or {}).get("deployments") or []
    address = known[0]["url"] if known else deployed(project, image, sha)
    call("vercel", "promote", address, "--yes", f"--timeout={WITHIN:g}s", f"--scope={os.environ['VERCEL_ORG_ID']}")
    end = time.monotonic() + WITHIN
    while served(domain)["image"] != image:
        if time.monotonic() > end:
            raise Failed(f"{domain} does not serve {image}, but {served(domain)['image'] or 'something else'}.")
        time.sleep(2)


def deployed(project: str, image: str, sha: str) -> str:
    """Returns the address of a new production deployment of the image's files, which no domain leads to yet."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, ".vercel").mkdir()
        with docker(image) as words:
            container = call(*words, "create", image)
        try:
            call("docker", "cp", f"{container}:/output", f"{folder}/.vercel/output")
        finally:
            call("docker", "rm", container)
        meta = ["--meta", f"{IMAGE}={image}", "--meta", f"{SHA}={sha}"]
        words = ["vercel", "deploy", "--prebuilt", "--prod", "--skip-domain", "--yes", f"--cwd={folder}", *meta]
        return call(*words, VERCEL_PROJECT_ID=project)


@contextlib.contextmanager
def docker(image: str) -> Iterator[list[str]]:
    """Yields the start of a call of Docker, logged in to the image's registry; without variables as the runner is."""
    user, password = os.environ.get("REGISTRY_USERNAME"), os.environ.get("REGISTRY_PASSWORD")
    if not user or not password:
        yield ["docker"]
        return
    with tempfile.TemporaryDirectory() as folder:
        words = ["docker", "--config", folder]
        login = [*words, "login", f"--username={user}", "--password-stdin", image.partition("/")[0]]
        if subprocess.run(login, input=password, text=True, stdout=subprocess.DEVNULL, check=False).returncode:
            raise Failed("Could not log in to the registry.")
        yield words


def running() -> None:
    found = {service: served(domain) for service, (_, domain) in services().items()}
    print(json.dumps({service: entry for service, entry in found.items() if entry["image"]}))


def image(reference: str) -> None:
    """Asks the registry. Exits with 1 where it does not have the image, with 2 where it does not tell."""
    with docker(reference) as words:
        done = subprocess.run([*words, "manifest", "inspect", reference], text=True, capture_output=True, check=False)
    sys.stderr.write(done.stderr)
    sys.exit(0 if not done.returncode else 1 if ABSENT.search(done.stderr) else 2)


def main(verb: str, *words: str) -> int:
    try:
        {"roll-out": roll_out, "running": running, "image": image}[verb](*words)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
