"""Asks `gh attestation verify` who built an image, and compares what the signed certificate says with what is allowed.

The certificate's fields come from GitHub's OIDC token, so no workflow can write them: repository, commit, ref, and the file of
the workflow that signed. What the statement's predicate says is not looked at. https://cli.github.com/manual/gh_attestation_verify
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from cicd_actions.github.inputs import AttestationInputs
from cicd_actions.github.release_record import digest_of
from cicd_actions.toolkit import process
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.json_values import members
from cicd_actions.toolkit.printable import shortened
from cicd_actions.toolkit.runtime import Runtime

PROVENANCE = "https://slsa.dev/provenance/v1"

CALL = 60.0
"""Seconds for one image: gh fetches the trust root, the manifest and the attestations."""

MOST, LONGEST = 100, 32 * 1024 * 1024
"""Attestations of one digest that gh reads (its default is 30), and characters that they may have: some 50,000 each."""

GITHUB = "https://github.com"
ISSUERS = {GITHUB: "https://token.actions.githubusercontent.com"}
"""Who signs the OIDC token of a job, by server; a company may have its own path below it.

https://docs.github.com/en/actions/reference/security/oidc
"""

BASES = "pull_request_target"
"""The event whose certificate names the ref and the commit of the base, whatever code the job built."""

OLDEST_GH = "2.68.0"
"""The first release of gh with `--source-ref` and `--source-digest`."""

_WORKFLOW = re.compile(r"[^/\s]+/[^/\s]+/\.github/workflows/[^/\s@]+\.ya?ml")


class Unattested(Failed):
    """The image has no attestation, or one of another builder."""


@dataclass(frozen=True)
class Policy:
    """Who may have built an image. `refs` are patterns; `bundle` is a file of attestations for a runner without a network."""

    repository: str
    signer_workflow: str
    refs: tuple[str, ...] = ()
    bundle: str = ""
    trusted_root: str = ""
    hosted_only: bool = False


def policy(inputs: AttestationInputs, repository: str) -> Policy | None:
    """Returns what an image needs, `None` where no attestation is required. Raises `UnusableInput`."""
    if inputs.require_attestation != "true":
        return None
    if not inputs.signer_workflow:
        raise UnusableInput(
            "Cannot verify attestations: `signer-workflow` does not name the workflow that builds.",
            fix="    with:\n      signer-workflow: org/cicd-actions/.github/workflows/release.yml",
        )
    return Policy(
        repository,
        workflow(inputs.signer_workflow),
        inputs.source_refs,
        inputs.attestation_bundle,
        inputs.trusted_root,
        inputs.hosted_builds_only,
    )


@dataclass(frozen=True)
class Attestation:
    """One that was verified. `id` is the index in the transparency log, or the hash of the signed statement."""

    id: str
    ref: str
    commit: str
    workflow: str
    run: str


def workflow(text: str) -> str:
    """Returns `OWNER/REPOSITORY/.github/workflows/FILE`. Raises `UnusableInput`."""
    if not _WORKFLOW.fullmatch(text):
        raise UnusableInput(
            f"Cannot use `{text[:200]}` as the workflow that builds: it is not `OWNER/REPOSITORY/.github/workflows/FILE`.",
            fix="    with:\n      signer-workflow: org/cicd-actions/.github/workflows/release.yml",
        )
    return text


def verify(image: str, sha: str, policy: Policy, token: str, runtime: Runtime, deadline: Deadline) -> Attestation:
    """Returns the attestation of an image by digest. *sha* is its commit, empty for any.

    Raises `Unattested` for an image that is proven to have none, `Inconclusive` where that is not known, and
    `UnusableInput`.
    """
    digest = digest_of(image)
    if not digest.startswith("sha256:") or image == digest:
        raise Unattested(f"Could not verify the image {image}: an attestation is of `repository@sha256:…`.")
    words = _command(image, sha, policy)
    variables = runtime.environment.for_programs(secrets=False)
    variables |= {"GH_TOKEN": token, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
    server = runtime.variables.get("GITHUB_SERVER_URL", "") or GITHUB
    host = urlsplit(server).hostname
    if host and server != GITHUB:
        variables |= {"GH_HOST": host, "GH_ENTERPRISE_TOKEN": token}
    seconds = max(deadline.timeout(CALL), 0.1)
    done = process.run(words, timeout=seconds, env=variables, redactor=runtime.redactor, limit=LONGEST)
    if done.timed_out:
        raise Inconclusive(f"Could not determine whether the image {image} is attested: `gh` timed out.")
    if done.exit_code:
        raise _explained(image, done.exit_code, done.stderr)
    return _held(image, digest, sha, policy, server, done.stdout)


def _command(image: str, sha: str, policy: Policy) -> list[str]:
    words = ["gh", "attestation", "verify", f"oci://{image}", "--repo", policy.repository]
    words += ["--signer-workflow", policy.signer_workflow, "--predicate-type", PROVENANCE, "--format", "json"]
    words += ["--limit", str(MOST)]
    words += ["--source-digest", sha] if sha else []
    # gh takes one ref, without a pattern; the certificate is compared with all of them below.
    exact = [ref for ref in policy.refs if not set("*?[") & set(ref)]
    words += ["--source-ref", exact[0]] if len(policy.refs) == 1 and exact else []
    words += ["--bundle", policy.bundle] if policy.bundle else []
    words += ["--custom-trusted-root", policy.trusted_root] if policy.trusted_root else []
    return [*words, "--deny-self-hosted-runners"] if policy.hosted_only else words


_UNATTESTED = re.compile(
    # Of the attestations alone: the trust root can be missing, too.
    r"HTTP 404[^\n]*/attestations/|no attestations (?:found|for|were)|found no attestations|no matching predicate",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"verifying with issuer|verification failed|failed to verify|no matching CertificateIdentity|expected \S+ to be"
    r"|does not match|signature|self-hosted",
    re.IGNORECASE,
)
_BUSY = re.compile(r"HTTP 429|rate limit", re.IGNORECASE)
_NO_LOGIN = re.compile(r"HTTP 40[13]|UNAUTHORIZED|DENIED|gh auth login", re.IGNORECASE)
_UNREACHED = re.compile(r"HTTP 5\d\d|dial tcp|no such host|timeout|timed out|EOF|connection|TUF|tls:", re.IGNORECASE)
_OLD = re.compile(r"unknown (?:flag|command)")


def _explained(image: str, code: int, stderr: str) -> ActionError:
    """Returns what an error of gh means. Only an answer proves anything against an image; what is not known proves nothing."""
    said = shortened(" ".join(stderr.split()), 600)
    if _OLD.search(stderr):
        return UnusableInput(
            "Could not verify attestations: this runner's `gh` is too old.",
            cause=said,
            fix=f"Install gh {OLDEST_GH} or newer on the runner.",
        )
    if _BUSY.search(stderr):
        return Inconclusive(
            f"Could not determine whether the image {image} is attested: GitHub's rate limit is reached.",
            cause=said,
            fix="Run the job again later.",
        )
    if code == 4 or _NO_LOGIN.search(stderr):
        return Inconclusive(
            f"Could not determine whether the image {image} is attested: GitHub or the registry did not accept the login.",
            cause=said,
            fix="    permissions:\n      attestations: read\n      packages: read",
        )
    if "MANIFEST_UNKNOWN" in stderr or "NAME_UNKNOWN" in stderr:
        return Unattested(f"The image {image} does not exist in its registry.", cause=said)
    if _UNATTESTED.search(stderr):
        return Unattested(
            f"The image {image} has no attestation of its build.",
            cause="It was not built by a workflow that attests, another image was pushed in its place, or the digest is that of"
            " one platform: an image of several is attested as a whole.",
            fix="Build it by the pipeline (`build: {attest: true}`), and grant `attestations: read` to the job that deploys. To"
            " deploy without proof:\n\n    require-attestation: false",
        )
    if _UNREACHED.search(stderr):
        return Inconclusive(
            f"Could not determine whether the image {image} is attested: a service did not answer.",
            cause=said,
            fix="Hand the attestations over as a file for runners without a network: `attestation-bundle`.",
        )
    if _REFUSED.search(stderr):
        return Unattested(
            f"The image {image} is attested, but not by a build that is allowed here.",
            cause=said,
            fix="Compare the certificate with `signer-workflow`, `source-refs` and the commit of the release.",
        )
    return Inconclusive(
        f"Could not determine whether the image {image} is attested: `gh` ended with exit code {code}.", cause=said
    )


def _held(image: str, digest: str, sha: str, policy: Policy, server: str, stdout: str) -> Attestation:
    """Returns the first attestation that holds. What gh lets pass is compared again: a program may stand in for it."""
    try:
        found = json.loads(stdout)
    except (ValueError, RecursionError):
        found = None
    why = "`gh` printed no verified attestation"
    for each in found if isinstance(found, list) else ():
        result = members(members(each).get("verificationResult"))
        certificate = members(members(result.get("signature")).get("certificate"))
        why = _wrong(certificate, members(result.get("statement")), digest, sha, policy) or _foreign(certificate, server)
        if not why:
            return Attestation(
                _id(members(members(each).get("attestation")).get("bundle")),
                str(certificate.get("sourceRepositoryRef", "")),
                str(certificate.get("sourceRepositoryDigest", "")),
                str(certificate.get("buildSignerURI", "")),
                str(certificate.get("runInvocationURI", "")),
            )
    raise Unattested(
        f"The image {image} is attested, but not by a build that is allowed here.",
        cause=f"{why}.",
        fix="Compare the certificate with `signer-workflow`, `source-refs` and the commit of the release.",
    )


def _wrong(certificate: Mapping[str, Any], statement: Mapping[str, Any], digest: str, sha: str, policy: Policy) -> str:
    """Returns the first way in which an attestation is not the one that is wanted; empty where it is."""
    subjects = statement.get("subject")
    digests = [members(members(one).get("digest")).get("sha256") for one in subjects] if isinstance(subjects, list) else []
    if digest.partition(":")[2] not in digests:
        return "it is about another digest"
    if statement.get("predicateType") != PROVENANCE:
        return f"it is not provenance ({PROVENANCE})"
    source = urlsplit(str(certificate.get("sourceRepositoryURI", ""))).path.strip("/")
    if source.casefold() != policy.repository.casefold():
        return f"it was built from the repository {source or 'of an unknown name'}, not from {policy.repository}"
    signer = urlsplit(str(certificate.get("buildSignerURI", ""))).path.strip("/").partition("@")[0]
    if signer.casefold() != policy.signer_workflow.casefold():
        return f"it was signed by {signer or 'an unknown workflow'}, not by {policy.signer_workflow}"
    ref, commit = str(certificate.get("sourceRepositoryRef", "")), str(certificate.get("sourceRepositoryDigest", ""))
    if policy.refs and not any(fnmatchcase(ref, pattern) or ref == pattern for pattern in policy.refs):
        return f"it was built on {ref or 'an unknown ref'}, and allowed are {', '.join(policy.refs)}"
    if sha and commit != sha:
        return f"it was built from the commit {commit or 'of an unknown name'}, not from {sha}"
    if policy.hosted_only and certificate.get("runnerEnvironment") != "github-hosted":
        return "it was built on a self-hosted runner"
    return ""


def _foreign(certificate: Mapping[str, Any], server: str) -> str:
    """Returns why a certificate is not one of a job of this server on a ref that its code is of; empty where it is."""
    for name in ("sourceRepositoryURI", "buildSignerURI"):
        if not str(certificate.get(name, "")).startswith(f"{server}/"):
            return f"its `{name}` is not of {server}"
    issuer, known = str(certificate.get("issuer", "")), ISSUERS.get(server, "")
    if known and issuer != known and not issuer.startswith(f"{known}/"):
        return f"its certificate was issued for {issuer or 'an unknown issuer'}"
    return (
        f"it was built by the event {BASES}, which has the code of others" if certificate.get("buildTrigger") == BASES else ""
    )


def _id(bundle: object) -> str:
    material = members(members(bundle).get("verificationMaterial"))
    entries = material.get("tlogEntries")
    index = members(entries[0]).get("logIndex") if isinstance(entries, list) and entries else None
    if index is not None and re.fullmatch(r"[0-9]{1,20}", str(index)):
        return f"log:{index}"
    payload = str(members(members(bundle).get("dsseEnvelope")).get("payload", ""))
    return f"sha256:{hashlib.sha256(payload.encode()).hexdigest()}"
