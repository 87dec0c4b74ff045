"""The report for people: what is out of date and how to mend it, what the change breaks and how to do it otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, Heading, Inline, Paragraph, Strong, Table
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.breaking.rules import Effect
from cicd_actions.verify_openapi_client.judgement import Judgement, files
from cicd_actions.verify_openapi_client.overview import Overview

DIFF_LINES = 200
_IN_FULL = 25
_MOST_NAMES = 40


def headline(judgement: Judgement) -> str:
    """One sentence: what came out."""
    parts: list[str] = []
    if judgement.drift.unstable:
        parts.append("Two generations of the client differ, so it cannot be told whether the one in git is up to date")
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
        parts.append("breaking changes were not looked for")
    return "; ".join(parts) + "."


def blocks(judgement: Judgement, patch: str) -> list[Block]:
    """The report's body."""
    return [*_drift(judgement, patch), *_overview(judgement), *_changes(judgement), *_remarks(judgement)]


def _drift(judgement: Judgement, patch: str) -> list[Block]:
    drift = judgement.drift
    if not drift:
        return []
    if drift.unstable:
        lines = dict(drift.first_lines)
        rows = [(Code(name), str(lines.get(name, ""))) for name in drift.unstable[:_MOST_NAMES]]
        return [
            Heading("The generator is not deterministic"),
            Paragraph("The client was generated twice from the same document, with two results."),
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
        found += [Paragraph("One command mends it:"), CodeBlock(judgement.mend, "sh")]
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
        listed = judgement.open(effect)
        if listed:
            found.append(Heading(title))
            for change in listed[:_IN_FULL]:
                found += _change(change)
        if len(listed) > _IN_FULL:
            rows: list[Sequence[Inline]] = [
                (change.what, _operations(change), Code(change.rule.id), Code(change.fingerprint))
                for change in listed[_IN_FULL:]
            ]
            found.append(Details(f"{len(rows)} more", [Table(("what", "operations", "rule", "fingerprint"), rows)]))
    accepted = [
        (change.what, _operations(change), one.reason, str(one.expires or ""))
        for change in judgement.compared.changes
        if (one := judgement.accepted(change)) is not None
    ]
    if accepted:
        found.append(Details(f"{len(accepted)} accepted", [Table(("what", "operations", "reason", "until"), accepted)]))
    return found


def _change(change: Change) -> list[Block]:
    rule = change.rule
    where = f"{change.pointer}{' (in the base)' if change.in_base else ''}"
    operations = _operations(change)
    return [
        Paragraph((Strong(change.what), f" {operations}" if operations else "")),
        Bullets(
            (
                f"Breaks {rule.whom}: {rule.why}",
                f"Instead: {rule.compatibly}",
                ("Rule ", Code(rule.id), " at ", Code(where), ", fingerprint ", Code(change.fingerprint)),
            )
        ),
    ]


def _operations(change: Change) -> str:
    names = ", ".join(change.operations[:5])
    return f"{names} and {len(change.operations) - 5} more" if len(change.operations) > 5 else names


def _remarks(judgement: Judgement) -> list[Block]:
    texts: list[Inline] = []
    if judgement.compared.skipped:
        texts.append(f"What the change breaks was not looked at: {judgement.compared.skipped}.")
    now = {change.fingerprint for change in judgement.compared.changes}
    for one in judgement.acknowledged:
        if one.fingerprint in now and not one.holds(judgement.today):
            texts.append(f"The acknowledgement of {one.fingerprint} ended on {one.expires}.")
        elif one.fingerprint not in now and not judgement.compared.skipped:
            texts.append(f"The acknowledgement of {one.fingerprint} is of no change any more: remove it.")
    if judgement.verdict is Verdict.PASS and not texts and not judgement.drift and not judgement.compared.changes:
        return []
    return [Bullets(texts)] if texts else []
