"""Holds what people are told, as text that is safe to show; `payloads` writes it for each service."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = {
    "passed": "passed",
    "failed": "failed",
    "inconclusive": "is inconclusive",
    "rolled-back": "was rolled back",
    "waiting": "waits for approval",
    "locked": "is locked",
    "refused": "was refused",
    "recovered": "recovered",
}
"""The events of which people are told, as the end of a sentence."""

SIGNS = {
    "passed": "✅",
    "failed": "❌",
    "inconclusive": "⚠️",
    "rolled-back": "↩️",
    "waiting": "✋",
    "locked": "🔒",
    "refused": "⛔",
    "recovered": "✅",
}

KINDS = {"passed": "success", "recovered": "success", "failed": "failure", "rolled-back": "failure", "waiting": "info"}
"""Apprise's kind of an event, which gives its colour and severity; `warning` for the others."""


@dataclass(frozen=True)
class Message:
    """A message without secrets. `facts` and `links` are names with their texts or URLs, the most important first.

    `evidence` is what the failing check saw; `command` is a shell command that rolls back. Both may be empty. `incident` names
    the environment that is broken or was, so that a service can put messages about it together.
    """

    event: str
    title: str
    lead: str
    evidence: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    command: str = ""
    incident: str = ""

    @property
    def kind(self) -> str:
        """Returns Apprise's kind of notification."""
        return KINDS.get(self.event, "warning")
