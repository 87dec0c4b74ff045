"""Reports how a rollback ended, and what comes next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cicd_actions.engines.protocol import ChangedMeanwhile, Engine, RollOutFailed, Running
from cicd_actions.github.history import Release
from cicd_actions.github.release_record import Record, lock_in_full
from cicd_actions.roll_out.run import evidence_blocks
from cicd_actions.rollback_to_previous_sha import by_hand
from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.rollback_to_previous_sha.moves import Moved, another_answers, condemns
from cicd_actions.rollback_to_previous_sha.plan import Left, Move, Plan
from cicd_actions.rollback_to_previous_sha.revert import Reverted
from cicd_actions.toolkit import private
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Heading,
    Inline,
    Link,
    OutputValue,
    Paragraph,
    Report,
    Strong,
    Table,
)
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

ASKING = 15.0
"""Seconds to ask what runs now, after something went wrong."""


@dataclass(frozen=True)
class Known:
    """What is known of a rollback at some point; each step makes a new value with more in it."""

    inputs: Inputs
    runtime: Runtime
    engine: Engine
    deadline: Deadline
    repository: str
    left: Left = field(default_factory=Left)
    lock: Record | None = None
    to: Release | None = None
    plan: Plan | None = None
    path: Path | None = None
    moved: Moved = field(default_factory=Moved)
    judged: Report | None = None
    unrecorded: ActionError | None = None
    reverted: Reverted | None = None
    next_good: str = ""
    """The commit to roll back to next, where the gate condemned this one."""

    @property
    def still_to_move(self) -> list[Move]:
        """The services that do not run the release yet."""
        moves = self.plan.moves if self.plan else ()
        return [each for each in moves if each.service not in self.moved.services and not each.already]

    @property
    def hand(self) -> str:
        """The commands for a person; empty when nothing is left to move."""
        if self.plan is not None and not self.still_to_move:
            return ""
        to = self.to.sha if self.to else ""
        return by_hand.steps(self.inputs, self.engine, self.repository, to, self.still_to_move)

    def outputs(self, verdict: Verdict, reason: str, *, rolled_back: bool = False) -> dict[str, OutputValue]:
        return {
            "rolled-back": rolled_back,
            "verdict": verdict,
            "from-sha": self.left.sha,
            "to-sha": self.to.sha if self.to else "",
            "plan": str(self.path or ""),
            "pull-request": self.reverted.url if self.reverted else "",
            "elapsed-ms": int(self.deadline.elapsed * 1000),
            "reason": reason,
        }


def write_plan(inputs: Inputs, runtime: Runtime, plan: Plan) -> Path | None:
    """Writes the plan as a JSON file that later steps may read, and returns its path.

    Without a path in `plan-file` and a runner's temporary folder there is no file. Raises `UnusableInput`.
    """
    asked = inputs.plan_file or (runtime.scratch and runtime.scratch / "rollback-plan.json")
    if not asked:
        return None
    path = runtime.place(asked, input="plan-file")
    text = json.dumps(plan.as_json(), indent=2, ensure_ascii=False)
    try:
        private.write(path, runtime.redactor(text) + "\n")
    except OSError as error:
        raise UnusableInput(
            f"Could not write the plan to {path}: {error.strerror}.",
            fix="    with:\n      plan-file: ${{ runner.temp }}/rollback-plan.json",
        ) from None
    return path


def planned(known: Known, plan: Plan) -> Report:
    """Returns the report of a dry run."""
    if plan.done:
        headline = f"Dry run: {plan.environment} runs {plan.to.sha[:12]} already. It would be verified again."
    else:
        headline = f"Dry run: {plan.environment} would be rolled back to {plan.to.sha[:12]}. Nothing was changed."
    if plan.unverified and not known.inputs.allow_unverified:
        headline += " The rollback would be refused, because something could not be checked; see below."
    return Report(Verdict.PASS, headline, known.outputs(Verdict.PASS, headline), blocks=plan.blocks())


def ended(known: Known, plan: Plan, judged: Report) -> Report:
    """Returns the report when every service runs the release, and the gate has judged it."""
    verdict = judged.verdict
    where = f"{plan.environment} runs {plan.to.sha[:12]}"
    where += " and was already rolled back" if plan.done and not known.moved.begun else " again"
    another = verdict is not Verdict.PASS and another_answers(judged, plan)
    findings = [
        Finding("rollback-to-previous-sha/note", Severity.WARNING, f"{arrived.service}: {note}")
        for arrived in known.moved.arrived
        for note in arrived.notes
    ]
    if known.lock is not None:
        passed = f"{plan.environment} is locked, and still is. The rollback passed through: {lock_in_full(known.lock)}"
        findings.append(Finding("rollback-to-previous-sha/locked", Severity.NOTICE, passed))
    if verdict is Verdict.PASS:
        headline = f"{where}; it passed its gate."
    elif another:
        headline = (
            f"Could not bring {plan.to.sha[:12]} back: the gate saw another version in {plan.environment}. {judged.headline}"
        )
        findings.append(Finding("rollback-to-previous-sha/gate", Severity.ERROR, headline, fix=_NOT_CONDEMNED))
    elif verdict is Verdict.FAIL and not condemns(judged, plan):
        headline = f"{where}; its gate failed, which proves nothing against it: {judged.headline}"
        findings.append(Finding("rollback-to-previous-sha/gate", Severity.ERROR, headline, fix=_NOT_CONDEMNED))
    else:
        word = "it failed its gate too" if verdict is Verdict.FAIL else "its gate could not judge it"
        headline = f"{where}; {word}: {judged.headline}"
        findings.append(Finding("rollback-to-previous-sha/gate", Severity.ERROR, headline))
    if known.unrecorded is not None:
        headline += f" It is not recorded: {known.unrecorded.what}"
        findings.append(Finding("rollback-to-previous-sha/record", Severity.ERROR, known.unrecorded.what, fix=_recording(plan)))
        verdict = Verdict.INCONCLUSIVE if verdict is Verdict.PASS else verdict
    if known.reverted is not None and known.reverted.problem is not None:
        problem = known.reverted.problem
        findings.append(Finding("rollback-to-previous-sha/revert", Severity.WARNING, problem.what, fix=problem.fix))
    blocks: list[Block] = []
    if known.moved.arrived:
        seconds = max(each.seconds for each in known.moved.arrived)
        blocks.append(Paragraph([Strong("Slowest service: "), f"{seconds:.1f} s."]))
    blocks += [*plan.blocks(), Heading("The gate"), *judged.blocks, *_next(known, plan)]
    return Report(verdict, headline, known.outputs(verdict, headline, rolled_back=not another), findings, blocks)


_NOT_CONDEMNED = (
    "The release that was rolled back to is not quarantined. Find out what answers there, and check `version-from`, `headers`"
    " and the URLs of the gate. Then run this action again."
)


def _next(known: Known, plan: Plan) -> list[Block]:
    """Returns what comes after a rollback: the branch still has the commits that were taken back."""
    found = _older(known, plan)
    if not plan.taken_back or not plan.taken_back.total:
        return found
    total = plan.taken_back.total
    steps: list[Inline] = [
        "1 commit was taken back, and is still on its branch: the next deploy brings it again."
        if total == 1
        else f"{total} commits were taken back, and are still on their branch: the next deploy brings them again."
    ]
    if plan.stays:
        names = ", ".join(each.revision for each in plan.stays)
        steps.append(f"The migrations {names} stay applied. A revert must keep their modules.")
    found += [*([] if found else [Heading("What comes next")]), Bullets(steps)]
    reverted = known.reverted or Reverted()
    pull = Link("The pull request that reverts them", reverted.url)
    if reverted.merged:
        found.append(Paragraph([pull, " is merged."]))
    elif reverted.url and not reverted.closed:
        found.append(Paragraph([pull, " is open: merge it."]))
    else:
        if reverted.closed:
            found.append(Paragraph([pull, " was closed without a merge."]))
        found += [Paragraph("Fix them, or revert them:"), CodeBlock(revert_commands(plan), "shell")]
    return found


def _older(known: Known, plan: Plan) -> list[Block]:
    """Returns the release to try next, where the gate condemned the one that was rolled back to."""
    if known.judged is None or not condemns(known.judged, plan):
        return []
    if not known.next_good:
        said = "No other release is known to have passed its gate here: deploy a commit that fixes the problem."
        return [Heading("What comes next"), Paragraph(said)]
    text = "Roll back to the next release that passed its gate:"
    return [Heading("What comes next"), Paragraph(text), CodeBlock(f"with:\n  to-sha: {known.next_good}", "yaml")]


def revert_commands(plan: Plan) -> str:
    """Returns the `git revert` commands that take the commits back for good."""
    commits = plan.taken_back
    mainline = commits.mainline() if commits else []
    if not mainline:
        return f"git revert --no-edit {plan.to.sha}..{plan.from_sha}"
    lines: list[str] = []
    plain: list[str] = []
    for each in mainline:
        if len(each.parents) < 2:
            plain.append(each.sha)
            continue
        lines += [f"git revert --no-edit {' '.join(plain)}"] if plain else []
        plain = []
        lines.append(f"git revert --no-edit --mainline 1 {each.sha}")
    lines += [f"git revert --no-edit {' '.join(plain)}"] if plain else []
    return "\n".join(lines)


def stopped(known: Known, error: ActionError) -> Report:
    """Returns the report when the rollback was refused, could not be judged, or failed: what stands, and what a person does."""
    begun = known.moved.begun
    headline = f"{error.what.splitlines()[0]} {_consequence(known)}"
    blocks: list[Block] = []
    if "\n" in error.what:
        blocks.append(Paragraph(error.what))
    blocks += [Paragraph(text) for text in (error.cause,) if text]
    blocks += [CodeBlock(text) for text in (error.fix,) if text]
    if isinstance(error, RollOutFailed):
        blocks += evidence_blocks(error.service, error.evidence)
    if begun:
        blocks += [Paragraph([Strong("What runs now:")]), _what_stands(known)]
    hand = known.hand if begun or error.verdict is Verdict.INCONCLUSIVE else ""
    if hand:
        blocks.append(Heading("By hand"))
        if isinstance(error, ChangedMeanwhile):
            warning = "These commands replace what was set meanwhile. Find out first who set it, and why."
            blocks.append(Paragraph([Strong(warning)]))
            hand = f"# {warning}\n{hand}"
        blocks.append(CodeBlock(hand, "shell"))
    if known.plan is not None:
        blocks += known.plan.blocks()
    finding = Finding(
        f"rollback-to-previous-sha/{error.title.lower().replace(' ', '-')}",
        Severity.ERROR,
        "\n".join(part for part in (error.what, error.cause) if part),
        fix="\n".join(part for part in (error.fix, hand) if part),
    )
    return Report(error.verdict, headline, known.outputs(error.verdict, headline), [finding], blocks, list_findings=False)


def _consequence(known: Known) -> str:
    """Returns what moved and what did not, for a rollback that ended early."""
    moved = known.moved
    if not moved.begun:
        return "Nothing was changed."
    untouched = [each.service for each in known.still_to_move if each.service != moved.under_way]
    parts = (
        ("Rolled back, and left so: {}.", [each.service for each in moved.arrived]),
        ("Begun, and not undone: {}.", [moved.under_way] if moved.under_way else []),
        ("Not rolled back: {}.", untouched),
    )
    return " ".join(words.format(", ".join(services)) for words, services in parts if services)


def cancelled(known: Known, error: Cancelled) -> Report:
    """Returns the report of a cancelled rollback. Seconds are left, so it asks nothing any more."""
    headline = f"The rollback was {error}."
    blocks: list[Block] = []
    if known.plan is None or (not known.moved.begun and not known.plan.done):
        headline += " Nothing was changed."
    else:
        if known.moved.under_way:
            headline += f" {known.engine.when_ended.format(known.moved.under_way)}"
        untouched = [move.service for move in known.still_to_move if move.service != known.moved.under_way]
        if untouched:
            headline += f" Not begun: {', '.join(untouched)}."
        if not known.still_to_move:
            gated = f"its gate said {known.judged.verdict}" if known.judged else "its gate did not end"
            headline += f" Every service runs {known.plan.to.sha[:12]}; {gated}. It may not be recorded: {_again(known.plan)}"
        blocks += [Heading("By hand"), CodeBlock(known.hand, "shell")] if known.hand else []
    outputs = known.outputs(Verdict.INCONCLUSIVE, headline)
    return Report(Verdict.INCONCLUSIVE, headline, outputs, blocks=blocks)


def _what_stands(known: Known) -> Table:
    """Returns what runs now: after a failure only the engine knows."""
    moves = known.plan.moves if known.plan else ()
    now: Mapping[str, Running] = {}
    try:
        now = known.engine.running([each.service for each in moves], known.runtime.deadline(ASKING))
    except ActionError as error:
        known.runtime.log(f"Could not ask what runs now: {error.what}")
    rows = []
    for move in moves:
        here = now.get(move.service)
        runs = (here.digest or here.image) if here else ""
        moving = bool(here and move.image.digest and here.digest == move.image.digest)
        ready = f"{here.ready} of {here.wanted} ready" if here and here.wanted is not None else "not known"
        arrived = move.service in known.moved.services or move.already
        state = "rolled back" if arrived else "being rolled back" if moving else "not rolled back"
        rows.append((Code(move.service), state, Code(runs or "not known"), ready, Code(move.reference)))
    return Table(("service", "", "runs now", "replicas", "rolled back to"), rows)


def _again(plan: Plan) -> str:
    return f"run this action again with `to-sha: {plan.to.sha}`. It moves only what does not run that release yet."


def _recording(plan: Plan) -> str:
    return f"To verify and record it, {_again(plan)}"
