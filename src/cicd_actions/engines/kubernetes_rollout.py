"""Reads a Rollout of Argo Rollouts as the API server gives it. Asks nothing.

Its own controller replaces the pods and divides the traffic, by the Rollout's own steps and analyses: setting the image starts
them, and setting the former image ends them. Nothing here sets a weight or promotes a step.
https://argo-rollouts.readthedocs.io/en/stable/features/specification/
"""

from __future__ import annotations

from cicd_actions.engines.kubectl import Json
from cicd_actions.engines.protocol import Refused
from cicd_actions.toolkit.grammar import is_whole

KIND = "Rollout"
RESOURCE = "rollouts.argoproj.io"


def status_of(rollout: Json) -> Json:
    """Returns the status with the observed generation as a number, which Argo writes as text."""
    found = dict(rollout.get("status") or {})
    seen = str(found.get("observedGeneration", ""))
    return {**found, "observedGeneration": int(seen) if is_whole(seen) else 0}


def healthy(rollout: Json) -> bool:
    """Whether all steps are done: the pods of the present template have all of the traffic."""
    status = status_of(rollout)
    current = status.get("currentPodHash")
    return status.get("phase") == "Healthy" and (not current or status.get("stableRS") == current)


def failed(rollout: Json) -> str:
    """Returns why Argo gave up on the present template, or empty text.

    While it pauses, Argo calls a Rollout degraded for a moment, again and again, when the progress deadline passes.
    """
    status = status_of(rollout)
    degraded = status.get("phase") == "Degraded" and not status.get("pauseConditions")
    if not status.get("abort") and not degraded:
        return ""
    return str(status.get("message") or "Argo Rollouts aborted it")


def said(rollout: Json) -> str:
    """Returns where it is, for the log."""
    status = status_of(rollout)
    steps = (rollout["spec"].get("strategy") or {}).get("canary", {}).get("steps") or []
    at = f", step {min(int(status.get('currentStepIndex') or 0) + 1, len(steps))} of {len(steps)}" if steps else ""
    return f"{status.get('phase', 'Progressing')}{at}. {status.get('message', '')}".rstrip(" .")


def refused(rollout: Json) -> Refused | None:
    """Returns why a new image would not reach every pod by itself, or `None`."""
    name, spec = f"rollout/{rollout['metadata']['name']}", rollout["spec"]
    if reference := spec.get("workloadRef"):
        return Refused(
            f"Cannot roll out {name}: it takes its pods from {reference.get('kind')} {reference.get('name')} (`workloadRef`).",
            cause="Its image stands there, and Argo Rollouts keeps that one at no pods.",
            fix="Write the pods' template into the Rollout itself (`spec.template`).",
        )
    if spec.get("paused"):
        return Refused(
            f"Cannot roll out {name}: it is paused.",
            cause="Argo Rollouts replaces no pod of a paused Rollout.",
            fix=f'    kubectl patch {name} --type=merge -p \'{{"spec":{{"paused":false}}}}\'',
        )
    strategy = spec.get("strategy") or {}
    steps = (strategy.get("canary") or {}).get("steps") or []
    endless = [number for number, step in enumerate(steps, 1) if "pause" in step and not (step["pause"] or {}).get("duration")]
    if endless:
        return Refused(
            f"Cannot roll out {name}: its step {endless[0]} pauses until somebody promotes it.",
            cause="A job would wait for a person, and its deadline would take the release back.",
            fix="Give the pause a duration, or let an analysis decide:\n\n    - pause: {duration: 10m}",
        )
    blue_green = strategy.get("blueGreen") or {}
    if blue_green.get("autoPromotionEnabled") is False and not blue_green.get("autoPromotionSeconds"):
        return Refused(
            f"Cannot roll out {name}: its strategy waits until somebody promotes it (`autoPromotionEnabled: false`).",
            cause="A job would wait for a person, and its deadline would take the release back.",
            fix="Let it promote itself, after an analysis or a while:\n\n    blueGreen:\n      autoPromotionSeconds: 600",
        )
    return None
