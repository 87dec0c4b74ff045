"""Does what the engine asks `kubectl` for by requests of this process, which take 5 ms instead of 100, and can be killed.

Tests that make hundreds of requests use it; that the real `kubectl` understands the engine's command lines, the others show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx

from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines.kubectl import Conflict, Kubectl, NotFound
from cicd_actions.engines.protocol import EngineUnreachable
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.process import Finished
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.kube_apiserver import Namespace

WRITES = {"create", "patch", "delete"}


class Killed(BaseException):
    """The run was killed: nothing that it would still do happens."""


class KubectlByHttp(Kubectl):
    """One run's kubectl. `after` is called with each change that the API server took, before the run gets its answer."""

    def __init__(self, runtime: Runtime, namespace: Namespace, after: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(runtime)
        self._namespace = namespace
        self._after = after
        self.killed = False

    def call(self, *words: str, deadline: Deadline, stdin: str = "") -> str:
        if self.killed:
            raise Killed
        if words[0] == "get":
            return json.dumps(self._got(words[1:]))
        if words[0] not in WRITES:
            return ""
        answer = self._changed(words, stdin)
        said = f"{words[0]} {' '.join(words[1:])}"
        if answer.status_code in {404, 409} and words[0] != "create":
            if words[0] == "delete" and answer.status_code == 404:
                return ""
            raise (NotFound if answer.status_code == 404 else Conflict)(answer.text)
        if not answer.is_success:
            raise Failed(answer.text)
        self.lost(said)
        return answer.text

    def lost(self, change: str) -> None:
        """Lets the test kill the run, or lose the answer to the change."""
        try:
            self._after(change)
        except Killed:
            self.killed = True
            raise

    def stream(self, *words: str, timeout: float, on_line: Line) -> Finished:
        end = time.monotonic() + timeout - 2
        while time.monotonic() < end:
            if self.killed:
                raise Killed
            found = self._got((words[2],))
            if not found["spec"].get("paused") and workloads.settled(found):
                return Finished(words, 0, "", "", 0.0, timed_out=False, cut=False)
            time.sleep(0.02)
        return Finished(words, 1, "", "error: timed out waiting for the condition", 0.0, timed_out=False, cut=False)

    def _got(self, words: tuple[str, ...]) -> Any:
        kinds, _, name = words[0].partition("/")
        more = list(words[1:])
        chosen = {"labelSelector": more[more.index("-l") + 1]} if "-l" in more else {}
        if not name and more and not more[0].startswith("-"):
            name = more[0]
        found: list[Any] = []
        for kind in kinds.split(","):
            plural = kind if kind.endswith("s") else f"{kind}s"
            answer = self._namespace.ask("GET", plural, name, params=chosen)
            if answer.status_code == 404:
                raise NotFound(answer.text)
            if not answer.is_success:
                raise EngineUnreachable(answer.text)
            if name:
                return answer.json()
            listed = answer.json()
            found += [{**each, "kind": listed["kind"].removesuffix("List")} for each in listed["items"]]
        return {"items": found}

    def _changed(self, words: tuple[str, ...], stdin: str) -> httpx.Response:
        if words[0] == "create":
            body = json.loads(stdin)
            return self._namespace.ask("POST", f"{body['kind'].lower()}s", content=stdin)
        kind, _, name = words[1].partition("/")
        if words[0] == "delete":
            return self._namespace.ask("DELETE", f"{kind}s", name, params={"propagationPolicy": "Background"})
        how = next(word for word in words if word.startswith("--type=")).partition("=")[2]
        header = {"Content-Type": f"application/{'strategic-merge' if how == 'strategic' else how}-patch+json"}
        return self._namespace.ask("PATCH", f"{kind}s", name, content=words[words.index("-p") + 1], headers=header)
