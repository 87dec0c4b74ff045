"""The verdict on the reports of all scanners: age, acknowledgements, fixes, what is deployed, what is new."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.verdict import Verdict
from tests.unit.scan_gate.gate import document, gate, rules
from tests.unit.scan_gate.samples import (
    BANDIT,
    BERRY,
    CVE,
    DIGEST,
    GHSA,
    GITLEAKS,
    GRYPE,
    NPM,
    OSV,
    PIP_AUDIT,
    PNPM,
    SECRET,
    TODAY,
    TRIVY,
    TRIVY_VERSION,
    YARN,
    ago,
    changed,
    govulncheck,
    result,
    sarif,
    written,
)  # fmt: skip

CLEAN = changed(PIP_AUDIT, "dependencies", to=[{"name": "click", "version": "8.1.0", "vulns": []}])
EVERY = {"npm.json": NPM, "pnpm.json": PNPM, "yarn.json": YARN, "berry.json": BERRY, "osv.json": OSV, "grype.json": GRYPE}


def aged(folder: Path, report: Report, days: int) -> str:
    """Writes a baseline in which everything that the report has has been known for this number of days."""
    since = str(TODAY - dt.timedelta(days=days))
    found = {one["fingerprint"]: {"rule": "r", "file": "f", "since": since} for one in document(report, "report")["findings"]}
    (folder / "baseline.json").write_text(json.dumps({"findings": found}))
    return "baseline.json"


def test_clean_scan_passes(tmp_path: Path) -> None:
    report = gate(tmp_path, {"pip.json": CLEAN})
    assert (report.verdict, report.headline) == (Verdict.PASS, "No open findings.")


def test_vulnerability_that_six_scanners_report_is_one_finding(tmp_path: Path) -> None:
    report = gate(tmp_path, EVERY)
    (found,) = document(report, "report")["findings"]
    assert (found["rule"], found["aliases"], found["package"]) == (CVE, [GHSA], "lodash")
    assert found["scanners"] == ["grype", "npm", "osv-scanner", "pnpm", "yarn"]
    assert "4.17.21" in found["fixed-in"]


@pytest.mark.parametrize(
    ("days", "inputs", "verdict"),
    [
        (14, {}, Verdict.PASS),
        (15, {}, Verdict.FAIL),
        (15, {"sla": "major: 30"}, Verdict.PASS),
        (0, {"fail_on": "major"}, Verdict.FAIL),
        (0, {"fail_on": "critical"}, Verdict.PASS),
        (0, {"tiers": "high: critical"}, Verdict.FAIL),
        (6, {"tiers": "high: critical", "sla": "critical: 7"}, Verdict.PASS),
        (8, {"tiers": "high: critical", "sla": "critical: 7"}, Verdict.FAIL),
    ],
)
def test_finding_fails_once_its_sla_has_passed(days: int, inputs: dict[str, str], verdict: Verdict, tmp_path: Path) -> None:
    baseline = aged(tmp_path, gate(tmp_path, {"npm.json": NPM}), days)
    assert gate(tmp_path, {"npm.json": NPM}, baseline=baseline, **inputs).verdict is verdict


def test_age_is_kept_when_another_scanner_knows_the_finding_by_another_id(tmp_path: Path) -> None:
    both = {"osv.json": OSV}
    gate(tmp_path, both, store="store.json")
    text = (tmp_path / "store.json").read_text().replace(str(TODAY), str(TODAY - dt.timedelta(days=20)))
    (tmp_path / "store.json").write_text(text)
    # npm knows GitHub's id alone, trivy the CVE alone.
    assert rules(gate(tmp_path, {"npm.json": NPM}, reports="npm.json", store="store.json")) == [GHSA]


def test_store_keeps_the_days_of_a_scan_that_did_not_run(tmp_path: Path) -> None:
    gate(tmp_path, {"npm.json": NPM}, store="store.json")
    before = (tmp_path / "store.json").read_text()
    assert gate(tmp_path, {"npm.json": b""}, store="store.json").verdict is Verdict.INCONCLUSIVE
    assert (tmp_path / "store.json").read_text() == before
    assert gate(tmp_path, {"npm.json": changed(NPM, "vulnerabilities", to={"a": {"via": []}})}, reports="npm.json").verdict
    # What a complete scan no longer finds is forgotten, so its SLA begins again when it returns.
    gate(tmp_path, {"npm.json": CLEAN}, store="store.json")
    assert json.loads((tmp_path / "store.json").read_text()) == {"findings": {}}


@pytest.mark.parametrize("broken", [b"", "{", {"error": {"code": "ENOAUDIT"}}])
def test_scan_that_did_not_run_is_inconclusive_and_never_a_pass(broken: Any, tmp_path: Path) -> None:
    report = gate(tmp_path, {"pip.json": CLEAN, "npm.json": broken})
    assert report.verdict is Verdict.INCONCLUSIVE
    assert rules(report) == ["scan-gate/inconclusive"]


def test_finding_that_fails_outweighs_a_scan_that_did_not_run(tmp_path: Path) -> None:
    assert gate(tmp_path, {"leak.json": GITLEAKS, "npm.json": b""}).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("whole", "place", "hours", "why"),
    [
        (GRYPE, ("descriptor", "db", "status", "built"), 121, "the vulnerability database is 121 h old"),
        (GRYPE, ("descriptor", "timestamp"), 25, "the report is 25 h old"),
        (BANDIT, ("generated_at",), 25, "the report is 25 h old"),
    ],
)
def test_stale_database_or_report_is_inconclusive(
    whole: Any, place: tuple[str, ...], hours: int, why: str, tmp_path: Path
) -> None:
    report = gate(tmp_path, {"a.json": changed(whole, *place, to=ago(hours=hours))}, fail_on="critical")
    assert report.verdict is Verdict.INCONCLUSIVE
    assert why in str(report.outputs["inconclusive"])


def test_report_that_git_tracks_is_inconclusive_on_a_pull_request(tmp_path: Path) -> None:
    """It could commit a clean report, and break the scanner, which then writes none."""
    assert gate(tmp_path, {"pip.json": CLEAN}, event="pull_request").verdict is Verdict.PASS
    for words in (["init", "--quiet"], ["add", "pip.json"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / "link.json").symlink_to("pip.json")
    for path in ("pip.json", "./pip.json", str(tmp_path / "pip.json"), "link.json", "gitleaks: /dev/null\npip.json"):
        report = gate(tmp_path, {"pip.json": CLEAN}, event="pull_request", reports=path)
        assert "it is a file of the repository" in str(report.outputs["inconclusive"]), path
    assert gate(tmp_path, {"new.json": CLEAN}, event="pull_request").verdict is Verdict.PASS
    assert gate(tmp_path, {"pip.json": CLEAN}).verdict is Verdict.PASS


def test_report_by_a_link_that_git_tracks_is_inconclusive_on_a_pull_request(tmp_path: Path) -> None:
    """The link can lead to a clean report that lies on every runner."""
    repository, runner = tmp_path / "repository", tmp_path / "runner"
    for folder in (repository, runner):
        folder.mkdir()
    written(runner, "clean.json", CLEAN)
    (repository / "reports").symlink_to(runner)
    (repository / "mine.json").symlink_to("second.json")
    (repository / "second.json").symlink_to(runner / "clean.json")
    paths = ("reports/clean.json", "mine.json", "second.json")
    for path in paths:
        assert gate(repository, {}, event="pull_request", reports=path).verdict is Verdict.PASS
    for words in (["init", "--quiet"], ["add", "reports", "second.json"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    for path in paths:
        report = gate(repository, {}, event="pull_request", reports=path)
        assert "it is a file of the repository" in str(report.outputs["inconclusive"]), path
    (repository / "round.json").symlink_to("round.json")
    assert gate(repository, {}, event="pull_request", reports="round.json").verdict is Verdict.INCONCLUSIVE


def test_go_vulnerability_is_one_finding_at_the_module_that_was_scanned(tmp_path: Path) -> None:
    module = tmp_path / "services" / "pay"
    module.mkdir(parents=True)
    (module / "go.mod").touch()
    found = [
        changed(TRIVY, "Results", 0, "Vulnerabilities", 0, "VulnerabilityID", to=id_)["Results"][0]["Vulnerabilities"][0]
        | {"PkgName": "golang.org/x/text"}
        for id_ in ("CVE-2021-38561", "CVE-2022-32149")
    ]
    trivy = changed(TRIVY, "Results", to=[{"Target": "services/pay/go.mod", "Class": "lang-pkgs", "Vulnerabilities": found}])
    documents = {"go.sarif": govulncheck(), "trivy.json": trivy}
    report = gate(tmp_path, documents, reports="govulncheck: go.sarif of services/pay\ntrivy.json")
    told = document(report, "report")["findings"]
    assert [(one["rule"], one["package"], one["scanners"], one["file"], one["also-in"]) for one in told] == [
        (id_, "golang.org/x/text", ["govulncheck", "trivy"], "services/pay/go.mod", ["services/pay/go.mod:1"])
        for id_ in ("CVE-2021-38561", "CVE-2022-32149")
    ]


@pytest.mark.parametrize("base", ["file:///", "file://{root}/", "file:///github/workspace/", "file:///src/"])
def test_path_of_a_scanner_is_that_of_the_repository_whatever_its_root_was(base: str, tmp_path: Path) -> None:
    """trivy 0.68 names the root of the file system in a git repository."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("a\nb\nc\n")
    found = changed(result("R"), "locations", 0, "physicalLocation", "artifactLocation", "uriBaseId", to="ROOTPATH")
    scanned = sarif(found, originalUriBaseIds={"ROOTPATH": {"uri": base.format(root=tmp_path)}})
    (told,) = document(gate(tmp_path, {"a.sarif": scanned}), "report")["findings"]
    assert told["file"] == "src/app.py"


