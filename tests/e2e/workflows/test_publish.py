"""The release of this project, run by act: every job of publish.yml, what it hands on, and a second run after a failure.

tests/integration/release/test_publish.py fails every script of the job `publish` in turn. What stands for others here: `make`
hands out a tree that was built before, `docker`, `sudo` and `gh` are stand-ins, and github.com is a repository on this disk.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from demo.act import Act
from demo.export import PLACEHOLDER_SHA, REPOSITORY, for_act
from demo.third_party import repositories
from tests.e2e.workflows.conftest import ROOT, STANDINS, Consumer, act_program
from tests.fakes.gh import Gh
from tests.harness.release import committed, git, signing_key, tagged

VERSION = "1.2.3"
SBOM = f"{json.dumps({'bomFormat': 'CycloneDX', 'specVersion': '1.5', 'serialNumber': f'urn:uuid:{UUID(int=0)}'})}\n"
STEPS = {"upload-artifact": "build", "download-artifact": "publish", "create-github-app-token": "publish"}
"""The actions whose steps fail, and their jobs."""

FAILURES = {
    "sudo": "test", "self-test": "self-test / tree", "docker": "image", "make": "image", "attest-image": "image", **STEPS,
    "push": "publish", "attest-publish": "publish", "api": "publish",
}  # fmt: skip
"""What fails, and the job that it stops: tests, image, builds, attestations, artifacts, token, git, and gh."""

PROGRAMS = {
    "sudo": "exit 0",
    "make": """case "$1" in release)
    to=.build/release/${2#VERSION=}
    mkdir -p .build/release && cp -R "$TREE" "$to"
    facts='{"version": "%s", "commit": "%s", "image": "%s"}\\n'
    printf "$facts" "${2#VERSION=}" "$(git rev-parse HEAD)" "${3#IMAGE=}" > "$to/release.json"
esac""",
    "docker": 'test "$3" = manifest',
}
UNLESS = '[[ $(cat "$FAILING") != {} ]]'
CALLED = json.dumps(
    {
        "on": {"workflow_call": {}},
        "jobs": {"tree": {"runs-on": "ubuntu-latest", "steps": [{"shell": "bash", "run": UNLESS.format("self-test")}]}},
    }
)


class Project(Consumer):
    """This project's repository, as far as its release needs it."""

    def __init__(self, folder: Path, act: Act) -> None:
        text = (ROOT / ".github" / "workflows" / "publish.yml").read_text("utf-8").replace("ubuntu-24.04", "ubuntu-latest")
        for name in STEPS:
            step = re.compile(rf"^ +- (?=(?:id: .+\n +)?uses: actions/{name}@)", re.MULTILINE)
            text, found = step.subn(rf"      - run: '{UNLESS.format(name)}'\n\g<0>", text)
            assert found == 1, name
        super().__init__(folder, act)
        self.git("remote", "set-url", "origin", f"https://github.com/{REPOSITORY}.git")
        shutil.copytree(ROOT / "tools" / "release", self.folder / "tools" / "release")
        self.commit({".github/workflows/pipeline.yml": for_act(text)})
        self.gh = Gh(folder)
        self.hub = folder / "hub" / "org" / "cicd-actions.git"
        self.hub.parent.mkdir(parents=True)
        subprocess.run(["git", "clone", "--quiet", "--bare", self.folder, self.hub], check=True, capture_output=True)
        called, tree, home = folder / "called", folder / "tree", folder / "home"
        (called / ".github" / "workflows").mkdir(parents=True)
        (called / ".github" / "workflows" / "self-test.yml").write_text(CALLED)
        tree.mkdir()
        (tree / "sbom.cdx.json").write_text(SBOM)
        home.mkdir()
        (home / ".gitconfig").write_text(f'[url "file://{self.hub.parents[1]}/"]\n\tinsteadOf = https://github.com/\n')
        self.key, self.other_key = signing_key(folder / "key"), signing_key(folder / "other-key")
        self.failing = folder / "failing"
        for name, line in PROGRAMS.items():
            program = self.gh.folder / name
            program.write_text(f'#!/bin/bash\n[[ $(cat "{self.failing}") != {name} ]] || exit 7\n{line}\n')
            program.chmod(0o755)
        hooks = self.hub / "hooks" / "pre-receive"
        hooks.write_text(f'#!/bin/bash\n[[ $(cat "{self.failing}") != push ]]\n')
        hooks.chmod(0o755)
        used = repositories([self.folder / ".github" / "workflows" / "pipeline.yml"], STANDINS)
        around = {"PATH": f"{self.gh.folder}{os.pathsep}{act.environment['PATH']}", "HOME": str(home), "TREE": str(tree)}
        known = {f"{REPOSITORY}@{PLACEHOLDER_SHA}": called, **used}
        self.act = replace(act, repositories=known, environment={**act.environment, **around})

    def forge(self, digest: str) -> None:
        """Somebody else pushes the tag: with the files of a release that pins this image, and signed with another key."""
        facts = {"version": VERSION, "commit": self.head, "image": f"ghcr.io/{REPOSITORY}@{digest}"}
        files = {"release.json": f"{json.dumps(facts)}\n", "sbom.cdx.json": SBOM}
        tagged(self.hub, f"v{VERSION}", committed(self.hub, files, [self.head], self.other_key), self.other_key)

    def publish(self, failing: str = "") -> dict[str, str]:
        """Runs the workflow. Returns how each job ended."""
        self.failing.write_text(failing)
        self.gh.stop(failing)
        run = self.run(
            "workflow_dispatch",
            {"inputs": {"version": VERSION}, "repository": {"default_branch": "main", "full_name": REPOSITORY}},
            step_environment={
                "ATTESTATIONS": str(self.gh.folder / "known.json"),
                "ATTEST_FAILS": failing.removeprefix("attest-"),
                "FAILING": str(self.failing),
                "TREE": self.act.environment["TREE"],
                "HOME": self.act.environment["HOME"],
            },
            secrets={"GITHUB_TOKEN": "t", "RELEASE_SIGNING_KEY": self.key.read_text(), "RELEASE_APP_PRIVATE_KEY": "k"},
            variables={"RELEASE_APP_CLIENT_ID": "id"},
        )
        self.said = run.errors(), run.log()[-4000:]
        return run.results()


def test_release_that_failed_at_any_step_is_finished_by_the_next_run(tmp_path: Path, environment: dict[str, str]) -> None:
    """Each run fails one step later than the one before, so each begins with what the others left."""
    project = Project(tmp_path, Act(act_program(), tmp_path / "cache", {}, environment))
    for fail, stopped in FAILURES.items():
        results = project.publish(fail)
        assert [job for job, result in results.items() if result == "failure"] == [stopped], (fail, project.said)
        published = (project.gh.release() or {"draft": True})["draft"] is False
        assert published is (fail == "api"), "nothing is published by a run that failed, but for what was found out afterwards"
    results = project.publish()
    assert set(results.values()) == {"success"}, project.said
    assert set(results) >= {"start", "test", "image", "build", "publish"}, results
    assert project.gh.release() == {"draft": False, "assets": [f"cicd-actions-{VERSION}.tar.gz", "sbom.cdx.json"]}
    commit = git(project.hub, "rev-parse", f"v{VERSION}^{{commit}}")
    assert git(project.hub, "rev-parse", "release") == commit
    assert git(project.hub, "log", "-1", "--format=%P", commit) == project.head
    assert git(project.hub, "ls-tree", "--name-only", commit).split() == ["release.json", "sbom.cdx.json"]
    # Another dispatch changes nothing, and builds nothing.
    before, known = git(project.hub, "show-ref"), project.gh.attestations()
    results = project.publish()
    assert set(results.values()) == {"success"}, project.said
    assert git(project.hub, "show-ref") == before
    pinned = json.loads(git(project.hub, "show", f"{commit}:release.json"))["image"]
    assert set(project.gh.attestations()) == set(known), "no image was built: it would have another digest"
    assert pinned.rpartition("@")[2] in known


def test_forged_tag_stops_the_release(tmp_path: Path, environment: dict[str, str]) -> None:
    """A tag with an image that no run built, and one with the image and the files of the run: only the key tells that apart."""
    project = Project(tmp_path, Act(act_program(), tmp_path / "cache", {}, environment))
    results = project.publish("push")
    assert results["publish"] == "failure", project.said
    (*_, attested) = project.gh.attestations()
    for digest, stopped, why in (
        (f"sha256:{'0' * 64}", "start", "Could not verify that this workflow built"),
        (attested, "publish", "did not sign both"),
    ):
        project.forge(digest)
        before = git(project.hub, "show-ref")
        results = project.publish()
        assert [job for job, result in results.items() if result == "failure"] == [stopped], project.said
        assert any(re.search(f"{why}.* [Ff]ind out who", error) for error in project.said[0]), project.said
        assert git(project.hub, "show-ref") == before
        assert project.gh.release() is None
