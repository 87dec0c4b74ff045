from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cicd_actions.toolkit import git


def test_git_runs_nothing_that_a_repository_or_a_user_configured(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\nenv >> {ran}\n")
    hook.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[core]\n fsmonitor = {hook}\n[filter "f"]\n clean = {hook}\n')
    repository = tmp_path / "repository"
    environment = {**os.environ, "HOME": str(home), "INPUTS": "secret", "GITHUB_TOKEN": "secret"}
    subprocess.run(["git", "init", "-q", str(repository)], check=True, env=git.variables(environment))
    with (repository / ".git/config").open("a") as file:
        file.write(f"[core]\n fsmonitor = {hook}\n hooksPath = {tmp_path}\n")
    (repository / ".gitattributes").write_text("* filter=f\n")
    (repository / "a").write_text("a")
    for words in (["add", "."], ["status"], ["ls-files", "--others"]):
        subprocess.run(git.command(*words), check=True, cwd=repository, env=git.variables(environment), capture_output=True)
    assert not ran.exists()
    assert "secret" not in git.variables(environment).values()