def test_report_from_the_future_is_inconclusive(tmp_path: Path) -> None:
    report = gate(tmp_path, {"a.json": changed(BANDIT, "generated_at", to=ago(hours=-2))}, fail_on="critical")
    assert "has not come yet" in str(report.outputs["inconclusive"])


def test_day_in_the_future_does_not_put_off_a_deadline(tmp_path: Path) -> None:
    baseline = aged(tmp_path, gate(tmp_path, {"npm.json": NPM}), -400)
    (found,) = document(gate(tmp_path, {"npm.json": NPM}, baseline=baseline), "report")["findings"]
    assert found["since"] == str(TODAY)


def test_path_that_no_file_can_have_hides_nothing(tmp_path: Path) -> None:
    report = gate(tmp_path, {"a.sarif": sarif(result("B1", file="a\0b"), result("B2", file="\ud800"))}, fail_on="minor")
    assert len(rules(report)) == 2


def test_acknowledgement_of_one_cve_does_not_cover_an_advisory_of_two(tmp_path: Path) -> None:
    of_two = changed(PNPM, "advisories", "1106913", "cves", to=[CVE, "CVE-2021-9999"])
    for rule, verdict in ((CVE, Verdict.FAIL), (GHSA, Verdict.PASS)):
        entry = [{"rule": rule, "reason": "r", "expires": "2999-01-01"}]
        (tmp_path / "accepted.yml").write_text(json.dumps(entry))
        assert gate(tmp_path, {"p.json": of_two}, acknowledge="accepted.yml", fail_on="major").verdict is verdict


