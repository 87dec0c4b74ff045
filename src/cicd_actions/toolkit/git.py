"""Starts git so that no configuration but its own runs a program: what lies in a checkout is somebody else's."""

from __future__ import annotations

import os
from collections.abc import Mapping

_SETTINGS = {
    # What a repository's own configuration could start: https://git-scm.com/docs/git-config
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    # What a user's folder could add.
    "core.excludesFile": os.devnull,
    "core.attributesFile": os.devnull,
    # actions/checkout writes this into the user's configuration, which is not read here.
    "safe.directory": "*",
}

_NEEDED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")


def command(*words: str) -> list[str]:
    """Returns the command line of `git` with these words."""
    return ["git", *(part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")), *words]


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables for git: none of the step's secrets, none of the user's or the system's configuration."""
    needed = {name: environment[name] for name in _NEEDED if name in environment}
    return needed | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
    }
