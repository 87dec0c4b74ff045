"""Reports in the forms that the scanners document, made by hand: the smallest that hold one finding each."""

from __future__ import annotations

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any

CVE, GHSA = "CVE-2021-23337", "GHSA-35jh-r3h4-6jhm"
DIGEST = f"sha256:{'d' * 64}"
NOW = dt.datetime(2026, 11, 20, 15, tzinfo=dt.timezone.utc)
"""The moment at which `gate` judges the reports: none of the tests depends on the hour or crosses midnight."""
TODAY = NOW.date()


def ago(**span: float) -> str:
    return (NOW - dt.timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


_NPM6 = {
    "id": 1106913, "module_name": "lodash", "severity": "high", "title": "Command Injection in lodash", "cves": [CVE],
    "github_advisory_id": GHSA, "patched_versions": ">=4.17.21", "vulnerable_versions": "<4.17.21",
    "url": f"https://github.com/advisories/{GHSA}", "findings": [{"version": "4.17.20", "paths": [".>lodash"]}],
}  # fmt: skip

PIP_AUDIT = {
    "dependencies": [
        {"name": "jinja2", "version": "2.11.2", "vulns": [
            {"id": "PYSEC-2021-66", "fix_versions": ["2.11.3"], "aliases": ["CVE-2020-28493", "GHSA-g3rq-g295-4j3m"],
             "description": "This affects the package jinja2."}]},
        {"name": "app", "skip_reason": "Distribution marked as editable"},
        {"name": "click", "version": "8.1.0", "vulns": []},
    ],
    "fixes": [],
}  # fmt: skip

NPM = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "lodash": {"name": "lodash", "severity": "high", "isDirect": True, "via": [
            {"source": 1106913, "name": "lodash", "dependency": "lodash", "title": "Command Injection in lodash",
             "url": f"https://github.com/advisories/{GHSA}", "severity": "high", "range": "<4.17.21"}],
            "effects": ["async"], "range": "<=4.17.20", "nodes": ["node_modules/lodash"], "fixAvailable": True},
        "async": {"name": "async", "severity": "high", "via": ["lodash"], "effects": [], "range": "*", "nodes": [],
                  "fixAvailable": {"name": "async", "version": "3.2.6", "isSemVerMajor": True}},
    },
    "metadata": {"vulnerabilities": {"high": 2, "total": 2}, "dependencies": {"prod": 3, "total": 3}},
}  # fmt: skip

PNPM = {
    "actions": [],
    "advisories": {"1106913": _NPM6},
    "muted": [],
    "metadata": {"vulnerabilities": {"high": 1}, "dependencies": 9, "totalDependencies": 9},
}

YARN = [
    {"type": "auditAdvisory", "data": {"resolution": {"id": 1, "path": "lodash", "dev": False}, "advisory": _NPM6}},
    {"type": "auditSummary", "data": {"vulnerabilities": {"high": 1}, "dependencies": 9, "totalDependencies": 9}},
]

BERRY = [
    {"value": "lodash", "children": {"ID": 1106913, "Issue": "Command Injection in lodash", "Severity": "high",
     "URL": f"https://github.com/advisories/{GHSA}", "Vulnerable Versions": "<4.17.21", "Tree Versions": ["4.17.20"],
     "Dependents": ["app@workspace:."]}}
]  # fmt: skip

