"""Compose files: what runs, from which image, how it is built, and how it says that it is healthy."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.pipeline.detection.model import Repository, joined

_FILE = re.compile(r"(?:[\w-]+\.)?(?:docker-)?compose[\w.-]*\.ya?ml|(?:docker-)?stack[\w.-]*\.ya?ml")
_ASIDE = re.compile(r"(^|[./_-])(dev|development|local|test|tests|testing|ci|e2e|override|debug|example)([./_-]|$)")
_FOR_REAL = re.compile(r"(^|[./_-])(prod|production|live)([./_-]|$)")
_ADDRESS = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::\d+)?(/[^\s\"'|;]*)?")


@dataclass(frozen=True)
class Service:
    """A service of a compose file. `health` is the path that its health check asks, `once` says that it ends by itself, and
    `profiles` which ones start it; none where it always starts."""

    name: str
    file: str
    image: str
    dockerfile: str
    context: str
    target: str
    args: tuple[str, ...]
    command: str
    env: Mapping[str, str]
    health: str
    ports: bool
    once: bool
    profiles: tuple[str, ...]


def files(repository: Repository) -> list[str]:
    """Returns the compose files, those of production first, those of development last."""
    found = [name for name in repository.own if _FILE.fullmatch(posixpath.basename(name))]
    return sorted(found, key=lambda name: (bool(_ASIDE.search(name)), not _FOR_REAL.search(name), name.count("/"), name))


def services(repository: Repository) -> list[Service]:
    """Returns the services of every compose file, in the order of `files`."""
    return [service for path in files(repository) for service in _services(path, repository.yaml(path))]


def for_real(text: str) -> bool:
    """Returns whether a name says that it is for production."""
    return _FOR_REAL.search(text) is not None


def path_of(text: str) -> str:
    """Returns the path that a health check asks of the container that it runs in; empty for none."""
    match = _ADDRESS.search(text)
    return (match[1] or "/") if match else ""


def _services(path: str, document: dict[str, Any]) -> list[Service]:
    listed = document.get("services")
    known = {name: facts for name, facts in listed.items() if isinstance(facts, dict)} if isinstance(listed, dict) else {}
    awaited = {
        name
        for facts in known.values()
        for name, how in (facts["depends_on"].items() if isinstance(facts.get("depends_on"), dict) else ())
        if isinstance(how, dict) and how.get("condition") == "service_completed_successfully"
    }
    folder = posixpath.dirname(path)
    return [_service(name, facts, path, folder, once=name in awaited) for name, facts in known.items()]


def _service(name: str, facts: dict[str, Any], path: str, folder: str, *, once: bool) -> Service:
    build = facts.get("build")
    built = {"context": build} if isinstance(build, str) else build if isinstance(build, dict) else {}
    context = joined(folder, str(built.get("context", "."))) if built else ""
    check = facts.get("healthcheck")
    test = check.get("test", "") if isinstance(check, dict) else ""
    args = built.get("args")
    listed = facts.get("profiles")
    profiles = [str(each) for each in listed] if isinstance(listed, list) else []
    return Service(
        name=name,
        file=path,
        image=str(facts.get("image") or ""),
        dockerfile=joined(context, str(built.get("dockerfile", "Dockerfile"))) if built else "",
        context=context,
        target=str(built.get("target") or ""),
        args=tuple(str(each).partition("=")[0] for each in args) if isinstance(args, (dict, list)) else (),
        command=_words(facts.get("command")),
        env=_env(facts.get("environment")),
        health=path_of(_words(test)),
        ports=bool(facts.get("ports")),
        once=once or str(facts.get("restart", "")).lower() in {"no", "false"},
        profiles=tuple(profiles) if all(profiles) else (),
    )


def _env(value: Any) -> dict[str, str]:
    """Returns the variables whose values the file itself tells, whichever of the two forms it uses."""
    listed = value if isinstance(value, list) else ()
    pairs = value.items() if isinstance(value, dict) else (str(each).partition("=")[::2] for each in listed)
    return {str(name): str(text) for name, text in pairs if text is not None and "$" not in str(text)}


def _words(value: Any) -> str:
    return " ".join(str(each) for each in value) if isinstance(value, list) else str(value or "")
