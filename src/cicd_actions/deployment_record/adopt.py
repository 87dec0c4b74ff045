"""Runs the phase `adopt`: gates what runs now, and records it, so that the first deploy can be rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.engines.inputs import connected
from cicd_actions.engines.protocol import Engine, Running
from cicd_actions.engines.reference import repository_of
from cicd_actions.github.history import History
from cicd_actions.github.release_record import Record, Task, digest_of
from cicd_actions.health_gate.embedded import gate
from cicd_actions.roll_out.inputs import Wanted
from cicd_actions.toolkit.errors import Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.report import Code, Heading, Report, Table
from cicd_actions.toolkit.verdict import Verdict


def adopt(phase: Phase) -> Report:
    """Raises `Failed` when a release passed here before, and for what does not run."""
    inputs = phase.inputs
    if not inputs.engine:
        raise UnusableInput(
            "Cannot adopt a release: `engine` does not say where it runs.", fix="    with:\n      engine: swarm"
        )
    if not inputs.has_targets:
        raise UnusableInput(
            "Cannot adopt a release: neither `url` nor `targets` says how to gate it.",
            fix="    with:\n      url: https://staging.example.com/health/ready",
        )
    phase.services()
    history = phase.records.history(phase.environment, lambda history: _passed(history) is not None)
    _refuse_recorded(phase, history)
    with connected(inputs, phase.runtime) as engine:
        names = [each.service for each in inputs.services]
        running = engine.running(names, phase.runtime.deadline(inputs.timeout))
        services = {each.service: _image(engine, each, running.get(each.service)) for each in inputs.services}
    sha = phase.sha(inputs.sha or _labelled(running))
    judged = gate(inputs, sha, phase.runtime)
    if judged.verdict is not Verdict.PASS:
        headline = f"What runs in {phase.environment} did not pass its gate, so it is not recorded: {judged.headline}"
        blocks = [Heading("The gate"), *judged.blocks]
        outputs = {"verdict": judged.verdict, "reason": headline}
        return Report(judged.verdict, headline, {**outputs}, [*phase.findings, *judged.findings], blocks)
    record = replace(
        phase.record(Task.PASSED, sha, services, reason=judged.headline),
        verdict="pass",
        kind="adopt",
        schema=inputs.database_revision,
    )
    number = phase.records.write(record)
    error = phase.write_audit("adopt", record, "pass")
    headline = f"{sha[:12]} runs in {phase.environment}, passed its gate, and is recorded as the release to roll back to."
    verdict = Verdict.INCONCLUSIVE if error is not None and inputs.audit_required else Verdict.PASS
    return Report(
        verdict,
        headline if verdict is Verdict.PASS else f"{headline} {error.what if error else ''}",
        {"verdict": verdict, "record-id": str(number), "reason": headline},
        [*phase.findings, *judged.findings],
        [Table(("service", "image"), [(Code(name), Code(image)) for name, image in services.items()]), *judged.blocks],
    )


def _passed(history: History) -> Record | None:
    """Returns the newest release that passed. One that failed leaves what ran before it without a record."""
    return next((each for each in history.outcomes if each.task is Task.PASSED), None)


def _refuse_recorded(phase: Phase, history: History) -> None:
    newest = _passed(history)
    if newest is not None:
        raise Failed(
            f"Cannot adopt what runs in {phase.environment}: {newest.sha[:12]} passed its gate there, and is recorded.",
            cause="Deploys make their records themselves. `adopt` is for an environment where no release has passed yet.",
            fix="Deploy the commit that should run, or use rollback-to-previous-sha for one that passed before.",
        )


def _image(engine: Engine, wanted: Wanted, running: Running | None) -> str:
    """What is recorded of a service: what the engine says runs, as it can be deployed again."""
    if running is None:
        raise Failed(
            f"The service {wanted.service} does not run on this {engine.name} engine, so there is nothing to adopt of it.",
            fix="Correct its name in `services`; for Swarm, the input `stack` stands before it.",
        )
    if engine.own_programs:
        if not running.image:
            raise Inconclusive(
                f"The engine cannot tell what runs of {wanted.service}.", fix="Name a `running-command` that says it."
            )
        return running.image
    if not running.digest:
        raise Inconclusive(
            f"{wanted.service} runs {running.image or 'an image'}, which is not pinned to a digest.",
            cause="What is not pinned could not be deployed again as it is.",
            fix="Deploy it once by digest, and adopt it then.",
        )
    if digest_of(wanted.image) not in {"", running.digest}:
        raise Failed(
            f"Cannot adopt {wanted.service}: it runs {running.digest}, and not {digest_of(wanted.image)} as `services` says.",
            fix="Name its repository alone, to adopt what runs:\n\n"
            f"    with:\n      services: |\n        {wanted.service}={repository_of(wanted.image) or wanted.service}",
        )
    return f"{repository_of(running.image) or repository_of(wanted.image)}@{running.digest}"


def _labelled(running: Mapping[str, Running]) -> str:
    """Returns the one SHA that all services are labelled with. Raises `UnusableInput`: the run's commit is another one."""
    found = {each.sha for each in running.values()}
    if len(found) != 1 or not all(found):
        labels = ", ".join(f"{name}: {each.sha or 'no label'}" for name, each in running.items())
        raise UnusableInput(
            f"Cannot tell which commit runs: the services are not labelled with one ({labels}).",
            fix="Name the commit that runs:\n\n    with:\n      sha: <full commit SHA>",
        )
    return found.pop()
