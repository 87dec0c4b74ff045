"""Reads SARIF 2.1.0 of any scanner: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from cicd_actions.scan_gate.document import Unreadable, items, mapping, objects, text, texts, time, whole
from cicd_actions.scan_gate.formats.advisories import digests
from cicd_actions.scan_gate.formats.code import quiet
from cicd_actions.scan_gate.scan import SEVERITIES, Category, Reported, Scan, severity_of_score

_ADVISORY = re.compile(r"CVE-\d{4}-\d{4,19}|GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}|(?:PYSEC|RUSTSEC|OSV|MAL|GO)-\d{4}-\d{1,9}")

_PACKAGES = (
    # trivy, grype, osv-scanner: no property of SARIF says which package a result is about.
    re.compile(
        r"^Package: (?P<name>\S+)\nInstalled Version: (?P<version>\S+)(?:\n(?:.*\n){0,3}?Fixed Version: ?(?P<fixed>[^\n]*))?",
        re.MULTILINE,
    ),
    re.compile(r"in [a-z-]+ package: (?P<name>[^\s,]+), version (?P<version>\S+)(?P<fixed>)"),
    re.compile(r"Package '(?P<name>@?[^'@]+)@(?P<version>[^'@]+)' is vulnerable(?P<fixed>)"),
    # govulncheck, which names Go packages, or modules; a call stack has the module and its version.
    re.compile(
        r"(?:functions in|imports|depends on) \d+ (?:vulnerable )?(?:package|module)s? "
        r"\((?P<name>[^\s,()]+)(?P<version>)(?P<fixed>)"
    ),
)

_FILE = re.compile(r"file:(?://[^/]*)?(?=/)")
"""Before the path: `file:///`, with a host, or `file:/`, as Java writes it."""

_MOST_BASES = 10
"""Bases that a path may be relative to, one within the other."""

_LEVELS = {"error": "high", "warning": "medium", "note": "low", "none": "low"}
_SECRET_SCANNERS = {"gitleaks", "trufflehog", "detect-secrets"}
_NO_FAULT = {"pass", "notApplicable", "informational"}
"""Kinds of results that accuse nothing. `open` is none of them: the tool could not decide."""


def runs(document: dict[str, Any], path: str) -> Iterator[Scan]:
    """Yields a scan for each run. Raises `Unreadable`."""
    version = text(document.get("version"))
    if not version.startswith("2.1"):
        raise Unreadable(f"it is SARIF {version or 'without a version'}, and 2.1.0 is read")
    found = objects(document.get("runs"), "runs")
    if not found:
        raise Unreadable("it holds no run of a scanner")
    for run in found:
        driver = mapping(mapping(run.get("tool"), "runs[].tool").get("driver"), "tool.driver")
        scan = Scan(text(driver.get("name"), "tool.driver.name").lower(), path)
        _run(run, scan)
        yield scan


def _run(run: dict[str, Any], scan: Scan) -> None:
    _invocations(run, scan)
    properties = mapping(run.get("properties") or {}, "properties")
    if properties.get("repoDigests") is not None or properties.get("imageName") is not None:
        scan.of_image = True
        scan.images = digests([text(properties.get("imageName")), *texts(properties.get("repoDigests"), "repoDigests")])
    if mapping(run.get("externalPropertyFileReferences") or {}, "externalPropertyFileReferences").get("results"):
        scan.problems.append(f"{scan.scanner} wrote its results to other files, which are not read")
    if run.get("results") is None:
        # Section 3.14.23: null, or absent, where the scan did not get as far as results; empty where it found nothing.
        scan.problems.append(f"{scan.scanner} wrote no list of results: the scan did not finish")
    rules, files = _Rules(run), _Files(run)
    for number, result in enumerate(objects(run.get("results"), "results")):
        # Section 3.27.10: where the kind is another than `fail`, the level is `none`, also by default.
        harmless = text(result.get("kind")) in _NO_FAULT and text(result.get("level")) in {"", "none"}
        if not harmless and text(result.get("baselineState")) != "absent":
            scan.reported.append(_result(result, number, rules, files, scan))


def _invocations(run: dict[str, Any], scan: Scan) -> None:
    for one in objects(run.get("invocations"), "invocations"):
        scan.at = time(one.get("endTimeUtc")) or scan.at
        # Section 3.20.14: it has to be there.
        if one.get("executionSuccessful") is not True:
            why = text(one.get("exitCodeDescription")) or text(one.get("exitSignalName"))
            scan.problems.append(f"{scan.scanner} says that its run failed" + (f" ({why})" if why else ""))
        for key in ("toolExecutionNotifications", "toolConfigurationNotifications"):
            for told in objects(one.get(key), key):
                message = text(mapping(told.get("message") or {}, "message").get("text")) or "an error"
                if text(told.get("level")) == "error":
                    scan.problems.append(f"{scan.scanner}: {message}")
                elif text(told.get("level")) in {"warning", ""}:
                    scan.notes.append(f"{scan.scanner}: {message}")


class _Rules:
    """The rules of a run: those of the driver, and those of its extensions, where CodeQL has them."""

    def __init__(self, run: dict[str, Any]) -> None:
        tool = mapping(run.get("tool"), "tool")
        self._components = [mapping(tool.get("driver"), "driver"), *objects(tool.get("extensions"), "extensions")]
        self._lists = [objects(each.get("rules"), "rules") for each in self._components]
        self._by_id = {text(rule.get("id")): rule for rules in reversed(self._lists) for rule in rules}

    def of(self, result: dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
        """Returns the id and the rule of a result. Raises `Unreadable`."""
        reference = mapping(result.get("rule") or {}, f"{where}.rule")
        component = mapping(reference.get("toolComponent") or {}, "toolComponent").get("index", -1)
        rules = self._lists[component + 1] if isinstance(component, int) and -1 <= component < len(self._lists) - 1 else []
        index = reference.get("index", result.get("ruleIndex", -1))
        found = rules[index] if isinstance(index, int) and 0 <= index < len(rules) else {}
        id_ = text(result.get("ruleId")) or text(reference.get("id")) or text(found.get("id"))
        if not id_:
            raise Unreadable(f"`{where}.ruleId` is missing")
        return id_, found or self._by_id.get(id_, {})


class _Files:
    """The files of a run: their paths, and the folders that these are relative to."""

    def __init__(self, run: dict[str, Any]) -> None:
        self._bases = mapping(run.get("originalUriBaseIds") or {}, "originalUriBaseIds")
        self._artifacts = items(run.get("artifacts"), "artifacts")

    def path(self, location: dict[str, Any]) -> str:
        """Returns the path, from a root of the file system where the report says so. Sections 3.4 and 3.14.14."""
        index = location.get("index")
        if not location.get("uri") and isinstance(index, int) and 0 <= index < len(self._artifacts):
            location = mapping(mapping(self._artifacts[index], "artifacts[]").get("location") or {}, "location")
        uri = text(location.get("uri"))
        for _ in range(_MOST_BASES):
            base = mapping(self._bases.get(text(location.get("uriBaseId"))) or {}, "originalUriBaseIds")
            above = text(base.get("uri"))
            if not uri or not base or _FILE.match(uri):
                break
            uri, location = f"{above.rstrip('/')}/{uri}" if above else uri, base
        return unquote(_FILE.sub("", uri, count=1))


def _result(result: dict[str, Any], number: int, rules: _Rules, files: _Files, scan: Scan) -> Reported:
    where = f"results[{number}]"
    id_, rule = rules.of(result, where)
    id_ = id_.removeprefix(f"{scan.scanner}/")
    properties = mapping(rule.get("properties") or {}, "properties")
    told = mapping(result.get("message") or {}, f"{where}.message")
    message = text(told.get("text")) or _of_rule(rule, told)
    file, line = _place(result, where, files)
    prints = mapping(result.get("partialFingerprints") or result.get("fingerprints") or {}, "fingerprints")
    accepted = _accepted(objects(result.get("suppressions"), "suppressions"))
    common: dict[str, Any] = {"file": file, "line": line, "accepted": accepted, "url": text(rule.get("helpUri"))}
    tags_given = texts(properties.get("tags"), "tags")
    tags = {tag.lower() for tag in tags_given}
    if scan.scanner in _SECRET_SCANNERS or "secret" in tags:
        said = f"A secret was found by the rule {id_}"
        scan.mask(_snippet(result))
        return Reported(scan.scanner, Category.SECRET, (id_,), "secret", said, **common, part=text(prints.get("commitSha")))
    grade = _grade(result, rule, properties, tags)
    advisories = tuple(dict.fromkeys(_ADVISORY.findall(id_)))
    if advisories:
        # osv-scanner names the aliases in its message, govulncheck in the tags of the rule.
        more_names = _ADVISORY.findall(message) if "also known as" in message else []
        more_names += [tag for tag in tags_given if _ADVISORY.fullmatch(tag)]
        advisories = tuple(dict.fromkeys([*advisories, *more_names]))
    match = next((found for pattern in _PACKAGES if (found := pattern.search(text(told.get("text"))))), None)
    if advisories and match:
        fixed = tuple(version.strip() for version in (match["fixed"] or "").split(",") if version.strip())
        # Only the first of the three forms says what it is fixed in, also that there is nothing.
        fixable = bool(fixed) if match.re is _PACKAGES[0] and match["fixed"] is not None else None
        title = text(mapping(rule.get("shortDescription") or {}, "shortDescription").get("text")) or message
        name, version = _module(result) or (match["name"], match["version"])
        more: dict[str, Any] = {"package": name, "version": version, "fixed_in": fixed, "fixable": fixable}
        return Reported(scan.scanner, Category.DEPENDENCY, advisories, grade, title, **common, **more)
    own = "\0".join(f"{key}={text(value)}" for key, value in sorted(prints.items()))
    return Reported(scan.scanner, Category.CODE, (id_,), grade, quiet(id_, message), **common, print_=own)


def _of_rule(rule: dict[str, Any], told: dict[str, Any]) -> str:
    strings = mapping(rule.get("messageStrings") or {}, "messageStrings")
    named = mapping(strings.get(text(told.get("id"))) or {}, "messageStrings")
    return text(named.get("text")) or text(mapping(rule.get("shortDescription") or {}, "shortDescription").get("text"))


def _accepted(suppressions: list[dict[str, Any]]) -> str:
    """Returns why a result counts as accepted. One suppression that is rejected, under review or unclear leaves it open."""
    for one in suppressions:
        if text(one.get("kind")) not in {"inSource", "external"} or text(one.get("status")) not in {"", "accepted"}:
            return ""
    if not suppressions:
        return ""
    where = "in the source" if text(suppressions[0].get("kind")) == "inSource" else "outside of the source"
    return text(suppressions[0].get("justification")) or f"suppressed {where}"


def _grade(result: dict[str, Any], rule: dict[str, Any], properties: dict[str, Any], tags: set[str]) -> str:
    """Returns the score of the result, or of its rule; else its level. trivy names its severity among the tags, too."""
    own = mapping(result.get("properties") or {}, "properties")
    configured = mapping(rule.get("defaultConfiguration") or {}, "defaultConfiguration")
    scores = (severity_of_score(given.get("security-severity")) for given in (own, properties))
    level = _LEVELS.get(text(result.get("level")) or text(configured.get("level")) or "warning", "unknown")
    grade = next((word for word in scores if word != "unknown"), level)
    return min([grade, *(tag for tag in tags if tag in SEVERITIES[:3])], key=SEVERITIES.index)


def _snippet(result: dict[str, Any]) -> str:
    places = objects(result.get("locations"), "locations")
    region = mapping(mapping(places[0].get("physicalLocation") or {}, "").get("region") or {}, "") if places else {}
    return text(mapping(region.get("snippet") or {}, "snippet").get("text"))


def _module(result: dict[str, Any]) -> tuple[str, str] | None:
    """Returns the module and its version at the end of the first call stack, where there is one: that of the fault."""
    stacks = objects(result.get("stacks"), "stacks")
    frames = objects(stacks[0].get("frames"), "frames") if stacks else []
    name, at, version = text(frames[-1].get("module")).rpartition("@") if frames else ("", "", "")
    return (name, version) if at and name else None


def _place(result: dict[str, Any], where: str, files: _Files) -> tuple[str, int]:
    places = items(result.get("locations"), f"{where}.locations")
    if not places:
        return "", 0
    place = mapping(mapping(places[0], "locations[0]").get("physicalLocation") or {}, "physicalLocation")
    region = mapping(place.get("region") or {}, "region")
    return files.path(mapping(place.get("artifactLocation") or {}, "artifactLocation")), whole(region.get("startLine"))
