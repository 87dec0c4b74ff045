"""Renders the report for people: what is out of date and how to fix it, what the change breaks and the compatible way."""

from __future__ import annotations

from collections.abc import Sequence

from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, Heading, Inline, Paragraph, Strong, Table
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_openapi_client import acknowledge
from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.breaking.rules import Effect
from cicd_actions.verify_openapi_client.judgement import Judgement, files
from cicd_actions.verify_openapi_client.levels import Level
from cicd_actions.verify_openapi_client.overview import Overview

DIFF_LINES = 200
_IN_FULL = 25
_MOST_NAMES = 40
_MOST_ENTRIES = 100


def headline(judgement: Judgement) -> str:
    """Returns one sentence that sums the result up."""
    parts: list[str] = []
    if judgement.drift.unstable:
        parts.append("Two generations of the client differ, so it is unknown whether the one in git is up to date")
    elif judgement.drift:
        state = "was out of date and has been regenerated" if judgement.fixed else "is out of date"
        parts.append(f"The client {state} ({files(judgement.drift)})")
    else:
        parts.append("The client in git is the client this backend generates")
    for effect, name in (
        (Effect.BREAKING, "change that breaks callers"),
        (Effect.GENERATED_SYMBOL, "change of generated names"),
    ):
        count = len(judgement.open(effect))
        if count:
            parts.append(f"{count} {name if count == 1 else name.replace('change', 'changes', 1).replace('breaks', 'break')}")
    if judgement.compared.skipped:
        parts.append("breaking changes were not checked")
    return "; ".join(parts) + "."


def blocks(judgement: Judgement, patch: str) -> list[Block]:
    """Returns the report's body, the worst first."""
    return [*_drift(judgement, patch), *_changes(judgement), *_overview(judgement), *_remarks(judgement)]


def _drift(judgement: Judgement, patch: str) -> list[Block]:
    drift = judgement.drift
    if not drift:
        return []
    if drift.unstable:
        lines = dict(drift.first_lines)
        rows = [(Code(name), str(lines.get(name, ""))) for name in drift.unstable[:_MOST_NAMES]]
        return [
            Heading("The generator is not deterministic"),
            Paragraph("The generator made two different clients from the same document."),
            Table(("file", "first line that differs"), rows),
            *_diff(patch),
        ]
    found: list[Block] = [
        Heading("The client was regenerated" if judgement.fixed else "The client is out of date"),
        Table(
            ("file", "what"),
            [(Code(file.path), f"{file.kind}{f' (was {file.was})' if file.was else ''}") for file in drift.files[:_MOST_NAMES]],
        ),
    ]
    if len(drift.files) > _MOST_NAMES:
        found.append(Paragraph(f"… and {len(drift.files) - _MOST_NAMES} more files."))
    for cause in judgement.causes:
        found += [Paragraph((Strong("Cause: " if cause.certain else "Probable cause: "), cause.message)), CodeBlock(cause.fix)]
    if judgement.touched:
        found.append(Paragraph(("The client's difference is in: ", _names(judgement.touched))))
    if judgement.fixed:
        found.append(Paragraph("Commit the regenerated files."))
    elif not (judgement.causes and judgement.causes[0].certain):
        found += [Paragraph("This command fixes it:"), CodeBlock(judgement.fix_command, "sh")]
    return [*found, *_diff(patch)]


def _diff(patch: str) -> list[Block]:
    lines = patch.splitlines()
    more = len(lines) - DIFF_LINES
    text = "\n".join(lines[:DIFF_LINES]) + (f"\n… {more} more lines in the output `patch`" if more > 0 else "")
    return [Details("The difference", [CodeBlock(text, "diff")])] if lines else []


def _names(overview: Overview) -> str:
    labels = [label for label, _ in (*overview.operations, *overview.schemas)]
    more = f" and {len(labels) - _MOST_NAMES} more" if len(labels) > _MOST_NAMES else ""
    return ", ".join(labels[:_MOST_NAMES]) + more


def _overview(judgement: Judgement) -> list[Block]:
    overview = judgement.compared.overview
    if not overview:
        return []
    found: list[Block] = [Heading("What changed in the API"), Paragraph(f"Compared with {judgement.compared.origin}.")]
    rows: list[Sequence[Inline]] = [("operation", Code(label), what) for label, what in overview.operations]
    rows += [("schema", Code(label), what) for label, what in overview.schemas]
    table = Table(("kind", "name", "what"), rows)
    return [*found, table if len(rows) <= _MOST_NAMES else Details(f"{len(rows)} changes", [table])]