OSV = {
    "results": [
        {"source": {"path": "web/package-lock.json", "type": "lockfile"}, "packages": [
            {"package": {"name": "lodash", "version": "4.17.20", "ecosystem": "npm"},
             "vulnerabilities": [{"id": GHSA, "aliases": [CVE], "summary": "Command Injection in lodash", "affected": [
                 {"package": {"name": "lodash", "ecosystem": "npm"}, "ranges": [
                     {"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "4.17.21"}]}]}]}],
             "groups": [{"ids": [GHSA], "aliases": [CVE, GHSA], "max_severity": "7.2"}]}]}
    ]
}  # fmt: skip

TRIVY = {
    "SchemaVersion": 2, "CreatedAt": ago(minutes=5), "ArtifactName": f"ghcr.io/org/app@{DIGEST}",
    "ArtifactType": "container_image",
    "Metadata": {"OS": {"Family": "debian", "Name": "12.9"}, "RepoDigests": [f"ghcr.io/org/app@{DIGEST}"]},
    "Results": [
        {"Target": "app (debian 12.9)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [
            {"VulnerabilityID": "CVE-2023-45853", "PkgName": "zlib1g", "InstalledVersion": "1:1.2.13", "FixedVersion": "",
             "Status": "will_not_fix", "Severity": "CRITICAL", "Title": "zlib: integer overflow", "VendorIDs": ["DSA-1"]}]},
        {"Target": "app/package-lock.json", "Class": "lang-pkgs", "Type": "npm", "Vulnerabilities": [
            {"VulnerabilityID": CVE, "PkgName": "lodash", "InstalledVersion": "4.17.20", "FixedVersion": "4.17.21",
             "Status": "fixed", "Severity": "HIGH", "Title": "nodejs-lodash: command injection"}]},
    ],
}  # fmt: skip

TRIVY_VERSION = {"Version": "0.66.0", "VulnerabilityDB": {"Version": 2, "UpdatedAt": ago(hours=6), "NextUpdate": ago(hours=-6)}}

GRYPE = {
    "matches": [
        {"vulnerability": {"id": GHSA, "dataSource": f"https://github.com/advisories/{GHSA}", "severity": "High",
                           "fix": {"versions": ["4.17.21"], "state": "fixed"}, "description": "Command injection"},
         "relatedVulnerabilities": [{"id": CVE, "namespace": "nvd:cpe"}],
         "artifact": {"name": "lodash", "version": "4.17.20", "type": "npm", "locations": [{"path": "/app/package.json"}]}}
    ],
    "source": {"type": "image", "target": {"userInput": "app:1", "manifestDigest": DIGEST, "repoDigests": []}},
    "descriptor": {"name": "grype", "version": "0.100.0", "timestamp": ago(minutes=5),
                   "db": {"status": {"schemaVersion": "v6.1.0", "built": ago(hours=9), "valid": True}}},
}  # fmt: skip

BANDIT = {
    "errors": [], "generated_at": ago(minutes=1), "metrics": {"_totals": {"loc": 12}},
    "results": [
        {"code": "1 import subprocess", "filename": "./src/app.py", "issue_confidence": "HIGH", "issue_severity": "HIGH",
         "issue_text": "subprocess call with shell=True identified, security issue.", "line_number": 3, "test_id": "B602",
         "test_name": "subprocess_popen_with_shell_equals_true", "more_info": "https://bandit.readthedocs.io/"}
    ],
}  # fmt: skip

SECRET = "ghp_" + "Zk3vQ8" * 6
GITLEAKS = [
    {"RuleID": "github-pat", "Description": "A GitHub token", "StartLine": 4, "EndLine": 4, "Match": f"token = {SECRET}",
     "Secret": SECRET, "File": "src/app.py", "Commit": "c" * 40, "Email": "a@example.com", "Message": f"add {SECRET}",
     "Fingerprint": f"{'c' * 40}:src/app.py:github-pat:4"}
]  # fmt: skip


def sarif(*results: dict[str, Any], tool: str = "bandit", rules: tuple[dict[str, Any], ...] = (), **run: Any) -> dict[str, Any]:
    """A report with one run."""
    driver = {"name": tool, "rules": list(rules)}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]}


def result(rule: str, file: str = "src/app.py", line: int = 3, message: str = "bad", **more: Any) -> dict[str, Any]:
    place = {"physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": line}}}
    return {"ruleId": rule, "level": "error", "message": {"text": message}, "locations": [place], **more}


def govulncheck(file: str = "go.mod") -> dict[str, Any]:
    """Two advisories of one module: of the first the code calls a vulnerable function, of the second nothing."""
    frames = [{"module": "example.com/shop@"}, {"module": "golang.org/x/text@v0.3.5"}]
    called = "Your code calls vulnerable functions in 1 package (golang.org/x/text/language)."
    imported = "Your code imports 1 vulnerable package (golang.org/x/text/language), but doesn’t appear to call it."
    titles = {"GO-2021-0113": ["CVE-2021-38561", "GHSA-ppp9-7jff-5vj2"], "GO-2022-1059": ["CVE-2022-32149"]}
    rules = tuple(
        {"id": id_, "shortDescription": {"text": f"[{id_}] Denial of service"}, "properties": {"tags": tags}}
        for id_, tags in titles.items()
    )
    return sarif(
        result("GO-2021-0113", file, 1, called, stacks=[{"frames": frames}]),
        result("GO-2022-1059", file, 1, imported, level="warning"),
        tool="govulncheck",
        rules=rules,
    )


def written(folder: Path, name: str, document: Any) -> str:
    """Writes a report: JSON lines for the two forms of yarn, text and bytes as they are, anything else as JSON."""
    path = folder / name
    if isinstance(document, bytes):
        path.write_bytes(document)
    elif document in (YARN, BERRY) or (isinstance(document, tuple)):
        path.write_text("".join(json.dumps(line) + "\n" for line in document))
    else:
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    return name


def changed(document: Any, *path: str | int, to: Any) -> Any:
    """A copy of a report in which one value is another."""
    copied = copy.deepcopy(document)
    at = copied
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return copied
