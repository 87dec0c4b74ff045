"""Publishes a release tree: a signed commit on the branch `release`, and a signed tag. Nothing is built here.

- `publish.py candidate VERSION FOLDER BUNDLE` commits the tree, unsigned and without pushing it, and writes it to a git bundle:
  what is tested, verified and approved.
- `publish.py push VERSION BUNDLE` signs a commit of that tree and a tag, and pushes both at once. Run again, it accepts a tag
  whose tree is the same, and ends as the first run would have.

The commit's parents are the last release and the source commit, so that the history leads from each release to what it was
built from. The token comes by the variable TOKEN and reaches git in a header, never in an argument or in a file. The signing
key is an SSH key in the file that SIGNING_KEY_FILE names; without one nothing is signed.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

BRANCH = "release"
CANDIDATE = "refs/heads/candidate"


def candidate(version: str, folder: Path, bundle: Path) -> None:
    """Writes the tree as a commit to *bundle*, and its archive beside it. Writes the output `commit`."""
    source = git("rev-parse", "HEAD")
    commit = git("commit-tree", tree(folder), "-p", source, "-m", message(version, source), dated=source)
    git("update-ref", CANDIDATE, commit)
    bundle.parent.mkdir(parents=True, exist_ok=True)
    # Only what the source commit does not have: who takes the bundle has a checkout of that.
    git("bundle", "create", "--quiet", str(bundle), CANDIDATE, f"^{source}")
    archive(folder, bundle.parent / f"cicd-actions-{version}.tar.gz")
    output("commit", commit)


def push(version: str, bundle: Path) -> None:
    """Pushes commit and tag, all or nothing. Ends with an error when the tag exists with another tree."""
    tag, token = f"v{version}", os.environ.get("TOKEN", "")
    remote = f"{os.environ['SERVER']}/{os.environ['REPOSITORY']}.git" if token else "origin"
    git("fetch", "--quiet", str(bundle), f"+{CANDIDATE}:{CANDIDATE}")
    wanted, source = git("rev-parse", f"{CANDIDATE}^{{tree}}"), git("rev-parse", f"{CANDIDATE}^")
    if git("ls-remote", "--tags", remote, f"refs/tags/{tag}", token=token):
        git("fetch", "--quiet", remote, f"+refs/tags/{tag}:refs/tags/{tag}", token=token)
        if git("rev-parse", f"{tag}^{{tree}}") != wanted:
            sys.exit(f"{tag} exists already with other files, and a release is never replaced: choose the next version.")
        return done(tag, git("rev-parse", f"{tag}^{{commit}}"), wanted)
    last = git("ls-remote", remote, f"refs/heads/{BRANCH}", token=token).split("\t")[0]
    if last:
        git("fetch", "--quiet", remote, last, token=token)
    words = ["commit-tree", wanted, *parents(last, source), "-m", message(version, source)]
    commit = git(*words, *(["-S"] if SIGNING else []), dated=source)
    git("tag", "--force", "--annotate", *(["--sign"] if SIGNING else []), tag, commit, "-m", tag, dated=source)
    # One push, all or nothing, and only if no other release came in between.
    git(
        *("push", "--quiet", "--atomic", f"--force-with-lease=refs/heads/{BRANCH}:{last}", remote),
        *(f"{commit}:refs/heads/{BRANCH}", f"refs/tags/{tag}:refs/tags/{tag}"),
        token=token,
    )
    return done(tag, commit, wanted)


def done(tag: str, commit: str, files: str) -> None:
    """Says what is published."""
    output("commit", commit)
    output("tree", files)
    print(f"{tag} is {commit}")


def message(version: str, source: str) -> str:
    return f"v{version}\n\nBuilt from {source}."


def tree(folder: Path) -> str:
    """The folder as a git tree, by a separate index: the work tree and its index stay as they are."""
    with tempfile.TemporaryDirectory() as temporary:
        index = str(Path(temporary, "index"))
        # --force: `lib/` is ignored in a checkout, and so may be files of a dependency.
        git("--work-tree", str(folder.resolve()), "add", "--all", "--force", ".", cwd=folder, index=index)
        return git("write-tree", index=index)


def parents(last: str, source: str) -> list[str]:
    """The arguments that name the new commit's parents."""
    return [word for parent in (last, source) if parent for word in ("-p", parent)]


def archive(folder: Path, target: Path) -> None:
    """The tree as a reproducible tar.gz: sorted, no times, no owners."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as files,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{target.name.removesuffix('.tar.gz')}/{path.relative_to(folder)}"
                files.add(path, arcname=name, filter=plain)


def output(name: str, value: str) -> None:
    """Writes an output of the step, where there is one."""
    path = os.environ.get("GITHUB_OUTPUT")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{name}={value}\n")


def git(*words: str, token: str = "", cwd: Path | None = None, index: str = "", dated: str = "") -> str:
    """The output of git. With *dated*, times are those of that commit, so that a second run makes the same objects.

    Raises `SystemExit` with git's own words when it fails.
    """
    environment = dict(os.environ) | {"GIT_TERMINAL_PROMPT": "0"} | ({"GIT_INDEX_FILE": index} if index else {})
    environment |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()}
    if dated:
        at = git("log", "-1", "--format=%ct +0000", dated)
        environment |= {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
    settings = {"gpg.format": "ssh", "user.signingKey": SIGNING} if SIGNING else {}
    if token:
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings["http.extraHeader"] = f"Authorization: Basic {basic}"
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    git_dir = [] if cwd is None else ["--git-dir", str(Path(".git").resolve())]
    ran = subprocess.run(["git", *git_dir, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"git {words[0]}: {ran.stderr.strip()}")
    return ran.stdout.strip()


IDENTITY = {"NAME": "cicd-actions release", "EMAIL": "release@users.noreply.github.com"}
SIGNING = os.environ.get("SIGNING_KEY_FILE", "")

if __name__ == "__main__":
    if len(sys.argv) > 2 and not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?", sys.argv[2]):
        sys.exit(f"{sys.argv[2]!r} is not a version such as 1.4.0")
    if sys.argv[1:2] == ["candidate"] and len(sys.argv) == 5:
        candidate(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]).absolute())
    elif sys.argv[1:2] == ["push"] and len(sys.argv) == 4:
        push(sys.argv[2], Path(sys.argv[3]).absolute())
    else:
        sys.exit("usage: publish.py candidate VERSION FOLDER BUNDLE | publish.py push VERSION BUNDLE")
