"""Carries a plan out: rolls each service back by digest, verifies the release, and records what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cicd_actions.engines.protocol import Engine, Relabels, RolledOut, Target
from cicd_actions.engines.release import BEFORE_ANYTHING
from cicd_actions.github.client import GitHub
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, Run, Task, is_sha
from cicd_actions.github.statuses import set_status
from cicd_actions.health_gate.embedded import GateOptions, gate
from cicd_actions.rollback_to_previous_sha.plan import Facts, Move, Plan
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.findings import Severity
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.toolkit.yaml12 import plain, read

ATTEMPTS = 8
"""Calls to GitHub before a person takes over: about a minute, when each of them fails at once."""

RECORD_TIME = 60.0
"""Seconds for the records at the end, counted separately: a slow roll-out must not leave them unwritten."""


@dataclass(frozen=True)
class Moved:
    """The progress of a rollback: the services that arrived, and the one whose change was begun and did not end."""

    arrived: tuple[RolledOut, ...] = ()
    under_way: str = ""

    @property
    def begun(self) -> bool:
        return bool(self.arrived or self.under_way)

    @property
    def services(self) -> frozenset[str]:
        return frozenset(each.service for each in self.arrived)


def moves(
    plan: Plan, engine: Engine, deadline: Deadline, runtime: Runtime, moved: Moved | None = None, *, again: bool = False
) -> Iterator[Moved]:
    """Rolls each service back once, in order, and yields how far it came before and after each of them.

    `again` moves also what is said to run already; `moved` is what moved before. Raises what the engine raises; nothing is
    undone then. A service that the engine refuses to touch is not under way.
    """
    moved = moved or Moved()
    for move in plan.moves:
        if move.service in moved.services:
            continue
        if move.already and not again:
            runtime.log(f"{move.service} runs {move.reference} already.")
            _relabel(move, engine, deadline, runtime)
            continue
        runtime.log(f"Rolling {move.service} back to {move.reference}.")
        yield (moved := replace(moved, under_way=move.service))
        # The engine's own rollback would lead to the release that is being left.
        try:
            done = engine.roll_out(Target(move.service, move.image, move.sha), move.now, deadline, rollback=False)
        except BEFORE_ANYTHING:
            yield replace(moved, under_way="")
            raise
        runtime.log(f"{move.service} is rolled back after {done.seconds:.1f} s.")
        yield (moved := Moved((*moved.arrived, done)))


def _relabel(move: Move, engine: Engine, deadline: Deadline, runtime: Runtime) -> None:
    """Takes the commit of the release that is left off a service whose image it did not change."""
    if not move.sha or move.now.sha == move.sha or not isinstance(engine, Relabels):
        return
    try:
        engine.relabel(Target(move.service, move.image, move.sha), deadline)
    except ActionError as error:
        runtime.log(f"{move.service} keeps the label of {move.now.sha[:12]}: {error.what}")


def doubted(plan: Plan, engine: Engine, judged: Report) -> bool:
    """Tells whether a failed gate contradicts the user's programs, which say that a service runs the release already."""
    return engine.own_programs and judged.verdict is Verdict.FAIL and any(move.already for move in plan.moves)


NO_EVIDENCE = frozenset({"version", "no-version", "header"})
"""The kinds of answers that are no evidence against a release: another one answers, or the gate looks in the wrong place."""


def another_answers(judged: Report, plan: Plan) -> bool:
    """Tells whether a gate saw another version than the release, whatever else was wrong with the answer."""
    seen = str(judged.outputs.get("observed-version", "")).split(", ")
    expected = {move.sha for move in plan.moves} | {plan.to.sha}
    return "version" in _kinds(judged) or any(is_sha(version) and version not in expected for version in seen)


def condemns(judged: Report, plan: Plan) -> bool:
    """Tells whether a gate that failed is evidence against the release that was rolled back to."""
    return judged.verdict is Verdict.FAIL and not another_answers(judged, plan) and not _kinds(judged) <= NO_EVIDENCE


def _kinds(judged: Report) -> set[str]:
    """Returns what was wrong with the last telling answer of each critical target."""
    return {each.rule.removeprefix("health-gate/") for each in judged.findings if each.severity is Severity.ERROR}


