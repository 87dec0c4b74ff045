#!/usr/bin/env python3
"""Deploys services to Amazon ECS with the AWS command line: the programs of `engine: command` in one file.

    ecs.py roll-out --cluster NAME SERVICE IMAGE SHA        registers a task definition, and waits for this deployment
    ecs.py running --cluster NAME                           prints what runs, as JSON
    ecs.py image IMAGE                                      exits with 1 where the registry does not have the image
    ecs.py job --cluster NAME SERVICE IMAGE COMMAND…        runs a one-shot task with the service's task definition

A roll-out waits for the deployment that it started, by its id. `aws ecs wait services-stable` waits until anything is stable:
also the old release, once ECS has rolled back to it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Json = Any
REVISION = "org.opencontainers.image.revision"
ECR = re.compile(r"(\d+)\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(.+)@(sha256:[0-9a-f]{64})")
ABSENT = re.compile(r"manifest unknown|no such manifest|not found|name unknown|ImageNotFound|RepositoryNotFound", re.IGNORECASE)
ANSWERED_ONLY = {
    "compatibilities",
    "deregisteredAt",
    "registeredAt",
    "registeredBy",
    "requiresAttributes",
    "revision",
    "status",
    "taskDefinitionArn",
}
"""What ECS adds to a task definition, and refuses in a new one."""

LONGEST = 4096
"""Characters of a job's argument from which it is compressed: a task definition holds 64 KB."""


class Failed(Exception):
    """Why a program ends with 1."""


