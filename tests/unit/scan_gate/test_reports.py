"""What each scanner's report is read as, and which reports prove nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.scan_gate.document import LARGEST
from cicd_actions.scan_gate.reports import Expected, expected, read
from cicd_actions.scan_gate.scan import Category, Scan
from cicd_actions.toolkit.grammar import NotUnderstood
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
    TRIVY,
    TRIVY_VERSION,
    YARN,
    changed,
    govulncheck,
    result,
    sarif,
    written,
)  # fmt: skip

TRIVY_TEXT = (
    f"Package: lodash\nInstalled Version: 4.17.20\nVulnerability {CVE}\nSeverity: HIGH\nFixed Version: 4.17.21\nLink: x"
)


def scanned(folder: Path, document: Any, scanner: str = "") -> list[Scan]:
    return read((Expected(written(folder, "report.json", document), scanner),), folder)


@pytest.mark.parametrize(
    ("document", "scanner", "name", "package", "severity", "fixed", "fixable"),
    [
        (PIP_AUDIT, "pip-audit", "PYSEC-2021-66", "jinja2", "unknown", ("2.11.3",), True),
        (NPM, "npm", GHSA, "lodash", "high", (), True),
        (PNPM, "pnpm", GHSA, "lodash", "high", ("4.17.21",), True),
        (YARN, "yarn", GHSA, "lodash", "high", ("4.17.21",), True),
        (BERRY, "yarn", GHSA, "lodash", "high", (), None),
        (OSV, "osv-scanner", GHSA, "lodash", "high", ("4.17.21",), True),
        (TRIVY, "trivy", "CVE-2023-45853", "zlib1g", "critical", (), False),
        (GRYPE, "grype", GHSA, "lodash", "high", ("4.17.21",), True),
        (govulncheck(), "govulncheck", "GO-2021-0113", "golang.org/x/text", "high", (), None),
        (sarif(result(CVE, message=TRIVY_TEXT), tool="Trivy"), "trivy", CVE, "lodash", "high", ("4.17.21",), True),
    ],
)
def test_report_of_dependencies_is_read(
    document: Any, scanner: str, name: str, package: str, severity: str, fixed: tuple[str, ...], fixable: bool, tmp_path: Path
) -> None:
    (scan,) = scanned(tmp_path, document)
    assert (scan.scanner, scan.problems) == (scanner, [])
    first = scan.reported[0]
    assert (first.category, first.names[0], first.package) == (Category.DEPENDENCY, name, package)
    assert (first.severity, first.fixed_in, first.fixable) == (severity, fixed, fixable)


def test_report_of_code_and_of_secrets_is_read(tmp_path: Path) -> None:
    (bandit,) = scanned(tmp_path, BANDIT)
    assert [(one.category, one.names, one.severity, one.line) for one in bandit.reported] == [
        (Category.CODE, ("B602",), "high", 3)
    ]
    (gitleaks,) = scanned(tmp_path, GITLEAKS)
    (leak,) = gitleaks.reported
    assert (leak.category, leak.names, leak.file, leak.line) == (Category.SECRET, ("github-pat",), "src/app.py", 4)
    assert SECRET not in repr(leak)
    assert gitleaks.secrets == [SECRET]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "empty"),
        ("[", "truncated"),
        ('{"dependencies": [{"name": "a"', "truncated"),
        ("npm warn config\n{}", "does not begin with JSON"),
        ("[" * 100_000, "nested too deeply"),
        (b'{"message": "caf\xe9"}', "byte 16 is not utf-8"),
        (f'{{"message": {"9" * 5000}}}', "a number is too long"),
        ('{\n  "config": {}\n}\n{\n  "osv": {}\n}\n', "several JSON documents"),
        ('{"hello": 1}', "format is unknown"),
        ("[]", "does not say which scanner"),
        ('{"runs": []}', "without a version"),
        ({"version": "2.1.0", "runs": []}, "no run of a scanner"),
        (changed(sarif(), "runs", 0, "results", to=None), "did not finish"),
        (sarif(invocations=[{"executionSuccessful": False, "exitCodeDescription": "out of memory"}]), "out of memory"),
        (sarif(invocations=[{"executionSuccessful": True, "toolExecutionNotifications": [
            {"level": "error", "message": {"text": "could not parse a.py"}}]}]), "could not parse a.py"),
        (sarif(externalPropertyFileReferences={"results": [{"location": {"uri": "x"}}]}), "other files"),
        ({"message": "request failed", "error": {"code": "ENOAUDIT", "summary": "down"}}, "ENOAUDIT: down"),
        ({"error": {"code": "ERR_PNPM_AUDIT_BAD_RESPONSE", "message": "500"}}, "ERR_PNPM_AUDIT_BAD_RESPONSE"),
        (changed(NPM, "metadata", "dependencies", "total", to=0), "audited no dependency"),
        (changed(NPM, "vulnerabilities", to={}), "lists none"),
        (changed(NPM, "vulnerabilities", "lodash", "via", to=[3]), "not an object"),
        (tuple(YARN[:1]), "ends before its summary"),
        (({"type": "error", "data": "registry is down"},), "registry is down"),
        ({"dependencies": []}, "judged no dependency"),
        (changed(PIP_AUDIT, "dependencies", to=[{"name": "app", "skip_reason": "x"}]), "judged no dependency"),
        (changed(TRIVY, "Results", to=[]), "nothing that it can scan"),
        (changed(TRIVY, "Results", 0, "Vulnerabilities", 0, "PkgName", to=None), "`PkgName` is missing"),
        (changed(GRYPE, "descriptor", "db", to={"status": {"error": "no db"}}), "no valid vulnerability database"),
        (changed(BANDIT, "errors", to=[{"filename": "a.py", "reason": "syntax error"}]), "could not read a.py"),
        (changed(BANDIT, "metrics", to={"_totals": {"loc": 0}}), "no line of code"),
        (sarif(invocations=[{"exitCode": 0}]), "its run failed"),
        (sarif(invocations=[{"executionSuccessful": "false"}]), "its run failed"),
        ('{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": [1], "results": []}]}', "a key twice"),
        ({**NPM, "error": {"code": "EAUDIT"}}, "EAUDIT"),
        (changed(PIP_AUDIT, "dependencies", 2, "vulns", to=None), "`dependencies[2].vulns` is missing"),
        (changed(GRYPE, "matches", to=None), "`matches` is missing"),
        (changed(OSV, "results", to=None), "`results` is missing"),
        (changed(OSV, "results", 0, "packages", 0, "groups", to=[{}]), "`groups[].ids` is missing"),
        (changed(BANDIT, "results", to=None), "`results` is missing"),
        (TRIVY_VERSION, "no report of trivy is beside it"),
        ((YARN[1],), "lists none"),
    ],
)  # fmt: skip
def test_report_that_proves_nothing_is_a_problem(document: Any, why: str, tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, document)
    assert why in " ".join(scan.problems)


def test_report_that_is_missing_huge_or_of_another_scanner_is_a_problem(tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    written(tmp_path, "npm.json", NPM)
    scans = read(
        (Expected("gone.json"), Expected("no-*.sarif"), Expected("huge.json"), Expected("npm.json", "trivy")), tmp_path
    )
    assert [scan.problems[0] for scan in scans] == [
        "the report does not exist",
        "the report does not exist",
        "the report is larger than 64 MiB",
        "it is a report of npm, not of trivy",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_report_that_powershell_wrote_is_read(encoding: str, tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'.encode(encoding))
    assert scan.problems == []


def test_deprecated_package_in_yarns_audit_is_noted_and_not_found(tmp_path: Path) -> None:
    old = {"ID": "inflight (deprecation)", "Issue": "This module is not supported", "Severity": "moderate"}
    (scan,) = scanned(tmp_path, ({"value": "inflight", "children": old}, *BERRY))
    assert (scan.problems, [one.package for one in scan.reported]) == ([], ["lodash"])
    assert scan.notes == ["yarn: inflight is deprecated: This module is not supported"]


def test_report_of_osv_scanner_that_may_have_scanned_nothing_says_so(tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, changed(OSV, "results", to=[]))
    assert (scan.problems, len(scan.notes)) == ([], 1)


def test_empty_list_of_gitleaks_is_a_clean_scan_where_it_is_named(tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, "[]", "gitleaks")
    assert (scan.reported, scan.problems) == ([], [])


def test_database_of_trivy_is_dated_by_its_version_report(tmp_path: Path) -> None:
    written(tmp_path, "a.json", TRIVY)
    written(tmp_path, "b.json", TRIVY_VERSION)
    first, second = read((Expected("a.json"), Expected("b.json")), tmp_path)
    assert first.database == second.database is not None
    assert first.images == {DIGEST}


def test_sarif_rule_in_an_extension_gives_the_severity(tmp_path: Path) -> None:
    """CodeQL has its rules in extensions, and names them by the component's index."""
    rule = {"id": "py/sql-injection", "properties": {"security-severity": "9.3"}}
    document = sarif({"rule": {"id": "py/sql-injection", "index": 0, "toolComponent": {"index": 0}}, "message": {"text": "x"}})
    document["runs"][0]["tool"]["extensions"] = [{"name": "codeql/python-queries", "rules": [rule]}]
    (scan,) = scanned(tmp_path, document)
    assert [(one.names, one.severity) for one in scan.reported] == [(("py/sql-injection",), "critical")]


