"""Audits this repository, or many, and reports."""

from __future__ import annotations

import datetime as dt
import gc
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cicd_actions.github import contents
from cicd_actions.github.client import GitHub
from cicd_actions.pipeline_audit import audit, fixes, fleet, life, reporting, settings, zizmor
from cicd_actions.pipeline_audit.audit import Audit, Options
from cicd_actions.pipeline_audit.facts import Carried, Facts, Settings
from cicd_actions.pipeline_audit.inputs import ACCEPTED, BASELINE, Inputs
from cicd_actions.pipeline_audit.life import Item
from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Status, Tier
from cicd_actions.toolkit import private
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.findings import Finding
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Details, OutputValue, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.workflows.repository_files import Fetch, Unavailable

DEADLINE = 600.0
"""Seconds for everything that asks GitHub."""

MOST_FETCHED = 200
"""Called workflows and composite actions of other repositories that are read, one request each."""


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Audits, judges and reports. Raises `UnusableInput`."""
    today = dt.datetime.fromtimestamp(runtime.wall(), dt.timezone.utc).date()
    options = _options(inputs, runtime)
    # Thousands of nodes are made, and none of them in a cycle: looking for cycles would take a quarter of the time. What was
    # made by then is frozen, or the first collection after it would go through all of it.
    collecting = gc.isenabled()
    gc.disable()
    try:
        if inputs.repositories:
            return _many(inputs, runtime, options, today)
        facts, running = audit.read(runtime.workspace, options)
        try:
            name = runtime.variables.get("GITHUB_REPOSITORY") or facts.repository.name
            asked = _settings(inputs.github_token, name, facts, runtime)
            done = audit.judged(facts, running, options, asked, today)
        finally:
            running.stop()
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
    failing = reporting.ordered(done.failing(inputs.fail_on))
    outputs, more = _files(inputs, runtime, done, failing)
    blocks = [*reporting.blocks(done, failing, runtime.variables), *more]
    return _report(done, failing, outputs, blocks)


def _options(inputs: Inputs, runtime: Runtime) -> Options:
    where = runtime.workspace

    def usual(path: str) -> str:
        return path if not inputs.repositories and (where / path).is_file() else ""

    acknowledge, baseline = inputs.acknowledge or usual(ACCEPTED), inputs.baseline or usual(BASELINE)
    accepted = life.acknowledgements(where / acknowledge, acknowledge, RULES) if acknowledge else []
    known = life.baseline(where / baseline, baseline) if baseline else {}
    sarif: list[Carried] | None = None
    if inputs.zizmor not in {"auto", "off"}:
        sarif = zizmor.from_sarif(where / inputs.zizmor, inputs.zizmor)
    return Options(
        name="" if inputs.repositories else runtime.variables.get("GITHUB_REPOSITORY", ""),
        base=inputs.base or runtime.variables.get("GITHUB_BASE_REF", ""),
        fetch=_fetcher(inputs.github_token, runtime) if inputs.github_token else None,
        variables=runtime.variables,
        sarif=sarif,
        run_zizmor=inputs.zizmor == "auto",
        accepted=accepted,
        baseline=known,
    )


def _fetcher(token: str, runtime: Runtime) -> Fetch:
    """Reads files of other repositories by GitHub's API, each once and within one deadline."""
    deadline = runtime.deadline(DEADLINE)
    left = iter(range(MOST_FETCHED))

    def fetch(repository: str, path: str, commit: str) -> str:
        if next(left, None) is None:
            raise Unavailable(f"an audit reads at most {MOST_FETCHED} files of other repositories")
        try:
            return contents.text(GitHub(token, repository, runtime, deadline), path, commit)
        except ActionError as error:
            raise Unavailable(error.what) from None

    return fetch


def _settings(token: str, name: str, facts: Facts, runtime: Runtime) -> Settings | None:
    if not token or not fleet.NAME.fullmatch(name):
        return None
    environments = {one for job in facts.production for each in [job, *job.ancestors] for one in each.environments or ()}
    return settings.ask(GitHub(token, name, runtime, runtime.deadline(60.0)), environments, runtime)