def _changes(judgement: Judgement) -> list[Block]:
    found: list[Block] = []
    for effect, title in (
        (Effect.BREAKING, "Changes that break callers"),
        (Effect.GENERATED_SYMBOL, "Changes that break code with generated names"),
    ):
        groups = grouped(judgement.open(effect))
        if groups:
            found.append(Heading(title))
            for group in groups[:_IN_FULL]:
                found += _group(group)
        if len(groups) > _IN_FULL:
            rows: list[Sequence[Inline]] = [
                (group[0].what, _operations(group), Code(group[0].rule.id), Code(group[0].fingerprint))
                for group in groups[_IN_FULL:]
            ]
            found.append(Details(f"{len(rows)} more", [Table(("what", "operations", "rule", "fingerprint"), rows)]))
    found += _acceptance(judgement)
    rulings = [(change, judgement.ruling(change)) for change in judgement.compared.changes]
    accepted = [(change.what, _operations([change]), one.reason, one.until) for change, one in rulings if one.reason]
    if accepted:
        found.append(Details(f"{len(accepted)} accepted", [Table(("what", "operations", "reason", "until"), accepted)]))
    off = len([change for change, one in rulings if one.level is Level.OFF])
    if off:
        found.append(Paragraph(f"The input `rules` turns {off} {'change' if off == 1 else 'changes'} off."))
    return found


def grouped(changes: Sequence[Change]) -> list[list[Change]]:
    """Returns the changes by their cause: what is the same change of several operations stands together."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.rule.id, change.what), []).append(change)
    return list(groups.values())


def _group(group: Sequence[Change]) -> list[Block]:
    first = group[0]
    where = f"{first.pointer}{' (in the base)' if first.in_base else ''}"
    more = f", and at {len(group) - 1} more places" if len(group) > 1 else ""
    operations = _operations(group)
    sunset = f" It was deprecated, but its `x-sunset` is {first.sunset}." if first.deprecated and first.sunset else ""
    return [
        Paragraph((Strong(first.what), f" {operations}" if operations else "")),
        Bullets(
            (
                f"Breaks {first.rule.whom}: {first.rule.why}{sunset}",
                f"Instead: {first.rule.compatibly}",
                ("Rule ", Code(first.rule.id), " at ", Code(where), more, ", fingerprint ", Code(first.fingerprint)),
            )
        ),
    ]


def _acceptance(judgement: Judgement) -> list[Block]:
    """The entries to paste for accepting what fails."""
    failing = [change for effect in Effect for change in judgement.open(effect) if judgement.fails(change)]
    if not failing:
        return []
    entries = "\n".join(acknowledge.entry(change.fingerprint, change.what) for change in failing[:_MOST_ENTRIES])
    file = judgement.acknowledge_file or "accepted-changes.yaml"
    how = f"To accept these changes, add the entries to `{file}`, and write why callers may be broken."
    blocks: list[Block] = [Paragraph(how), CodeBlock(entries, "yaml")]
    if not judgement.acknowledge_file:
        blocks += [Paragraph("Then name the file:"), CodeBlock(f"acknowledge: {file}", "yaml")]
    return [Details("Accept these changes", blocks)]


def _operations(group: Sequence[Change]) -> str:
    all_ = list(dict.fromkeys(operation for change in group for operation in change.operations))
    names = ", ".join(all_[:5])
    return f"{names} and {len(all_) - 5} more" if len(all_) > 5 else names


def _remarks(judgement: Judgement) -> list[Block]:
    texts: list[Inline] = []
    if judgement.compared.skipped:
        texts.append(f"Could not check for breaking changes: {judgement.compared.skipped}.")
    now = {change.fingerprint for change in judgement.compared.changes}
    for one in judgement.acknowledged:
        if one.fingerprint in now and not one.holds(judgement.today):
            texts.append(f"The acknowledgement of {one.fingerprint} ended on {one.expires}.")
        elif one.fingerprint not in now and not judgement.compared.skipped:
            texts.append(f"The acknowledgement of {one.fingerprint} no longer matches a change: remove it.")
    if judgement.verdict is Verdict.PASS and not texts and not judgement.drift and not judgement.compared.changes:
        return []
    found: list[Block] = [Bullets(texts)] if texts else []
    return [*found, *([CodeBlock(judgement.compared.fix)] if judgement.compared.fix and judgement.compares else [])]