def test_sarif_result_without_fault_is_left_out_and_a_suppressed_one_accepted(tmp_path: Path) -> None:
    suppressed = result("B1", suppressions=[{"kind": "inSource", "justification": "reviewed"}])
    ignored = result("B2", suppressions=[{"kind": "external", "justification": None}])
    passed = [{**result("B0", kind=kind), "level": "none"} for kind in ("pass", "notApplicable", "informational")]
    (scan,) = scanned(tmp_path, sarif(*passed, result("B0", baselineState="absent"), suppressed, ignored))
    accepted = [("B1", "reviewed"), ("B2", "suppressed outside of the source")]
    assert [(one.names[0], one.accepted) for one in scan.reported] == accepted


@pytest.mark.parametrize(
    "unclear",
    [
        {"kind": "open"},
        {"kind": "review"},
        {"kind": "passed"},
        {"kind": "pass"},  # with a level, which a passed rule cannot have
        {"suppressions": []},
        {"suppressions": [{}]},
        {"suppressions": [{"kind": "inSource", "status": "underReview"}]},
        {"suppressions": [{"kind": "inSource", "status": "maybe"}]},
        {"suppressions": [{"kind": "inSource"}, {"kind": "external", "status": "rejected"}]},
    ],
)
def test_sarif_result_that_is_not_clearly_harmless_stays_open(unclear: dict[str, Any], tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, sarif(result("B1", **unclear)))
    assert [one.accepted for one in scan.reported] == [""]


