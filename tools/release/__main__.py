"""`python -m tools.release build VERSION FOLDER [--action NAME]` and `… verify COMMIT`.

*build* writes the tree of a release of HEAD. *verify* rebuilds the tree of a release commit from the source commit that
it names, and compares every byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.release import tree

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?")
REFERENCES = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+@[0-9a-f]{40}")
IMAGE = re.compile(r"[a-z0-9][a-z0-9./:_-]*@sha256:[0-9a-f]{64}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build")
    make.add_argument("version")
    make.add_argument("folder", type=Path)
    make.add_argument("--action", default="")
    make.add_argument("--image", default="", help="repository@sha256:…, for the Docker variants")
    make.add_argument("--references", default="", help="owner/repository@<sha>, for servers that do not know `$/`")
    make.add_argument("--source", default="HEAD")
    check = commands.add_parser("verify")
    check.add_argument("commit")
    given = parser.parse_args(argv)
    if given.command == "verify":
        return verify(given.commit)
    if not VERSION.fullmatch(given.version):
        parser.error(f"{given.version!r} is not a semantic version such as 1.4.0")
    if given.folder.exists() and any(given.folder.iterdir()):
        parser.error(f"{given.folder} is not empty")
    if given.image and not IMAGE.fullmatch(given.image):
        parser.error(f"{given.image!r} is not an image by digest (repository@sha256:…)")
    if given.references and not REFERENCES.fullmatch(given.references):
        parser.error(f"{given.references!r} is not a commit of a repository (owner/repository@<40 digits>)")
    commit = _git("rev-parse", "--verify", f"{given.source}^{{commit}}")
    build(given.folder, tree.Release(given.version, commit, given.action, given.image, given.references))
    print(f"{given.folder}: {given.version} of {commit}, tree {digest(given.folder)}")
    return 0


def build(folder: Path, release: tree.Release) -> None:
    """The release tree of a source commit, in a folder."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if not uv:
        sys.exit("uv is missing: run this by `make release`, which prepares it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source, scratch = Path(temporary, "source"), Path(temporary, "scratch")
        source.mkdir()
        scratch.mkdir()
        tree.checkout(ROOT, release.commit, source)
        if release.action and not (source / "actions" / release.action / "action.yml").exists():
            sys.exit(f"there is no action {release.action!r} in {release.commit}")
        tree.build(source, folder, release, uv=Path(uv), scratch=scratch)


def verify(commit: str) -> int:
    """Exit code 0 when the release commit holds exactly what its source commit builds."""
    with tempfile.TemporaryDirectory() as temporary:
        published, rebuilt = Path(temporary, "published"), Path(temporary, "rebuilt")
        published.mkdir()
        tree.checkout(ROOT, commit, published)
        facts = json.loads((published / "release.json").read_text("utf-8"))
        build(rebuilt, tree.Release(**facts))
        theirs, ours = contents(published), contents(rebuilt)
    for path in sorted(theirs.keys() | ours.keys()):
        if theirs.get(path) != ours.get(path):
            state = "missing" if path not in theirs else "not built from the source" if path not in ours else "different"
            print(f"{state}: {path}")
    same = theirs == ours
    what = "is exactly what" if same else "is NOT what"
    print(f"{commit} {what} {facts['commit']} builds ({len(ours)} files)")
    return 0 if same else 1


def contents(folder: Path) -> dict[str, tuple[bool, str]]:
    """Each file's path with its executable bit and SHA-256."""
    return {
        str(path.relative_to(folder)): (bool(path.stat().st_mode & 0o100), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest(folder: Path) -> str:
    """One SHA-256 over all files, to compare two builds at a glance."""
    return hashlib.sha256(json.dumps(contents(folder), sort_keys=True).encode()).hexdigest()


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
