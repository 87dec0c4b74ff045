"""Rolls a release out: checks everything first, then moves all services by digest, or none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cicd_actions.engines.inputs import connected
from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    Engine,
    Evidence,
    Image,
    ImageMissing,
    NothingRuns,
    NotStarted,
    RollOutFailed,
    Target,
)
from cicd_actions.engines.reference import reference
from cicd_actions.engines.release import examine, roll_out, settled
from cicd_actions.engines.staged_inputs import STAGED, abandon_all
from cicd_actions.roll_out import staged
from cicd_actions.roll_out.inputs import Inputs, Wanted
from cicd_actions.roll_out.progress import StagedProgress
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Details, OutputValue, Paragraph, Report, Strong, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

_FULL_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs one roll-out. Raises `ActionError` for every problem that it finds before it touches a service.

    That one is inconclusive: nothing of the release ran, so nothing was tried, and a record must not say that it failed. Only
    an image that does not exist is proven wrong, by its registry.
    """
    try:
        return _run(inputs, runtime)
    except ImageMissing:
        raise
    except ActionError as error:
        error.verdict = Verdict.INCONCLUSIVE
        raise


def _run(inputs: Inputs, runtime: Runtime) -> Report:
    deadline = runtime.deadline(inputs.timeout + inputs.waiting)
    with connected(inputs, runtime, STAGED) as engine:
        if inputs.promote == "abandon":
            return _abandoned(abandon_all(engine, inputs, [each.service for each in inputs.services], deadline, runtime))
        staged.refuse(inputs, engine, runtime)
        ordered = _ordered(inputs)
        targets = _targets(engine, ordered, inputs.sha, deadline)
        before = settled(engine, [target.service for target in targets], deadline, runtime)
        progress = StagedProgress(before, targets, by_programs=engine.own_programs)
        examine(engine, progress, deadline, allow_empty=inputs.allow_empty)

        def revert_deadline() -> Deadline:
            return runtime.deadline(inputs.revert_timeout)

        try:
            if inputs.strategy == "rolling":
                if notes := abandon_all(engine, inputs, list(before), deadline, runtime):
                    progress.notes += notes
                    progress.before = settled(engine, list(before), deadline, runtime)
                roll_out(engine, progress, deadline, revert_deadline, runtime, allow_empty=inputs.allow_empty)
            else:
                staged.roll_out(engine, progress, inputs, deadline, revert_deadline, runtime)
        except Cancelled as cancelled:
            cancelled.report = _cancelled(cancelled, progress)
            raise
        if progress.failure is not None and not progress.touched:
            raise progress.failure
        return _report(progress, deadline)


def _abandoned(notes: Sequence[str]) -> Report:
    headline = " ".join(notes) or "No stage stands."
    outputs: dict[str, OutputValue] = {"verdict": Verdict.PASS, "rolled-out": False, "reason": headline}
    return Report(Verdict.PASS, headline, {**outputs, "stage": "abandoned" if notes else "", "stage-notes": " ".join(notes)})


def _ordered(inputs: Inputs) -> list[Wanted]:
    if not inputs.order:
        return list(inputs.services)
    by_name = {wanted.service: wanted for wanted in inputs.services}
    if sorted(inputs.order) != sorted(by_name):
        raise UnusableInput(
            "Cannot use the input `order`: it does not name exactly the services of the release.",
            cause=f"`services` has {', '.join(by_name)}; `order` has {', '.join(inputs.order)}.",
            fix="    with:\n      order: |\n" + "\n".join(f"        {name}" for name in by_name),
        )
    return [by_name[name] for name in inputs.order]


