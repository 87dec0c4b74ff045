"""The keys of a lane: what is tested, side by side with the other lanes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cicd_actions.pipeline_file.kinds import (
    COMMAND,
    COMMANDS,
    CONTAINER_ENV,
    DURATION,
    ENV,
    GLOB,
    IMAGE,
    NAME,
    PATH,
    RUNNER,
    VERSION,
    WORD,
)
from cicd_actions.pipeline_file.shape import Choice, Listed, Named, Number, Object, Short, key


@dataclass(frozen=True)
class Python:
    """A lane's Python, and how its packages are installed."""

    version: tuple[str, ...] = key(Listed(VERSION, 1, 10), "Version, or a list of versions: one job each.", required=True)
    manager: str | None = key(
        Choice("uv", "pip", "poetry", "pdm"), "Package manager. Default: the one whose lock file lies nearest, else `uv`."
    )
    manager_version: str | None = key(VERSION, "Version of the package manager. Default: the one the project requires.")
    lock: str | None = key(
        PATH, "Lock file, from the repository's root. Default: the nearest one at or above the lane's folder."
    )


@dataclass(frozen=True)
class Node:
    """A lane's Node.js, and how its packages are installed."""

    version: tuple[str, ...] = key(Listed(VERSION, 1, 10), "Version, or a list of versions: one job each.", required=True)
    manager: str | None = key(
        Choice("pnpm", "npm", "yarn", "bun"), "Package manager. Default: the one whose lock file lies nearest, else `npm`."
    )
    manager_version: str | None = key(VERSION, "Version of the package manager. Default: the one in package.json.")
    lock: str | None = key(
        PATH, "Lock file, from the repository's root. Default: the nearest one at or above the lane's folder."
    )


@dataclass(frozen=True)
class Backing:
    """A container that a lane needs beside it, such as a database."""

    image: str = key(IMAGE, "Image of the container.", required=True)
    port: float | None = key(
        Number(1, 65535, whole=True), "Port that it answers on. Default: the usual one of a known image, such as 5432."
    )
    env: Mapping[str, str] = key(CONTAINER_ENV, "Its environment variables.", {})
    health: str | None = key(
        COMMAND, "Command that succeeds inside the container once it is ready. Default: the usual one of a known image."
    )


@dataclass(frozen=True)
class Check:
    """One check of a lane. It runs whatever the other checks do."""

    run: str = key(COMMAND, "Command, run without a shell in the lane's folder.", required=True)
    junit: str | None = key(PATH, "JUnit report that it writes, in the lane's folder. Failures become annotations.")
    coverage: str | None = key(PATH, "Cobertura report that it writes, in the lane's folder, such as coverage.xml.")
    minimum_coverage: float | None = key(Number(0, 100), "Percentage of lines that must be covered. It needs `coverage`.")
    env: Mapping[str, str] = key(ENV, "Its own environment variables.", {})
    timeout: str | None = key(DURATION, "Deadline of the check. Default: the lane's.")


@dataclass(frozen=True)
class Client:
    """A client that is generated from the OpenAPI document of another lane."""

    of: str = key(NAME, "Lane whose `openapi` exports the document.", required=True)
    path: tuple[str, ...] = key(Listed(PATH, 1), "Files or folders of the client, in the lane's folder.", required=True)
    generate: str = key(
        COMMAND, "Command that writes the client from the document `{spec}`, in a copy of the work tree.", required=True
    )
    fail_on: tuple[str, ...] = key(
        Listed(Choice("drift", "breaking", "generated-symbol", "nondeterministic")),
        "What fails the check; the rest is a warning. Default: `drift`.",
        ("drift",),
    )
    rules: tuple[str, ...] = key(Listed(WORD), "Levels of single rules, such as `body-removed: error`.", ())
    acknowledge: str | None = key(PATH, "File of accepted breaking changes, in the lane's folder.")


def _version(versions: tuple[str, ...]) -> Python:
    return Python(versions)


def _node(versions: tuple[str, ...]) -> Node:
    return Node(versions)


@dataclass(frozen=True)
class Lane:
    """One part of the repository that is tested in its own job, side by side with the others."""

    directory: str = key(PATH, "Folder of the lane. Commands run in it. Default: `.`", ".")
    paths: tuple[str, ...] = key(
        Listed(GLOB), "More files whose change runs the lane, such as a shared package; `**` crosses folders.", ()
    )
    runs_on: tuple[str, ...] | None = key(RUNNER, "Runner. Default: the file's `runs-on`.")
    timeout_minutes: float = key(Number(1, 360, whole=True), "Time limit of the job. Default: 20.", 20)
    python: Python | None = key(Short(Listed(VERSION, 1, 10), Object(Python, "a mapping"), _version), "Python of the lane.")
    node: Node | None = key(Short(Listed(VERSION, 1, 10), Object(Node, "a mapping"), _node), "Node.js of the lane.")
    container: str | None = key(
        IMAGE,
        "Public image that the job runs in, with bash and Python 3.10 or newer. Default: none, the runner itself.",
    )
    backing: Mapping[str, Backing] = key(
        Named(Short(IMAGE, Object(Backing, "a mapping"), Backing), NAME, 20),
        "Containers that the lane needs. `{NAME}` in `env` stands for the address `host:port` of one, `{NAME.host}` and"
        " `{NAME.port}` for its parts.",
        {},
    )
    env: Mapping[str, str] = key(ENV, "Environment variables of its commands. Secrets do not belong here.", {})
    install: tuple[str, ...] | None = key(
        COMMANDS, "Commands that install. Default: the package manager's, from its lock file."
    )
    prepare: tuple[str, ...] = key(
        COMMANDS, "Commands that run after `install`, such as migrations. No check runs if one fails.", ()
    )
    checks: Mapping[str, Check] = key(
        Named(Short(COMMAND, Object(Check, "a mapping"), Check), NAME, 50), "Checks, in this order.", {}
    )
    openapi: str | None = key(COMMAND, "Command that writes the OpenAPI document to `{spec}` without starting a server.")
    client: Client | None = key(Object(Client, "a mapping"), "Client that is generated from another lane's OpenAPI document.")
