"""Reads scanners of lock files and images: osv-scanner, trivy, grype."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cicd_actions.scan_gate.document import Unreadable, items, mapping, objects, present, text, texts, time, whole
from cicd_actions.scan_gate.identity import package_name
from cicd_actions.scan_gate.scan import Category, Reported, Scan, severity, severity_of_score

_TEST_GROUPS = {"dev", "develop", "development", "test", "tests", "lint", "docs"}


def osv(document: dict[str, Any], scan: Scan) -> None:
    """Reads `osv-scanner --format json`."""
    results = present(document.get("results"), "results")
    if not results:
        scan.notes.append("osv-scanner's report is the same where it found nothing and where it scanned nothing.")
    for result in results:
        source = mapping(result.get("source", {}), "source")
        for package in objects(result.get("packages"), "packages"):
            _osv_package(package, text(source.get("path")), scan)


def _osv_package(entry: dict[str, Any], file: str, scan: Scan) -> None:
    package = mapping(entry.get("package"), "package")
    name = text(package.get("name")) or text(package.get("commit"), "package.name")
    known = {
        text(one.get("id"), "vulnerabilities[].id"): one for one in objects(entry.get("vulnerabilities"), "vulnerabilities")
    }
    groups = objects(entry.get("groups"), "groups") or [{"ids": [id_]} for id_ in known]
    uses = {group.lower() for group in texts(entry.get("dependency_groups"), "dependency_groups")}
    for group in groups:
        ids = texts(group.get("ids"), "groups[].ids")
        members = [known[id_] for id_ in ids if id_ in known]
        if members and len(members) == len(ids) and all(time(one.get("withdrawn")) for one in members):
            scan.notes.append(f"osv-scanner: {', '.join(ids)} of {name} was withdrawn.")
            continue
        names = [*ids, *texts(group.get("aliases"), "aliases")]
        names += [alias for one in members for alias in texts(one.get("aliases"), "aliases")]
        if not names:
            raise Unreadable("`groups[].ids` is missing")
        events = list(_osv_events(members, name))
        fixed = tuple(dict.fromkeys(text(event["fixed"]) for event in events if event.get("fixed")))
        # Later versions than the last affected one are fixed, too; without ranges nothing is said.
        ends = bool(fixed) or any(event.get("last_affected") for event in events)
        scan.reported.append(
            Reported(
                scan.scanner,
                Category.DEPENDENCY,
                tuple(dict.fromkeys(names)),
                _osv_severity(members, text(group.get("max_severity"))),
                next((said for one in members if (said := text(one.get("summary")))), ""),
                file=file,
                package=name,
                version=text(package.get("version")),
                fixed_in=fixed,
                fixable=ends if events else None,
                deployed=not uses or not uses <= _TEST_GROUPS,
            )
        )


def _osv_severity(members: list[dict[str, Any]], score: str) -> str:
    words = [severity_of_score(score)]
    words += [severity(text(mapping(one.get("database_specific") or {}, "").get("severity"))) for one in members]
    return next((word for word in words if word != "unknown"), "unknown")


def _osv_events(members: list[dict[str, Any]], name: str) -> Iterable[dict[str, Any]]:
    """Yields where versions of the package begin and end to be affected."""
    for one in members:
        for affected in objects(one.get("affected"), "affected"):
            of = text(mapping(affected.get("package") or {}, "affected[].package").get("name"))
            if package_name(of) in {package_name(name), ""}:
                for range_ in objects(affected.get("ranges"), "ranges"):
                    if range_.get("type") != "GIT":
                        yield from objects(range_.get("events"), "events")


_FIXABLE = {"fixed": True, "affected": False, "will_not_fix": False, "fix_deferred": False, "end_of_life": False}


def trivy(document: dict[str, Any], scan: Scan) -> None:
    """Reads `trivy --format json`, of images, folders and file systems."""
    scan.at = time(document.get("CreatedAt"))
    metadata = mapping(document.get("Metadata") or {}, "Metadata")
    scan.of_image = text(document.get("ArtifactType")) == "container_image"
    if scan.of_image:
        scan.images = digests([text(document.get("ArtifactName")), *texts(metadata.get("RepoDigests"), "RepoDigests")])
    results = objects(document.get("Results"), "Results")
    if not results:
        why = "no operating system's packages, no lock file; for secrets alone write `--format sarif`, which lists none"
        scan.problems.append(f"trivy found nothing that it can scan ({why})")
    system = mapping(metadata.get("OS") or {}, "Metadata.OS")
    if system.get("EOSL") is True:
        name = f"{text(system.get('Family'))} {text(system.get('Name'))}".strip()
        said = f"{name} gets no security updates any longer, so its packages have no fixes to wait for"
        scan.reported.append(
            Reported(scan.scanner, Category.CODE, ("end-of-life-os",), "high", said, print_=name, fixable=True)
        )
    for result in results:
        target = "" if scan.of_image and text(result.get("Class")) == "os-pkgs" else text(result.get("Target"))
        for one in objects(result.get("Vulnerabilities"), "Vulnerabilities"):
            scan.reported.append(_trivy_vulnerability(one, target, scan))
        for one in objects(result.get("Misconfigurations"), "Misconfigurations"):
            if text(one.get("Status")) in {"FAIL", ""}:
                lines = mapping(one.get("CauseMetadata") or {}, "CauseMetadata")
                place = (target, whole(lines.get("StartLine")))
                scan.reported.append(_trivy_rule(one, "ID", Category.CODE, place, scan, text(one.get("Message"))))
        for one in objects(result.get("Licenses"), "Licenses"):
            # trivy lists every license; low ones are permissive.
            if severity(text(one.get("Severity"))) != "low":
                scan.reported.append(_trivy_license(one, target, scan))
        for one in objects(result.get("Secrets"), "Secrets"):
            place = (target, whole(one.get("StartLine")))
            scan.reported.append(_trivy_rule(one, "RuleID", Category.SECRET, place, scan))


def _trivy_vulnerability(one: dict[str, Any], target: str, scan: Scan) -> Reported:
    fixed = tuple(version.strip() for version in text(one.get("FixedVersion")).split(",") if version.strip())
    return Reported(
        scan.scanner,
        Category.DEPENDENCY,
        (text(one.get("VulnerabilityID"), "VulnerabilityID"), *texts(one.get("VendorIDs"), "VendorIDs")),
        severity(text(one.get("Severity"))),
        text(one.get("Title")) or text(one.get("Description"))[:300],
        file=target,
        package=text(one.get("PkgName"), "PkgName"),
        version=text(one.get("InstalledVersion")),
        fixed_in=fixed,
        fixable=True if fixed else _FIXABLE.get(text(one.get("Status")), False),
        url=text(one.get("PrimaryURL")),
    )


def _trivy_rule(
    one: dict[str, Any], key: str, category: Category, place: tuple[str, int], scan: Scan, said: str = ""
) -> Reported:
    grade = "secret" if category is Category.SECRET else severity(text(one.get("Severity")))
    title = text(one.get("Title")) or text(one.get(key))
    message = f"{title}: {said}" if said else title
    rule = text(one.get(key), key)
    return Reported(scan.scanner, category, (rule,), grade, message, *place, url=text(one.get("PrimaryURL")))


def _trivy_license(one: dict[str, Any], target: str, scan: Scan) -> Reported:
    name, owner = text(one.get("Name"), "Licenses[].Name"), text(one.get("PkgName")) or text(one.get("FilePath"))
    said = f"{owner or target} has the license {name} ({text(one.get('Category')) or 'of an unknown category'})"
    grade = severity(text(one.get("Severity")))
    return Reported(scan.scanner, Category.CODE, (f"license:{name}",), grade, said, target, print_=owner)


def trivy_version(document: dict[str, Any], scan: Scan) -> None:
    """Reads `trivy version --format json`: when the database of trivy's other reports was built."""
    database = mapping(document.get("VulnerabilityDB") or {}, "VulnerabilityDB")
    scan.judges = False
    scan.database = time(database.get("UpdatedAt"))
    if scan.database is None:
        scan.problems.append("trivy has no vulnerability database")


