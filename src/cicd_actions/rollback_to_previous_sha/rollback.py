"""Runs one rollback: facts, plan, moves, gate, records."""

from __future__ import annotations

from dataclasses import replace

from cicd_actions.engines.inputs import connected, release_variables
from cicd_actions.engines.protocol import Engine
from cicd_actions.engines.staged_inputs import STAGED, abandon_all, standing
from cicd_actions.github.client import GitHub
from cicd_actions.github.proof import Trust
from cicd_actions.github.records import Records
from cicd_actions.health_gate.embedded import check
from cicd_actions.rollback_to_previous_sha import checks, outcome
from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.rollback_to_previous_sha.moves import ATTEMPTS, condemns, doubted, moves, record, unproven, verify
from cicd_actions.rollback_to_previous_sha.outcome import Known
from cicd_actions.rollback_to_previous_sha.plan import Plan, leaving, target
from cicd_actions.rollback_to_previous_sha.revert import revert
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs one rollback. Raises `UnusableInput` before anything moved, and `Cancelled` with a report."""
    with connected(inputs, runtime, STAGED) as engine:
        return _run(inputs, runtime, engine)


def _run(inputs: Inputs, runtime: Runtime, engine: Engine) -> Report:
    """Returns the report of a rollback. Raises `UnusableInput` before anything moved, and `Cancelled` with a report."""
    _refuse_unusable(inputs, runtime)
    deadline = runtime.deadline(inputs.timeout)
    github = GitHub(inputs.github_token, runtime.variables.get("GITHUB_REPOSITORY", ""), runtime, deadline, attempts=ATTEMPTS)
    records = Records(github, inputs.app, Trust.of(inputs, runtime))
    means = checks.Means(engine, records, deadline, runtime, release_variables(inputs, runtime))
    known = Known(inputs, runtime, engine, deadline, github.repository)
    try:
        checks.refuse_engine(engine, inputs.roll_out_command)
        running = checks.what_runs(engine, inputs.services, deadline)
        stages = standing(engine, inputs, list(running), deadline)
        facts = checks.read_facts(records, inputs.environment, running, inputs.current_sha, inputs.to_sha, stages)
        checks.refuse_unrecorded(records, facts)
        known = replace(known, lock=checks.lock(records, inputs.environment, runtime))
        known = replace(known, left=(left := leaving(facts, inputs.current_sha)))
        known = replace(known, to=(to := target(facts, left, inputs.to_sha)))
        plan = checks.plan(inputs, inputs.services, means, facts, left, to)
        known = replace(known, plan=plan, path=outcome.write_plan(inputs, runtime, plan))
        checks.examine(engine, [move for move in plan.moves if not move.already or engine.own_programs], deadline)
        plan = checks.attested(inputs, plan, github, deadline, runtime)
        if inputs.dry_run and plan.refused is None:
            return outcome.planned(known, plan)
        checks.refuse(inputs, plan)
        # A release that stands beside the old one may have the traffic, whatever the services themselves run.
        plan = _without_stages(plan, known)
        known = replace(known, plan=plan)
        for moved in moves(plan, engine, deadline, runtime):
            known = replace(known, moved=moved)
        judged = verify(inputs, plan, runtime)
        if doubted(plan, engine, judged):
            runtime.log(f"The gate does not see {to.sha[:12]}, so what is said to run it already is rolled back as well.")
            for moved in moves(plan, engine, deadline, runtime, known.moved, again=True):
                known = replace(known, moved=moved)
            judged = verify(inputs, plan, runtime)
        if judged.verdict is Verdict.PASS and (doubts := unproven(plan, known.moved, allow_empty=inputs.allow_empty)):
            judged = replace(judged, verdict=Verdict.INCONCLUSIVE, headline="; ".join(doubts) + ".")
        known = replace(known, judged=judged)
        try:
            record(inputs.environment_url, records, facts, plan, judged, runtime)
        except ActionError as error:
            known = replace(known, unrecorded=error)
        known = replace(known, next_good=checks.next_good(records, facts, left, to) if condemns(judged, plan) else "")
        if inputs.revert and judged.verdict is Verdict.PASS:
            known = replace(known, reverted=revert(records.github, facts, plan, judged, runtime))
        return outcome.ended(known, plan, judged)
    except UnusableInput as error:
        if known.moved.begun:
            return outcome.stopped(known, error)
        raise
    except ActionError as error:
        return outcome.stopped(known, error)
    except Cancelled as error:
        error.report = outcome.cancelled(known, error)
        raise


def _without_stages(plan: Plan, known: Known) -> Plan:
    """Abandons the stages that stand, and returns the plan from what runs then.

    An interrupted promotion had moved services themselves, and they were moved back.
    """
    inputs, engine, deadline = known.inputs, known.engine, known.deadline
    if not abandon_all(engine, inputs, [each.service for each in inputs.services], deadline, known.runtime):
        return plan
    running = checks.what_runs(engine, inputs.services, deadline)
    return replace(plan, moves=tuple(replace(move, now=running[move.service]) for move in plan.moves))


def _refuse_unusable(inputs: Inputs, runtime: Runtime) -> None:
    if not inputs.has_targets:
        raise UnusableInput(
            "Cannot verify a rollback: neither `url` nor `targets` names what to probe.",
            fix="    with:\n      url: |\n        https://api.example.com/health/ready",
        )
    if not inputs.github_token:
        raise UnusableInput(
            "Cannot read the records: the input `github-token` is empty, and the records are kept on GitHub.",
            fix="    with:\n      github-token: ${{ github.token }}",
        )
    check(inputs, runtime)
