"""Finds the logins of `docker login`, where the library looks only at the variables of this process."""

from __future__ import annotations

from collections.abc import Mapping

from docker import auth


def logins(variables: Mapping[str, str]) -> auth.AuthConfig:
    """Returns the logins, from the folder that DOCKER_CONFIG names among *variables*, else from the account's own."""
    folder = variables.get("DOCKER_CONFIG")
    return auth.load_config(f"{folder}/config.json" if folder else None)
