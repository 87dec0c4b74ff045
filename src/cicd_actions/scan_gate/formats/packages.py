"""Reads the audits of package managers: pip-audit, npm, pnpm, yarn classic and yarn berry."""

from __future__ import annotations

import re
from typing import Any

from cicd_actions.scan_gate.document import Lines, Unreadable, items, mapping, objects, present, text, texts, whole
from cicd_actions.scan_gate.scan import Category, Reported, Scan, severity

_ADVISORY = re.compile(r"GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}")


def pip_audit(document: Any, scan: Scan) -> None:
    """Reads `pip-audit --format json`, of 2.x (an object) and before (a list)."""
    found = document["dependencies"] if isinstance(document, dict) else document
    judged = 0
    for number, one in enumerate(present(found, "dependencies")):
        name = text(one.get("name"), f"dependencies[{number}].name")
        if text(one.get("skip_reason")):
            scan.notes.append(f"pip-audit skipped {name}: {text(one['skip_reason'])}.")
            continue
        judged += 1
        version = text(one.get("version"))
        for each in present(one.get("vulns"), f"dependencies[{number}].vulns"):
            id_ = text(each.get("id"), "vulns[].id")
            fixed = texts(each.get("fix_versions"), "fix_versions")
            scan.reported.append(
                Reported(
                    scan.scanner,
                    Category.DEPENDENCY,
                    (id_, *texts(each.get("aliases"), "aliases")),
                    "unknown",
                    _sentence(text(each.get("description"))),
                    package=name,
                    version=version,
                    fixed_in=fixed,
                    fixable=bool(fixed),
                )
            )
    if not judged:
        scan.problems.append("pip-audit judged no dependency")


def npm(document: dict[str, Any], scan: Scan) -> None:
    """Reads `npm audit --json` of npm 7 and newer."""
    metadata = mapping(document.get("metadata"), "metadata")
    if mapping(metadata.get("dependencies", {}), "metadata.dependencies").get("total") == 0:
        scan.problems.append("npm audited no dependency")
    for name, value in mapping(document.get("vulnerabilities"), "vulnerabilities").items():
        one = mapping(value, f"vulnerabilities.{name[:50]}")
        fix = one.get("fixAvailable")
        for each in items(one.get("via"), "via"):
            # A text names another entry, through which this one is vulnerable: that one has the advisory.
            if isinstance(each, str):
                continue
            via = mapping(each, "via[]")
            fixed = _fix(mapping(fix, "fixAvailable"), name) if isinstance(fix, dict) else ()
            scan.reported.append(
                Reported(
                    scan.scanner,
                    Category.DEPENDENCY,
                    _names(via, text(via.get("source"))),
                    severity(text(via.get("severity")) or text(one.get("severity"))),
                    text(via.get("title")),
                    package=text(via.get("name")) or text(name),
                    fixed_in=fixed,
                    fixable=None if fix is None else bool(fix),
                    url=text(via.get("url")),
                )
            )
    _hold_total(metadata, scan)


def npm6(document: dict[str, Any], scan: Scan) -> None:
    """Reads the form of npm 6: `pnpm audit --json`, and `yarn npm audit --json` of yarn 2 and 3."""
    for advisory in mapping(document.get("advisories"), "advisories").values():
        _advisory(mapping(advisory, "advisories[]"), scan)
    metadata = mapping(document.get("metadata"), "metadata")
    counts = [metadata[key] for key in ("totalDependencies", "dependencies") if isinstance(metadata.get(key), int)]
    if counts and not any(counts):
        scan.problems.append(f"{scan.scanner} audited no dependency")
    _hold_total(metadata, scan)


def yarn_lines(document: Lines, scan: Scan) -> None:
    """Reads `yarn audit --json` (yarn 1) and `yarn npm audit --json` (yarn 4): one object a line."""
    complete = False
    for number, value in enumerate(document):
        one = mapping(value, f"line {number + 1}")
        kind = one.get("type")
        if kind == "auditAdvisory":
            data = mapping(one.get("data"), "data")
            resolution = mapping(data.get("resolution", {}), "resolution")
            _advisory(mapping(data.get("advisory"), "advisory"), scan, dev=resolution.get("dev") is True)
        elif kind == "auditSummary":
            complete = True
            summary = mapping(one.get("data"), "data")
            if whole(summary.get("totalDependencies")) == 0:
                scan.problems.append("yarn audited no dependency")
            _hold_total(summary, scan)
        elif kind in {"error", "warning"}:
            said = text(one.get("data")) or "it reported an error"
            (scan.problems if kind == "error" else scan.notes).append(f"yarn: {said}")
        elif "value" in one and "children" in one:
            complete = True
            _berry(one, scan)
        elif kind == "info" and "No audit suggestions" in text(one.get("data")):
            complete = True
    if not complete:
        scan.problems.append("yarn's report ends before its summary")


