"""Runs the user's own `kubectl`, so that their kubeconfig, contexts and login plugins work."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from cicd_actions.engines.protocol import EngineUnreachable, Evidence
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, Inconclusive
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.process import Finished, run
from cicd_actions.toolkit.runtime import Runtime

Json = dict[str, Any]

CALL = 30.0
"""Seconds that one answer of the API server may take."""

FIELD_MANAGER = "--field-manager=cicd-actions"
"""Names this project in an object's `managedFields`, as what set the fields that it sets."""


class NotFound(Failed):
    """The API server answered that it has no such object, or does not know Argo's kind."""


class NotAllowed(Inconclusive):
    """The API server answered that the account may not do this."""


class Conflict(Failed):
    """Somebody else changed the object after it was read."""


class Kubectl:
    """Calls one cluster, in one namespace."""

    def __init__(self, runtime: Runtime, *, context: str = "", namespace: str = "") -> None:
        self._chosen = [*(["--context", context] if context else []), *(["--namespace", namespace] if namespace else [])]
        self._variables = runtime.environment.for_programs()
        self._redactor = runtime.redactor

    def by_hand(self, *words: str) -> str:
        """Returns the command line for a person, quoted for a shell."""
        return shlex.join(self._command(*words))

    def by_plugin(self, *words: str) -> str:
        """Returns the command line of a plugin, which takes kubectl's flags behind its own words."""
        return shlex.join(["kubectl", *words, *self._chosen])

    def get(self, *words: str, deadline: Deadline) -> Json:
        """Returns what `kubectl get … -o json` prints. Raises as `call`."""
        found = json.loads(self.call("get", *words, "-o", "json", deadline=deadline))
        if not isinstance(found, dict):
            raise EngineUnreachable("Could not read the answer of kubectl: it is not an object.")
        return found

    def patch(self, name: str, body: Json, *, deadline: Deadline, kind: str = "strategic") -> Json:
        """Applies a patch to `kind/name`: a strategic merge patch, or `merge` where the API server knows no other.

        Returns the object as stored. Raises `Conflict`, and as `call`.
        """
        words = ("patch", name, f"--type={kind}", FIELD_MANAGER, "-o", "json", "-p", json.dumps(body))
        return dict(json.loads(self.call(*words, deadline=deadline)))

    def create(self, body: Json, *, deadline: Deadline) -> Json:
        """Creates an object. Returns it as stored. Raises as `call`."""
        words = ("create", "--validate=false", FIELD_MANAGER, "-f", "-", "-o", "json")
        return dict(json.loads(self.call(*words, stdin=json.dumps(body), deadline=deadline)))

    def items(self, *words: str, deadline: Deadline) -> list[Json]:
        """Returns the objects of a list. Raises as `call`."""
        text = self.call("get", *words, "-o", "json", deadline=deadline)
        found = json.loads(text or '{"items": []}')  # `--ignore-not-found` prints nothing where it finds nothing
        return [*found["items"]] if "items" in found else [found]

    def call(self, *words: str, deadline: Deadline, stdin: str = "") -> str:
        """Returns what it printed.

        Raises `NotFound`, `Conflict`, `Failed` (refused), `NotAllowed`, `EngineUnreachable`.
        """
        done = run(
            self._command(*words, f"--request-timeout={CALL:g}s"),
            timeout=deadline.timeout(CALL + 5),
            env=self._variables,
            stdin=stdin,
        )
        if done.exit_code == 0 and not done.timed_out:
            return done.stdout
        raise _meant(done, " ".join(words[:3]))

    def stream(self, *words: str, timeout: float, on_line: Line) -> Finished:
        """Runs it until it ends or the time limit passes, and hands over its lines as they come."""
        return run(
            self._command(*words), timeout=max(timeout, 0.1), env=self._variables, on_line=on_line, redactor=self._redactor
        )

    def evidence(self, pod: Json, container: str, deadline: Deadline, lines: int = 50) -> Evidence:
        """Returns why a pod's container waits or ended, its last lines, and the pod's events."""
        name = pod["metadata"]["name"]
        failing = failing_container(pod, container)
        words = ("logs", name, "-c", failing, f"--tail={lines}")
        log = ""
        if container_status(pod, failing).get("restartCount"):
            log = self._quiet(*words, "--previous", deadline=deadline)
        log = log or self._quiet(*words, deadline=deadline)
        return Evidence(reason=reason(pod, container), log=log.rstrip(), events=self.events(name, deadline))

    def events(self, name: str, deadline: Deadline) -> str:
        """Returns the last events of an object, one a line; empty where they cannot be read."""
        text = self._quiet("get", "events", f"--field-selector=involvedObject.name={name}", "-o", "json", deadline=deadline)
        try:
            items = json.loads(text)["items"] if text else []
        except (ValueError, KeyError):
            return ""
        items.sort(key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
        return "\n".join(f"{item.get('type')} {item.get('reason')}: {item.get('message')}" for item in items[-15:])

    def _quiet(self, *words: str, deadline: Deadline) -> str:
        """Returns what it printed, or empty text: evidence must not hide the failure that it belongs to."""
        try:
            return self.call(*words, deadline=deadline)
        except (Failed, Inconclusive):
            return ""

    def _command(self, *words: str) -> list[str]:
        return ["kubectl", *self._chosen, *words]


def container_status(pod: Json, container: str) -> Json:
    """Returns a container's part of the pod's status, init containers too; empty while it has none."""
    status = pod.get("status") or {}
    for found in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if found["name"] == container:
            return dict(found)
    return {}


def failing_container(pod: Json, container: str) -> str:
    """Returns the init container that keeps `container` from starting, else `container`."""
    for status in (pod.get("status") or {}).get("initContainerStatuses") or []:
        ended = (status.get("state") or {}).get("terminated")
        if (ended and ended.get("exitCode")) or (not ended and not status.get("started") and not status.get("ready")):
            return str(status["name"])
    return container


def reason(pod: Json, container: str) -> str:
    """Returns Kubernetes' reason why the pod's container is not ready."""
    failing = failing_container(pod, container)
    status = container_status(pod, failing)
    state = status.get("state") or {}
    last = (status.get("lastState") or {}).get("terminated") or {}
    parts: list[str] = []
    if "waiting" in state:
        parts.append(f"waiting: {state['waiting'].get('reason', '')} {state['waiting'].get('message', '')}".strip())
    if "terminated" in state:
        parts.append(f"ended with exit code {state['terminated'].get('exitCode')} ({state['terminated'].get('reason', '')})")
    if last:
        parts.append(f"before that it ended with exit code {last.get('exitCode')} ({last.get('reason', '')})")
    if "running" in state and not status.get("ready"):
        parts.append("still running" if failing != container else "it runs, and its readiness probe fails")
    parts += [
        f"not scheduled: {condition.get('message', '')}"
        for condition in (pod.get("status") or {}).get("conditions") or []
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    words = "; ".join(parts) or f"phase {(pod.get('status') or {}).get('phase', 'unknown')}"
    return words if failing == container else f"init container {failing}: {words}"


_NOT_INSTALLED = 'the server doesn\'t have a resource type "rollouts"'
"""What kubectl says of a kind that is not in the cluster. It says so of built-in kinds too, while discovery fails."""

_LATER = ("(ServiceUnavailable)", "(Timeout)", "(ServerTimeout)", "(InternalError)", "(TooManyRequests)")
_DENIED = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[\w/.-]+)" in API group "(?P<group>[\w.-]*)"')


def _meant(done: Finished, what: str) -> Exception:
    said = done.stderr.strip() or done.stdout.strip()
    if "(NotFound)" in said or _NOT_INSTALLED in said:
        return NotFound(said)
    if "(Conflict)" in said:
        return Conflict(said)
    # An admission plugin's refusal is "(Forbidden)" as well, but says nothing of what the account cannot do.
    if ("(Forbidden)" in said and " cannot " in said) or "(Unauthorized)" in said or "must be logged in" in said:
        return NotAllowed(f"Could not run `kubectl {what}`: Kubernetes does not allow it. {said}", fix=_rule(said))
    if "Error from server (" in said and not any(word in said for word in _LATER):
        return Failed(f"Could not run `kubectl {what}`: Kubernetes refused it. {said}")
    how = "it did not answer in time" if done.timed_out else f"it ended with exit code {done.exit_code}"
    return EngineUnreachable(
        f"Could not run `kubectl {what}`: {how}. {said or 'It printed nothing.'}",
        cause="The API server, or the login plugin of the kubeconfig, did not answer.",
        fix="Check KUBECONFIG, the input `context`, and that this runner reaches the cluster.",
    )


def _rule(said: str) -> str:
    """Returns what allows it: the rule that Kubernetes' answer asks for, in RBAC's YAML."""
    denied = _DENIED.search(said)
    if not denied:
        return "Log in: check KUBECONFIG, the input `context`, and the login plugin of the kubeconfig."
    return (
        "Add this rule to the account's Role. The README of roll-out has the whole Role.\n\n"
        f'    - apiGroups: ["{denied["group"]}"]\n'
        f"      resources: [{denied['resource']}]\n"
        f"      verbs: [{denied['verb']}]"
    )
