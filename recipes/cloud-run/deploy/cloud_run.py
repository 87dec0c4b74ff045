#!/usr/bin/env python3
"""Deploys services to Google Cloud Run with gcloud: the programs of `engine: command` in one file.

    cloud_run.py roll-out --region REGION SERVICE IMAGE SHA      makes a revision without traffic, and then gives it all of it
    cloud_run.py running --region REGION                         prints what serves, as JSON
    cloud_run.py image IMAGE                                     exits with 1 where the registry does not have the image
    cloud_run.py job --region REGION SERVICE IMAGE COMMAND…      runs the Cloud Run job `SERVICE-job` with the image

`gcloud run deploy` alone can succeed without effect: once traffic was assigned to a revision by name, a new one gets none.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from typing import Any

Json = Any
LABEL = "release-sha"
ABSENT = re.compile(r"manifest unknown|no such manifest|not found|NOT_FOUND|name unknown", re.IGNORECASE)
DELIMITER = "|:|"
"""Stands between the words of a list, which gcloud splits at commas otherwise: `gcloud topic escaping`."""


class Failed(Exception):
    """Why a program ends with 1."""


def gcloud(given: argparse.Namespace, *words: str) -> Json:
    where = [f"--region={given.region}", *([f"--project={given.project}"] if given.project else [])]
    done = subprocess.run(
        ["gcloud", "run", *words, *where, "--quiet", "--format=json"], text=True, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise Failed(f"`gcloud run {' '.join(words[:2])}` exited with code {done.returncode}.")
    return json.loads(done.stdout or "null")


def roll_out(given: argparse.Namespace) -> None:
    name = given.prefix + given.service
    revision = revision_of(given, name)
    if revision is None:
        # It ends only when an instance of the revision has started and passed its startup probe.
        words = ["services", "update", name, f"--image={given.image}", f"--update-labels={LABEL}={given.sha}", "--no-traffic"]
        status = gcloud(given, *words)["status"]
        revision = status["latestCreatedRevisionName"]
        if status["latestReadyRevisionName"] != revision:
            raise Failed(f"The revision {revision} of {name} is not ready.")
    gcloud(given, "services", "update-traffic", name, f"--to-revisions={revision}=100")
    now = gcloud(given, "services", "describe", name)
    if serving(now) != {revision}:
        raise Failed(f"{name} does not serve {revision} alone, but {', '.join(sorted(serving(now))) or 'nothing'}.")


def revision_of(given: argparse.Namespace, name: str) -> str | None:
    """Returns the newest ready revision with this image of this commit: a release that is rolled back to is there already."""
    found = gcloud(given, "revisions", "list", f"--service={name}")
    same = [each for each in found if entry(each) == {**entry(each), "image": given.image, "sha": given.sha} and ready(each)]
    return max(same, key=lambda each: each["metadata"]["creationTimestamp"])["metadata"]["name"] if same else None


def ready(revision: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in revision["status"].get("conditions") or [])


def serving(service: Json) -> set[str]:
    return {each["revisionName"] for each in service["status"].get("traffic") or [] if each.get("percent")}


def entry(revision: Json) -> Json:
    image = revision["spec"]["containers"][0]["image"]
    digest = (revision["status"].get("imageDigest") or image).partition("@")[2]
    return {"image": image, "digest": digest, "sha": (revision["metadata"].get("labels") or {}).get(LABEL, "")}


def running(given: argparse.Namespace) -> None:
    revisions = {each["metadata"]["name"]: each for each in gcloud(given, "revisions", "list")}
    found = {}
    for each in gcloud(given, "services", "list"):
        name = each["metadata"]["name"]
        if name.startswith(given.prefix):
            served = serving(each)
            several = {"image": "several", "digest": "", "sha": ""}
            found[name[len(given.prefix) :]] = entry(revisions[served.pop()]) if len(served) == 1 else several
    print(json.dumps(found))


def image(given: argparse.Namespace) -> None:
    """Asks the registry. Exits with 1 where it does not have the image, with 2 where it does not tell."""
    if ".pkg.dev/" in given.image:
        words = ["gcloud", "artifacts", "docker", "images", "describe", given.image, "--quiet", "--format=json"]
    else:
        words = ["docker", "manifest", "inspect", given.image]
    done = subprocess.run(words, text=True, capture_output=True, check=False)
    sys.stderr.write(done.stderr)
    sys.exit(0 if not done.returncode else 1 if ABSENT.search(done.stderr) else 2)


def job(given: argparse.Namespace) -> None:
    """Sets the image and the command of the Cloud Run job, and runs it. Cloud Run keeps its log."""
    name = f"{given.prefix}{given.service}-job"
    first, *rest = given.command
    listed = [f"--args=^{DELIMITER}^{DELIMITER.join(rest)}"] if rest else ["--args="]
    gcloud(
        given, "jobs", "update", name, f"--image={given.image}", f"--command={first}", *listed, "--max-retries=0", "--tasks=1"
    )
    gcloud(given, "jobs", "execute", name, "--wait")


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
        verb.add_argument("--region", required=function is not image)
        verb.add_argument("--project", default="")
        verb.add_argument("--prefix", default="", help="What stands before the service in the name of the Cloud Run service.")
        for each in names:
            verb.add_argument(each)
        if function is job:
            verb.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    try:
        given.function(given)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