def failure(document: dict[str, Any], scan: Scan) -> None:
    """Reads the object that npm and pnpm write instead of an audit that failed."""
    error = document.get("error")
    told = mapping(error, "error") if isinstance(error, dict) else {}
    words = [text(told.get(key)) for key in ("code", "summary", "message", "detail")]
    said = ": ".join(dict.fromkeys(word for word in words if word)) or text(error) or text(document.get("message"))
    scan.problems.append(f"the audit failed ({said})" if said else "the audit failed")


def _berry(one: dict[str, Any], scan: Scan) -> None:
    each = mapping(one["children"], "children")
    id_ = text(each.get("ID"), "children.ID")
    if id_.endswith(" (deprecation)"):
        # yarn 4 lists deprecated packages among the vulnerable ones, with a severity and without an advisory.
        scan.notes.append(f"yarn: {text(one['value'], 'value')} is deprecated: {text(each.get('Issue'))}")
        return
    scan.reported.append(
        Reported(
            scan.scanner,
            Category.DEPENDENCY,
            _names({"url": each.get("URL")}, id_),
            severity(text(each.get("Severity"))),
            text(each.get("Issue")),
            package=text(one["value"], "value"),
            version=", ".join(texts(each.get("Tree Versions"), "Tree Versions")),
            url=text(each.get("URL")),
        )
    )


def _advisory(one: dict[str, Any], scan: Scan, *, dev: bool = False) -> None:
    patched = text(one.get("patched_versions"))
    # npm writes this range, which no version is in, where there is no patch.
    fixable = None if not patched else patched != "<0.0.0"
    found = objects(one.get("findings"), "findings")
    scan.reported.append(
        Reported(
            scan.scanner,
            Category.DEPENDENCY,
            (*_names(one, text(one.get("id"))), *texts(one.get("cves"), "cves")),
            severity(text(one.get("severity"))),
            text(one.get("title")),
            package=text(one.get("module_name"), "module_name"),
            version=", ".join(dict.fromkeys(version for each in found if (version := text(each.get("version"))))),
            fixed_in=(patched.removeprefix(">="),) if fixable else (),
            fixable=fixable,
            deployed=not dev and not (found and all(each.get("dev") is True for each in found)),
            url=text(one.get("url")),
        )
    )


def _names(advisory: dict[str, Any], number: str) -> tuple[str, ...]:
    """Returns the ids of an advisory of npm's registry: GitHub's where it is named, else npm's number."""
    given = text(advisory.get("github_advisory_id"))
    match = _ADVISORY.search(given or text(advisory.get("url")))
    if match:
        return (match[0],)
    if not number:
        raise Unreadable("an advisory has neither `url` nor an id")
    return (f"npm-{number}",)


def _fix(fix: dict[str, Any], package: str) -> tuple[str, ...]:
    """Returns the version that npm would install; of another package where the fix is in what depends on this one."""
    name, version = text(fix.get("name")), text(fix.get("version"))
    return (version if name in {"", package} else f"{name} {version}",)


def _hold_total(metadata: dict[str, Any], scan: Scan) -> None:
    """Notes a report that counts vulnerabilities and lists none: something between the registry and here cut it."""
    counts = metadata.get("vulnerabilities")
    total = sum(whole(value) for key, value in counts.items() if key != "total") if isinstance(counts, dict) else 0
    if total and not scan.reported:
        scan.problems.append(f"{scan.scanner} counts {total} vulnerabilities, and lists none")


def _sentence(description: str) -> str:
    """Returns the first paragraph of a description."""
    return re.split(r"\n\s*\n", description.lstrip("# \n"))[0][:300].replace("\n", " ")
