"""Publishes a release tree: a signed commit on the branch `release`, and a signed tag. Nothing is built here.

- `publish.py published VERSION IMAGE` writes the output `digest`: the one of IMAGE that an existing tag of this version pins,
  empty where there is no tag. A build is not reproducible, so a second run takes the image of the first.
- `publish.py candidate VERSION FOLDER BUNDLE` commits the tree, unsigned and without pushing it, and writes it to a git bundle:
  what is tested, verified and approved.
- `publish.py push VERSION BUNDLE` signs a commit of that tree and a tag, and pushes both at once. Run again, it accepts a tag
  of the same tree that the same key signed, and ends as the first run would have.

The commit's parents are the last release and the source commit, so that the history leads from each release to what it was
built from. The token comes by the variable TOKEN and reaches git in a header, never in an argument or in a file. The signing
key is an SSH key in the file that SIGNING_KEY_FILE names.

Anyone with write access can push a tag, so nothing in an existing one is trusted, and none of its text is printed.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

BRANCH = "release"
CANDIDATE = "refs/heads/candidate"
SIGNED = "-----BEGIN SSH SIGNATURE-----"
FORGED = "The release workflow did not push it. Find out who did, and publish the next version: a tag is never moved."


@dataclass(frozen=True)
class Published:
    """An existing tag of the form that `push` gives it; whether the key signed it is another question."""

    tag: str
    commit: str
    tree: str
    image: str


def published(version: str, image: str) -> None:
    """Writes the output `digest`. Ends with an error when the tag cannot be one of a run on this commit."""
    found = existing(version, *remote())
    digest = ""
    if found:
        repository, _, digest = found.image.rpartition("@")
        if repository != image or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            refuse(f"v{version} does not pin an image of {image} by digest. {FORGED}")
        print(f"v{version} exists already and pins {found.image}: no image is built.")
    output("digest", digest)


def existing(version: str, remote: str, token: str) -> Published | None:
    """Returns the remote's tag, `None` without one. Ends with an error for a tag that `push` on this commit does not make."""
    tag = f"v{version}"
    ref = f"refs/tags/{tag}"
    if not at(remote, ref, token):
        return None
    git("fetch", "--quiet", "--no-tags", remote, f"+{ref}:{ref}", token=token)
    name = git("rev-parse", "--verify", ref)
    if git("cat-file", "-t", name) != "tag":
        refuse(f"{tag} is a lightweight tag. {FORGED}")
    # A signed tag of another release keeps its signature under another name, but says its own.
    head, _, text = git("cat-file", "tag", name).partition("\n\n")
    names = re.match(rf"object ([0-9a-f]{{40,64}})\ntype commit\ntag {re.escape(tag)}\n", head)
    if not names:
        refuse(f"{tag} does not name a commit under its name. {FORGED}")
    lines = git("cat-file", "commit", names[1]).partition("\n\n")[0].split("\n")
    if SIGNED not in text.split("\n") or f"gpgsig {SIGNED}" not in lines:
        refuse(f"{tag} or its commit has no SSH signature. {FORGED}")
    origins = [line.removeprefix("parent ") for line in lines if line.startswith("parent ")]
    source, facts = origins[-1] if 0 < len(origins) < 3 else "", stated(names[1])
    if not re.fullmatch(r"[0-9a-f]{40,64}", source) or (facts.get("version"), facts.get("commit")) != (version, source):
        refuse(f"{tag} does not name its version and its source commit as a release does. {FORGED}")
    here = git("rev-parse", "HEAD")
    if source != here:
        refuse(
            f"{tag} exists already and was built from {source}; this run has {here}. Publish the next version. If {tag}"
            " was not finished, open the run that pushed it, which has that commit, and choose *Re-run all jobs*."
        )
    tree = lines[0].removeprefix("tree ")
    return Published(name, names[1], tree, str(facts.get("image")))


