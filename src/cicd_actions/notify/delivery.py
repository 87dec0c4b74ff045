"""Sends a message through Apprise to each service that a variable lists."""

from __future__ import annotations

import json
import logging
import os
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apprise
import requests
from apprise.plugins.opsgenie import OPSGENIE_API_LOOKUP

from cicd_actions.notify import payloads
from cicd_actions.notify.message import WORDS, Message
from cicd_actions.toolkit import private
from cicd_actions.toolkit.runtime import Runtime

_EVENT = r"[a-z]+(?:-[a-z]+)*"
_EVENTS = re.compile(rf"(?P<events>{_EVENT}(?:\s*,\s*{_EVENT})*)\s*=\s*(?P<url>[a-z][a-z0-9+.-]*://.*)", re.DOTALL)

_WRITERS: dict[str, tuple[Callable[[Message], payloads.Payload], Callable[[payloads.Payload], bool]]] = {
    "NotifySlack": (payloads.slack, lambda _: True),
    "NotifyWorkflows": (payloads.teams, payloads.fits_teams),
    "NotifyDiscord": (payloads.discord, payloads.fits_discord),
}
"""What writes the payload of a service, and what tells whether it fits, by the class of Apprise's plugin."""


@dataclass(frozen=True)
class Target:
    """One line of the variable: the URL of a service, and the events that it gets (none: all)."""

    number: int
    url: str
    events: frozenset[str]

    @property
    def unknown(self) -> list[str]:
        """Returns the words of the line that are not events."""
        return sorted(self.events - set(WORDS))

    def hears(self, event: str) -> bool:
        """Says whether the service gets an event; each, where the line has a mistake, which then shows."""
        return not self.events or event in self.events or bool(self.unknown)


def targets(text: str) -> list[Target]:
    """Returns the lines of a variable: `URL`, or `failed, recovered = URL`. Empty lines and those with `#` are left out."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            match = _EVENTS.fullmatch(line.strip())
            events = [name.strip() for name in match["events"].split(",")] if match else []
            found.append(Target(number, match["url"] if match else line.strip(), frozenset(events)))
    return found


def secrets_of(target: Target) -> Iterator[str]:
    """Yields what must not be shown of a URL: all of it, and each part that looks like a token."""
    yield target.url
    yield from filter(_is_token, re.split(r"[/?&=#@:]", target.url))


def _is_token(part: str) -> bool:
    """Tells a token from a word such as `release-managers`, which a message may name."""
    mixed = part.lower() != part != part.upper() or re.search(r"[0-9]", part) is not None
    return len(part) >= 16 and "." not in part and mixed


def send(target: Target, message: Message, runtime: Runtime, seconds: float) -> str:
    """Sends one message within some seconds. Returns why it could not be sent; empty when it was."""
    if target.unknown:
        return f"`{target.unknown[0]}` is not an event; the events are {', '.join(f'`{name}`' for name in WORDS)}."
    # Apprise keeps nothing on the disk, loads no pictures from its own pages, and expands nothing in the text.
    asset = apprise.AppriseAsset(
        storage_mode=apprise.PersistentStoreMode.MEMORY, secure_logging=True, service_timeout=max(seconds, 1.0),
        app_id="cicd-actions", app_desc="cicd-actions", app_url="", image_url_mask="", image_url_logo="", image_path_mask=False,
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory(dir=runtime.scratch) as scratch,
        _system_trust(),
        apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as captured,  # type: ignore[no-untyped-call]
    ):
        service = apprise.Apprise.instantiate(target.url, asset=asset)
        if service is None:
            return "it is not a URL that Apprise knows."
        body = _prepared(service, message, Path(scratch))
        try:
            holder = apprise.Apprise(asset=asset)
            holder.add(service)
            sent = holder.notify(
                body=body, title=message.title, notify_type=message.kind, body_format=apprise.NotifyFormat.MARKDOWN
            )
        except (OSError, ValueError, TypeError) as error:
            return str(error)
        said = [line.strip() for line in captured.getvalue().splitlines() if line.strip()]
    return "" if sent else runtime.redactor(said[-1] if said else "the service did not take it.")


@contextmanager
def _system_trust() -> Iterator[None]:
    """Makes requests, which Apprise sends with, trust the system's certificates: a company's own are among them."""
    name, paths = "REQUESTS_CA_BUNDLE", ssl.get_default_verify_paths()
    store = paths.cafile or paths.capath
    if os.environ.get(name) or os.environ.get("CURL_CA_BUNDLE") or not store:
        yield
        return
    os.environ[name] = store
    try:
        yield
    finally:
        os.environ.pop(name, None)


def _prepared(service: Any, message: Message, scratch: Path) -> str:
    """Gives a service the payload that is written for it, and what joins messages about one incident. Returns the text."""
    kind = type(service).__name__
    writer = _WRITERS.get(kind)
    if writer and not service.template and not str(getattr(service, "mode", "")).startswith("workflow"):
        template = scratch / "payload.json"
        # Apprise replaces `{{name}}` in a template, which a text from outside may hold.
        private.write(template, json.dumps(payloads.fitting(message, *writer)).replace("{{", "{\\u007b"))
        service.template.add(str(template))
        if kind == "NotifySlack":
            service.use_blocks = True
    _join(service, kind, message)
    if hasattr(service, "payload_extras"):
        service.payload_extras = {"event": message.event, "facts": dict(message.facts), "links": dict(message.links)} | (
            service.payload_extras
        )
    limit = service.body_maxlen - (0 if service.title_maxlen else len(message.title) + 2)
    return payloads.commonmark(message, max(limit, 1))


def _join(service: Any, kind: str, message: Message) -> None:
    """Makes a recovery close the incident that a failure opened, and keeps both in one thread, where a service can."""
    joined = bool(message.incident) and message.event not in {"waiting", "passed"}
    incident = f"cicd-actions/{message.incident}"
    if kind == "NotifyPagerDuty" and joined:
        service.dedup = service.dedup or incident
        service.action = "map" if service.action == "trigger" else service.action
    elif kind == "NotifyOpsgenie" and service.action == "map":
        service.action = "new"
        if joined:
            service.alias = service.alias or incident
            if message.event == "recovered":
                service.send = partial(_close, service)
    elif kind == "NotifyGoogleChat" and joined:
        service.thread_key = service.thread_key or incident


def _close(service: Any, body: str, **_: Any) -> bool:
    """Closes the alert by its alias: Apprise itself closes only what the same process has opened."""
    url = f"{OPSGENIE_API_LOOKUP[service.region_name]}/{quote(service.alias, safe='')}/close"
    note = {"source": "cicd-actions", "note": body}
    taken: bool = service._fetch(requests.post, url, note, {"identifierType": "alias"})[0]  # noqa: SLF001 - it has no public way
    return taken
