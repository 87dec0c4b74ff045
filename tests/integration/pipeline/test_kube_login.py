"""The step that gets a cluster's kubeconfig, as a shell runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cicd_actions.pipeline.deploy_step import KUBECONFIG
from cicd_actions.toolkit.yaml12 import plain, read
from tests.harness.action import ROOT
from tests.harness.standin import Standins, call

ACTION = ROOT / ".github" / "actions" / "kube-login" / "action.yml"


def run(folder: Path, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
    document = plain(read(ACTION.read_text(encoding="utf-8")).root)
    assert isinstance(document, dict)
    (step,) = document["runs"]["steps"]
    known = {"COMMANDS": commands, "RUNNER_TEMP": str(folder), **variables}
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(words, env={**os.environ, **known}, capture_output=True, text=True, check=False)


def test_kube_login_each_line_is_a_command_without_a_shell(tmp_path: Path) -> None:
    config = tmp_path / KUBECONFIG
    tools = Standins(tmp_path / "tools", "az", "kubelogin")
    tools.expect(
        call(f"az aks get-credentials --name shop --file {config}"), call("kubelogin convert-kubeconfig -l azurecli $(id) ;")
    )
    commands = "az aks get-credentials --name shop --file {kubeconfig}\n\nkubelogin convert-kubeconfig -l azurecli $(id) ;\n"
    done = run(tmp_path, commands, **tools.variables)
    # The stand-ins write nothing.
    assert (done.returncode, "wrote no kubeconfig" in done.stdout) == (1, True), done.stderr
    tools.assert_all()

    done = run(tmp_path, "cp /dev/null {kubeconfig}\ntee {kubeconfig}.new\ncp /etc/hostname {kubeconfig}")
    assert done.returncode == 0, done.stderr
    assert config.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("commands", ["false\ncp /etc/hostname {kubeconfig}", "no-such-program"])
def test_kube_login_command_that_fails_fails_the_step(tmp_path: Path, commands: str) -> None:
    assert run(tmp_path, commands).returncode != 0
