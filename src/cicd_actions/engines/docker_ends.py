"""Reads what became of a container of a Docker engine: what ended it, what its health checks said. Asks nothing."""

from __future__ import annotations

from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.staying_up import Cause, End, cause_of, moment

_RETRIES = 3
"""The failed health checks after which Docker calls a container unhealthy, where it does not say how many:
https://docs.docker.com/reference/dockerfile/#healthcheck"""


def up(container: Json) -> bool:
    """Whether the container runs and is not unhealthy."""
    health = (container["State"].get("Health") or {}).get("Status", "")
    return bool(container["State"]["Running"]) and health in {"", "none", "healthy"}


def failing(container: Json) -> bool:
    """Whether a container runs that was healthy, and whose last health check failed."""
    health = container["State"].get("Health") or {}
    return bool(container["State"]["Running"]) and health.get("Status") != "starting" and _streak(container) > 0


def ended_by(container: Json) -> tuple[bool, bool]:
    """Returns whether a container that ended was killed for want of memory, and whether its health checks failed then.

    The engine says `unhealthy` of every container with a health check that ended, so the checks in a row count.
    """
    retries = ((container["Config"].get("Healthcheck") or {}).get("Retries")) or _RETRIES
    return bool(container["State"].get("OOMKilled")), _streak(container) >= retries


def cause(container: Json) -> Cause:
    """Returns what ended a container."""
    out_of_memory, unhealthy = ended_by(container)
    return cause_of(container["State"].get("ExitCode"), out_of_memory=out_of_memory, unhealthy=unhealthy)


def ends(container: Json) -> list[End]:
    """Returns how a container ended; of earlier ends the engine remembers only that there were some.

    It restarts and counts those that ended by themselves, not those that it ended itself.
    """
    now, count = container["State"], int(container.get("RestartCount", 0))
    identity, memory = str(container["Id"]), bool(now.get("OOMKilled"))
    own = Cause.MEMORY if memory else Cause.OWN
    why = "out of memory" if memory else f"restarted {count} times"
    found = [End(moment(container["Created"]), Cause.OWN, identity, why=why)] if count > 1 else []
    if count:
        found.append(End(moment(now["FinishedAt"]), own, identity, why=why))
    elif not now["Running"]:
        found.append(End(moment(now["FinishedAt"]), cause(container), identity, why=f"exit code {now.get('ExitCode')}"))
    return found


def health(container: Json) -> str:
    """Returns what the last three health checks said; empty without any."""
    found = container["State"].get("Health")
    if not found or found.get("Status") == "none":
        return ""
    checks = [f"exit code {check['ExitCode']}: {check.get('Output', '').strip()}" for check in (found.get("Log") or [])[-3:]]
    return "\n".join([f"status: {found['Status']}, {found.get('FailingStreak', 0)} failures in a row", *checks])


def reason(container: Json) -> str:
    """Returns in a sentence how a container ended, or how it is."""
    state = container["State"]
    health = (state.get("Health") or {}).get("Status", "")
    if state.get("Running"):
        return "Its health checks failed." if health == "unhealthy" else f"It runs; its health is {health or 'not checked'}."
    out_of_memory, unhealthy = ended_by(container)
    if out_of_memory:
        return "It was ended for want of memory (OOMKilled)."
    if unhealthy:
        return "Its health checks failed."
    return f"It ended with exit code {state.get('ExitCode')}. {state.get('Error', '')}".strip()


def _streak(container: Json) -> int:
    return int((container["State"].get("Health") or {}).get("FailingStreak", 0))