def _files(
    inputs: Inputs, runtime: Runtime, done: Audit, failing: Sequence[Item]
) -> tuple[dict[str, OutputValue], list[Block]]:
    """Writes JSON, SARIF, the patch and the baseline. Returns the outputs that name them, and what the report says of them."""
    results = _results(runtime)
    found = reporting.findings(done, failing)
    version = runtime.variables.get("GITHUB_ACTION_REF", "")
    outputs: dict[str, OutputValue] = {
        "report": str(_json(results / "report.json", reporting.as_json(done, failing), runtime)),
        "sarif": str(_json(results / "findings.sarif", reporting.as_sarif(found, version), runtime)),
        "critical": sum(item.tier is Tier.CRITICAL for item in done.open),
        "major": sum(item.tier is Tier.MAJOR for item in done.open),
        "minor": sum(item.tier is Tier.MINOR for item in done.open),
        "overdue": sum(item.overdue(done.today) for item in done.open),
        "patch": "",
    }
    blocks: list[Block] = []
    if inputs.fix:
        pinned: dict[str, str] = {}
        if inputs.pins:
            path = runtime.workspace / inputs.pins
            if not path.is_file():
                raise UnusableInput(f"Could not read {inputs.pins}, the file of the input `pins`.")
            pinned = fixes.pins(path.read_text("utf-8", "replace"), inputs.pins)
        text = fixes.patch(done.facts, done.open, pinned)
        if text:
            path = results / "fixes.patch"
            private.write(path, text)
            outputs["patch"] = str(path)
            blocks += [
                Details("Patch for what is safe to write", [CodeBlock(text, "diff")]),
                Paragraph(["Apply it with ", Code(f"git apply {path}"), "."]),
            ]
        else:
            blocks.append(Paragraph("No finding can be fixed safely by a patch."))
    if inputs.write_baseline:
        path = runtime.place(inputs.write_baseline, input="write-baseline")
        path.write_text(life.baseline_text(done.open, done.today), "utf-8")
        runtime.log(f"Wrote {inputs.write_baseline}.")
    return outputs, blocks


def _results(runtime: Runtime) -> Path:
    """A folder for the files that the outputs name; later steps of the job may read them."""
    path = runtime.variables.get("RUNNER_TEMP")
    return Path(tempfile.mkdtemp(prefix="pipeline-audit-", dir=path if path and Path(path).is_dir() else None))


def _json(path: Path, content: object, runtime: Runtime) -> Path:
    private.write(path, runtime.redactor(json.dumps(content, ensure_ascii=True)) + "\n")
    return path


def _report(done: Audit, failing: Sequence[Item], outputs: dict[str, OutputValue], blocks: list[Block]) -> Report:
    verdict = Verdict.FAIL if failing else Verdict.INCONCLUSIVE if done.unread else Verdict.PASS
    headline = reporting.headline(done)
    outputs |= {
        "verdict": verdict,
        "reason": headline,
        "inconclusive": [id_ for id_, result in done.results.items() if result.status is Status.INCONCLUSIVE],
    }
    return Report(verdict, headline, outputs, reporting.findings(done, failing), blocks, list_findings=False)


def _many(inputs: Inputs, runtime: Runtime, options: Options, today: dt.date) -> Report:
    fleet.check(inputs.repositories, inputs.github_token, runtime.workspace)
    deadline = runtime.deadline(DEADLINE)
    audits: list[tuple[str, Audit, Sequence[Item]]] = []
    failed: list[tuple[str, ActionError]] = []

    def one(name: str, root: Path) -> None:
        facts, running = audit.read(root, replace(options, name="" if (runtime.workspace / name).is_dir() else name))
        try:
            asked = _settings(inputs.github_token, facts.repository.name, facts, runtime)
            done = audit.judged(facts, running, options, asked, today)
        finally:
            running.stop()
        audits.append((name, done, reporting.ordered(done.failing(inputs.fail_on))))

    for name in dict.fromkeys(inputs.repositories):
        try:
            if (runtime.workspace / name).is_dir():
                one(name, runtime.workspace / name)
            else:
                with fleet.checkout(name, inputs.github_token, runtime, deadline) as root:
                    one(name, root)
        except UnusableInput:
            raise
        except ActionError as error:
            failed.append((name, error))
    results = _results(runtime)
    whole = {
        "repositories": [{"name": name, **reporting.as_json(done, failing)} for name, done, failing in audits],
        "failed": [{"name": name, "why": error.what} for name, error in failed],
    }
    bad = [name for name, _, failing in audits if failing]
    unclear = bool(failed) or any(done.unread for _, done, _ in audits)
    verdict = Verdict.FAIL if bad else Verdict.INCONCLUSIVE if unclear else Verdict.PASS
    count = len(audits) + len(failed)
    headline = f"{len(bad)} of {count} repositories fail." + (f" {len(failed)} could not be audited." if failed else "")
    found: list[Finding] = []
    for name, done, failing in audits:
        found += [replace(each, file=f"{name}/{each.file}") for each in reporting.findings(done, failing)]
    outputs: dict[str, OutputValue] = {
        "verdict": verdict,
        "reason": headline,
        "report": str(_json(results / "report.json", whole, runtime)),
        "sarif": str(_json(results / "findings.sarif", reporting.as_sarif(found, ""), runtime)),
        **{tier.value: sum(item.tier is tier for _, done, _ in audits for item in done.open) for tier in Tier},
        "overdue": sum(item.overdue(today) for _, done, _ in audits for item in done.open),
        "patch": "",
    }
    blocks: list[Block] = fleet.blocks(audits, failed)
    for name, done, failing in sorted(audits, key=lambda each: (fleet.rank(each[1]), each[0])):
        blocks.append(Details(f"{name}: {reporting.headline(done)}", reporting.blocks(done, failing, {}), summary_only=True))
    # Files of other repositories are nothing that an annotation could point at.
    return Report(verdict, headline, outputs, [], blocks, list_findings=False)
