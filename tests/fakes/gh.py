#!/usr/bin/env python3
"""A strict stand-in for `gh attestation verify` and `gh release`: documented flags, output and exit codes.

What it knows stands in a JSON file beside it: attestations by digest, and how it fails. The words on standard error are those
that gh was seen to print. https://cli.github.com/manual/gh_attestation_verify
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

FLAGS = {
    "--bundle": 1, "-b": 1, "--bundle-from-oci": 0, "--cert-identity": 1, "--cert-identity-regex": 1, "-i": 1,
    "--cert-oidc-issuer": 1, "--custom-trusted-root": 1, "--deny-self-hosted-runners": 0, "--digest-alg": 1, "-d": 1,
    "--format": 1, "--hostname": 1, "--jq": 1, "-q": 1, "--limit": 1, "-L": 1, "--no-public-good": 0, "--owner": 1, "-o": 1,
    "--predicate-type": 1, "--repo": 1, "-R": 1, "--signer-digest": 1, "--signer-repo": 1, "--signer-workflow": 1,
    "--source-digest": 1, "--source-ref": 1, "--template": 1, "-t": 1,
}  # fmt: skip
"""Every documented flag, with how many values it takes."""

PROVENANCE = "https://slsa.dev/provenance/v1"
WORKFLOW = "org/cicd-actions/.github/workflows/release.yml"
FAILURES = {
    "network": (1, 'Post "https://api.github.com/graphql": dial tcp: lookup api.github.com: no such host'),
    "login": (4, "To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable."),
    "old": (1, "unknown flag: --source-ref"),
    "no-image": (1, "✗ Loading digest for oci://x failed\nError: MANIFEST_UNKNOWN: manifest unknown"),
    "busy": (
        1,
        "Error: HTTP 403: API rate limit exceeded for 192.0.2.1. (https://api.github.com/repos/o/r/attestations/sha256:0)",
    ),
    "no-root": (1, "Error: failed to fetch TUF metadata: HTTP 404: Not Found (https://tuf-repo.github.com/root.json)"),
    "server": (1, "✗ Loading attestations from GitHub API failed\n\nError: HTTP 502: Bad Gateway"),
}


class Gh:
    """Installs the stand-in, and tells it what there is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "gh-bin"
        self.folder.mkdir()
        program = self.folder / "gh"
        program.write_text(f"#!{sys.executable} -IS\n" + Path(__file__).read_text("utf-8"))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self._file = self.folder / "known.json"
        self._file.write_text(json.dumps({"attestations": {}, "failure": "", "quiet": False}))

    @property
    def path(self) -> str:
        """PATH with the stand-in in front."""
        return f"{self.folder}:/usr/bin:/bin"

    def attest(self, digest: str, sha: str, **other: str) -> None:
        """There is an attestation of an image: of the right build unless *other* says another."""
        usual = {
            "repository": "org/app", "workflow": WORKFLOW, "ref": "refs/heads/main", "sha": sha, "runner": "github-hosted",
            "server": "https://github.com", "issuer": "https://token.actions.githubusercontent.com", "trigger": "push",
        }  # fmt: skip
        known = self.attestations()
        known.setdefault(digest, []).append({**usual, "subject": digest, **other})
        self._change(attestations=known)

    def attestations(self) -> dict[str, list[dict[str, str]]]:
        """The attestations by digest, those that a job made too."""
        return dict(json.loads(self._file.read_text())["attestations"])

    def forget(self) -> None:
        """There is no attestation."""
        self._change(attestations={})

    def fail(self, how: str) -> None:
        """From now on it fails: a key of `FAILURES`; empty for not any longer."""
        self._change(failure=how)

    def lie(self, *, quiet: bool = True) -> None:
        """It ends with 0 and prints nothing when it finds nothing, as gh 2.66.1 did."""
        self._change(quiet=quiet)

    def stop(self, verb: str = "") -> None:
        """`gh release VERB`, or `gh api`, fails from now on; empty for none."""
        self._change(stops=verb)

    def immutable(self, yes: bool) -> None:
        """Whether the repository makes releases immutable."""
        self._change(immutable=yes)

    def latest(self, tag: str) -> None:
        """The release that the repository's page shows as the newest."""
        self._change(latest=tag)

    def release(self) -> Any:
        """The release as it stands; `None` for none."""
        path = self.folder / "release.json"
        return json.loads(path.read_text()) if path.exists() else None

    def calls(self) -> list[list[str]]:
        """The arguments of each call."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _change(self, **values: object) -> None:
        """Changes these alone: what a job attested stays."""
        self._file.write_text(json.dumps(json.loads(self._file.read_text()) | values))


def main(words: list[str]) -> int:
    here = Path(__file__).resolve().parent
    known = json.loads((here / "known.json").read_text())
    with (here / "calls").open("a") as file:
        file.write(json.dumps(words) + "\n")
    if words[0] in {"release", "api"}:
        return released(words, here, known)
    try:
        digest, given = understood(words, known["failure"])
    except LookupError as error:
        return said(*error.args)
    found = known["attestations"].get(digest, [])
    if not found and known["quiet"]:
        return said(0, f"✗ No attestations found with predicate type: {PROVENANCE}")
    if not found:
        url = f"https://api.github.com/repos/{given.get('--repo')}/attestations/{digest}"
        return said(1, f"✗ Loading attestations from GitHub API failed\n\nError: HTTP 404: Not Found ({url})")
    good = [one for one in found if known["quiet"] or not wrong(one, given)]
    if not good:
        why = wrong(found[0], given)
        return said(1, f'✗ Sigstore verification failed\n\nError: verifying with issuer "sigstore.dev": {why}')
    print(json.dumps([shown(one) for one in good]))  # noqa: T201 - it is a program
    return 0


def understood(words: list[str], failure: str) -> tuple[str, dict[str, str]]:
    """The digest and the flags. Raises LookupError with the exit code and the words for a call that gh does not take."""
    if words[:2] != ["attestation", "verify"]:
        raise LookupError(1, f'unknown command "{" ".join(words[:2])}" for "gh"')
    given: dict[str, str] = {}
    artifacts = []
    rest = iter(words[2:])
    for word in rest:
        if not word.startswith("-"):
            artifacts.append(word)
        elif word not in FLAGS:
            raise LookupError(1, f"unknown flag: {word}")
        else:
            given[word] = next(rest) if FLAGS[word] else ""
    if len(artifacts) != 1 or ("--repo" in given) == ("--owner" in given):
        raise LookupError(1, "must specify an artifact and one of --owner or --repo")
    if failure or (not os.environ.get("GH_TOKEN") and "--bundle" not in given):
        raise LookupError(*FAILURES[failure or "login"])
    match = re.fullmatch(r"oci://[^@]+@(sha256:[0-9a-f]{64})", artifacts[0])
    if not match:
        raise LookupError(1, f"✗ Loading digest for {artifacts[0]} failed")
    if "--bundle" in given and not Path(given["--bundle"]).is_file():
        raise LookupError(1, f"open {given['--bundle']}: no such file or directory")
    return match[1], given


def released(words: list[str], here: Path, known: dict[str, Any]) -> int:
    """`gh release list|view|create|upload|edit`, and the `gh api` of a release. `stops` is the verb that fails this time."""
    place = here / "release.json"
    release = json.loads(place.read_text()) if place.exists() else {}
    verb = words[1] if words[0] == "release" else "api"
    if known.get("stops") == verb:
        return said(1, f"HTTP 502: Bad Gateway ({verb})")
    if not os.environ.get("GH_TOKEN"):
        return said(4, "gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.")
    if verb == "list":
        print(known.get("latest", ""))  # noqa: T201 - it is a program
        return 0
    if verb == "create":
        if release:
            return said(1, "a release with the same tag name already exists")
        release = {"draft": "--draft" in words, "assets": []}
    elif not release:
        return said(1, "release not found")
    elif verb == "upload":
        if not release["draft"]:
            return said(1, "HTTP 422: Cannot upload assets to an immutable release.")
        files = [word for word in words[3:] if not word.startswith("-")]
        if missing := [file for file in files if not Path(file).is_file()]:
            return said(1, f"no matches found for `{missing[0]}`")
        release["assets"] = sorted({*release["assets"], *(Path(file).name for file in files)})
    elif verb == "edit":
        release["draft"] = "--draft=false" not in words
    elif verb == "view":
        print(json.dumps(release["draft"]))  # noqa: T201 - it is a program
    else:
        print(json.dumps(not release["draft"] and known.get("immutable", True)))  # noqa: T201 - it is a program
    place.write_text(json.dumps(release))
    return 0


def wrong(one: dict[str, str], given: dict[str, str]) -> str:
    """The first flag that an attestation does not meet."""
    if given.get("--repo", "").lower() != one["repository"].lower():
        return f"expected SourceRepositoryURI to be https://github.com/{given.get('--repo')}"
    if "--signer-workflow" in given and given["--signer-workflow"] != one["workflow"]:
        return "failed to verify certificate identity: no matching CertificateIdentity found"
    if "--source-ref" in given and given["--source-ref"] != one["ref"]:
        return f"expected SourceRepositoryRef to be {given['--source-ref']}, got {one['ref']}"
    if "--source-digest" in given and given["--source-digest"] != one["sha"]:
        return f"expected SourceRepositoryDigest to be {given['--source-digest']}, got {one['sha']}"
    if "--deny-self-hosted-runners" in given and one["runner"] != "github-hosted":
        return "expected RunnerEnvironment to be github-hosted, got self-hosted"
    return ""


def shown(one: dict[str, str]) -> dict[str, Any]:
    """An entry of the output."""
    signer = f"{one['server']}/{one['workflow']}@refs/heads/main"
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "ghcr.io/org/app", "digest": {"sha256": one["subject"].partition(":")[2]}}],
        "predicateType": PROVENANCE,
        "predicate": {},
    }
    certificate = {
        "subjectAlternativeName": signer,
        "buildSignerURI": signer,
        "issuer": one["issuer"],
        "buildTrigger": one["trigger"],
        "sourceRepositoryURI": f"{one['server']}/{one['repository']}",
        "sourceRepositoryRef": one["ref"],
        "sourceRepositoryDigest": one["sha"],
        "runInvocationURI": f"https://github.com/{one['repository']}/actions/runs/1/attempts/1",
        "runnerEnvironment": one["runner"],
    }
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    entries = [{"logIndex": "123456789"}] if one["runner"] == "github-hosted" else []
    return {
        "attestation": {"bundle": {"verificationMaterial": {"tlogEntries": entries}, "dsseEnvelope": {"payload": payload}}},
        "verificationResult": {
            "mediaType": "application/vnd.dev.sigstore.verificationresult+json;version=0.1",
            "signature": {"certificate": certificate},
            "verifiedTimestamps": [{"type": "Tlog", "uri": "https://rekor.sigstore.dev", "timestamp": "2026-11-28T12:00:00Z"}],
            "statement": statement,
        },
    }


def said(code: int, text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201 - it is a program
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
