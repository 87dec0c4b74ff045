"""Builds releases for the tests: what a release is made of is what is committed, so first there is a commit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def release(repository: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.release", *words],
        cwd=repository,
        capture_output=True,
        text=True,
        check=check,
        stdin=subprocess.DEVNULL,
    )


def git(repository: Path, *words: str, given: str = "") -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", *who, "-C", str(repository), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, input=given).stdout.strip()


def signing_key(path: Path) -> Path:
    """Makes a private SSH key, and `.pub` beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, capture_output=True)
    return path


def committed(
    repository: Path, files: Mapping[str, str], parents: Sequence[str], key: Path | None = None, *, mode: str = "100644"
) -> str:
    """Adds a commit of these files to a bare repository, signed with *key*."""
    entries = []
    for name, text in files.items():
        blob = git(repository, "hash-object", "-w", "--stdin", given=text)
        entries.append(f"{mode} blob {blob}\t{name}\n")
    tree = git(repository, "mktree", given="".join(entries))
    named = [word for parent in parents for word in ("-p", parent)]
    return git(repository, *signing(key), "commit-tree", *(["-S"] if key else []), tree, *named, "-m", "release")


def tagged(repository: Path, tag: str, commit: str, key: Path | None = None) -> str:
    """Adds an annotated tag to a repository, signed with *key*, instead of the tag that it has. Returns the tag object."""
    git(repository, *signing(key), "tag", "--force", "--sign" if key else "--annotate", tag, commit, "-m", tag)
    return git(repository, "rev-parse", f"refs/tags/{tag}")


def signing(key: Path | None) -> list[str]:
    return ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"] if key else []


def released(folder: Path) -> Path:
    """The release tree of the work tree as it is, committed or not, built in `folder`."""
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():  # not one that is deleted in the work tree only
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    git(folder, "init", "--quiet", str(source))
    git(source, "add", "--all", "--force")
    git(source, "commit", "--quiet", "--message", "as it is")
    release(source, "build", "0.0.0", str(folder / "tree"))
    return folder / "tree"
