"""A release is published a second time: the image of its tag is taken, and nothing that the tag says is trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.release import committed, git, signing_key, tagged
from tests.integration.release.publishing import VERSION, Publishing

TAG = f"v{VERSION}"
IMAGE = "ghcr.io/org/cicd-actions"
DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "12")
WORKFLOW = "org/cicd-actions/.github/workflows/publish.yml"
PUSH = "Sign and push commit and tag"


def files(head: str, **other: object) -> dict[str, str]:
    """What the tests release; *other* are facts of release.json that are not so."""
    facts = {"version": VERSION, "commit": head, "image": f"{IMAGE}@{DIGEST}", **other}
    return {"release.json": json.dumps(facts), "sbom.cdx.json": "{}"}


def folder(path: Path, head: str, **other: object) -> Path:
    path.mkdir()
    for name, text in files(head, **other).items():
        (path / name).write_text(text)
    return path


def attested(release: Publishing, digest: str = DIGEST, **other: str) -> None:
    """The image is attested as the job `image` does it; *other* is what differs."""
    usual = {"repository": "org/cicd-actions", "workflow": WORKFLOW, "sha": release.head}
    release.gh.attest(digest, **{**usual, **other})


@pytest.fixture(scope="module")
def shared(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Publishing:
    place = tmp_path_factory.mktemp("published")
    release = Publishing(place, clone, folder(place / "tree", git(clone, "rev-parse", "HEAD")))
    assert release.made.returncode == 0, release.made.stderr
    signing_key(place / "other-key")
    return release


@pytest.fixture
def release(shared: Publishing) -> Iterator[Publishing]:
    """Nothing is published; the job `build` handed a candidate over."""
    before = refs(shared)
    yield shared
    shared.gh.forget()
    shared.gh.lie(quiet=False)
    shared.gh.fail("")
    shared.gh.latest("")
    for ref in refs(shared).keys() - before.keys():
        git(shared.hub, "update-ref", "-d", ref)
    (shared.gh.folder / "release.json").unlink(missing_ok=True)


def refs(release: Publishing) -> dict[str, str]:
    """What the repository's names lead to."""
    listed = git(release.hub, "for-each-ref", "--format=%(refname) %(objectname)")
    return {name: commit for name, _, commit in (line.partition(" ") for line in listed.split("\n"))}


def other_key(release: Publishing) -> Path:
    return release.key.with_name("other-key")


def made(release: Publishing, *, mode: str = "100644", parents: list[str] | None = None, **other: object) -> str:
    """A commit that our key signed."""
    parents = [release.head] if parents is None else parents
    return committed(release.hub, files(release.head, **other), parents, release.key, mode=mode)


def signed(release: Publishing, commit: str) -> str:
    return tagged(release.hub, TAG, commit, release.key)


def renamed(release: Publishing, tag: str) -> None:
    git(release.hub, "update-ref", f"refs/tags/{TAG}", tagged(release.hub, tag, made(release), release.key))


def unrelated(release: Publishing, number: int) -> list[str]:
    """Commits that the release was not built from."""
    return [committed(release.hub, {"number": str(each)}, []) for each in range(number)]


def with_false_parent(release: Publishing) -> str:
    """A commit whose author's name goes on after a carriage return as a parent would."""
    text = git(release.hub, "cat-file", "commit", made(release, parents=unrelated(release, 1)))
    text = text.replace("author Test", f"author Test\rparent {release.head}\r", 1)
    return git(release.hub, "hash-object", "-t", "commit", "-w", "--stdin", given=f"{text}\n")


def without_json(release: Publishing, text: str | None) -> str:
    content = {"sbom.cdx.json": "{}"} | ({} if text is None else {"release.json": text})
    return signed(release, committed(release.hub, content, [release.head], release.key))


