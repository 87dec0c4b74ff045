"""Images are deployed only where the build that may build them attested them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_attestation.inputs import Inputs
from cicd_actions.verify_attestation.run import run
from tests.fakes.gh import WORKFLOW, Gh

SHA, OTHER = "a" * 40, "b" * 40
DIGEST, SWAPPED = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def gh(tmp_path: Path) -> Gh:
    return Gh(tmp_path)


def verified(gh: Gh, digest: str = DIGEST, **inputs: str) -> Report:
    given = {
        "services": f"api=ghcr.io/org/app@{digest}", "sha": SHA, "signer-workflow": WORKFLOW, "github-token": "t0k3n-of-job",
        "source-refs": "refs/heads/main", **{name.replace("_", "-"): value for name, value in inputs.items()},
    }  # fmt: skip
    variables = {"PATH": gh.path, "GITHUB_REPOSITORY": "org/app", "GITHUB_SERVER_URL": "https://github.com"}
    runtime = Runtime(variables, io.StringIO())
    return run(load(Inputs, given, runtime.redactor), runtime)


def test_attested_image_passes_and_its_attestation_is_told(gh: Gh) -> None:
    gh.attest(DIGEST, SHA)
    report = verified(gh)
    assert (report.verdict, report.outputs["attestations"]) == (Verdict.PASS, {"api": "log:123456789"})
    (words,) = gh.calls()
    for flag, value in (
        ("--repo", "org/app"),
        ("--signer-workflow", WORKFLOW),
        ("--source-ref", "refs/heads/main"),
        ("--source-digest", SHA),
    ):
        assert words[words.index(flag) + 1] == value
    assert not any("t0k3n" in word for word in words)


def test_attestation_without_a_log_is_named_by_its_statement(gh: Gh) -> None:
    gh.attest(DIGEST, SHA, runner="self-hosted")
    assert str(verified(gh).outputs["attestations"]).startswith("{'api': 'sha256:")
    assert verified(gh, hosted_builds_only="true").verdict is Verdict.FAIL


def test_unattested_image_fails(gh: Gh) -> None:
    report = verified(gh)
    assert report.verdict is Verdict.FAIL
    assert "has no attestation of its build" in report.headline


@pytest.mark.parametrize("lying", [False, True], ids=["strict", "lying"])
@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"subject": SWAPPED}, "another digest"),
        ({"repository": "evil/app"}, "evil/app"),
        ({"workflow": "org/app/.github/workflows/evil.yml"}, "evil.yml"),
        ({"ref": "refs/pull/7/merge"}, "refs/pull/7/merge"),
        ({"sha": OTHER}, OTHER),
        ({"server": "https://github.example"}, "is not of https://github.com"),
        ({"issuer": "https://token.example"}, "issued for https://token.example"),
        ({"trigger": "pull_request_target"}, "the code of others"),
    ],
)
def test_attestation_of_another_build_fails_also_where_gh_lets_it_pass(
    gh: Gh, other: dict[str, str], why: str, lying: bool
) -> None:
    gh.attest(DIGEST, **{"sha": SHA, **other})
    gh.lie(quiet=lying)
    report = verified(gh)
    assert report.verdict is Verdict.FAIL
    assert not lying or why in str(report.findings)


def test_exit_code_0_without_an_attestation_fails(gh: Gh) -> None:
    """gh 2.66.1 ended with 0 when it found none."""
    gh.lie()
    assert verified(gh).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("how", "verdict", "said"),
    [
        ("network", Verdict.INCONCLUSIVE, "did not answer"),
        ("server", Verdict.INCONCLUSIVE, "did not answer"),
        ("busy", Verdict.INCONCLUSIVE, "rate limit"),
        ("no-root", Verdict.INCONCLUSIVE, "did not answer"),
        ("login", Verdict.INCONCLUSIVE, "did not accept the login"),
        ("no-image", Verdict.FAIL, "does not exist in its registry"),
    ],
)
def test_failure_of_gh_is_explained(gh: Gh, how: str, verdict: Verdict, said: str) -> None:
    gh.attest(DIGEST, SHA)
    gh.fail(how)
    report = verified(gh)
    assert report.verdict is verdict
    assert said in report.headline


def test_old_gh_and_a_runner_without_gh_are_unusable(gh: Gh) -> None:
    gh.fail("old")
    with pytest.raises(ActionError, match="too old"):
        verified(gh)
    (gh.folder / "gh").unlink()
    with pytest.raises(ActionError, match="Could not start the program"):
        verified(gh)


def test_ref_patterns_are_held_to_the_certificate(gh: Gh) -> None:
    gh.attest(DIGEST, SHA, ref="refs/tags/v1.2.0")
    assert verified(gh, source_refs="refs/heads/main\nrefs/tags/v*").verdict is Verdict.PASS
    assert verified(gh, source_refs="refs/heads/*").verdict is Verdict.FAIL
    assert verified(gh, source_refs="").verdict is Verdict.PASS


def test_bundle_is_verified_without_a_network(gh: Gh, tmp_path: Path) -> None:
    gh.attest(DIGEST, SHA)
    bundle = tmp_path / "attestations.jsonl"
    bundle.write_text("{}\n")
    assert verified(gh, attestation_bundle=str(bundle), trusted_root="root.jsonl").verdict is Verdict.PASS
    (words,) = gh.calls()
    assert words[words.index("--bundle") + 1] == str(bundle)
    assert "--custom-trusted-root" in words


def test_image_without_a_digest_fails_unasked(gh: Gh) -> None:
    report = verified(gh, services="api=ghcr.io/org/app:latest")
    assert (report.verdict, gh.calls()) == (Verdict.FAIL, [])


def test_nothing_required_is_a_pass_that_says_so(gh: Gh) -> None:
    report = verified(gh, require_attestation="false")
    assert (report.verdict, gh.calls()) == (Verdict.PASS, [])
    assert "nothing is verified" in report.headline


@pytest.mark.parametrize("workflow", ["", "release.yml", "org/app/.github/workflows/x.yml@main"])
def test_signer_that_is_no_workflow_is_refused(gh: Gh, workflow: str) -> None:
    with pytest.raises(ActionError, match=r"signer-workflow|as the workflow that builds"):
        verified(gh, signer_workflow=workflow)


def test_output_of_gh_that_is_not_an_answer_fails(gh: Gh) -> None:
    for text in ("", "null", "{}", "[1]", '[{"verificationResult": {"statement": {"subject": "x"}}}]', "[" * 100_000):
        (gh.folder / "gh").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        assert verified(gh).verdict is Verdict.FAIL, json.dumps(text[:50])


def test_answer_of_a_gh_that_was_cut_or_killed_proves_nothing(gh: Gh) -> None:
    gh.attest(DIGEST, SHA)
    whole = gh.folder / "whole"
    (gh.folder / "gh").rename(whole)
    for script in (
        '"{0}" "$@" | head -c 900',
        '"{0}" "$@"; kill -9 $$',
        '"{0}" "$@"; exit 1',
        'echo "✓ Verification succeeded!"',
    ):
        (gh.folder / "gh").write_text(f"#!/bin/sh\n{script.format(whole)}\n")
        (gh.folder / "gh").chmod(0o755)
        assert verified(gh).verdict is not Verdict.PASS, script
