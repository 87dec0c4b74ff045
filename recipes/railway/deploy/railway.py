#!/usr/bin/env python3
"""Deploys image-backed services to Railway through its API: the programs of `engine: command` in one file.

    railway.py roll-out SERVICE IMAGE SHA        sets the image, deploys it, and waits for this deployment
    railway.py running                           prints what runs, as JSON
    railway.py image IMAGE                       exits with 1 where the registry does not have the image
    railway.py job SERVICE IMAGE COMMAND…        runs a one-shot job on this machine: Railway has none

It needs RAILWAY_TOKEN, a project token, which belongs to one environment. Railway's command line deploys no image by digest:
`railway up` builds the code again, and `--ci` ends when the build does, before anything runs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

Json = Any
API = os.environ.get("RAILWAY_API", "https://backboard.railway.com/graphql/v2")
WITHIN = float(os.environ.get("RAILWAY_WITHIN", "600"))
EVERY = float(os.environ.get("RAILWAY_EVERY", "3"))
ABSENT = re.compile(r"manifest unknown|no such manifest|not found|name unknown", re.IGNORECASE)
UP, DOWN = {"SUCCESS", "SLEEPING"}, {"CRASHED", "FAILED", "NEEDS_APPROVAL", "REMOVED", "REMOVING", "SKIPPED"}

TOKEN = "query { projectToken { projectId environmentId } }"
INSTANCES = (
    "query ($id: String!) { environment(id: $id) { serviceInstances { edges { node"
    " { serviceId serviceName source { image } latestDeployment { id status meta } } } } } }"
)
UPDATE = (
    "mutation ($service: String!, $environment: String!, $input: ServiceInstanceUpdateInput!)"
    " { serviceInstanceUpdate(serviceId: $service, environmentId: $environment, input: $input) }"
)
DEPLOY = (
    "mutation ($service: String!, $environment: String!)"
    " { serviceInstanceDeployV2(serviceId: $service, environmentId: $environment) }"
)
STATUS = "query ($id: String!) { deployment(id: $id) { status } }"


class Failed(Exception):
    """Why a program ends with 1."""


def ask(query: str, **variables: Any) -> Json:
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"Content-Type": "application/json", "Project-Access-Token": os.environ["RAILWAY_TOKEN"]}
    try:
        with urllib.request.urlopen(urllib.request.Request(API, body, headers), timeout=30) as answer:
            found = json.load(answer)
    except (urllib.error.URLError, ValueError) as error:
        raise Failed(f"Railway's API does not answer: {error}") from None
    if found.get("errors"):
        raise Failed(f"Railway's API refused: {'; '.join(each['message'] for each in found['errors'])}")
    return found["data"]


def instances() -> tuple[str, dict[str, Json]]:
    """Returns the environment's id, and its services by name."""
    environment = ask(TOKEN)["projectToken"]["environmentId"]
    edges = ask(INSTANCES, id=environment)["environment"]["serviceInstances"]["edges"]
    return environment, {each["node"]["serviceName"]: each["node"] for each in edges}


def roll_out(service: str, image: str, _sha: str) -> None:
    environment, found = instances()
    if service not in found:
        raise Failed(f"There is no service {service} in this environment.")
    where = {"service": found[service]["serviceId"], "environment": environment}
    ask(UPDATE, **where, input={"source": {"image": image}})
    deployment = ask(DEPLOY, **where)["serviceInstanceDeployV2"]
    end = time.monotonic() + WITHIN
    said = ""
    while time.monotonic() < end:
        status = ask(STATUS, id=deployment)["deployment"]["status"]
        if status != said:
            print(f"{service}: {status}", flush=True)
            said = status
        if status in DOWN:
            raise Failed(f"The deployment {deployment} of {service} did not arrive: {status}.")
        if status in UP:
            return
        time.sleep(EVERY)
    raise Failed(f"{service} did not arrive within {WITHIN:g} s: {said}.")


def running() -> None:
    found = {}
    for service, each in instances()[1].items():
        deployment = each["latestDeployment"] or {}
        # The deployment's own image: that of the service is only what the next one will have.
        image = (deployment.get("meta") or {}).get("image") or ""
        if image and deployment.get("status") in UP:
            found[service] = {"image": image, "digest": image.partition("@")[2]}
        elif deployment:
            found[service] = {"image": "several", "digest": ""}
    print(json.dumps(found))


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
