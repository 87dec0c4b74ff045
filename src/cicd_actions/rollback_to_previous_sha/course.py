"""One rollback from its inputs to its end: plan, preflight, back by digest, gate again, record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cicd_actions.engines.protocol import Engine, Image, RolledOut, Running, Target
from cicd_actions.github.client import GitHub
from cicd_actions.github.history import History
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, Run, Task, now
from cicd_actions.health_gate.embedded import check, gate
from cicd_actions.rollback_to_previous_sha import plan as plans
from cicd_actions.rollback_to_previous_sha import preflight
from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.rollback_to_previous_sha.plan import Move, Plan
from cicd_actions.rollback_to_previous_sha.schema_guard import Guard, Schema
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

ATTEMPTS = 8
"""Calls to GitHub before a person takes over: about a minute, when each of them fails at once."""

RECORD_TIME = 60.0
"""Seconds for the records at the end. They have a time of their own: a slow roll-out must not leave them unwritten."""


@dataclass
class Course:
    """What is known so far; kept up to date, so that whatever ends it, the report can say what stands.

    `arrived` are the services that are back, `under_way` the one whose change was begun and not ended.
    """

    inputs: Inputs
    runtime: Runtime
    engine: Engine
    deadline: Deadline
    github: GitHub
    records: Records
    running: dict[str, Running] = field(default_factory=dict)
    history: History = field(default_factory=History)
    from_sha: str = ""
    to: Record | None = None
    plan: Plan | None = None
    schema: Schema = field(default_factory=lambda: Schema(""))
    arrived: dict[str, RolledOut] = field(default_factory=dict)
    under_way: str = ""
    gated: Report | None = None

    @classmethod
    def of(cls, inputs: Inputs, runtime: Runtime, engine: Engine) -> Course:
        """Raises `UnusableInput`."""
        if not inputs.has_targets:
            raise UnusableInput(
                "Nothing is named to gate the release that runs again, so nobody would know whether the rollback helped.",
                fix="    with:\n      url: |\n        https://api.example.com/health/ready",
            )
        if not inputs.github_token:
            raise UnusableInput(
                "The input `github-token` is empty: the releases that passed are recorded on GitHub.",
                fix="    with:\n      github-token: ${{ github.token }}",
            )
        check(inputs, runtime)
        repository = runtime.variables.get("GITHUB_REPOSITORY", "")
        deadline = runtime.deadline(inputs.timeout)
        github = GitHub(inputs.github_token, repository, runtime, deadline, attempts=ATTEMPTS)
        return cls(inputs, runtime, engine, deadline, github, Records(github, inputs.app or repository))

    @property
    def begun(self) -> bool:
        """Whether a service was told to go back."""
        return bool(self.arrived or self.under_way)

    def prepare(self) -> Plan:
        """The plan, with everything checked that can be before anything changes.

        Raises `Failed` where it must not be done, `Inconclusive` where that cannot be told.
        """
        inputs = self.inputs
        self.running = preflight.what_runs(self.engine, inputs, self.deadline)
        self.history = preflight.read_records(self.records, inputs, self.running)
        self.from_sha = plans.leaving(self.running, self.history, inputs.current_sha)
        self.to = plans.target(
            self.history,
            to_sha=inputs.to_sha,
            from_sha=self.from_sha,
            runs=plans.identity(self.running),
            where=inputs.environment,
        )
        wanted, left = plans.images(self.to, inputs.services, opaque=self.engine.opaque_images)
        images, unverified = preflight.found_images(self.engine, wanted, self.deadline)
        unknown = [name for name in images if name not in self.running]
        self.running |= preflight.running_of(self.engine, unknown, self.deadline)
        self.plan = Plan(
            app=self.records.app,
            environment=inputs.environment,
            from_sha=self.from_sha,
            to=self.to,
            moves=tuple(Move(name, image, self.running[name]) for name, image in images.items()),
            left=tuple(left),
            taken_back=preflight.commits(self.github, self.runtime, self.from_sha, self.to),
            unverified=tuple(unverified),
        )
        self._ask_schema(images)
        if self.plan.unverified and not inputs.allow_unverified and not inputs.dry_run:
            raise Inconclusive(
                "Nothing was changed, because something could not be checked: " + "; ".join(self.plan.unverified) + ".",
                cause="A rollback to something that is not there, or that the database does not fit, makes it worse.",
                fix="Find it out by hand; then, to go on without this check:\n\n    with:\n      allow-unverified: true",
            )
        return self.plan

    def _ask_schema(self, images: dict[str, Image]) -> None:
        assert self.plan is not None  # noqa: S101 - made just before
        assert self.to is not None  # noqa: S101
        service = self.inputs.schema_service
        if service and service not in images:
            raise UnusableInput(
                f"`schema-service` is {service}, which is none of the services that go back ({', '.join(images)}).",
                fix=f"    with:\n      schema-service: {next(iter(images), 'api')}",
            )
        guard = Guard(self.inputs, self.engine, self.history, self.to, images, self.running, self.deadline, self.runtime)
        self.schema = guard.answer()
        unverified = (*self.plan.unverified, self.schema.unverified) if self.schema.unverified else self.plan.unverified
        self.plan = replace(self.plan, stays=self.schema.stays, schema=self.schema.said, unverified=unverified)

    def go_back(self, plan: Plan) -> None:
        """Each service by digest, in order, once. Raises what the engine raises; nothing is undone then."""
        for move in plan.moves:
            if move.already:
                self.runtime.log(f"{move.service}: runs {move.reference} already.")
                continue
            self.runtime.log(f"{move.service}: going back to {move.reference}.")
            self.under_way = move.service
            # The engine's own way back leads to the release that is being left.
            target = Target(move.service, move.image, plan.to.sha)
            self.arrived[move.service] = self.engine.roll_out(target, move.now, self.deadline, way_back=False)
            self.under_way = ""
            self.runtime.log(f"{move.service}: is back after {self.arrived[move.service].seconds:.1f} s.")

    def gate_again(self, plan: Plan) -> Report:
        """health-gate on the commit that should answer again."""
        self.gated = gate(self.inputs, plan.to.sha, self.runtime)
        return self.gated

    def record(self, plan: Plan, judged: Report) -> None:
        """The outcome: `pass` makes the target last good and quarantines what was left, `fail` quarantines the target.

        Raises what `GitHub` raises.
        """
        github = GitHub(
            self.github.token,
            self.github.repository,
            self.runtime,
            self.runtime.deadline(RECORD_TIME),
            self.github.url,
            attempts=ATTEMPTS,
        )
        records = Records(github, self.records.app)
        services = {each.service: each.reference for each in plan.moves}
        base = Record(
            task=Task.DEPLOY,
            app=plan.app,
            environment=plan.environment,
            sha=plan.to.sha,
            services=services,
            reason=self.runtime.redactor(judged.headline),
            kind="rollback",
            run=Run.of(self.runtime.variables),
            at=now(),
        )
        shown = records.write(base)
        base = replace(base, deployment=shown, schema=self.schema.database)
        if judged.verdict is Verdict.PASS:
            self._quarantine_left(records, base, plan)
            records.write(replace(base, task=Task.PASSED, verdict=Verdict.PASS.value))
        elif judged.verdict is Verdict.FAIL:
            records.write(replace(base, task=Task.QUARANTINED, verdict=Verdict.FAIL.value))
        states = {Verdict.PASS: "success", Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error"}
        records.status(
            shown,
            states[judged.verdict],
            f"Rolled back from {self.from_sha[:12] or 'a commit that is not known'}: {base.reason}",
            log_url=base.run.url,
            environment_url=self.inputs.environment_url,
        )

    def _quarantine_left(self, records: Records, base: Record, plan: Plan) -> None:
        """What was left is nothing to come back to, also when a person took it back after it had passed."""
        left = {each.service: each.now.image or each.now.digest for each in plan.moves}
        if not self.from_sha or not all(left.values()) or self.from_sha == plan.to.sha:
            return
        record = replace(
            base,
            task=Task.QUARANTINED,
            verdict=Verdict.FAIL.value,
            sha=self.from_sha,
            services=left,
            reason=f"taken back to {plan.to.sha[:12]}",
        )
        if record.identity != base.identity and self.history.quarantined_by(record.identity) is None:
            records.write(record)

    def still_to_go(self) -> dict[str, Image]:
        """The services that are not back, and where they belong."""
        moves: Sequence[Move] = self.plan.moves if self.plan else ()
        return {each.service: each.image for each in moves if each.service not in self.arrived and not each.already}