def test_worst_severity_of_a_sarif_rule_counts(tmp_path: Path) -> None:
    """trivy names its severity among the tags; grype writes 0.0 for what has no score."""
    tagged = {"id": "R", "properties": {"tags": ["vulnerability", "CRITICAL"], "security-severity": "7.8"}}
    (scan,) = scanned(tmp_path, sarif(result("R"), rules=(tagged,)))
    assert scan.reported[0].severity == "critical"
    (scan,) = scanned(tmp_path, sarif(result("R"), rules=({"id": "R", "properties": {"security-severity": "0.0"}},)))
    assert scan.reported[0].severity == "high"


@pytest.mark.parametrize(
    ("affected", "fixable"),
    [
        ([{"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2"}]}]}], True),
        ([{"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"last_affected": "2"}]}]}], True),
        ([{"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}], False),
        ([{"package": {"name": "other"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}], None),
        ([{"versions": ["4.17.20"]}], None),
        (None, None),
    ],
)
def test_advisory_that_says_nothing_of_a_fix_is_not_without_one(affected: Any, fixable: bool | None, tmp_path: Path) -> None:
    at = ("results", 0, "packages", 0, "vulnerabilities", 0, "affected")
    (scan,) = scanned(tmp_path, changed(OSV, *at, to=affected))
    assert scan.reported[0].fixable is fixable


def test_withdrawn_advisory_is_noted_and_not_found(tmp_path: Path) -> None:
    at = ("results", 0, "packages", 0, "vulnerabilities", 0, "withdrawn")
    (scan,) = scanned(tmp_path, changed(OSV, *at, to="2025-01-01T00:00:00Z"))
    assert (scan.reported, len(scan.notes)) == ([], 1)
    (scan,) = scanned(tmp_path, changed(OSV, *at, to=""))
    assert len(scan.reported) == 1


def test_secrets_of_trivy_as_sarif_are_secrets_and_none_is_a_clean_scan(tmp_path: Path) -> None:
    """Its JSON has no list of results where it found no secret."""
    rule = {"id": "aws-access-key-id", "properties": {"tags": ["secret", "security", "CRITICAL"], "security-severity": "9.5"}}
    (scan,) = scanned(tmp_path, sarif(result("aws-access-key-id"), tool="Trivy", rules=(rule,)), "trivy")
    assert [one.category for one in scan.reported] == [Category.SECRET]
    (scan,) = scanned(tmp_path, sarif(tool="Trivy"), "trivy")
    assert (scan.reported, scan.problems) == ([], [])


def test_license_that_trivy_grades_is_found_and_a_permissive_one_is_not(tmp_path: Path) -> None:
    licenses = [
        {"Severity": severity, "Category": "restricted", "PkgName": "p", "Name": name}
        for severity, name in (("HIGH", "AGPL-3.0"), ("LOW", "MIT"))
    ]
    (scan,) = scanned(tmp_path, changed(TRIVY, "Results", to=[{"Target": "x", "Class": "license", "Licenses": licenses}]))
    assert [(one.names, one.severity) for one in scan.reported] == [(("license:AGPL-3.0",), "high")]


@pytest.mark.parametrize("kind", ["filesystem", "repository", "vm", "cyclonedx", ""])
def test_scan_of_another_thing_under_an_images_name_is_not_of_the_image(kind: str, tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, changed(TRIVY, "ArtifactType", to=kind))
    assert scan.images == frozenset()
    (scan,) = scanned(tmp_path, changed(GRYPE, "source", "type", to="directory"))
    assert scan.images == frozenset()


def test_more_findings_than_are_judged_keep_the_worst_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cicd_actions.scan_gate.reports.MOST_REPORTED", 2)
    results = [{**result(f"R{number}"), "level": "note"} for number in range(4)]
    (scan,) = scanned(tmp_path, sarif(*results, result("worst")))
    assert [scan.reported[0].names[0], len(scan.reported)] == ["worst", 2]
    assert "at most 2 of all reports are judged" in scan.problems[0]


@pytest.mark.parametrize("rule", ["B105", "S105"])
def test_message_that_quotes_a_password_is_cut(rule: str, tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, sarif(result(rule, message="Possible hardcoded password: 'hunter2'")))
    assert scan.reported[0].message == "Possible hardcoded password"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("a.sarif", Expected("a.sarif")),
        ("trivy: out/image.json", Expected("out/image.json", "trivy")),
        ("npm: web.json of ./web/package-lock.json", Expected("web.json", "npm", "web/package-lock.json")),
        ("my report.json", Expected("my report.json")),
        ("Brakeman: b.sarif of the shop", Expected("b.sarif", "brakeman", "the shop")),
    ],
)
def test_line_of_reports_is_read(line: str, meant: Expected) -> None:
    assert expected(line) == meant


def test_line_that_is_not_a_path_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="not the path"):
        expected(" of x")


@pytest.mark.parametrize(
    ("name", "why"),
    [("brakeman", []), ("semgrep", ["it is a report of brakeman, not of semgrep"]), ("brake-man", ["it is a report"])],
)
def test_name_of_a_tool_that_writes_sarif_holds_the_report_to_it(name: str, why: list[str], tmp_path: Path) -> None:
    (scan,) = scanned(tmp_path, sarif(result("BRAKE0000"), tool="Brakeman"), name)
    assert [found.startswith(said) for found, said in zip(scan.problems, why, strict=True)] == [True] * len(why)


@pytest.mark.parametrize(
    ("location", "bases", "path"),
    [
        ({"uri": "a.go"}, {}, "a.go"),
        ({"uri": "a.go", "uriBaseId": "%SRCROOT%"}, {}, "a.go"),
        ({"uri": "a.go", "uriBaseId": "R"}, {"R": {"uri": "file:///repo/pay"}}, "/repo/pay/a.go"),
        ({"uri": "a.go", "uriBaseId": "P"}, {"R": {"uri": "file:///repo/"}, "P": {"uri": "pay/", "uriBaseId": "R"}},
         "/repo/pay/a.go"),
        ({"uri": "a.go", "uriBaseId": "P"}, {"P": {"uri": "pay/", "uriBaseId": "P"}}, f"{'pay/' * 10}a.go"),
        ({"uri": "a.go", "uriBaseId": "R"}, {"R": {"description": {"text": "the root"}}}, "a.go"),
        ({"uri": "file:///repo/a.go", "uriBaseId": "R"}, {"R": {"uri": "file:///else/"}}, "/repo/a.go"),
        ({"uri": "file:/repo/a%20b.java"}, {}, "/repo/a b.java"),
        ({"uri": "file://localhost/repo/a.go"}, {}, "/repo/a.go"),
        ({"index": 0}, {}, "listed.c"),
        ({"index": -1}, {}, ""),
        ({"index": 7}, {}, ""),
    ],
)  # fmt: skip
def test_sarif_path_is_resolved_as_the_report_says(
    location: dict[str, Any], bases: dict[str, Any], path: str, tmp_path: Path
) -> None:
    found = changed(result("R"), "locations", 0, "physicalLocation", "artifactLocation", to=location)
    document = sarif(found, originalUriBaseIds=bases, artifacts=[{"location": {"uri": "listed.c"}}])
    (scan,) = scanned(tmp_path, document)
    assert (scan.problems, scan.reported[0].file) == ([], path)


@pytest.mark.parametrize("score", ["nan", "-1", "inf", "1e400", "11", "", "0.0", True, None, []])
def test_score_that_is_none_hides_nothing(score: Any, tmp_path: Path) -> None:
    """A score that no scale has must not make a finding harmless: what else is known counts."""
    document = sarif(result("R"), rules=({"id": "R", "properties": {"security-severity": score}},))
    (scan,) = scanned(tmp_path, document)
    assert scan.reported[0].severity == "high"
    (scan,) = scanned(tmp_path, changed(OSV, "results", 0, "packages", 0, "groups", 0, "max_severity", to=score))
    assert scan.reported[0].severity == "unknown"


SEEDS = [
    PIP_AUDIT,
    NPM,
    PNPM,
    OSV,
    TRIVY,
    GRYPE,
    BANDIT,
    GITLEAKS,
    sarif(result("B1"), rules=({"id": "B1", "properties": {}},)),
    changed(govulncheck(), "runs", 0, "originalUriBaseIds", to={"%SRCROOT%": {"uri": "file:///src/", "uriBaseId": "R"}}),
]
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2))


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for key, each in inner for found in paths(each, (*path, key))]


@given(st.data())
def test_report_with_anything_anywhere_is_read_or_is_a_problem(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    document = data.draw(st.sampled_from(SEEDS))
    broken = changed(document, *data.draw(st.sampled_from(paths(document))), to=data.draw(JSON))
    for scan in scanned(folder, broken):
        assert all(one.names and one.line >= 0 for one in scan.reported)
