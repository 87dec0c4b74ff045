"""rollback-to-previous-sha: back to the last release that passed its gate here, by digest, and proven again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_actions.rollback_to_previous_sha.course import Course


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """One rollback. Raises `UnusableInput`, and `Cancelled` with a report of what stands."""
    from cicd_actions.engines.inputs import connected  # noqa: PLC0415 - `--help` needs none of it
    from cicd_actions.rollback_to_previous_sha.course import Course  # noqa: PLC0415

    with connected(inputs, runtime) as engine:
        return _run(Course.of(inputs, runtime, engine))


def _run(course: Course) -> Report:
    from cicd_actions.rollback_to_previous_sha import outcome  # noqa: PLC0415

    path: Path | None = None
    try:
        try:
            plan = course.prepare()
        finally:
            if course.plan is not None:
                path = outcome.write_plan(course, course.plan)
        assert path is not None  # noqa: S101 - there is a plan
        if course.inputs.dry_run:
            return outcome.planned(course, plan, path)
        course.go_back(plan)
        judged = course.gate_again(plan)
        unrecorded: ActionError | None = None
        try:
            course.record(plan, judged)
        except ActionError as error:
            unrecorded = error
        return outcome.ended(course, plan, path, judged, unrecorded)
    except UnusableInput as error:
        if course.begun:
            return outcome.stopped(course, error, path)
        raise
    except ActionError as error:
        return outcome.stopped(course, error, path)
    except Cancelled as error:
        error.report = outcome.cancelled(course, error, path)
        raise


ACTION = Action(
    name="rollback-to-previous-sha",
    summary="Goes back to the last release that passed its gate, by digest, proves it again, and refuses what would harm.",
    inputs=Inputs,
    outputs=(
        Output("rolled-back", "`true` when every service runs the release to go back to, else `false`."),
        Output("verdict", "`pass` when that release passed its gate again (also: a dry run), `fail` or `inconclusive`."),
        Output("from-sha", "The commit that was left; empty when nobody could tell."),
        Output("to-sha", "The commit that is gone back to."),
        Output("plan", "Path of the plan as JSON."),
        Output("elapsed-ms", "How long it took, the gate included, in milliseconds."),
        Output("reason", "One sentence: what happened."),
    ),
    run=run,
    icon="rotate-ccw",
    color="orange",
)