def _targets(engine: Engine, ordered: Sequence[Wanted], sha: str, deadline: Deadline) -> list[Target]:
    """Returns every image resolved. Raises one `ImageMissing` that names all missing images."""
    if sha and not _FULL_SHA.fullmatch(sha):
        raise UnusableInput(
            f"Cannot use the input `sha`: {sha[:80]} is not a full commit SHA.", fix="    with:\n      sha: ${{ github.sha }}"
        )
    _refuse_movable(ordered, opaque=engine.opaque_images)
    targets: list[Target] = []
    missing: list[ImageMissing] = []
    for wanted in ordered:
        try:
            image = engine.resolve(wanted.image, deadline)
        except ImageMissing as error:
            missing.append(error)
            continue
        targets.append(Target(wanted.service, image, sha or _sha_of(wanted.image, engine)))
    if missing:
        raise ImageMissing(
            "\n".join(dict.fromkeys(error.what for error in missing)),
            cause="\n".join(dict.fromkeys(error.cause for error in missing if error.cause)),
            fix="Nothing was changed. Check that the build pushed the image under this name, and deploy the build's outputs.",
        )
    return targets


_LATEST = "{wanted.service}: {wanted.image} is not one release: every push moves `latest`."


def _refuse_movable(ordered: Sequence[Wanted], *, opaque: bool) -> None:
    """Refuses tags that move. `opaque`: image ids belong to the user's programs, but `latest` is not a release there either."""
    problems: list[str] = []
    for wanted in ordered:
        if opaque:
            if wanted.image.rpartition(":")[2] == "latest":
                problems.append(_LATEST.format(wanted=wanted))
            continue
        try:
            parts = reference(wanted.image)
        except NotUnderstood as error:
            problems.append(f"{wanted.service}: {error}.")
            continue
        if parts.digest:
            continue
        if not parts.tag:
            problems.append(f"{wanted.service}: {wanted.image} has no tag, which means `latest`.")
        elif parts.tag == "latest":
            problems.append(_LATEST.format(wanted=wanted))
    if problems:
        raise UnusableInput(
            "Cannot roll out images that can change:\n" + "\n".join(problems),
            fix="Name the image by the digest that its build reported, or by the full SHA:\n\n    with:\n      services: |\n"
            + "\n".join(f"        {wanted.service}={_example(wanted.image)}" for wanted in ordered),
        )


def _example(image: str) -> str:
    return image.partition("@")[0].removesuffix(":latest").strip() + "@sha256:…"


def _sha_of(image: str, engine: Engine) -> str:
    if engine.opaque_images:
        return ""
    tag = reference(image).tag
    return tag if _FULL_SHA.fullmatch(tag) else ""


def _report(progress: StagedProgress, deadline: Deadline) -> Report:
    failure = progress.failure
    outputs = _outputs(progress)
    if failure is None:
        moved = len(progress.arrived)
        headline = f"{_services(moved)} arrived in {deadline.elapsed:.1f} s."
        if progress.stage == "staged":
            headline = progress.waiting()
        if progress.unchanged:
            headline += f" {', '.join(progress.unchanged)} ran it already."
        findings = [
            Finding("roll-out/note", Severity.WARNING, f"{service}: {note}")
            for service, arrived in progress.arrived.items()
            for note in arrived.notes
        ]
        findings += [
            Finding("roll-out/nothing-runs", Severity.WARNING, f"{service} runs no replica, so nothing proves its new image.")
            for service in progress.empty
        ]
        findings += [Finding("roll-out/stage", Severity.NOTICE, note) for note in progress.notes]
        outputs |= {"verdict": Verdict.PASS, "rolled-out": progress.stage != "staged", "reason": headline}
        return Report(Verdict.PASS, headline, outputs, findings, [_table(progress), *progress.blocks()])
    verdict = progress.verdict
    headline = " ".join(part for part in (failure.what, _consequence(progress)) if part)
    outputs |= {"verdict": verdict, "rolled-out": False, "reason": headline}
    rule = _RULES.get(type(failure), "roll-out/failed")
    finding = Finding(rule, Severity.ERROR, headline + (f"\n{failure.cause}" if failure.cause else ""), fix=failure.fix)
    blocks: list[Block] = [_table(progress), *progress.blocks()]
    if failure.cause:
        blocks.append(Paragraph(failure.cause))
    if isinstance(failure, (RollOutFailed, NotStarted)):
        blocks += evidence_blocks(failure.service, failure.evidence)
    if progress.stranded:
        blocks.append(Paragraph([Strong("Could not be rolled back: "), "; ".join(progress.stranded.values())]))
        blocks.append(CodeBlock(_by_hand(progress)))
    if failure.fix:
        blocks.append(CodeBlock(failure.fix))
    return Report(verdict, headline, outputs, [finding], blocks, list_findings=False)


