"""`python3 tools/release/publish.py VERSION FOLDER`: commits a release tree on the branch `release`, tags it, pushes both.

The commit's parents are the last release and the source commit, so that the history leads from each release to what it was
built from. The token comes by the variable TOKEN and reaches git in a header, never in an argument or in a file.
"""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

BRANCH = "release"


def main(version: str, folder: Path) -> None:
    """Write the output `commit`. Ends with an error when the tag exists: a release is never replaced."""
    tag = f"v{version}"
    token = os.environ.get("TOKEN", "")
    remote = f"{os.environ['SERVER']}/{os.environ['REPOSITORY']}.git" if token else "origin"
    if git("ls-remote", "--tags", remote, f"refs/tags/{tag}", token=token):
        sys.exit(f"{tag} exists already, and a release is never replaced: choose the next version.")
    source = git("rev-parse", "HEAD")
    last = git("ls-remote", remote, f"refs/heads/{BRANCH}", token=token).split("\t")[0]
    if last:
        git("fetch", "--quiet", remote, last, token=token)
    commit = git("commit-tree", tree(folder), *parents(last, source), "-m", f"{tag}\n\nBuilt from {source}.")
    # One push, all or nothing, and only if no other release came in between.
    git(
        *("push", "--quiet", "--atomic", f"--force-with-lease=refs/heads/{BRANCH}:{last}", remote),
        *(f"{commit}:refs/heads/{BRANCH}", f"{commit}:refs/tags/{tag}"),
        token=token,
    )
    archive(folder, folder.parent / f"cicd-actions-{version}.tar.gz")
    output = os.environ.get("GITHUB_OUTPUT")
    if output:
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(f"commit={commit}\n")
    print(f"{tag} is {commit}")


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


def git(*words: str, token: str = "", cwd: Path | None = None, index: str = "") -> str:
    """The output of git. Raises `SystemExit` with git's own words when it fails."""
    environment = dict(os.environ) | {"GIT_TERMINAL_PROMPT": "0"} | ({"GIT_INDEX_FILE": index} if index else {})
    environment |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()}
    if token:
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    git_dir = [] if cwd is None else ["--git-dir", str(Path(".git").resolve())]
    done = subprocess.run(["git", *git_dir, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


IDENTITY = {"NAME": "cicd-actions release", "EMAIL": "release@users.noreply.github.com"}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