def test_stale_database_of_trivy_is_inconclusive(tmp_path: Path) -> None:
    version = changed(TRIVY_VERSION, "VulnerabilityDB", "UpdatedAt", to=ago(days=8))
    assert "database is 192 h old" in str(gate(tmp_path, {"t.json": TRIVY, "v.json": version}).outputs["inconclusive"])


@pytest.mark.parametrize(
    ("entry", "verdict"),
    [
        ({"rule": CVE}, Verdict.PASS),
        ({"rule": GHSA.lower(), "package": "LODASH"}, Verdict.PASS),
        ({"rule": CVE, "package": "other"}, Verdict.FAIL),
        ({"rule": CVE, "expires": "2020-01-01"}, Verdict.FAIL),
        ({"rule": "CVE-2000-1"}, Verdict.FAIL),
    ],
)
def test_acknowledgement_covers_an_advisory_by_any_id(entry: dict[str, str], verdict: Verdict, tmp_path: Path) -> None:
    whole = {"reason": "not called", "expires": "2999-01-01"} | entry
    lines = [f"{'- ' if number == 0 else '  '}{key}: {value}" for number, (key, value) in enumerate(whole.items())]
    (tmp_path / "accepted.yml").write_text("\n".join(lines))
    report = gate(tmp_path, {"osv.json": OSV}, acknowledge="accepted.yml", fail_on="major")
    assert report.verdict is verdict


