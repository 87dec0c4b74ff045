"""`smoke-tests`: runs the team's own tests against an environment that passed its gate, once, in their order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cicd_actions.pipeline import secret_files
from cicd_actions.pipeline.release_images import addresses, variable_of
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, Inconclusive
from cicd_actions.toolkit.grammar import argv, duration, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.process import filled
from cicd_actions.toolkit.process import run as run_program
from cicd_actions.toolkit.report import Code, Inline, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

USUAL = "10m"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The environment, and the release."""

    settings: str = declare(string, "Settings of the environment as JSON, from the plan.", required=True)
    sha: str = declare(string, "Commit of the release.", required=True)
    vars: str = declare(string, "The context `vars` as JSON.", default="{}")


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Tests. Raises `Failed` for a test that failed, `Inconclusive` for one that did not end, and `UnusableInput`."""
    settings: dict[str, Any] = json.loads(inputs.settings)
    environment, services = settings["name"], {each["name"]: each for each in settings["services"]}
    answers = addresses(services, json.loads(inputs.vars or "{}"), environment)
    variables = {
        **{name: text for name, text in runtime.environment.for_programs().items() if name != secret_files.DEPLOY},
        **secret_files.read(runtime, secret_files.DEPLOY),
        **{variable_of(service): url for service, url in answers.items()},
    }
    limit = duration(settings.get("smoke-timeout") or USUAL)
    deadline = runtime.deadline(limit)
    rows: list[tuple[Inline, ...]] = []
    for command in settings["smoke"]:
        words = filled(argv(command), {"environment": environment, "sha": inputs.sha})
        started = runtime.clock()
        with runtime.group(command):
            done = run_program(
                words,
                timeout=deadline.remaining,
                env=variables,
                on_line=lambda _, line: runtime.log(line),
                redactor=runtime.redactor,
            )
        if done.timed_out:
            raise Inconclusive(
                f"A smoke test of {environment} did not end within {limit:g} s: `{command}`.",
                cause="It proved nothing against the release, so nothing is rolled back.",
            )
        if done.exit_code:
            raise Failed(f"A smoke test of {environment} failed with exit code {done.exit_code}: `{command}`.")
        rows.append((Code(command), f"{runtime.clock() - started:.1f} s"))
    headline = f"{len(rows)} smoke test{'' if len(rows) == 1 else 's'} of {environment} passed."
    outputs = {"verdict": Verdict.PASS, "reason": headline}
    return Report(Verdict.PASS, headline, dict(outputs), blocks=[Table(("smoke test", "time"), rows)])


ACTION = Action(
    name="smoke-tests",
    summary="Runs a team's own tests against an environment that passed its gate.",
    inputs=Inputs,
    outputs=(Output("verdict", "`pass`, `fail` or `inconclusive`."), Output("reason", "One sentence.")),
    run="cicd_actions.pipeline.smoke_tests.run",
    icon="check-square",
    color="blue",
)
