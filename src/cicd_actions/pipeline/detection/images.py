"""The images of a release, from Dockerfiles and compose files."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import dataclass, field

from cicd_actions.pipeline.detection import compose
from cicd_actions.pipeline.detection.model import Found, Guess, Repository, joined, named
from cicd_actions.pipeline.detection.standing import Standing

_DOCKERFILE = re.compile(r"Dockerfile|[\w.-]+\.Dockerfile|Dockerfile\.[\w.-]+")
_ASIDE = re.compile(
    r"(^|[./_-])(dev|devcontainer|development|local|test|tests|playwright|cypress|ci|e2e|example|site|artifacts)([./_-]|$)"
)
_FOR_TESTS = re.compile(r"(^|[./_-])(playwright|cypress|e2e|tests?|ci)([./_-]|$)")
_VAGUE = frozenset(
    {
        "docker",
        "dockerfiles",
        "scripts",
        "container",
        "containers",
        "ci",
        "build",
        "deploy",
        "deployment",
        "infra",
        "images",
        ".",
    }
)
_COMMIT = re.compile(
    r"(?m)^ARG\s+((?:GIT_|BUILD_|SOURCE_|RELEASE_|APP_|IMAGE_)?(?:SHA|COMMIT|COMMIT_SHA|REVISION|VERSION|REV))\b"
)
_BAKED = re.compile(
    r"(?m)^ARG\s+((?:VITE|NEXT_PUBLIC|REACT_APP|NUXT_PUBLIC|VUE_APP|PUBLIC)_\w*(?:URL|HOST|ENDPOINT|DOMAIN)\w*)"
)
MIGRATES = re.compile(
    r"alembic (?:-\S+ \S+ )*upgrade|manage\.py migrate|flask db upgrade|prisma migrate deploy|migration:run|migrate up"
    r"|flyway migrate"
)
"""A command that migrates a database."""


@dataclass
class Image:
    """An image as it is built. A guess without a value is not known."""

    dockerfile: str
    context: Guess = field(default_factory=lambda: Guess(""))
    target: Guess = field(default_factory=lambda: Guess(""))
    repository: Guess = field(default_factory=lambda: Guess(""))
    platforms: Guess = field(default_factory=lambda: Guess([]))
    args: tuple[str, ...] = ()
    runs: str = ""
    """What compose files say in `image:` of the services that it builds."""


def by_name(repository: Repository, standing: Standing, composed: list[compose.Service]) -> dict[str, Image]:
    """Returns the images of a release by the names that the pipeline file gives them."""
    return _named(_found(repository, standing, composed))


def _found(repository: Repository, standing: Standing, composed: list[compose.Service]) -> list[Image]:
    """Returns the images, first as workflows publish them, then as compose files build them, then by their Dockerfiles."""
    found: dict[tuple[str, str], Image] = {}
    for each in standing.builds:
        image = found.setdefault((each.dockerfile, each.target), Image(each.dockerfile))
        if not image.context.value:
            image.context = Guess(each.context, f"{each.file} builds it so")
            image.args = each.args
        if each.target:
            image.target = Guess(each.target, f"{each.file} builds it")
        if each.repository and not image.repository.value:
            image.repository = Guess(each.repository, f"{each.file} pushes it")
        if each.platforms and each.platforms != ("linux/amd64",):
            image.platforms = Guess(list(each.platforms), f"{each.file} builds them")
    _composed(repository, composed, found)
    for path in repository.own:
        known = {image.dockerfile for image in found.values()}
        if _DOCKERFILE.fullmatch(posixpath.basename(path)) and path not in known and not _ASIDE.search(path):
            found[path, ""] = Image(path)
    return [image for image in found.values() if image.dockerfile in repository.files]


def _composed(repository: Repository, composed: list[compose.Service], found: dict[tuple[str, str], Image]) -> None:
    """Adds an image for each Dockerfile, and each of its stages, that a service of a compose file goes on running."""
    for service in composed:
        dockerfile = _released(repository, service.dockerfile)
        if not dockerfile:
            continue
        same = [image for image in found.values() if image.dockerfile == dockerfile]
        stage = _stage(service)
        stages = {_stage(each) for each in composed if _serves(each) and _released(repository, each.dockerfile) == dockerfile}
        if not _serves(service) and stages:
            continue  # it runs one of the images of those that serve
        if same and len(stages) == 1 and stage and not same[0].target.value:
            same[0].target = Guess(stage, f"{service.file} builds it")
        image = next((each for each in same if each.target.value == stage), None) or (same[0] if same and not stage else None)
        if image is None:
            image = found[dockerfile, stage] = Image(dockerfile)
            if stage:
                image.target = Guess(stage, f"{service.file} builds it")
        if not image.context.value:
            image.context = Guess(service.context, f"{service.file} builds it so")
        image.runs = image.runs or service.image


def _serves(service: compose.Service) -> bool:
    """Returns whether a service goes on running. What ends by itself, such as a migration, often has another stage."""
    return not service.once and not MIGRATES.search(service.command)


def _stage(service: compose.Service) -> str:
    """Returns the stage of its Dockerfile that a release runs for a service; empty for the last one."""
    return "" if _ASIDE.search(f"{service.file}/{service.target}") else service.target


def _released(repository: Repository, dockerfile: str) -> str:
    """Returns the Dockerfile that a release builds where a compose file builds this one; empty for none.

    One for development stands beside the one for production; one for tests is not part of a release.
    """
    base = posixpath.basename(dockerfile)
    if dockerfile not in repository.files or _FOR_TESTS.search(base):
        return ""
    beside = repository.first(posixpath.dirname(dockerfile), "Dockerfile", "Dockerfile.prod", "Dockerfile.production")
    return beside if _ASIDE.search(base) and beside else dockerfile


def _named(images: list[Image]) -> dict[str, Image]:
    names: dict[str, Image] = {}
    for image in images:
        base = posixpath.basename(image.dockerfile)
        folder = posixpath.basename(posixpath.dirname(image.dockerfile)) or "."
        if image.repository.value:
            stem = image.repository.value.rpartition("/")[2]
        elif base.endswith(".Dockerfile"):
            stem = base.removesuffix(".Dockerfile")
        else:
            stem = "app" if folder in _VAGUE else folder
        if image.target.value and [each.dockerfile for each in images].count(image.dockerfile) > 1:
            stem = image.repository.value.rpartition("/")[2] or image.target.value
        name = whole = named(stem, "app")
        number = 2
        while whole in names:
            whole, number = f"{name}-{number}", number + 1
        names[whole] = image
    return names


def entry(repository: Repository, found: Found, name: str, image: Image) -> dict[str, Guess]:
    """Returns what the pipeline file says of an image."""
    text = repository.read(image.dockerfile)
    usual = Guess(f"ghcr.io/{repository.name.lower()}/{name}", "a usual name; look where your images go")
    host = image.repository.value.partition("/")[0]
    if image.repository.value and "." not in host:
        found.unknown.append(f"{image.repository.why.split()[0]} pushes {image.repository.value} to Docker Hub: set `build`.")
    entry = {
        "repository": image.repository if "." in host else usual,
        "dockerfile": Guess(image.dockerfile, "it exists"),
        "context": image.context if image.context.value else _context(repository, found, image.dockerfile, text),
    }
    if image.target.value:
        entry["target"] = image.target
    if match := _COMMIT.search(text):
        entry["build-args"] = Guess(
            {match[1]: "{sha}"}, f"{image.dockerfile} takes it; look whether it is the commit that the health answer names"
        )
    if image.platforms.value:
        entry["platforms"] = image.platforms
    for variable in sorted(set(_BAKED.findall(text)) | {each for each in image.args if _BAKED.match(f"ARG {each}")}):
        found.flags.append(
            f"{image.dockerfile} bakes {variable} into the image: one image cannot serve several environments."
            " Let the page read it when it starts."
        )
    return entry


def _context(repository: Repository, found: Found, dockerfile: str, text: str) -> Guess:
    """Returns the build context: the folder in which everything that the Dockerfile copies exists."""
    copied = [
        word.removeprefix("./").rstrip("/")
        for line in re.findall(r"(?im)^(?:COPY|ADD)\s+(.+)", text) if "--from=" not in line and "<<" not in line
        for word in [each for each in line.split() if not each.startswith(("--", "["))][:-1]
        if "$" not in word and not word.startswith(("http:", "https:"))
    ]  # fmt: skip
    own = posixpath.dirname(dockerfile) or "."
    known = {joined(own, "..")} | {own, "."}
    fits = [
        folder
        for folder in sorted(known, key=lambda each: (each != own, each))
        if all(word in {"", "."} or _exists(repository, joined(folder, word)) for word in copied)
    ]
    special = [word for word in copied if word not in {"", "."}]
    if fits and (special or own == "."):
        return Guess(fits[0], "everything that the Dockerfile copies lies there")
    if special:
        found.unknown.append(f"The build context of {dockerfile} is not plain: it copies {', '.join(special[:3])}.")
        return Guess(".", "look: nothing tells it")
    return Guess("." if posixpath.basename(own) in _VAGUE else own, "look: the Dockerfile copies everything")


def _exists(repository: Repository, path: str) -> bool:
    pattern = re.compile(fnmatch.translate(path).removesuffix("\\Z").removesuffix("\\z") + "(/.*)?")
    return any(pattern.fullmatch(name) for name in repository.files)


def image_of(service: compose.Service, names: dict[str, Image], repository: Repository) -> str:
    """Returns the name of the image that a service runs; empty for an image of others."""
    if service.dockerfile:
        dockerfile, stage = _released(repository, service.dockerfile), _stage(service)
        same = {name: image for name, image in names.items() if image.dockerfile == dockerfile}
        return next((name for name, image in same.items() if image.target.value == stage), next(iter(same), ""))
    text = service.image.partition("@")[0]
    text = re.sub(r":(\$\{.*|[\w.-]*)$", "", text)
    for name, image in names.items():
        if text and text in {image.repository.value, re.sub(r":(\$\{.*|[\w.-]*)$", "", image.runs)}:
            return name
    owner = repository.name.lower().partition("/")[0]
    if f"/{owner}/" in f"/{text.lower()}":
        last = text.lower().rpartition("/")[2]
        if last in names:
            return last
        return next(iter(names)) if len(names) == 1 else ""
    return ""
