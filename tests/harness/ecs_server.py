"""moto's server with what its ECS lacks: a scheduler. `ecs_server.py BAD_DIGEST REPOSITORY` runs where moto is installed.

It makes a cluster `shop-staging` with the services `api` and `worker`, and prints its port.

Each `describe-services` moves a deployment one step on. One whose image has the bad digest never starts: the circuit breaker
fails it and puts the task definition before it back, so that the service is stable again, on the old release. A task that is
run by itself is a process of this machine, whose lines go to CloudWatch.
"""

# mypy: ignore-errors

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid

import boto3
from moto.core.utils import utcnow
from moto.ecs.models import EC2ContainerServiceBackend as Backend
from moto.ecs.models import Task
from moto.logs.models import logs_backends
from moto.moto_api import state_manager
from moto.server import ThreadedMotoServer

BAD, REPOSITORY = sys.argv[1:]
create, update, describe, run_task = Backend.create_service, Backend.update_service, Backend.describe_services, Backend.run_task


def deployment(service, arn, status="PRIMARY", state="IN_PROGRESS"):
    known = {"id": f"ecs-svc/{uuid.uuid4().int % 10**19}", "taskDefinition": arn, "createdAt": utcnow(), "updatedAt": utcnow()}
    counts = {"desiredCount": service.desired_count, "runningCount": 0, "pendingCount": 0, "failedTasks": 0}
    return {**known, **counts, "status": status, "rolloutState": state, "rolloutStateReason": ""}


def tasks_of(backend, service):
    return [task for task in backend.tasks.get(service.cluster_name, {}).values() if task.group == f"service:{service.name}"]


def start(backend, service, arn, status="RUNNING", reason=""):
    found = backend.describe_task_definition(arn)
    network = service.network_configuration
    group = f"service:{service.name}"
    task = Task(backend._get_cluster(service.cluster_name), found, None, {}, backend, group, networking_configuration=network)
    task.status = task.desired_status = status
    task.stopped_reason = reason
    for container in task.containers:
        container.last_status = status
        container.image_digest = container.image.partition("@")[2] or f"sha256:{'f' * 64}"
    backend.tasks.setdefault(service.cluster_name, {})[task.task_arn] = task


def replace(backend, service, arn):
    """Starts the tasks of a task definition, and stops all others."""
    for task in tasks_of(backend, service):
        task.status = task.desired_status = "STOPPED"
    for _ in range(service.desired_count):
        start(backend, service, arn)


def step(backend, service):
    now = service.deployments[0]
    if now["rolloutState"] != "IN_PROGRESS":
        del service.deployments[1:]
        return
    if BAD in backend.describe_task_definition(now["taskDefinition"]).container_definitions[0]["image"]:
        if not now["failedTasks"]:
            now["failedTasks"] = 3
            start(backend, service, now["taskDefinition"], "STOPPED", "Essential container in task exited")
            return
        now |= {"status": "ACTIVE", "rolloutState": "FAILED", "rolloutStateReason": "circuit breaker: tasks failed to start."}
        past = next(each for each in service.deployments if each["taskDefinition"] != now["taskDefinition"])
        service.deployments = [deployment(service, past["taskDefinition"]), now]
        service.task_definition = past["taskDefinition"]
        return
    if not now["runningCount"]:
        start(backend, service, now["taskDefinition"])  # beside those of the release before
        now["runningCount"] = 1
        return
    replace(backend, service, now["taskDefinition"])
    now |= {"rolloutState": "COMPLETED", "runningCount": service.desired_count}
    del service.deployments[1:]


def create_service(self, *args, **options):
    service = create(self, *args, **options)
    service.deployments = [deployment(service, service.task_definition, state="COMPLETED")]
    replace(self, service, service.task_definition)
    return service


def update_service(self, properties):
    service = update(self, dict(properties))
    if service.deployments[0]["taskDefinition"] != service.task_definition:
        service.deployments[0]["status"] = "ACTIVE"
        service.deployments.insert(0, deployment(service, service.task_definition))
    return service


def describe_services(self, *args, **options):
    found, failures = describe(self, *args, **options)
    for service in found:
        step(self, service)
    return found, failures


def run_one(self, *args, **options):
    (task,) = found = run_task(self, *args, **options)
    container = self.describe_task_definition(task.task_definition_arn).container_definitions[0]
    given = {each["name"]: each["value"] for each in task.overrides["containerOverrides"][0].get("environment") or []}
    own = {each["name"]: each["value"] for each in container.get("environment") or []}
    words = [*container["entryPoint"], *container["command"]]
    variables = {"PATH": os.environ["PATH"], **own, **given}
    done = subprocess.run(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    options = container["logConfiguration"]["options"]
    group, stream = options["awslogs-group"], f"{options['awslogs-stream-prefix']}/{container['name']}/{task.id}"
    logs = logs_backends[self.account_id][options["awslogs-region"]]
    if group not in logs.groups:
        logs.create_log_group(group, {})
    logs.create_log_stream(group, stream)
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in done.stdout.splitlines()]
    logs.put_log_events(group, stream, events)
    task.status = task.desired_status = "STOPPED"
    task.containers[0].exitCode = done.returncode
    return found


Backend.create_service, Backend.update_service = create_service, update_service
Backend.describe_services, Backend.run_task = describe_services, run_one
state_manager.set_transition("ecs::task", {"progression": "manual", "times": 10**9})
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
given = {"region_name": "eu-central-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
ecs, ec2 = (boto3.client(name, endpoint_url=f"http://{host}:{port}", **given) for name in ("ecs", "ec2"))
places = {
    "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
    "securityGroups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
}
log = {"awslogs-group": "shop", "awslogs-region": "eu-central-1", "awslogs-stream-prefix": "app"}
ecs.create_cluster(clusterName="shop-staging")
for name in ("api", "worker"):
    variables = [{"name": "MODE", "value": "one"}, {"name": "TOKEN", "value": "of the service"}]
    container = {"name": name, "image": f"{REPOSITORY}:1", "memory": 256, "environment": variables}
    container["logConfiguration"] = {"logDriver": "awslogs", "options": log}
    fargate = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
    ecs.register_task_definition(family=name, containerDefinitions=[container], **fargate)
    ecs.create_service(
        cluster="shop-staging",
        serviceName=name,
        taskDefinition=f"{name}:1",
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": places},
    )
sys.stdout.write(f"{port}\n")
sys.stdout.flush()
threading.Event().wait()