def test_acknowledgement_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "accepted.yml").write_text(f"- rule: {CVE}\n  expires: 2999-01-01\n")
    with pytest.raises(UnusableInput, match="`reason` is missing"):
        gate(tmp_path, {"osv.json": OSV}, acknowledge="accepted.yml")


def test_pull_request_fails_on_new_findings_only(tmp_path: Path) -> None:
    baseline = aged(tmp_path, gate(tmp_path, {"npm.json": NPM}), 400)
    before = gate(tmp_path, {"npm.json": NPM}, event="pull_request", baseline=baseline)
    assert (before.verdict, before.outputs["new"]) == (Verdict.PASS, 0)
    after = gate(tmp_path, {"npm.json": NPM, "bandit.json": BANDIT}, event="pull_request", baseline=baseline)
    assert (after.verdict, rules(after)) == (Verdict.FAIL, ["bandit/B602"])
    minor = gate(tmp_path, {"npm.json": NPM, "b.json": changed(BANDIT, "results", 0, "issue_severity", to="LOW")},
                 event="pull_request", baseline=baseline)  # fmt: skip
    assert minor.verdict is Verdict.PASS


def test_finding_without_a_fix_warns_until_there_is_one(tmp_path: Path) -> None:
    assert gate(tmp_path, {"t.json": TRIVY}).verdict is Verdict.PASS
    assert gate(tmp_path, {"t.json": TRIVY}, unfixed="fail").verdict is Verdict.FAIL
    assert gate(tmp_path, {"t.json": TRIVY}, event="pull_request").verdict is Verdict.FAIL
    fixed = changed(TRIVY, "Results", 0, "Vulnerabilities", 0, "FixedVersion", to="1:1.3")
    assert gate(tmp_path, {"t.json": fixed}).verdict is Verdict.FAIL


def test_only_findings_of_deployed_images_fail(tmp_path: Path) -> None:
    critical = changed(TRIVY, "Results", 0, "Vulnerabilities", 0, "FixedVersion", to="1:1.3")
    deployed, other = f"ghcr.io/org/app@{DIGEST}", f"ghcr.io/org/app@sha256:{'e' * 64}"
    assert gate(tmp_path, {"t.json": critical}, images=deployed).verdict is Verdict.FAIL
    elsewhere = gate(tmp_path, {"t.json": critical}, images=other)
    assert (elsewhere.verdict, "no report is of this image" in str(elsewhere.outputs["inconclusive"])) == (
        Verdict.INCONCLUSIVE,
        True,
    )


def test_dependency_of_development_fails_nothing(tmp_path: Path) -> None:
    dev = tuple(changed(YARN, 0, "data", "resolution", "dev", to=True))
    assert gate(tmp_path, {"yarn.json": dev}, fail_on="minor").verdict is Verdict.PASS


def test_secret_is_printed_nowhere(tmp_path: Path) -> None:
    quoting = sarif(result("X1", message=f"the password {SECRET} is weak"), tool="semgrep")
    snippet = result("github-pat", message=f"found {SECRET}")
    snippet["locations"][0]["physicalLocation"]["region"]["snippet"] = {"text": SECRET}
    leaks = sarif(snippet, tool="gitleaks")
    report = gate(tmp_path, {"leak.json": GITLEAKS, "leak.sarif": leaks, "semgrep.sarif": quoting})
    assert rules(report) == ["gitleaks/github-pat", "gitleaks/github-pat"]
    files = "".join(Path(str(report.outputs[name])).read_text() for name in ("report", "sarif"))
    assert SECRET not in files
    assert "hunter2" not in files


def test_file_outside_of_the_repository_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    for file in ("link", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd"):
        report = gate(tmp_path, {"a.sarif": sarif(result("B1", file, line=1))})
        assert document(report, "report")["findings"][0]["rule"] == "B1"
        assert "root" not in json.dumps(document(report, "report")["findings"][0]["fingerprint"])


def test_sarif_of_the_gate_has_every_open_finding_once(tmp_path: Path) -> None:
    report = gate(tmp_path, EVERY | {"bandit.json": BANDIT})
    (run,) = document(report, "sarif")["runs"]
    assert sorted(one["ruleId"] for one in run["results"]) == [CVE, "bandit/B602"]
    assert all(one["locations"] for one in run["results"])


def test_store_beside_a_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="both `store` and `baseline`"):
        gate(tmp_path, {"pip.json": CLEAN}, store="a.json", baseline="b.json")