def _cancelled(cancelled: Cancelled, progress: StagedProgress) -> Report:
    headline = f"The roll-out was {cancelled}."
    if progress.handed_over:
        headline += f" The engine is rolling {', '.join(progress.handed_over)} back to what ran before, without this step."
    if progress.left:
        headline += f" Left, because something else changed it: {', '.join(progress.left)}."
    if progress.stranded:
        headline += f" Could not be rolled back: {', '.join(progress.stranded)}."
    if progress.returned:
        headline += f" The old release has all of the traffic again ({', '.join(progress.returned[::-1])})."
    if not progress.touched:
        headline += " Nothing was changed."
    outputs = _outputs(progress) | {"verdict": Verdict.INCONCLUSIVE, "rolled-out": False, "reason": headline}
    return Report(Verdict.INCONCLUSIVE, headline, outputs, blocks=[_table(progress)])


def _outputs(progress: StagedProgress) -> dict[str, OutputValue]:
    return {
        "previous": {service: running.digest for service, running in progress.before.items()},
        "digests": "\n".join(f"{target.service}={_digest_or_id(target.image)}" for target in progress.targets),
        # What could not be taken back may have the traffic still.
        "stage": "" if progress.stage == "abandoned" and (progress.stranded or progress.left) else progress.stage,
        "stage-notes": " ".join(progress.notes),
    }


def _digest_or_id(image: Image) -> str:
    return image.digest or image.name


def _consequence(progress: StagedProgress) -> str:
    """Returns what stands now, for every service that was touched."""
    left = [service for service in progress.left if progress.left[service] != (progress.failure and progress.failure.what)]
    returned = "What ran before runs again ({})."
    if progress.by_programs:
        returned = "`roll-out-command` was called with what ran before, and exited with code 0 ({})."
    if progress.stage == "abandoned":
        returned = "The old release has all of the traffic again ({})."
    parts = (
        (progress.stranded, "{} could not be rolled back."),
        (left, "{} was changed by something else as well, and was left."),
        (progress.returned[::-1], returned),
    )
    return " ".join(words.format(", ".join(services)) for services, words in parts if services)


def _table(progress: StagedProgress) -> Table:
    rows = [
        (
            Code(target.service),
            progress.state(target.service),
            Code(progress.before[target.service].digest or progress.before[target.service].image or "not known"),
            Code(_digest_or_id(target.image)),
            f"{progress.arrived[target.service].seconds:.1f} s" if target.service in progress.arrived else "",
        )
        for target in progress.targets
    ]
    return Table(("service", "now", "before", "release", "took"), rows)


def evidence_blocks(service: str, evidence: Evidence) -> list[Block]:
    """Returns what a failing replica said, each part under its title."""
    parts = (
        ("The engine's reason", evidence.reason),
        ("Health checks", evidence.health),
        ("Last lines", evidence.log),
        ("Events", evidence.events),
    )
    return [Details(f"{service}: {title}", [CodeBlock(text)]) for title, text in parts if text.strip()]


def _by_hand(progress: StagedProgress) -> str:
    lines = ["Roll it back by hand to:"]
    lines += [f"    {service}={progress.before[service].image or 'not known'}" for service in progress.stranded]
    return "\n".join(lines)


_RULES = {ChangedMeanwhile: "roll-out/changed-by-something-else", NothingRuns: "roll-out/nothing-runs"}


def _services(count: int) -> str:
    return "1 service" if count == 1 else f"{count} services"
