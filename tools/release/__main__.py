"""`python -m tools.release build VERSION FOLDER [--action NAME]` and `… verify COMMIT`.

*build* writes the tree of a release of HEAD. *verify* rebuilds the tree of a release commit from the source commit that
it names, and compares every byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.release import tree

ROOT = Path(__file__).resolve().parents[2]
BUILDERS = ("tools/release", "requirements/dev.txt")
"""What decides, beside the source, which bytes a release has: the builder, and the lock with its uv."""


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
    if given.folder.exists() and any(given.folder.iterdir()):
        parser.error(f"{given.folder} is not empty")
    commit = commit_of(given.source)
    try:
        release = tree.Release(given.version, commit, given.action, given.image, given.references)
    except ValueError as error:
        parser.error(str(error))
    build(given.folder, release)
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
            sys.exit(f"{release.commit} has no action {release.action!r}")
        tree.build(source, folder, release, uv=Path(uv), scratch=scratch)


def verify(commit: str) -> int:
    """Exit code 0 when the release commit holds exactly what its source commit builds.

    Only this checkout's own builder is run: what is verified may be anybody's, and none of its code is started.
    """
    with tempfile.TemporaryDirectory() as temporary:
        published, rebuilt = Path(temporary, "published"), Path(temporary, "rebuilt")
        published.mkdir()
        tree.checkout(ROOT, commit_of(commit), published)
        try:
            release = tree.Release(**json.loads((published / "release.json").read_text("utf-8")))
        except FileNotFoundError:
            sys.exit(f"{commit} is not a release: it has no release.json. Releases are the commits that the tags v1.2.3 name.")
        except (ValueError, TypeError) as error:
            sys.exit(f"{commit} has a release.json that no release has: {error}")
        source = commit_of(release.commit)
        build(rebuilt, release)
        theirs, ours = contents(published), contents(rebuilt)
    for path in sorted(theirs.keys() | ours.keys()):
        if theirs.get(path) != ours.get(path):
            state = "missing" if path not in theirs else "not built from the source" if path not in ours else "different"
            print(f"{state}: {path}")
    same = theirs == ours
    what = "is exactly what" if same else "is NOT what"
    print(f"{commit} {what} {source} builds ({len(ours)} files)")
    if not same and subprocess.run(["git", "-C", ROOT, "diff", "--quiet", source, "--", *BUILDERS], check=False).returncode:
        print(f"The builder of this checkout is another one than that release's: run this in a checkout of {source}.")
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


def commit_of(name: str) -> str:
    """The full SHA of the commit that a tag, a branch or a SHA names. Ends with an error when this clone has none."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"Cannot find commit {name!r} in this clone: fetch it (git fetch --tags origin).")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