def aws(*words: str) -> Json:
    done = subprocess.run(["aws", *words, "--output", "json"], text=True, capture_output=True, check=False)
    if done.returncode:
        raise Failed(f"`aws {' '.join(words[:2])}` exited with code {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout or "{}")


class Cluster:
    """One ECS cluster, in which the service `api` is `<prefix>api`."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.name: str = given.cluster
        self.prefix: str = given.prefix
        self.within: int = given.within
        self.every: float = given.every

    def ecs(self, verb: str, *words: str) -> Json:
        return aws("ecs", verb, "--cluster", self.name, *words)

    def services(self, names: list[str]) -> list[Json]:
        found = []
        for at in range(0, len(names), 10):  # ECS describes ten at a time
            found += self.ecs("describe-services", "--services", *names[at : at + 10])["services"]
        return [each for each in found if each["status"] == "ACTIVE"]

    def service(self, name: str) -> Json:
        found = self.services([self.prefix + name])
        if not found:
            raise Failed(f"There is no service {self.prefix}{name} in the cluster {self.name}.")
        return found[0]

    def tasks(self, *words: str) -> list[Json]:
        arns = self.ecs("list-tasks", *words)["taskArns"]
        found = []
        for at in range(0, len(arns), 100):
            found += self.ecs("describe-tasks", "--tasks", *arns[at : at + 100])["tasks"]
        return found


def definition(arn: str) -> Json:
    return aws("ecs", "describe-task-definition", "--task-definition", arn)["taskDefinition"]


def register(found: Json) -> str:
    """Returns the ARN of a new revision."""
    body = {key: value for key, value in found.items() if key not in ANSWERED_ONLY}
    made = aws("ecs", "register-task-definition", "--cli-input-json", json.dumps(body))
    return str(made["taskDefinition"]["taskDefinitionArn"])


def primary(service: Json) -> Json:
    for each in service.get("deployments") or []:
        if each["status"] == "PRIMARY" and "rolloutState" in each:
            return each
    raise Failed(f"{service['serviceName']} is not deployed by ECS itself, but by CodeDeploy or another controller.")


def main_container(found: Json, service: str) -> Json:
    """Returns the container that is the service: the one named like it, else the first essential one."""
    containers = found["containerDefinitions"]
    named = {each["name"]: each for each in containers}
    return named.get(service) or next(each for each in containers if each.get("essential", True))


def with_image(found: Json, service: str, image: str, sha: str) -> Json:
    """Sets the image of the service's container, and of those that have exactly the same one."""
    old = main_container(found, service)["image"]
    for each in found["containerDefinitions"]:
        if each["image"] == old:
            each["image"] = image
            each["dockerLabels"] = {**(each.get("dockerLabels") or {}), REVISION: sha}
    return found


def is_of(found: Json, service: str, image: str, sha: str) -> bool:
    main = main_container(found, service)
    return main["image"] == image and (main.get("dockerLabels") or {}).get(REVISION, "") == sha


def is_checked_out(sha: str) -> bool:
    done = subprocess.run(["git", "rev-parse", "HEAD"], text=True, capture_output=True, check=False)
    return bool(sha) and done.stdout.strip() == sha


# ----------------------------------------------------------------------------------------------------------------- roll-out


def roll_out(cluster: Cluster, given: argparse.Namespace) -> None:
    service, image, sha = given.service, given.image, given.sha
    found = cluster.service(service)
    if found["desiredCount"] == 0 and found.get("schedulingStrategy") != "DAEMON":
        raise Failed(f"{service} wants no task (`desiredCount` 0), so nothing proves the image.")
    before = primary(found)
    arn = before["taskDefinition"]
    now = definition(arn)
    if not is_of(now, service, image, sha):
        past = None if is_checked_out(sha) else past_of(now, service, image, sha)
        arn = past or register(with_image(now, service, image, sha))
        found = cluster.ecs("update-service", "--service", cluster.prefix + service, "--task-definition", arn)["service"]
    started = primary(found)
    if started["taskDefinition"] != arn:
        raise Failed(f"{service} was changed by something else: its deployment is of {started['taskDefinition']}.")
    print(f"{service}: the deployment {started['id']} of {arn} has begun.", flush=True)
    arrive(cluster, service, started["id"], arn)


def past_of(now: Json, service: str, image: str, sha: str) -> str | None:
    """Returns the newest task definition that ran this image of this commit, with all that it had; `None` where it is gone."""
    words = ["--family-prefix", now["family"], "--sort", "DESC", "--status", "ACTIVE", "--max-items", "20"]
    for arn in aws("ecs", "list-task-definitions", *words)["taskDefinitionArns"]:
        found = definition(arn)
        if found["family"] == now["family"] and is_of(found, service, image, sha):
            return str(arn)
    print(f"{service}: ECS no longer has the task definition of {sha or image}: only its image is taken.", file=sys.stderr)
    return None


def arrive(cluster: Cluster, service: str, deployment: str, arn: str) -> None:
    end = time.monotonic() + cluster.within
    said = ""
    while True:
        found = cluster.service(service)
        deployments = {each["id"]: each for each in found["deployments"]}
        ours, now = deployments.get(deployment), primary(found)
        if ours is None or ours.get("rolloutState") == "FAILED" or now["id"] != deployment:
            why = (ours or {}).get("rolloutStateReason") or f"{now['taskDefinition']} took its place"
            raise Failed(
                f"{service}: the deployment {deployment} did not arrive: {why}\n{account(cluster, service, found, arn)}"
            )
        counts = f"{ours['runningCount']} of {ours['desiredCount']} tasks run, {ours.get('failedTasks', 0)} failed"
        state = f"{ours['rolloutState']}, {counts}"
        if state != said:
            print(f"{service}: {state}", flush=True)
            said = state
        if ours["rolloutState"] == "COMPLETED":
            return
        if time.monotonic() > end:
            raise Failed(
                f"{service} did not arrive within {cluster.within} s: {state}\n{account(cluster, service, found, arn)}"
            )
        time.sleep(cluster.every)


def account(cluster: Cluster, service: str, found: Json, arn: str) -> str:
    """Returns why tasks of the task definition stopped, and what ECS said last."""
    stopped = cluster.tasks("--service-name", cluster.prefix + service, "--desired-status", "STOPPED")
    reasons = [why(each) for each in stopped if each["taskDefinitionArn"] == arn]
    return "\n".join([*dict.fromkeys(reasons), *(each["message"] for each in (found.get("events") or [])[:5])])


def why(task: Json) -> str:
    containers = [f"{each['name']} {each.get('exitCode', '')} {each.get('reason', '')}".strip() for each in task["containers"]]
    return f"{task.get('stoppedReason', '')} ({', '.join(containers)})"


# ------------------------------------------------------------------------------------------------------------------ running


def running(cluster: Cluster, _given: argparse.Namespace) -> None:
    arns = cluster.ecs("list-services")["serviceArns"]
    named = [each for each in cluster.services(arns) if each["serviceName"].startswith(cluster.prefix)]
    services = [each for each in named if any("rolloutState" in deployment for deployment in each["deployments"])]
    tasks = cluster.tasks("--desired-status", "RUNNING")
    wanted = sorted({primary(each)["taskDefinition"] for each in services})
    with ThreadPoolExecutor(8) as pool:
        definitions = {found["taskDefinitionArn"]: found for found in pool.map(definition, wanted)}
    found = {}
    for each in services:
        name = each["serviceName"][len(cluster.prefix) :]
        theirs = [
            task for task in tasks if task.get("group") == f"service:{each['serviceName']}" and task["lastStatus"] == "RUNNING"
        ]
        found[name] = state(name, definitions[primary(each)["taskDefinition"]], theirs)
    print(json.dumps(found))


def state(service: str, found: Json, tasks: list[Json]) -> Json:
    """Returns what the tasks run. They count, not the service: while a deployment is under way they are of two."""
    main = main_container(found, service)
    if {task["taskDefinitionArn"] for task in tasks} - {found["taskDefinitionArn"]}:
        return {"image": "several", "digest": "", "sha": ""}
    image = main["image"]
    digest = image.partition("@")[2]
    if not digest:
        ids = {each.get("imageDigest", "") for task in tasks for each in task["containers"] if each["name"] == main["name"]}
        digest = ids.pop() if len(ids) == 1 else ""
        image = f"{re.sub(r':[^:/]*$', '', image)}@{digest}" if digest else image
    return {"image": image, "digest": digest, "sha": (main.get("dockerLabels") or {}).get(REVISION, "")}


# --------------------------------------------------------------------------------------------------------------------- jobs


def job(cluster: Cluster, given: argparse.Namespace) -> None:
    """Runs the command in one task of the new image, with the service's task definition, and exits with its code."""
    service = cluster.service(given.service)
    found = definition(primary(service)["taskDefinition"])
    main = main_container(found, given.service)
    names = set(os.environ.get("JOB_VARIABLES", "").split())
    # Containers with the service's own image do its work.
    beside = [each for each in found["containerDefinitions"] if each["image"] != main["image"]]
    ours = {key: value for key, value in main.items() if key not in {"healthCheck", "portMappings", "command", "entryPoint"}}
    for key in ("environment", "secrets"):
        ours[key] = [each for each in main.get(key) or [] if each["name"] not in names]
    words = packed(given.command)
    ours |= {"image": given.image, "essential": True, "entryPoint": words[:1], "command": words[1:]}
    arn = register({**found, "family": f"{found['family']}-job", "containerDefinitions": [ours, *beside]})
    # A task definition can be read by many, so the variables come with the task.
    variables = [{"name": name, "value": os.environ[name]} for name in sorted(names)]
    overrides = {"containerOverrides": [{"name": ours["name"], "environment": variables}]}
    task = ""
    try:
        words = ["--task-definition", arn, "--overrides", json.dumps(overrides), "--started-by", "job"]
        made = cluster.ecs("run-task", *words, *where(service))
        if not made["tasks"]:
            raise Failed(f"The job did not start: {json.dumps(made['failures'])}")
        task = made["tasks"][0]["taskArn"]
        sys.exit(followed(cluster, task, ours, given.job_within))
    finally:
        if task:
            cluster.ecs("stop-task", "--task", task, "--reason", "The job is over.")
        aws("ecs", "deregister-task-definition", "--task-definition", arn)


def packed(words: list[str]) -> list[str]:
    """Returns the command with long programs for `python -c` compressed."""
    found = list(words)
    for at in range(1, len(words)):
        if words[at - 1] == "-c" and len(words[at]) > LONGEST and "python" in words[at - 2]:
            text = base64.b85encode(zlib.compress(words[at].encode(), 9)).decode()
            found[at] = f"import base64,zlib;exec(zlib.decompress(base64.b85decode({text!r})))"
    return found


def where(service: Json) -> list[str]:
    """Returns the options that let a task run where the service's do."""
    found = ["--count", "1"]
    if service.get("capacityProviderStrategy"):
        found += ["--capacity-provider-strategy", json.dumps(service["capacityProviderStrategy"])]
    elif service.get("launchType"):
        found += ["--launch-type", service["launchType"]]
    if service.get("platformVersion"):
        found += ["--platform-version", service["platformVersion"]]
    if service.get("networkConfiguration"):
        found += ["--network-configuration", json.dumps(service["networkConfiguration"])]
    return found


def followed(cluster: Cluster, task: str, container: Json, seconds: int) -> int:
    """Prints the task's log as it comes, where the driver is `awslogs`. Returns the container's exit code."""
    log = Log(container, task)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        (found,) = cluster.ecs("describe-tasks", "--tasks", task)["tasks"]
        log.show()
        if found["lastStatus"] == "STOPPED":
            log.to_its_end()
            (ours,) = [each for each in found["containers"] if each["name"] == container["name"]]
            if "exitCode" not in ours:
                raise Failed(f"The job did not run: {why(found)}")
            return int(ours["exitCode"])
        time.sleep(cluster.every)
    raise Failed(f"The job did not end within {seconds} s.")


class Log:
    """The log stream of a task's container in CloudWatch."""

    def __init__(self, container: Json, task: str) -> None:
        settings = container.get("logConfiguration") or {}
        options = settings.get("options") or {}
        self.kept = settings.get("logDriver") == "awslogs" and "awslogs-stream-prefix" in options
        self.token = ""
        if self.kept:
            stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{task.rpartition('/')[2]}"
            self.words = ["--log-group-name", options["awslogs-group"], "--log-stream-name", stream, "--start-from-head"]
            self.words += ["--region", options["awslogs-region"]] if "awslogs-region" in options else []
        else:
            print("The job's log cannot be read: its log driver is not `awslogs` with a stream prefix.", file=sys.stderr)

    def show(self) -> bool:
        """Prints what is new. Returns whether there was anything."""
        if not self.kept:
            return False
        try:
            more = ["--next-token", self.token] if self.token else []
            found = aws("logs", "get-log-events", *self.words, *more)
        except Failed as error:
            if "ResourceNotFound" not in str(error):  # no line has arrived yet
                print(error, file=sys.stderr)
            return False
        self.token = found["nextForwardToken"]
        for each in found["events"]:
            print(each["message"], flush=True)
        return bool(found["events"])

    def to_its_end(self) -> None:
        """Prints the rest: CloudWatch shows a line seconds after it was written."""
        quiet = 0
        while self.kept and quiet < 2:
            quiet = 0 if self.show() else quiet + 1
            time.sleep(1 if quiet else 0)


# ------------------------------------------------------------------------------------------------------------------- images


def image(_cluster: Cluster, given: argparse.Namespace) -> None:
    """Asks the registry. Exits with 1 where it does not have the image, with 2 where it does not tell."""
    here = ECR.fullmatch(given.image)
    if here:
        account_id, region, repository, digest = here.groups()
        words = ["aws", "ecr", "describe-images", "--registry-id", account_id, "--region", region]
        words += ["--repository-name", repository, "--image-ids", f"imageDigest={digest}"]
    else:
        words = ["docker", "manifest", "inspect", given.image]
    done = subprocess.run(words, text=True, capture_output=True, check=False)
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
        verb.add_argument("--cluster", default="default")
        verb.add_argument("--prefix", default="", help="What stands before the service in the name of the ECS service.")
        verb.add_argument("--within", type=int, default=600, help="Seconds until a roll-out must have arrived.")
        verb.add_argument("--job-within", type=int, default=1800, help="Seconds until a job must have ended.")
        verb.add_argument("--every", type=float, default=5, help="Seconds between two questions.")
        for each in names:
            verb.add_argument(each)
        if function is job:
            verb.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    # A job that is ended early stops its task.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        given.function(Cluster(given), given)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
