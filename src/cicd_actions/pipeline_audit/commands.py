"""Knows programs: what a command line does to a pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from cicd_actions.pipeline_audit.effects import (
    COMPOSE,
    DOCKER,
    ECS,
    GITOPS,
    HELM,
    HOOK,
    INFRASTRUCTURE,
    INFRASTRUCTURE_RELEASE,
    RENDER,
    SERVER,
    SWARM,
    Effect,
    Kind,
    Platform,
)
from cicd_actions.pipeline_audit.known_commands import BUILD, DEPLOYS, OTHERS, PUSH, REMOTE_DEPLOYS
from cicd_actions.pipeline_audit.shell import Command

LONGEST = 2000
"""Characters of a command that are looked at."""

_DRY = ("--dry-run", "--diff", "--what-if", "--help", "--no-execute-changeset", "--noexec")


_DIGEST = re.compile(r"@sha256:|digest|@\$\{?\w*(digest|sha256)", re.IGNORECASE)
_HOOK = re.compile(
    r"deploy[_-]?hook|/deploy\b|webhook|api\.render\.com/deploy|portainer|coolify|dokploy|caprover|easypanel", re.IGNORECASE
)
_HOOK_BY_GET = re.compile(r"hook|render|coolify[^|;&]*/(deploy|restart|start)\b|/api/v1/deploy\?", re.IGNORECASE)
_RELEASED = re.compile(
    r"(?:-var|--var|--context|-c|--parameters|--parameter-overrides)[ =]['\"]?\w{0,40}(?:image|tag)\w{0,40}=", re.IGNORECASE
)
"""A variable of infrastructure as code that names the release."""
_HOOKED = {
    "render": RENDER,
    **{name.lower(): Platform(name, rolls_back=True, later=True, image=False) for name in ("Coolify", "Dokploy", "CapRover")},
}
_DISPATCHES = re.compile(r"api\.github\.com/\S*/dispatches\b|/repos/\S+/dispatches\b")
_CHAT = re.compile(
    (
        r"hooks\.slack\.com|slack|discord|api\.telegram|teams|mattermost|ntfy|pagerduty|opsgenie|sentry"
        r"|chat\.googleapis|betterstack|healthchecks\.io"
    ),
    re.IGNORECASE,
)
_COMMENT_API = re.compile(
    r"api\.github\.com|codecov|coveralls|raw\.githubusercontent|get\.|install|\.sh\b|\.tar|\.zip|\.gz"
    r"|releases/download|\.deb|gpg|githubcli|ipify|checkip|ifconfig"
)


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    """One pattern for many: `lastgroup` of a match names the first that fits. That is much faster than a loop."""
    return re.compile("|".join(f"(?P<p{number}>{pattern})" for number, pattern in enumerate(patterns)))


_ALL_DEPLOYS = (*DEPLOYS, *REMOTE_DEPLOYS)
_DEPLOY = _any(pattern for pattern, _ in _ALL_DEPLOYS)
_DOES = _any(pattern for pattern, _, _ in OTHERS)


_DRY_RUN = re.compile(r"--dry-run(=(client|server))?\b")
_DEPLOY_WORD = re.compile(r"deploy|roll-?out|release|update|restart", re.IGNORECASE)


def _index(match: re.Match[str]) -> int:
    return int((match.lastgroup or "p0")[1:])


@lru_cache(maxsize=4096)
def effects_of(command: Command) -> tuple[Effect, ...]:
    """Returns the effects of one command; their places are filled in by the caller."""
    return tuple(_effects(command))


def _effects(command: Command) -> Iterator[Effect]:
    text = command.text[len(command.words[0]) - len(command.program) :][:LONGEST].strip()
    builds, pushes, does, deploys = BUILD.match(text), PUSH.match(text), _DOES.match(text), _DEPLOY.match(text)
    if not (builds or pushes or does or deploys or _runs_deploy_script(command)):
        return
    common: dict[str, Any] = {"tolerated": command.tolerated, "remote": command.remote, "after_failure": command.after_failure}
    detail = shown(text)
    if builds:
        yield Effect(Kind.BUILD, "image", detail=detail, images=_tags(command), files=_dockerfile(command), **common)
        if command.has("--push") or "bake" in text or text.startswith(("az acr", "gcloud builds")):
            yield Effect(Kind.PUSH, "image", detail=detail, images=_tags(command), **common)
        return
    if pushes:
        yield Effect(Kind.PUSH, "image", detail=detail, images=tuple(command.words[-1:]), **common)
        return
    if does:
        _, kind, what = OTHERS[_index(does)]
        if kind is Kind.VERIFY and what == "probe":
            yield from _request(command, text, common)
        else:
            targets = command.words if kind is Kind.DISPATCH else ()
            facts = {"started": "yes"} if what == "a task" else {}
            yield Effect(
                kind,
                what or command.program,
                detail=detail,
                waits=kind is Kind.VERIFY,
                targets=targets,
                facts=facts,
                **common,
            )
    if deploys or _runs_deploy_script(command):
        yield from _deploys(command, text, detail, common, deploys)


def _deploys(command: Command, text: str, detail: str, common: dict[str, Any], match: re.Match[str] | None) -> Iterator[Effect]:
    remote = command.remote or command.has("-H", "--host", "--context", "--host=")
    platform = _ALL_DEPLOYS[_index(match)][1] if match else SERVER if remote else None
    if platform is INFRASTRUCTURE and _RELEASED.search(text):
        platform = INFRASTRUCTURE_RELEASE
    dry = platform is not None and (command.has(*_DRY) or _DRY_RUN.search(text) is not None)
    if platform is not None and not dry:
        server = platform in {COMPOSE, DOCKER, SERVER}
        yield Effect(
            Kind.DEPLOY,
            platform.name,
            detail=detail,
            platform=platform,
            images=_images(command) if platform.image else (),
            targets=tuple(word for word in command.words[1:] if not word.startswith("$") or word.startswith("${{")),
            files=_files(command),
            waits=platform.waits or _waits(command, platform),
            rolls_back=_rolls_back(command, platform),
            preview=_preview(command, platform),
            sure=remote or not server,
            by_digest=bool(_DIGEST.search(text)),
            **common | {"remote": remote},
        )


def _runs_deploy_script(command: Command) -> bool:
    """Whether a script of the server runs that is called a deploy; what it does cannot be read."""
    name = command.words[1] if command.program in {"bash", "sh", "zsh"} and len(command.words) > 1 else command.words[0]
    return "/" in name and bool(_DEPLOY_WORD.search(name.rpartition("/")[2]))


def _waits(command: Command, platform: Platform) -> bool:
    if platform is HELM:
        return command.has("--wait", "--atomic", "--rollback-on-failure")
    if platform is SWARM:
        return (
            command.option("--detach") == "false"
            or "--detach=false" in command.words
            or ("service" in command.words and not command.has("-d", "--detach"))
        )
    if platform is COMPOSE:
        return command.has("--wait")
    return platform is ECS and command.has("--wait", "--wait-for-service-stability")


def _rolls_back(command: Command, platform: Platform) -> bool:
    # Also within an expression: `${{ inputs.atomic && '--atomic' || '' }}`.
    return platform.rolls_back or any(
        word in command.text for word in ("--atomic", "--rollback-on-failure", "--update-failure-action")
    )


def _preview(command: Command, platform: Platform) -> bool:
    """Whether the platform makes a preview with these words, not a release."""
    if platform.name == "Vercel":
        return "--prod" not in command.text and command.option("--target") != "production"
    if platform.name == "Netlify":
        return "--prod" not in command.text and not command.has("-p")
    return False


_EXIT_MATTERS = re.compile(r"(^|\s)(-[A-Za-z]*f[A-Za-z]*|--fail|--fail-with-body|--retry\S*|-w|--write-out|%\{http_code\})")


def _request(command: Command, text: str, common: dict[str, Any]) -> Iterator[Effect]:
    """A request: a notification, a deploy hook, or a check of what runs."""
    sends = command.has("-d", "--data", "--data-raw", "--json", "--data-binary", "-F", "--form") or "POST" in command.words
    sends = sends or "-XPOST" in command.words or "PUT" in command.words
    if _DISPATCHES.search(text):
        yield Effect(Kind.DISPATCH, "GitHub", detail=shown(text), targets=command.words, **common)
    elif _CHAT.search(text) and (sends or "hook" in text.lower()):
        yield Effect(Kind.NOTIFY, "webhook", detail=shown(text), **common)
    elif _HOOK.search(text) and (sends or _HOOK_BY_GET.search(text)):
        platform = next((one for name, one in _HOOKED.items() if name in text.lower()), HOOK)
        rolls_back = platform.rolls_back
        yield Effect(
            Kind.DEPLOY,
            platform.name,
            detail=shown(text),
            platform=platform,
            rolls_back=rolls_back,
            targets=command.words,
            **common,
        )
    elif not sends and not _COMMENT_API.search(text):
        # wget and the tools fail by themselves on an error status; curl only when told to, or when its output is judged.
        # A probe in a shell `if`, or one whose output is compared, cannot be distinguished: any look at a URL is taken for one.
        strict = command.program != "curl" or bool(_EXIT_MATTERS.search(text))
        yield Effect(Kind.VERIFY, "probe", detail=shown(text), facts={"strict": "yes" if strict else ""}, **common)


def _tags(command: Command) -> tuple[str, ...]:
    found: list[str] = []
    for index, word in enumerate(command.words):
        if word in {"-t", "--tag"} and index + 1 < len(command.words):
            found.append(command.words[index + 1])
        elif word.startswith(("--tag=", "-t=")):
            found.append(word.partition("=")[2])
    return tuple(found)


def _dockerfile(command: Command) -> tuple[str, ...]:
    named = command.option("-f", "--file")
    if named:
        return (named.removeprefix("./"),)
    context = command.words[-1] if len(command.words) > 2 else "."
    folder = "" if context in {".", "./"} or context.startswith(("-", "$")) else context.strip("/").removeprefix("./") + "/"
    return (f"{folder}Dockerfile",)


def _files(command: Command) -> tuple[str, ...]:
    found: list[str] = []
    for index, word in enumerate(command.words[:-1]):
        if word in {"-f", "--file", "-c", "--compose-file", "-k", "--filename", "--kustomize"}:
            found.append(command.words[index + 1].removeprefix("./"))
    found += [
        word.partition("=")[2] for word in command.words if word.startswith(("--file=", "--compose-file=", "--filename="))
    ]
    return tuple(found)


_TAG_SETTING = re.compile(r"image[\w.]*\.?tag$|(^|\.)tag$|imageTag$|image\.tag")
_IMAGE_SETTING = re.compile(r"(^|[.\]])image$|Image$")


def _images(command: Command) -> tuple[str, ...]:
    """The image references among the words: `api=ghcr.io/x/api:tag`, `--image x`, `--set image.tag=x`."""
    found: list[str] = []
    words = command.words
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        following = words[index + 1] if index + 1 < len(words) else ""
        if word in {"--image", "--container", "-i"}:
            found.append(following)
        elif name in {"--image", "--container-image-name"} and equals:
            found.append(value)
        elif equals and _TAG_SETTING.search(name):
            found.append(f":{value}")
        elif equals and _IMAGE_SETTING.search(name):
            found.append(value)
    if re.search(r"\bset image\b", command.text):
        found += [word.partition("=")[2] for word in words[3:] if "=" in word and not word.startswith("-")]
    return tuple(found)


def shown(text: str) -> str:
    """Returns a command as a report shows it: on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:119] + "…"


_GITOPS = re.compile(
    r"(kustomize edit set image|yq\b.*(image|tag)|sed\b.*(image|tag)|update-manifest|argocd-image)", re.IGNORECASE
)


def gitops(commands: list[Command]) -> Command | None:
    """Returns the command that writes an image into a manifest, where the same script pushes the change with git."""
    if not any(command.program == "git" and "push" in command.words for command in commands):
        return None
    return next((command for command in commands if _GITOPS.match(command.text)), None)


__all__ = ["GITOPS", "effects_of", "gitops", "shown"]
