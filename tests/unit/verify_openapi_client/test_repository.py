"""git, as the action starts it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cicd_actions.toolkit import git
from cicd_actions.verify_openapi_client import repository


def test_git_runs_no_filter_of_the_user_and_gets_no_variable_of_the_step(tmp_path: Path) -> None:
    ran, home, work = tmp_path / "ran", tmp_path / "home", tmp_path / "work"
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\nenv >> {ran}\ncat\n")
    hook.chmod(0o755)
    home.mkdir()
    (home / ".gitconfig").write_text(f'[core]\n fsmonitor = {hook}\n[filter "f"]\n clean = {hook}\n')
    step = {**os.environ, "HOME": str(home), "INPUTS": "secret", "GIT_DIR": str(tmp_path), "GIT_CONFIG_COUNT": "x"}
    own = git.variables(os.environ)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(git.command("init", "-q", str(work)), check=True, env=own)
    subprocess.run(git.command(*identity, "commit", "-q", "--allow-empty", "-m", "a"), check=True, env=own, cwd=work)
    (work / ".gitattributes").write_text("* filter=f\n")
    (work / "a").write_text("a")
    found = repository.find(work, step)
    found.git("add", ".")
    assert found.names("ls-files", "-z") == [".gitattributes", "a"]
    assert not ran.exists()
