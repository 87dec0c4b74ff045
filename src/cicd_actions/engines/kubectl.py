"""`kubectl` as a program: the user's own, so that their kubeconfig, contexts and login plugins work."""

from __future__ import annotations

import json
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


class NotFound(Failed):
    """The API server answered: there is no such object."""


class Kubectl:
    """One cluster and namespace."""

    def __init__(self, runtime: Runtime, *, context: str = "", namespace: str = "") -> None:
        self._chosen = [*(["--context", context] if context else []), *(["--namespace", namespace] if namespace else [])]
        self._variables = runtime.environment.for_programs()
        self._redactor = runtime.redactor

    def by_hand(self, *words: str) -> str:
        """The command line for a person, quoted for a shell."""
        return shlex.join(self._command(*words))

    def get(self, *words: str, deadline: Deadline) -> Json:
        """`kubectl get … -o json`. Raises `NotFound`, `EngineUnreachable`, `Inconclusive` (not allowed)."""
        found = json.loads(self.call("get", *words, "-o", "json", deadline=deadline))
        if not isinstance(found, dict):
            raise EngineUnreachable("kubectl printed something that is no object.")
        return found

    def items(self, *words: str, deadline: Deadline) -> list[Json]:
        """The objects of a list."""
        found = self.get(*words, deadline=deadline)
        return [*found["items"]] if "items" in found else [found]

    def call(self, *words: str, deadline: Deadline, stdin: str = "") -> str:
        """What it printed. Raises `NotFound`, `Failed` (refused), `Inconclusive`, `EngineUnreachable`."""
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
        """Run it until it ends by itself or the time is over; its lines as they come."""
        return run(
            self._command(*words), timeout=max(timeout, 0.1), env=self._variables, on_line=on_line, redactor=self._redactor
        )

    def evidence(self, pod: Json, container: str, deadline: Deadline, lines: int = 50) -> Evidence:
        """What a pod says: why its container waits or ended, its last lines, its events."""
        name = pod["metadata"]["name"]
        status = container_status(pod, container)
        log = ""
        if status.get("restartCount"):
            log = self._quiet("logs", name, "-c", container, f"--tail={lines}", "--previous", deadline=deadline)
        log = log or self._quiet("logs", name, "-c", container, f"--tail={lines}", deadline=deadline)
        return Evidence(reason=reason(pod, container), log=log.rstrip(), events=self._events(name, deadline))

    def _events(self, name: str, deadline: Deadline) -> str:
        text = self._quiet(
            "get",
            "events",
            f"--field-selector=involvedObject.name={name}",
            "--sort-by=.lastTimestamp",
            "-o",
            "json",
            deadline=deadline,
        )
        try:
            items = json.loads(text)["items"] if text else []
        except (ValueError, KeyError):
            return ""
        items.sort(key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
        return "\n".join(f"{item.get('type')} {item.get('reason')}: {item.get('message')}" for item in items[-15:])

    def _quiet(self, *words: str, deadline: Deadline) -> str:
        """Evidence is gathered as far as it is there: what failed already is what has to be said."""
        try:
            return self.call(*words, deadline=deadline)
        except (Failed, Inconclusive):
            return ""

    def _command(self, *words: str) -> list[str]:
        return ["kubectl", *self._chosen, *words]


def container_status(pod: Json, container: str) -> Json:
    """A container's part of the pod's status; empty while there is none."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status["name"] == container:
            return dict(status)
    return {}


def reason(pod: Json, container: str) -> str:
    """Kubernetes' word for why the pod's container is not ready."""
    status = container_status(pod, container)
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
        parts.append("it runs, and its readiness probe fails")
    parts += [
        f"not scheduled: {condition.get('message', '')}"
        for condition in (pod.get("status") or {}).get("conditions") or []
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    return "; ".join(parts) or f"phase {(pod.get('status') or {}).get('phase', 'unknown')}"


_LATER = ("(ServiceUnavailable)", "(Timeout)", "(ServerTimeout)", "(InternalError)", "(TooManyRequests)")


def _meant(done: Finished, what: str) -> Exception:
    said = done.stderr.strip() or done.stdout.strip()
    if "(NotFound)" in said:
        return NotFound(said)
    if "(Forbidden)" in said or "(Unauthorized)" in said or "must be logged in" in said:
        return Inconclusive(
            f"Kubernetes does not allow `kubectl {what}`: {said}",
            fix="The account needs: get, list, watch and patch on deployments; get and list on pods, events and replicasets;"
            " get on pods/log; for jobs also create and delete on jobs, and create on secrets.",
        )
    if "Error from server (" in said and not any(word in said for word in _LATER):
        return Failed(f"Kubernetes refused `kubectl {what}`: {said}")
    how = "gave no answer in time" if done.timed_out else f"ended with exit code {done.exit_code}"
    return EngineUnreachable(
        f"`kubectl {what}` {how}: {said or 'it said nothing'}",
        cause="The API server, or the login plugin of the kubeconfig, did not answer.",
        fix="Check KUBECONFIG, the input `context`, and that this runner reaches the cluster.",
    )
