"""The phases of an environment's infrastructure: preview, plan, apply, outputs, drift; and what each way to end means.

Nothing is planned or applied while somebody else holds the state: *inconclusive*. A plan that became stale is compared with a
new one: without changes it was applied already, with the same ones the new plan is applied, with others somebody has to approve
again. An apply that ends badly may have applied a part, so it is a *fail*, and nothing is migrated or rolled out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.pipeline import secret_files
from cicd_actions.pipeline.infrastructure import changes, handed_on, tools
from cicd_actions.pipeline.infrastructure.changes import DESTROYS, NotAPlan, Planned
from cicd_actions.pipeline.infrastructure.sealing import Seal, seal
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.grammar import argv, choice, duration, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.process import Finished, filled
from cicd_actions.toolkit.process import run as run_program
from cicd_actions.toolkit.report import Block, Code, Inline, OutputValue, Paragraph, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

PLAN_ENV, KEY = "PLAN_ENV", "RECORD_KEY"
LARGEST = 64 * 1024 * 1024
"""Characters of a plan's JSON, which repeats the whole state."""

GRACE = 120.0
"""Seconds that an interrupted command gets to end its requests and to write the state, unless the runner ends it before."""

SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The environment, and what is done."""

    phase: str = declare(
        choice("preview", "plan", "apply", "outputs", "drift"),
        "`preview` only shows a plan, `plan` saves one, `apply` applies the saved one, `outputs` reads them, `drift` compares.",
        required=True,
    )
    settings: str = declare(string, "Settings of the environment as JSON, from the plan.", required=True)
    plan_file: str = declare(string, "Path of the encrypted plan. `plan` writes it, `apply` reads it. Default: none.")


class Stack:
    """An environment's infrastructure, and its commands."""

    def __init__(self, settings: Mapping[str, Any], runtime: Runtime, secret: str) -> None:
        self.environment: str = settings["name"]
        self.facts: dict[str, Any] = settings["infrastructure"]
        self.runtime = runtime
        self.timeout = duration(self.facts["timeout"])
        self.directory = Path(self._filled(self.facts.get("applied-in") or self.facts["directory"]))
        if not self.directory.is_dir():
            raise UnusableInput(
                f"Could not find the infrastructure of {self.environment}: there is no folder {self.directory}.",
                fix="    infrastructure:\n      directory: infra",
            )
        for each in (secret_files.DEPLOY, PLAN_ENV, KEY):
            runtime.environment.withhold(each)
        given = secret_files.read(runtime, secret)
        self.variables = {**runtime.environment.for_programs(), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", **given}

    def prepare(self) -> None:
        """Runs the commands that come first. Raises `Failed`, `Inconclusive` and `UnusableInput`."""
        for command in self.facts["prepare"]:
            self._must(command, "prepare")

    def plan(self, path: Path, *, drift: bool = False) -> tuple[Planned, bool]:
        """Makes a plan; returns what it changes, and whether it changes anything. Raises as `prepare` does."""
        command = self.facts["drift" if drift else "plan"]
        # What a plan prints holds values. Its errors go to the other stream.
        done = self._run(command, "plan", path, show="stderr")
        if done.exit_code not in {0, 2}:
            raise Failed(
                f"Could not plan the infrastructure of {self.environment}: `{argv(command)[0]}` ended with exit code"
                f" {done.exit_code}.",
                cause=f"The command was `{command}`, run in {self.directory}.",
            )
        shown = self.facts["show"]
        text = self._must(shown, "read the plan of", path, show="stderr").stdout if shown else done.stdout
        try:
            planned = changes.read(text, drift=drift)
        except NotAPlan as error:
            raise UnusableInput(
                f"Could not read the plan of {self.environment}: {error}.",
                cause=f"`{shown or command}` has to print the plan as JSON.",
            ) from None
        return planned, done.exit_code == 2 or bool(planned)

    def apply(self, path: Path) -> Finished:
        """Applies a plan; the caller judges how it ended. Raises `Inconclusive` where the state is locked."""
        return self._run(self.facts["apply"], "apply", path, until=tools.SHOWS_VALUES)

    def outputs(self) -> dict[str, str]:
        """Returns the values of the variables that the file names, as far as there are such outputs yet."""
        if not self.facts["outputs"]:
            return {}
        command = self.facts["output"]
        text = self._must(command, "read the outputs of", show="stderr").stdout
        try:
            found = json.loads(text)
            # Terraform's outputs are objects that say also whether they are secret; Pulumi's are the values.
            known = {
                name: each["value"] if isinstance(each, dict) and {"sensitive", "value"} <= set(each) else each
                for name, each in found.items()
            }
        except (ValueError, AttributeError):
            raise UnusableInput(f"Could not read the outputs of {self.environment}: `{command}` printed no JSON.") from None
        return {
            variable: known[name] if isinstance(known[name], str) else json.dumps(known[name])
            for variable, name in self.facts["outputs"].items()
            if known.get(name) is not None
        }

    def _filled(self, text: str) -> str:
        return filled([text], {"environment": self.environment})[0]

    def _must(self, command: str, what: str, plan: Path | None = None, show: str = "") -> Finished:
        done = self._run(command, what, plan, show=show)
        if done.exit_code:
            raise Failed(
                f"Could not {what} the infrastructure of {self.environment}: `{argv(command)[0]}` ended with exit code"
                f" {done.exit_code}.",
                cause=f"The command was `{command}`, run in {self.directory}.",
            )
        return done

    def _run(self, command: str, what: str, plan: Path | None = None, *, show: str = "", until: Any = None) -> Finished:
        """Runs a command; *show* names the only stream that is logged, and nothing is logged after a line like *until*."""
        values = {"environment": self.environment, **({"plan": str(plan)} if plan else {})}
        words = filled(argv(command), values)
        hidden = False

        def log(stream: str, line: str) -> None:
            nonlocal hidden
            hidden = hidden or bool(until and stream == "stdout" and until.match(line))
            if not hidden and show in {"", stream}:
                self.runtime.log(line)

        with self.runtime.group(command):
            done = run_program(
                words,
                timeout=self.timeout,
                env=self.variables,
                cwd=self.directory,
                on_line=log,
                redactor=self.runtime.redactor,
                limit=LARGEST,
                grace=GRACE,
                gently=True,
            )
        if tools.LOCKED.search(done.stderr + done.stdout) and done.exit_code:
            raise Inconclusive(
                f"Could not {what} the infrastructure of {self.environment}: somebody else holds the lock of its state.",
                cause="Nothing was changed.",
                fix="Wait until the other run has ended, and run this again. A lock that a lost run left is removed by hand,"
                " such as by `terraform force-unlock`.",
            )
        if done.cut:
            raise UnusableInput(f"Could not {what} the infrastructure of {self.environment}: `{command}` printed too much.")
        if done.timed_out and what != "apply":
            raise Inconclusive(
                f"Could not {what} the infrastructure of {self.environment}: `{command}` did not end within"
                f" {self.timeout:g} s.",
                cause="Nothing was changed.",
            )
        return done


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs a phase. Raises `Failed`, `Inconclusive` and `UnusableInput`, each with what stands."""
    settings: dict[str, Any] = json.loads(inputs.settings)
    stack = Stack(settings, runtime, PLAN_ENV if inputs.phase in {"preview", "drift"} else secret_files.DEPLOY)
    saving = _seal(stack, runtime) if inputs.phase == "plan" or inputs.plan_file else None
    stack.prepare()
    if inputs.phase == "outputs":
        return _handed_on(stack, {}, complete=False)
    with tempfile.TemporaryDirectory(prefix="cicd-actions-plan-", dir=runtime.scratch) as folder:
        path = (Path(folder) / "plan").absolute()
        if inputs.phase == "apply":
            return _applied(stack, path, inputs.plan_file, saving)
        planned, changed = stack.plan(path, drift=inputs.phase == "drift")
        if inputs.phase == "drift":
            return _drifted(stack, planned, changed)
        report = _planned(stack, planned, changed)
        if saving is not None and changed and report.verdict is Verdict.PASS:
            place = runtime.place(inputs.plan_file, input="plan-file")
            header = json.dumps({"fingerprint": planned.fingerprint, "counted": planned.counted()}).encode()
            place.write_bytes(saving.close(header + b"\n" + path.read_bytes()))
        return report


def _seal(stack: Stack, runtime: Runtime) -> Seal:
    variables = runtime.variables
    key = variables.get(KEY, "")
    runtime.redactor.add(key)
    return seal(key, stack.environment, variables.get("GITHUB_SHA", ""), variables.get("GITHUB_RUN_ID", ""))


def _planned(stack: Stack, planned: Planned, changed: bool) -> Report:
    refused = planned.destroyed(stack.facts["allow-destroy"])
    findings = []
    for each in planned.destroyed():
        severity = Severity.ERROR if each in refused else Severity.WARNING
        verb = "destroyed" if each.action == "destroy" else "destroyed and created again"
        fix = f"    infrastructure:\n      allow-destroy: [{json.dumps(each.address)}]" if each in refused else ""
        findings.append(Finding("infrastructure/destroy", severity, f"{each.address} will be {verb}.", fix=fix))
    said = planned.counted() if planned or not changed else "changes of the state alone"
    headline = f"Infrastructure of {stack.environment}: {said}."
    if refused:
        headline += f" {len(refused)} may not be destroyed: `allow-destroy` does not name them."
    verdict = Verdict.FAIL if refused else Verdict.PASS
    outputs: dict[str, OutputValue] = {"changes": changed}
    return _report(verdict, headline, outputs, findings, _table(planned))


def _drifted(stack: Stack, planned: Planned, changed: bool) -> Report:
    if not changed:
        return _report(Verdict.PASS, f"No drift in {stack.environment}.", {"changes": False})
    finding = Finding(
        "infrastructure/drift",
        Severity.ERROR,
        f"The infrastructure of {stack.environment} was changed outside of its code: {planned.counted()}.",
        fix="Change the code to what stands, or plan and apply again.",
    )
    headline = f"Drift in {stack.environment}: {planned.counted()}."
    return _report(Verdict.FAIL, headline, {"changes": True}, [finding], _table(planned))


def _applied(stack: Stack, path: Path, saved: str, saving: Seal | None) -> Report:
    if saving is None:
        return _handed_on(stack, {"changes": False}, headline=f"Infrastructure of {stack.environment}: no changes.")
    try:
        sealed = Path(saved).read_bytes()
    except OSError as error:
        raise UnusableInput(f"Could not read the saved plan {saved}: {error.strerror}.", fix="Run all jobs again.") from None
    header, _, content = saving.open(sealed).partition(b"\n")
    approved: dict[str, str] = json.loads(header)
    path.write_bytes(content)
    done: Finished | None = stack.apply(path)
    how = f"applied {approved['counted']}"
    if done and done.exit_code and tools.STALE.search(done.stderr + done.stdout):
        planned, changed = stack.plan(path)
        if not changed:
            done, how = None, "the plan was applied before"
        elif planned.fingerprint == approved["fingerprint"]:
            stack.runtime.log("The state has moved, and a new plan changes the same: it is applied.")
            done = stack.apply(path)
        else:
            raise Inconclusive(
                f"Could not apply the infrastructure of {stack.environment}: the plan is stale, and a new one changes something"
                f" else: {planned.counted()}.",
                cause=f"Approved was: {approved['counted']}. Somebody has changed the state since. Nothing was applied now.",
                fix="Run all jobs again: that makes a new plan, and asks for a new approval.",
            )
    if done and (done.exit_code or done.timed_out):
        why = f"did not end within {stack.timeout:g} s" if done.timed_out else f"ended with exit code {done.exit_code}"
        raise Failed(
            f"Could not apply the infrastructure of {stack.environment}: `{stack.facts['apply']}` {why}.",
            cause="A part may be applied. Nothing was migrated or rolled out, and infrastructure is not rolled back.",
            fix="Repair the cause, and run all jobs again: the new plan holds what is left.",
        )
    return _handed_on(stack, {"changes": True}, headline=f"Infrastructure of {stack.environment}: {how}.")


def _handed_on(stack: Stack, outputs: dict[str, OutputValue], *, complete: bool = True, headline: str = "") -> Report:
    """Keeps the outputs for the steps that follow; the file must name only outputs that exist, once everything is applied."""
    values = stack.outputs()
    missing = [name for variable, name in stack.facts["outputs"].items() if variable not in values]
    if missing and complete:
        raise UnusableInput(
            f"Could not hand on the outputs of {stack.environment}: there is no {', '.join(missing)}.",
            cause="`infrastructure.outputs` names them, and the code does not.",
        )
    if stack.facts["outputs"]:
        handed_on.write(stack.runtime, values)
    names = f" Handed on: {', '.join(values)}." if values else ""
    return _report(Verdict.PASS, f"{headline or f'Outputs of {stack.environment}.'}{names}", outputs)


def _report(
    verdict: Verdict,
    headline: str,
    outputs: dict[str, OutputValue],
    findings: Sequence[Finding] = (),
    blocks: Sequence[Block] = (),
) -> Report:
    return Report(verdict, headline, {**outputs, "verdict": verdict, "reason": headline}, list(findings), list(blocks))


def _table(planned: Planned) -> list[Block]:
    rows: list[tuple[Inline, ...]] = [
        (f"⚠️ {each.action}" if each.action in DESTROYS else each.action, Code(each.address), ", ".join(each.attributes))
        for each in planned.changes
    ]
    rows += [("output", Code(name), "") for name in planned.outputs]
    blocks: list[Block] = [Table(("action", "resource", "attributes"), rows[:SHOWN])] if rows else []
    if len(rows) > SHOWN:
        blocks.append(Paragraph(f"… and {len(rows) - SHOWN} more."))
    if rows:
        blocks.append(Paragraph(f"Values are not shown. Fingerprint: {planned.fingerprint[:12]}."))
    return blocks


ACTION = Action(
    name="infrastructure",
    summary="Plans and applies what an environment stands on, by Terraform, OpenTofu or Pulumi.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive`."),
        Output("reason", "One sentence."),
        Output("changes", "`true` when the plan changes anything."),
    ),
    run="cicd_actions.pipeline.infrastructure.run.run",
    icon="server",
    color="blue",
)
