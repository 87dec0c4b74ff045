"""Lanes of what is neither Python nor Node.js: the language's own commands, or the targets of a Makefile."""

from __future__ import annotations

import posixpath
import re

from cicd_actions.pipeline.detection.model import Entry, Found, Guess, Repository, folders, inside, joined, named

_LANGUAGES: tuple[tuple[str, str, dict[str, str]], ...] = (
    # (a file's name, the image with its version in a first group of the file's text, checks)
    (r"go\.mod", r"golang:(?m:^go (\d+\.\d+))", {"vet": "go vet ./...", "test": "go test ./...", "build": "go build ./..."}),
    (r"Cargo\.toml", "", {"format": "cargo fmt --check", "test": "cargo test --locked", "build": "cargo build --locked"}),
    (r"pom\.xml", "", {"verify": "mvn -B verify"}),
    (r"build\.gradle(\.kts)?", "", {"build": "gradle build"}),
    (r"Gemfile", "", {"test": "bundle exec rake test"}),
    (r"composer\.json", "", {"test": "composer test"}),
    (r".*\.sln", "", {"test": "dotnet test"}),
    (r"mix\.exs", "", {"test": "mix test"}),
)
_WRAPPERS = {"mvn": "mvnw", "gradle": "gradlew"}
_ABSENT = re.compile(r"\b(golangci-lint|staticcheck|hadolint|gotestsum|cargo-nextest|pre-commit|tox)\b")
"""Programs that no runner has by itself."""

_TARGETS = {"lint": ("lint", "check"), "test": ("test", "tests", "check"), "build": ("build",)}


def lanes(repository: Repository, found: Found) -> None:
    """Adds a lane for each such project that no lane covers yet."""
    for pattern, image, checks in _LANGUAGES:
        for folder in folders(repository.own, pattern):
            part = any(
                each != folder and inside(folder, each) and _builds(repository, each)
                for each in folders(repository.own, pattern)
            )
            if not part and not any(_covers(lane, folder) for lane in found.lanes.values()):
                source = next(name for name in repository.own if re.fullmatch(pattern, posixpath.basename(name)))
                _language(repository, found, folder, image, checks, source)
    if not found.lanes and repository.first(".", "Makefile"):
        targets = _make(repository, found, ".")
        if targets:
            found.lane("app", {"directory": Guess("."), "checks": Guess(targets)})


def _builds(repository: Repository, folder: str) -> bool:
    """Returns whether the build of a folder builds the modules below it too."""
    if repository.first(folder, "settings.gradle", "settings.gradle.kts"):
        return True
    text = repository.read(joined(folder, "pom.xml")) + repository.read(joined(folder, "Cargo.toml"))
    return "<modules>" in text or "[workspace]" in text


def _covers(lane: Entry, folder: str) -> bool:
    return inside(folder, str(lane["directory"].value)) and lane["directory"].value != "."


def _language(repository: Repository, found: Found, folder: str, image: str, checks: dict[str, str], source: str) -> None:
    """Adds a lane: a Makefile's target is how the team runs a check, and counts before the language's usual command."""
    lane: Entry = {"directory": Guess(folder)}
    path = joined(folder, posixpath.basename(source))
    if image:
        name, _, pattern = image.partition(":")
        match = re.search(pattern, repository.read(path))
        if match:
            lane["container"] = Guess(f"{name}:{match[1]}", f"{path} names the version; take the one that builds the image")
    made = _make(repository, found, folder)
    usual = {}
    for name, command in checks.items():
        program = command.split()[0]
        wrapper = repository.first(folder, _WRAPPERS.get(program, ""))
        usual[name] = Guess(command.replace(program, f"./{_WRAPPERS[program]}", 1) if wrapper else command, f"{path} exists")
    lane["checks"] = Guess({**usual, **made})
    lane_name = "app" if folder == "." else named(posixpath.basename(folder), "app")
    if "container" not in lane:
        found.unknown.append(f"The lane `{lane_name}` uses the version that the runner has: `container` names another one.")
    found.lane(lane_name, lane)


def _make(repository: Repository, found: Found, folder: str) -> dict[str, Guess]:
    path = joined(folder, "Makefile")
    text = repository.read(path)
    targets = set(re.findall(r"(?m)^([\w-]+)\s*:(?!=)", text))
    made: dict[str, Guess] = {}
    for check, names in _TARGETS.items():
        target = next((name for name in names if name in targets and name not in made), "")
        recipe = re.search(rf"(?m)^{re.escape(target)}\s*:[^\n]*\n((?:\t.*\n?|\s*\n)*)", text) if target else None
        said = recipe[1] if recipe else ""
        if absent := _ABSENT.search(said):
            found.unknown.append(f"`make {target}` of {path} runs {absent[1]}, which no runner has: add it to `install`.")
        elif target and "docker " not in said:
            made[check] = Guess(f"make {target}", f"the target `{target}` of {path}")
    return made
