"""What is said at the end of a rollback, whichever end it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cicd_actions.engines.protocol import RollOutFailed, Running
from cicd_actions.roll_out.action import evidence_blocks
from cicd_actions.rollback_to_previous_sha import by_hand
from cicd_actions.rollback_to_previous_sha.course import Course
from cicd_actions.rollback_to_previous_sha.plan import Plan
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Heading, OutputValue, Paragraph, Report, Strong, Table
from cicd_actions.toolkit.verdict import Verdict

ASKING = 15.0
"""Seconds to ask what runs now, after something went wrong."""


def write_plan(course: Course, plan: Plan) -> Path:
    """The plan as a JSON file that later steps may read."""
    path = course.runtime.place(course.inputs.plan_file or course.runtime.scratch / "rollback-plan.json", input="plan-file")
    text = json.dumps(plan.as_json(), indent=2, ensure_ascii=False)
    try:
        path.write_text(course.runtime.redactor(text) + "\n", "utf-8", errors="replace")
    except OSError as error:
        raise UnusableInput(
            f"The plan could not be written to {path}: {error.strerror}.",
            fix="    with:\n      plan-file: ${{ runner.temp }}/rollback-plan.json",
        ) from None
    return path


def planned(course: Course, plan: Plan, path: Path) -> Report:
    """A dry run."""
    headline = f"Dry run: {plan.environment} would go back to {plan.to.sha[:12]}. Nothing was changed."
    if plan.unverified and not course.inputs.allow_unverified:
        headline += " It would be refused, because something could not be checked; see below."
    outputs = _outputs(course, Verdict.PASS, headline) | {"plan": str(path)}
    return Report(Verdict.PASS, headline, outputs, blocks=plan.blocks())


def ended(course: Course, plan: Plan, path: Path, judged: Report, unrecorded: ActionError | None) -> Report:
    """All services are back, and the gate has judged them."""
    verdict = judged.verdict
    seconds = max((each.seconds for each in course.arrived.values()), default=0.0)
    back = f"{plan.environment} is back on {plan.to.sha[:12]}"
    findings = [
        Finding("rollback-to-previous-sha/note", Severity.WARNING, f"{service}: {note}")
        for service, arrived in course.arrived.items()
        for note in arrived.notes
    ]
    blocks: list[Block] = []
    if verdict is Verdict.PASS:
        headline = f"{back}, which passed its gate again."
    else:
        word = "did not pass its gate either" if verdict is Verdict.FAIL else "could not be gated"
        headline = f"{back}, which {word}: {judged.headline}"
        findings.append(Finding("rollback-to-previous-sha/gate", Severity.ERROR, headline))
    if unrecorded is not None:
        headline += f" It is not recorded: {unrecorded.what}"
        findings.append(
            Finding("rollback-to-previous-sha/record", Severity.ERROR, unrecorded.what, fix=_recording(course, plan))
        )
        verdict = Verdict.INCONCLUSIVE if verdict is Verdict.PASS else verdict
    blocks += [Paragraph([Strong("Longest way back: "), f"{seconds:.1f} s."]), *plan.blocks()]
    blocks += [Heading("The gate"), *judged.blocks]
    outputs = _outputs(course, verdict, headline) | {"rolled-back": True, "plan": str(path)}
    return Report(verdict, headline, outputs, findings, blocks)


def stopped(course: Course, error: ActionError, path: Path | None) -> Report:
    """Refused, not possible to tell, or failed on the way: what stands, and what a person does."""
    begun = course.begun
    headline = error.what.splitlines()[0]
    if begun:
        headline += " The rollback stands where it stopped; it is not taken back itself."
    blocks: list[Block] = []
    if error.what != headline and "\n" in error.what:
        blocks.append(Paragraph(error.what))
    blocks += [Paragraph(text) for text in (error.cause,) if text]
    blocks += [CodeBlock(text) for text in (error.fix,) if text]
    if isinstance(error, RollOutFailed):
        blocks += evidence_blocks(error.service, error.evidence)
    if begun:
        blocks += [Paragraph([Strong("What runs now:")]), _what_stands(course)]
    hand = _by_hand(course) if begun or error.verdict is Verdict.INCONCLUSIVE else ""
    if hand:
        blocks += [Heading("By hand"), CodeBlock(hand, "shell")]
    if course.plan is not None:
        blocks += course.plan.blocks()
    finding = Finding(
        f"rollback-to-previous-sha/{error.title.lower().replace(' ', '-')}",
        Severity.ERROR,
        "\n".join(part for part in (error.what, error.cause) if part),
        fix="\n".join(part for part in (error.fix, hand) if part),
    )
    outputs = _outputs(course, error.verdict, headline) | {"plan": str(path) if path else ""}
    return Report(error.verdict, headline, outputs, [finding], blocks, list_findings=False)


def cancelled(course: Course, error: Cancelled, path: Path | None) -> Report:
    """Cancelled: seconds are left, so nobody is asked anything any more."""
    headline = f"The rollback was {error}."
    blocks: list[Block] = []
    if course.plan is None or not course.begun:
        headline += " Nothing was changed."
    else:
        moves = course.plan.moves
        if course.under_way:
            headline += f" {course.under_way} was told to go back, and the engine goes on with it."
        untouched = [name for name in course.still_to_go() if name != course.under_way]
        if untouched:
            headline += f" Not begun: {', '.join(untouched)}."
        if len(course.arrived) + sum(move.already for move in moves) == len(moves):
            gated = f"the gate said {course.gated.verdict}" if course.gated else "the gate was not finished"
            headline += f" Every service is back, {gated}; it may not be recorded."
        hand = _by_hand(course)
        blocks += [Heading("By hand"), CodeBlock(hand, "shell")] if hand else []
    outputs = _outputs(course, Verdict.INCONCLUSIVE, headline) | {"plan": str(path) if path else ""}
    return Report(Verdict.INCONCLUSIVE, headline, outputs, blocks=blocks)


def _outputs(course: Course, verdict: Verdict, reason: str) -> dict[str, OutputValue]:
    return {
        "rolled-back": False,
        "verdict": verdict,
        "from-sha": course.from_sha,
        "to-sha": course.to.sha if course.to else "",
        "elapsed-ms": int(course.deadline.elapsed * 1000),
        "reason": reason,
    }


def _by_hand(course: Course) -> str:
    moves = course.still_to_go()
    if course.plan is not None and not moves:
        return ""
    return by_hand.steps(course.inputs, course.engine, course.github.repository, course.to if moves else None, moves)


def _what_stands(course: Course) -> Table:
    """Asked once more, because after a failure only the engine knows."""
    plan = course.plan
    moves = plan.moves if plan else ()
    now: Mapping[str, Running] = {}
    try:
        now = course.engine.running([each.service for each in moves], course.runtime.deadline(ASKING))
    except ActionError as error:
        course.runtime.log(f"What runs now could not be asked: {error.what}")
    rows = []
    for move in moves:
        here = now.get(move.service)
        runs = (here.digest or here.image) if here else ""
        back = bool(here and move.image.digest and here.digest == move.image.digest)
        ready = f"{here.ready} of {here.wanted} ready" if here and here.wanted is not None else "not known"
        state = "back" if move.service in course.arrived or move.already else "on its way back" if back else "not back"
        rows.append((Code(move.service), state, Code(runs or "not known"), ready, Code(move.reference)))
    return Table(("service", "", "runs now", "replicas", "belongs to"), rows)


def _recording(course: Course, plan: Plan) -> str:
    services = "\n".join(f"        {each.service}={each.reference}" for each in plan.moves)
    return (
        "Record it by hand, or the next rollback starts from what was left:\n\n"
        "    uses: org/cicd-actions/deployment-record@<sha>\n    with:\n      phase: finish\n"
        f"      environment: {course.inputs.environment}\n      sha: {plan.to.sha}\n      verdict: pass\n"
        f"      services: |\n{services}"
    )