def stated(commit: str) -> dict[str, object]:
    """Returns what a commit's release.json says; nothing when it has none that a release could have."""
    entry = git("ls-tree", "--long", "--full-tree", commit, "--", "release.json")
    # At most 9,999 bytes: anyone may have written it.
    file = re.fullmatch(r"100644 blob ([0-9a-f]+) +[0-9]{1,4}\trelease\.json", entry)
    try:
        found = json.loads(git("cat-file", "blob", file[1])) if file else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


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
    """Pushes commit and tag, all or nothing. Ends with an error when the tag exists and this run would not make the same."""
    tag, (where, token) = f"v{version}", remote()
    if not SIGNING:
        refuse("Set SIGNING_KEY_FILE to the file of the signing key: what is not signed is not released.")
    git("fetch", "--quiet", str(bundle), f"+{CANDIDATE}:{CANDIDATE}")
    wanted, source = git("rev-parse", f"{CANDIDATE}^{{tree}}"), git("rev-parse", f"{CANDIDATE}^")
    if found := existing(version, where, token):
        if not signed(found):
            refuse(
                f"RELEASE_SIGNING_KEY did not sign both {tag} and its commit. Either the key was replaced, or the release"
                " workflow did not push the tag: find out who did. Then publish the next version: a tag is never moved."
            )
        if found.tree != wanted:
            refuse(
                f"{tag} exists already with other files, and a release is never replaced. Choose *Re-run all jobs*, which takes"
                f" the image that {tag} pins. If that ends here too, publish the next version."
            )
        return done(tag, found.commit, wanted)
    last = at(where, f"refs/heads/{BRANCH}", token)
    if last:
        git("fetch", "--quiet", where, last, token=token)
    commit = git("commit-tree", "-S", wanted, *parents(last, source), "-m", message(version, source), dated=source)
    git("tag", "--force", "--annotate", "--sign", tag, commit, "-m", tag, dated=source)
    # One push, all or nothing, and only if no other release came in between.
    try:
        git(
            *("push", "--quiet", "--atomic", f"--force-with-lease=refs/heads/{BRANCH}:{last}", where),
            *(f"{commit}:refs/heads/{BRANCH}", f"refs/tags/{tag}:refs/tags/{tag}"),
            token=token,
        )
    except SystemExit as error:
        print(error, file=sys.stderr)
        refuse(
            f"Could not push {tag}. If another run pushed a release meanwhile, choose *Re-run all jobs*."
            " Else fix what git says above."
        )
    return done(tag, commit, wanted)


def signed(found: Published) -> bool:
    """Returns whether the signing key signed both the tag and its commit."""
    # No other format: a keyring of the machine proves nothing.
    formats = [word for name in ("openpgp", "x509") for word in ("-c", f"gpg.{name}.program=false")]
    key = run("ssh-keygen", "-y", "-P", "", "-f", SIGNING)
    if key.returncode:
        refuse("Could not read the key in SIGNING_KEY_FILE: it is not an SSH key without a passphrase.")
    with tempfile.TemporaryDirectory() as temporary:
        signers = Path(temporary, "signers")
        signers.write_text(f'{IDENTITY["EMAIL"]} namespaces="git" {key.stdout}', "utf-8")
        words = ["git", *formats, "-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}"]
        return not any(run(*words, *what).returncode for what in (("verify-tag", found.tag), ("verify-commit", found.commit)))


def remote() -> tuple[str, str]:
    """Returns where to fetch from and push to, and the token for it."""
    token = os.environ.get("TOKEN", "")
    return (f"{os.environ['SERVER']}/{os.environ['REPOSITORY']}.git" if token else "origin"), token


def at(remote: str, ref: str, token: str) -> str:
    """Returns the object that the remote has under exactly this name; empty for none."""
    # git also lists what ends like it: refs/heads/x/refs/heads/release.
    lines = [line.partition("\t") for line in git("ls-remote", remote, ref, token=token).split("\n")]
    return next((name for name, _, listed in lines if listed == ref), "")


def refuse(why: str) -> NoReturn:
    """Ends the run with a message; in a job it is the error that the run's page shows."""
    sys.exit(f"::error::{why}" if os.environ.get("GITHUB_ACTIONS") == "true" else why)


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
    ran = run("git", *git_dir, *words, cwd=cwd, env=environment)
    if ran.returncode:
        sys.exit(f"git {words[0]}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def run(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a program. Its output keeps its lines: a carriage return in a commit ends none."""
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, check=False)
    return subprocess.CompletedProcess(
        words, done.returncode, *(each.decode(errors="replace") for each in (done.stdout, done.stderr))
    )


IDENTITY = {"NAME": "cicd-actions release", "EMAIL": "release@users.noreply.github.com"}
SIGNING = os.environ.get("SIGNING_KEY_FILE", "")

if __name__ == "__main__":
    if len(sys.argv) > 2 and not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?", sys.argv[2]):
        sys.exit(f"{sys.argv[2]!r} is not a version such as 1.4.0")
    if sys.argv[1:2] == ["published"] and len(sys.argv) == 4:
        published(sys.argv[2], sys.argv[3])
    elif sys.argv[1:2] == ["candidate"] and len(sys.argv) == 5:
        candidate(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]).absolute())
    elif sys.argv[1:2] == ["push"] and len(sys.argv) == 4:
        push(sys.argv[2], Path(sys.argv[3]).absolute())
    else:
        sys.exit(
            "usage: publish.py published VERSION IMAGE | publish.py candidate VERSION FOLDER BUNDLE"
            " | publish.py push VERSION BUNDLE"
        )