NO_FACTS = "does not name its version and its source commit"
NO_IMAGE = f"does not pin an image of {IMAGE} by digest"
FORGERIES: dict[str, tuple[Callable[[Publishing], object], str]] = {
    "lightweight": (lambda it: git(it.hub, "tag", TAG, made(it)), "is a lightweight tag"),
    "unsigned tag": (lambda it: tagged(it.hub, TAG, made(it)), "has no SSH signature"),
    "unsigned commit": (
        lambda it: signed(it, committed(it.hub, files(it.head), [it.head])), "has no SSH signature",
    ),
    "tag of another release": (lambda it: renamed(it, "v1.2.2"), "does not name a commit under its name"),
    "tag of a tag": (lambda it: signed(it, tagged(it.hub, "v1.2.2", made(it), it.key)), "does not name a commit under"),
    "tag of a tree": (lambda it: signed(it, f"{made(it)}^{{tree}}"), "does not name a commit under its name"),
    "no parent": (lambda it: signed(it, made(it, parents=[])), NO_FACTS),
    "another parent": (lambda it: signed(it, made(it, parents=[it.head, *unrelated(it, 1)])), NO_FACTS),
    "three parents": (lambda it: signed(it, made(it, parents=[*unrelated(it, 2), it.head])), NO_FACTS),
    "a parent in another line": (lambda it: signed(it, with_false_parent(it)), NO_FACTS),
    "another version": (lambda it: signed(it, made(it, version="1.2.2")), NO_FACTS),
    "a version of another type": (lambda it: signed(it, made(it, version=["1.2.3"])), NO_FACTS),
    "another source": (lambda it: signed(it, made(it, commit="0" * 40)), NO_FACTS),
    "no release.json": (lambda it: without_json(it, None), NO_FACTS),
    "not JSON": (lambda it: without_json(it, "{"), NO_FACTS),
    "not text": (lambda it: without_json(it, "\0\x1b[31m"), NO_FACTS),
    "a list": (lambda it: without_json(it, "[1]"), NO_FACTS),
    "deep": (lambda it: without_json(it, "[" * 9000), NO_FACTS),
    "long": (lambda it: signed(it, made(it, more="x" * 10_000)), NO_FACTS),
    "a link": (lambda it: signed(it, made(it, mode="120000")), NO_FACTS),
    "image of others": (lambda it: signed(it, made(it, image=f"ghcr.io/evil/cicd-actions@{DIGEST}")), NO_IMAGE),
    "image by tag": (lambda it: signed(it, made(it, image=f"{IMAGE}:v1")), NO_IMAGE),
    "an output more": (lambda it: signed(it, made(it, image=f"{IMAGE}@{DIGEST}\nimage=ghcr.io/evil/x")), NO_IMAGE),
    "no image": (lambda it: signed(it, made(it, image="")), NO_IMAGE),
    "an image of another type": (lambda it: signed(it, made(it, image={"x": 1})), NO_IMAGE),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_tag_that_no_run_pushes_is_refused_with_what_to_do(release: Publishing, forgery: str) -> None:
    """Before anything is built, and before the push, where the tag may have come later."""
    forge, why = FORGERIES[forgery]
    forge(release)
    attested(release)
    assert release.start() == ""
    assert why in release.said
    assert "Find out who did, and publish the next version" in release.said
    assert "\x1b" not in release.said
    assert release.run() == PUSH
    assert why in release.said or (why == NO_IMAGE and "exists already with other files" in release.said)
    assert release.gh.release() is None


@pytest.mark.parametrize(
    "other",
    [
        {"digest": OTHER},
        {"sha": "0" * 40},
        {"ref": "refs/heads/topic"},
        {"workflow": "org/cicd-actions/.github/workflows/ci.yml"},
        {"repository": "evil/cicd-actions"},
        {"runner": "self-hosted"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_image_that_this_workflow_did_not_build_of_this_commit_is_refused(release: Publishing, other: dict[str, str]) -> None:
    signed(release, made(release))
    attested(release, **other)
    assert release.start() == ""
    assert f"Could not verify that this workflow built {IMAGE}@{DIGEST}" in release.said
    assert "publish the next version" in release.said
    attested(release)
    assert release.start() == DIGEST


def test_image_is_refused_when_gh_succeeds_without_an_attestation(release: Publishing) -> None:
    signed(release, made(release))
    release.gh.lie()
    assert release.start() == ""
    assert "Could not verify that this workflow built" in release.said


def test_service_that_does_not_answer_ends_the_run_with_run_this_again(release: Publishing) -> None:
    signed(release, made(release))
    attested(release)
    release.gh.fail("server")
    assert release.start() == ""
    assert "run this again" in release.said
    release.gh.fail("")
    assert release.start() == DIGEST


def test_second_run_on_the_same_commit_changes_nothing(release: Publishing) -> None:
    attested(release)
    assert release.start() == "", release.said
    assert release.said == ""
    assert release.run() == "", release.said
    before, published = refs(release), release.gh.release()
    assert release.start() == DIGEST, release.said
    assert release.run() == "", release.said
    assert (refs(release), release.gh.release()) == (before, published)


@pytest.mark.parametrize(
    ("latest", "flag"), [("", "--latest"), ("v1.2.2", "--latest"), ("v1.2.10", "--latest=false"), ("v1.10.0", "--latest=false")]
)
def test_release_that_is_finished_after_a_newer_one_is_not_the_latest(release: Publishing, latest: str, flag: str) -> None:
    release.gh.latest(latest)
    assert release.run() == "", release.said
    (*_, edit) = [words for words in release.gh.calls() if words[:2] == ["release", "edit"]]
    assert edit == ["release", "edit", TAG, "--draft=false", flag]


def test_second_run_after_main_moved_on_names_both_ways_out(release: Publishing) -> None:
    before = release.head
    attested(release)
    assert release.run("create") == "Draft, attach, publish"
    moved_on = git(release.work, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "moved on")
    git(release.work, "checkout", "--quiet", "--detach", moved_on)
    try:
        assert release.start() == ""
        assert f"{TAG} exists already and was built from {before}; this run has {release.head}" in release.said
        assert "Publish the next version" in release.said
        assert "choose *Re-run all jobs*" in release.said
        assert release.run() == PUSH
        assert "was built from" in release.said
    finally:
        git(release.work, "checkout", "--quiet", "--detach", before)
    # The run that pushed it is run again: it has that commit.
    assert release.start() == DIGEST, release.said
    assert release.run() == "", release.said


@pytest.mark.parametrize("whose", ["neither", "the commit", "the tag"])
def test_tag_with_the_right_files_that_another_key_signed_is_not_released(release: Publishing, whose: str) -> None:
    """The image is attested and the tree is equal: before the push nothing but the key tells who pushed the tag."""
    keys = [release.key if whose == ours else other_key(release) for ours in ("the commit", "the tag")]
    tagged(release.hub, TAG, committed(release.hub, files(release.head), [release.head], keys[0]), keys[1])
    attested(release)
    assert release.start() == DIGEST
    assert release.run() == PUSH
    assert f"RELEASE_SIGNING_KEY did not sign both {TAG} and its commit" in release.said
    assert "publish the next version" in release.said
    assert release.gh.release() is None
    assert not (release.temp / "signing-key").exists()


def test_signature_that_only_a_keyring_of_the_machine_knows_does_not_count(release: Publishing) -> None:
    """Of two signatures git verifies the last, here with a gpg that takes every one."""
    gpg = release.gh.folder / "gpg"
    gpg.write_text(
        "#!/bin/sh\ncat >/dev/null; echo\n"
        "echo '[GNUPG:] GOODSIG 0123456789ABCDEF Somebody'; echo '[GNUPG:] TRUST_ULTIMATE 0 pgp'\n"
    )
    gpg.chmod(0o755)
    text = git(release.hub, "cat-file", "tag", signed(release, made(release)))
    text += "\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"
    forged = git(release.hub, "hash-object", "-t", "tag", "-w", "--stdin", given=text)
    git(release.hub, "update-ref", f"refs/tags/{TAG}", forged)
    taken = subprocess.run(
        ["git", "-C", release.hub, "verify-tag", TAG],
        env={**os.environ, "PATH": release.gh.path},
        capture_output=True,
        check=False,
    )
    assert taken.returncode == 0, "git alone takes it"
    assert release.run() == PUSH
    assert "did not sign both" in release.said
    gpg.unlink()


def test_job_shows_the_refusal_as_an_error(release: Publishing) -> None:
    git(release.hub, "tag", TAG, release.head)
    program = [sys.executable, "tools/release/publish.py", "published", VERSION, IMAGE]
    variables = {**os.environ, "GITHUB_ACTIONS": "true", "TOKEN": ""}
    done = subprocess.run(program, cwd=release.work, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"::error::{TAG} is a lightweight tag.")


@pytest.mark.parametrize("key", ["", "no-such-file"])
def test_nothing_is_pushed_without_the_signing_key(release: Publishing, key: str) -> None:
    for existing in (False, True):
        if existing:
            signed(release, made(release))
        before = refs(release)
        bundle = str(release.temp / "candidate" / "release.bundle")
        program = [sys.executable, "tools/release/publish.py", "push", VERSION, bundle]
        variables = {**os.environ, "SIGNING_KEY_FILE": key, "TOKEN": ""}
        done = subprocess.run(program, cwd=release.work, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "SIGNING_KEY_FILE" in done.stderr or not existing
        assert refs(release) == before


def test_refs_that_end_like_those_of_a_release_are_not_taken_for_them(release: Publishing) -> None:
    for decoy in (f"refs/tags/x/refs/tags/{TAG}", f"refs/tags/\u2028/refs/tags/{TAG}", "refs/heads/a/refs/heads/release"):
        git(release.hub, "update-ref", decoy, release.head)
    assert release.start() == ""
    assert release.said == ""
    assert release.run() == "", release.said
    assert git(release.hub, "log", "-1", "--format=%P", "refs/heads/release") == release.head


def test_of_two_runs_that_push_at_once_the_second_takes_the_image_of_the_first(
    release: Publishing, tmp_path: Path, clone: Path
) -> None:
    """The other run pushes while this one does: its image is another one. GitHub's queue would have to fail for that."""
    other = Publishing(tmp_path, clone, folder(tmp_path / "tree", release.head, image=f"{IMAGE}@{OTHER}"))
    git(other.work, "remote", "set-url", "origin", str(release.hub))
    bundle = other.temp / "candidate" / "release.bundle"
    hook = release.hub / "hooks" / "pre-receive"
    hook.write_text(
        f'#!/bin/bash\nset -e\nrm "$0"\ncd {other.work}\nexec env -i PATH="$PATH" HOME="$HOME" SIGNING_KEY_FILE={release.key}'
        f" {sys.executable} tools/release/publish.py push {VERSION} {bundle}\n"
    )
    hook.chmod(0o755)
    assert release.run() == PUSH
    assert "If another run pushed a release meanwhile, choose *Re-run all jobs*" in release.said
    first = refs(release)
    assert OTHER in git(release.hub, "show", f"{TAG}:release.json")
    # Its failed job alone has the image that lost; the whole run takes the one that won.
    assert release.run() == PUSH
    assert "Choose *Re-run all jobs*, which takes the image" in release.said
    attested(release, OTHER)
    assert release.start() == OTHER, release.said
    release.candidate(tmp_path / "tree")
    try:
        assert release.run() == "", release.said
    finally:
        release.candidate(folder(tmp_path / "own-tree", release.head))
    assert refs(release) == first