def unproven(plan: Plan, moved: Moved, *, allow_empty: bool) -> list[str]:
    """Returns why nothing proves the image of a service: it runs no replica, or its program contradicts itself."""
    empty = {each.service for each in moved.arrived if each.replicas == 0}
    empty |= {move.service for move in plan.moves if move.already and move.now.empty}
    found = [f"{move.service} runs no replica" for move in plan.moves if move.service in empty and not allow_empty]
    return found + [f"{each.service}: {each.unproven}" for each in moved.arrived if each.unproven]


def verify(inputs: GateOptions, plan: Plan, runtime: Runtime) -> Report:
    """Gates the release on the commit of each service."""
    shas = {move.service: move.sha for move in plan.moves}
    if len(set(shas.values())) > 1:
        inputs = _of_several_commits(inputs, shas, plan.to.sha)
    return gate(inputs, plan.to.sha, runtime)


def _of_several_commits(inputs: GateOptions, shas: Mapping[str, str], newest: str) -> GateOptions:
    """Returns the gate's options with the commit of the service that each target is named after."""
    if "\n" not in inputs.targets.strip() and inputs.targets.strip() and not inputs.targets.strip().startswith(("-", "[", "{")):
        return inputs  # the path of a file: it says itself what to expect
    given = plain(read(inputs.targets).root) if inputs.targets.strip() else []
    targets = [dict(each) if isinstance(each, dict) else {"url": each} for each in (given if isinstance(given, list) else [])]
    targets += [{"name": name, "url": url} if name else {"url": url} for name, url in inputs.url]
    if inputs.check_version and "{sha}" not in inputs.targets:
        targets = [{"expect-version": "{sha}", **each} for each in targets]
    filled = [json.loads(json.dumps(each).replace("{sha}", shas.get(str(each.get("name", "")), newest))) for each in targets]
    return replace(inputs, url=(), targets=json.dumps(filled), check_version=False)


def record(inputs_url: str, records: Records, facts: Facts, plan: Plan, judged: Report, runtime: Runtime) -> None:
    """Records the outcome. `inputs_url` is where the environment is seen.

    `pass` makes the release the last good one and quarantines the release that was left. `fail` quarantines the release
    itself, where the gate is evidence against it.
    Each commit gets a record with its own images alone. Raises what `GitHub` raises.
    """
    github = records.github
    records = records.within(
        GitHub(github.token, github.repository, runtime, runtime.deadline(RECORD_TIME), github.url, attempts=ATTEMPTS)
    )
    base = Record(
        task=Task.DEPLOY,
        app=plan.app,
        environment=plan.environment,
        sha=plan.to.sha,
        services={},
        reason=runtime.redactor(judged.headline),
        kind="rollback",
        run=Run.of(runtime.variables),
    )
    references = {move.service: move.reference for move in plan.moves}
    parts = [
        replace(
            base,
            sha=part.sha,
            services={name: references[name] for name in part.services},
            attestations={name: id_ for name, id_ in plan.attestations.items() if name in part.services},
        )
        for part in plan.to.parts()
    ]
    shown = records.write(parts[-1])
    task = Task.PASSED if judged.verdict is Verdict.PASS else Task.QUARANTINED if condemns(judged, plan) else None
    if judged.verdict is Verdict.PASS:
        _quarantine_left(records, base, facts, plan)
    for part in parts if task else ():
        outcome = replace(part, task=task or Task.DEPLOY, verdict=judged.verdict.value)
        records.write(replace(outcome, deployment=shown, schema=plan.database))
    states = {Verdict.PASS: "success", Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error"}
    set_status(
        records,
        shown,
        states[judged.verdict],
        f"Rolled back from {plan.from_sha[:12] or 'a commit that is not known'}: {base.reason}",
        log_url=base.run.url,
        environment_url=inputs_url,
    )


def _quarantine_left(records: Records, base: Record, facts: Facts, plan: Plan) -> None:
    """Quarantines the release that was left, as it was recorded, unless its newest verdict is that already.

    It passed and was left later, or its deploy ended without a verdict. A release that is older than the target stays as it is.
    """
    left = plan.left.release
    if left is None or left.record.id < plan.to.record.id:
        return
    verdict = next((each for each in facts.history.outcomes if each.identity == left.record.identity), None)
    if verdict is None or verdict.task is not Task.QUARANTINED:
        records.write(
            replace(
                base,
                task=Task.QUARANTINED,
                verdict=Verdict.FAIL.value,
                sha=left.sha,
                services=dict(left.record.services),
                reason=f"rolled back to {plan.to.sha[:12]}",
                schema=plan.database,
            )
        )
