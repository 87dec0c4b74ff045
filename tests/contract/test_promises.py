"""Each promise of SECURITY.md has one test that is named after it, and more tests that hold its parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PARTS: dict[str, tuple[str, ...]] = {
    "inputs-reach-the-code-through": ("tests/contract/test_metadata.py::test_one_step_takes_its_inputs_from_one_variable",),
    "text-from-outside-response-bodies": (
        "tests/unit/toolkit/test_printable.py::test_no_line_acts_as_a_command",
        "tests/unit/toolkit/test_markdown.py::test_a_code_block_cannot_be_closed_by_its_text",
    ),
    "text-from-outside-cannot-refer": ("tests/unit/toolkit/test_markdown.py::test_nobody_is_mentioned",),
    "secrets-come-by-env-inputs": (
        "tests/unit/toolkit/test_redaction.py::test_redactor_base64_in_lines_at_any_offset_is_masked",
        "tests/unit/toolkit/test_redaction.py::test_redactor_secret_in_nested_escapes_is_masked",
        "tests/unit/toolkit/test_redaction.py::test_redactor_password_within_a_url_is_masked",
        "tests/unit/toolkit/test_redaction.py::test_redactor_beginning_and_end_beside_a_cut_are_masked",
        "tests/unit/toolkit/test_seams.py::test_channel_secret_at_every_offset_in_every_spelling_is_masked",
    ),
    "programs-are-started-from-argument": (
        "tests/unit/toolkit/test_git.py::test_git_runs_nothing_that_a_repository_or_a_user_configured",
    ),
    "a-registry-that-is-asked": (
        "tests/integration/engines/test_kubernetes.py::test_roll_out_registry_that_serves_another_digest_changes_nothing",
    ),
    "a-registry-login-goes-to": (
        "tests/unit/engines/test_registry_trust.py::test_may_get_login_of_another_domain_is_false",
        "tests/integration/engines/test_registry.py::test_registry_redirect_to_another_domain_gets_no_login",
    ),
    "every-wait-body-and-log": (
        "tests/integration/engines/test_docker_jobs.py::test_job_that_prints_without_end_is_killed_at_the_deadline",
        "tests/integration/engines/test_docker_jobs.py::test_job_of_a_killed_run_is_ended_by_the_next_run",
        "tests/integration/engines/test_kubernetes_jobs.py::test_job_of_a_killed_run_is_deleted_once_its_time_is_up",
    ),
    "an-action-talks-to-the": ("tests/contract/test_addresses.py::test_gate_connects_to_its_target_alone",),
    "with-build-attest-true-nothing": (
        "tests/unit/verify_attestation/test_verify_attestation.py::test_unattested_image_fails",
        "tests/contract/test_workflows_static.py::test_nothing_moves_before_the_images_are_proven",
        "tests/integration/rollback/test_attested.py::test_rollback_to_an_attested_release_runs_and_to_another_is_refused",
    ),
    "a-scan-that-did-not": (
        "tests/unit/scan_gate/test_gate.py::test_scan_that_did_not_run_is_inconclusive_and_never_a_pass",
        "tests/unit/scan_gate/test_gate.py::test_stale_database_or_report_is_inconclusive",
        "tests/unit/scan_gate/test_gate.py::test_secret_is_printed_nowhere",
    ),
    "a-rollback-moves-only-the": ("tests/unit/github/test_proof.py",),
}
"""Tests of parts of a promise, by its first five words. A test that is gone fails."""


def promises() -> list[str]:
    text = (ROOT / "SECURITY.md").read_text("utf-8").partition("## What these actions promise")[2].partition("\n## ")[0]
    bullets = re.findall(r"^- (.+?)(?=^- |\Z)", text, re.MULTILINE | re.DOTALL)
    return ["-".join(re.sub(r"[^a-z ]", "", bullet.lower().replace("\n", " ")).split()[:5]) for bullet in bullets]


def named() -> list[str]:
    """The tests that are named after a promise."""
    return [
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_promise_\w+)", path.read_text("utf-8"), re.MULTILINE)
    ]


def test_promises_and_the_tests_named_after_them_are_pairs() -> None:
    begin = [f"test_promise_{promise.replace('-', '_')}" for promise in promises()]
    pairs = {name: [test for test in named() if test.startswith(name)] for name in begin}
    assert {name: found for name, found in pairs.items() if len(found) != 1} == {}
    assert len(named()) == len(begin), "a test is named after a promise that SECURITY.md does not make"


@pytest.mark.parametrize("promise", PARTS)
def test_parts_of_a_promise_have_tests_that_are_there(promise: str) -> None:
    assert promise in promises()
    for each in PARTS[promise]:
        path, _, test = each.partition("::")
        assert re.search(rf"def {test or 'test_'}", (ROOT / path).read_text("utf-8")), each


def test_promise_programs_are_started_from_argument_lists() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text("utf-8")
        assert not re.search(r"shell=True|os\.system\(|os\.popen\(|subprocess\.getoutput", text), path