_STATES = {"fixed": True, "not-fixed": False, "wont-fix": False}


def grype(document: dict[str, Any], scan: Scan) -> None:
    """Reads `grype --output json`, with the database of schema 5 or 6."""
    descriptor = mapping(document.get("descriptor"), "descriptor")
    scan.at = time(descriptor.get("timestamp"))
    database = mapping(descriptor.get("db") or {}, "descriptor.db")
    status = mapping(database.get("status") or database, "descriptor.db.status")
    scan.database = time(status.get("built"))
    if status.get("error") or status.get("valid") is False or scan.database is None:
        scan.problems.append("grype had no valid vulnerability database")
    source = mapping(document.get("source") or {}, "source")
    scan.of_image = text(source.get("type")) == "image"
    target = source.get("target")
    if scan.of_image and isinstance(target, dict):
        named = [text(target.get("userInput")), f"@{text(target.get('manifestDigest'))}"]
        scan.images = digests([*named, *texts(target.get("repoDigests"), "repoDigests")])
    for one in present(document.get("matches"), "matches"):
        _grype_match(one, scan)


def _grype_match(one: dict[str, Any], scan: Scan) -> None:
    found, artifact = mapping(one.get("vulnerability"), "vulnerability"), mapping(one.get("artifact"), "artifact")
    fix = mapping(found.get("fix") or {}, "fix")
    fixed = texts(fix.get("versions"), "fix.versions")
    related = [text(each.get("id")) for each in objects(one.get("relatedVulnerabilities"), "relatedVulnerabilities")]
    kind, places = text(artifact.get("type")), items(artifact.get("locations"), "locations")
    file = text(mapping(places[0], "locations[0]").get("path")) if places else ""
    scan.reported.append(
        Reported(
            scan.scanner,
            Category.DEPENDENCY,
            tuple(dict.fromkeys([text(found.get("id"), "vulnerability.id"), *filter(None, related)])),
            severity(text(found.get("severity"))),
            text(found.get("description"))[:300],
            file="" if scan.of_image and kind in {"deb", "rpm", "apk", "alpm", "portage"} else file,
            package=text(artifact.get("name"), "artifact.name"),
            version=text(artifact.get("version")),
            fixed_in=fixed,
            fixable=True if fixed else _STATES.get(text(fix.get("state"))),
            url=text(found.get("dataSource")),
        )
    )


def digests(references: Iterable[str]) -> frozenset[str]:
    """Returns the digests in references such as `ghcr.io/org/app@sha256:…`."""
    return frozenset(
        digest
        for _, at, digest in (reference.rpartition("@") for reference in references)
        if at and digest.startswith("sha256:") and len(digest) == 71
    )
