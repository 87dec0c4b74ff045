"""Renders the job summary of a gate: each bad target explained, the tables, and what a pass proves."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cicd_actions.health_gate.advice import usual_cause
from cicd_actions.health_gate.evidence import counted, deciding, healthy_after, names, relapsed, seen_version, standing, times
from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.health_gate.history import LEGEND, listed, wrong_count
from cicd_actions.health_gate.judge import MISSED
from cicd_actions.toolkit.printable import shortened
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Inline, Paragraph, Strong, Table
from cicd_actions.toolkit.verdict import Verdict

MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.INCONCLUSIVE: "⚠️"}

EXPLAINED = 10
"""Targets that are explained above the table; the findings and the JSON report explain them all."""

TIMELINES = 60
"""Targets whose timeline is drawn; the JSON report has them all."""


def blocks(ordered: Sequence[Watched], gate: Gate) -> list[Block]:
    """Returns the blocks of the summary, for targets that are sorted worst first."""
    made: list[Block] = []
    for each in ordered[:EXPLAINED]:
        if each.verdict is not Verdict.PASS and each.history.last is not None:
            made += _explained(each, gate)
    head = ("target", "verdict", "last answer", "version", "probes", "addresses", "healthy after")
    rows: list[Sequence[Inline]] = [_row(each) for each in ordered]
    made.append(Table(head, rows))
    drawn = [each for each in ordered if each.history.runs][:TIMELINES]
    if drawn:
        made.append(
            Table(
                ("target", "timeline", "answers"),
                [(each.target.name, each.history.strip(), each.history.line()) for each in drawn],
            )
        )
        made.append(Paragraph(LEGEND))
    return made + [Paragraph(text) for text in _proofs(ordered, gate)]


def _proofs(ordered: Sequence[Watched], gate: Gate) -> list[str]:
    """What the pass of the gate proves about the replicas of its targets; nothing of a gate that did not pass."""
    if gate.verdict is not Verdict.PASS or gate.cancelled_by is not None:
        return []
    proofs: list[str] = []
    whole: list[Watched] = []
    for each in ordered:
        if turned := relapsed(each):
            proofs.append(f"{each.target.name}: right answers turned wrong at {turned} before it passed.")
        if each.judge.revoked and (after := healthy_after(each)) is not None:
            lost = f"lost its pass {times(each.judge.revoked)} while the gate waited for other targets"
            proofs.append(f"{each.target.name}: {lost}, and passed again at {after:.1f} s.")
        if each.verdict is not Verdict.PASS or not each.history.peers:
            continue
        if each.target.rules.replicas > 1:
            streak = f"{each.judge.streak} connections in a row, {counted(len(each.history.peers), 'address', 'addresses')}"
            missed = f"The chance that they missed one of the `replicas` is at most {MISSED:.1%}."
            proofs.append(f"{each.target.name}: {streak}. {missed}")
        elif each.judge.unreached:
            proofs.append(f"{each.target.name}: every address that accepted a connection answered right.")
        else:
            whole.append(each)
    if whole:
        named = "" if all(each in whole for each in ordered) else f" for {names(whole)}"
        proofs.append(
            f"Every address that DNS named{named} answered right. Behind a load balancer that proves one replica: set"
            " `replicas` to how many there are."
        )
    return proofs


def _explained(each: Watched, gate: Gate) -> list[Block]:
    run = deciding(each) or each.history.runs[-1]
    blocks: list[Block] = [
        Paragraph((Strong(each.target.name), f" ({quoted(each.target.place)}): {_copyable(standing(each, gate), each)}"))
    ]
    if run.last.excerpt:
        blocks.append(CodeBlock(run.last.excerpt))
    cause = usual_cause(each.target, run.last)
    if cause and not (each.verdict is Verdict.INCONCLUSIVE and each.judge.streak):
        blocks.append(Paragraph(f"Usually: {cause}"))
    return blocks


def quoted(text: str) -> str:
    """Returns text that is shown as code, which can be copied as it is."""
    return f"`{text}`" if text and "`" not in text else text


def _copyable(text: str, each: Watched) -> str:
    """Returns the text with the target's own version and whole commits quoted."""
    wanted = re.escape(each.target.expectations.version)
    return re.sub(rf"(?:(?<=version ){wanted}|(?<![\w`.-])[0-9a-f]{{40}})(?![\w`…-])", r"`\g<0>`", text) if wanted else text


def _row(each: Watched) -> Sequence[Inline]:
    run = deciding(each)
    verdict = f"{MARKS[each.verdict]} {each.verdict}" + ("" if each.target.critical else " (not critical)")
    after = healthy_after(each)
    healthy = "–" if after is None else f"{after:.1f} s"
    came = shortened(run.last.came, 120) if run else "not probed"
    return (
        Strong(each.target.name),
        verdict,
        _copyable(came, each),
        Code(shortened(seen_version(each) or "", 60)),
        str(each.judge.probes),
        _addresses(each),
        healthy,
    )


def _addresses(each: Watched) -> str:
    """How often each address answered: `10.0.0.7 ×9, 10.0.0.9 ×8`."""
    several = len(each.history.peers) > 1
    counts = [
        f"{name} ×{peer.probes}{f' ({wrong})' if several and (wrong := wrong_count(peer)) else ''}"
        for name, peer in sorted(each.history.peers.items())
    ]
    unreached = each.judge.unreached
    said = [f"unreached: {listed(unreached)}"] if unreached else []
    return "; ".join([*([listed(counts)] if counts else []), *said]) or "–"
