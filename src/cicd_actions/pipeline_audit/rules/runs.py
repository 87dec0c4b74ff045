"""Rules about how a check runs: its limits, triggers, caches and scans."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.facts import NO_WORKFLOWS, Facts, at, once
from cicd_actions.pipeline_audit.model import JobRun
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.examples import CHECKOUT, CI_HEAD
from cicd_actions.toolkit.yaml12 import Mapping
from cicd_actions.workflows.place import Place


def _no_timeout(facts: Facts) -> Iterator[Answer]:
    files = [file for file in facts.pipeline.workflows if file.jobs]
    if not files:
        yield NO_WORKFLOWS
        return
    broken = False
    for file in files:
        missing = [job for job in file.jobs.values() if not job.uses and job.node.get("timeout-minutes") is None and job.steps]
        missing = [job for job in missing if not all(step.node.get("timeout-minutes") is not None for step in job.steps)]
        if missing:
            broken = True
            names = ", ".join(f"`{job.id}`" for job in missing[:5]) + (
                f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            )
            verb = "has" if len(missing) == 1 else "have"
            yield Broken(
                Place(file.path, missing[0].line),
                f"{names} {verb} no `timeout-minutes`: a job that hangs runs for six hours.",
                f"  {missing[0].id}:\n    timeout-minutes: 15",
                key="timeout",
            )
    if not broken:
        yield Held("Every job has a time limit.")


NO_TIMEOUT = Rule(
    "no-timeout",
    Tier.MINOR,
    "Every job has `timeout-minutes`.",
    "A job that hangs holds its runner, and a deploy its lock, for six hours.",
    "jobs:\n  test:\n    timeout-minutes: 15",
    _no_timeout,
    {".github/workflows/ci.yml": CI_HEAD.replace("    timeout-minutes: 10\n", "") + CHECKOUT},
    {".github/workflows/ci.yml": CI_HEAD + CHECKOUT},
)


def _ci_jobs(facts: Facts) -> dict[str, list[JobRun]]:
    """The jobs that check pull requests, by workflow."""
    found: dict[str, list[JobRun]] = {}
    for job in facts.lanes:
        if "pull_request" in job.entry.triggers:
            found.setdefault(job.entry.path, []).append(job)
    return found


def _stale(facts: Facts) -> Iterator[Answer]:
    workflows = _ci_jobs(facts)
    if not workflows:
        yield NotApplicable("No workflow checks pull requests.")
        return
    for jobs in workflows.values():
        job = jobs[0]
        if all(any(group.cancels for group in one.groups) for one in jobs):
            yield Held("A new push cancels the run before it.", job.groups[0].place)
        else:
            without = next(one for one in jobs if not any(group.cancels for group in one.groups))
            yield Broken(
                at(job.entry, "jobs"),
                f"A new push does not cancel the checks of the old one (`{without.job.id}`).",
                via=without.via,
                key="concurrency",
            )


STALE = Rule(
    "stale-ci-runs",
    Tier.MINOR,
    "CI has a `concurrency` group with cancel-in-progress.",
    "Checks of a commit that a push replaced keep runners busy, and reviewers waiting.",
    "concurrency:\n  group: ci-${{ github.ref }}\n  cancel-in-progress: ${{ github.event_name == 'pull_request' }}",
    _stale,
    {
        ".github/workflows/ci.yml": CI_HEAD.replace(
            "concurrency:\n  group: ci-${{ github.ref }}\n  cancel-in-progress: true\n", ""
        )
        + "      - run: pytest\n"
    },
    {".github/workflows/ci.yml": CI_HEAD + "      - run: pytest\n"},
)


def _path_filter(facts: Facts) -> Iterator[Answer]:
    workflows = _ci_jobs(facts)
    if not workflows:
        yield NotApplicable("No workflow checks pull requests.")
        return
    for path, jobs in workflows.items():
        file = jobs[0].entry
        root = file.document.root
        on = root.get("on") if isinstance(root, Mapping) else None
        trigger = on.get("pull_request") if isinstance(on, Mapping) else None
        filtered = isinstance(trigger, Mapping) and (
            trigger.get("paths") is not None or trigger.get("paths-ignore") is not None
        )
        if filtered or any(_filters(one) for one in facts.pipeline.runs[path]):
            yield Held("A documentation-only change runs less.", Place(path, 1))
        else:
            yield Broken(at(file, "on", "pull_request"), "A change of documentation alone runs every check.", key="paths")


def _filters(job: JobRun) -> bool:
    if _OUTPUT.search(" ".join(job.conditions)):
        return True
    return any(_FILTER_ACTION.search(step.uses) for step in job.steps if step.uses) or any(
        _FILTER_COMMAND.search(command.text) for step in job.steps for command, _ in step.commands
    )


_OUTPUT = re.compile(r"needs\.\w[\w-]*\.outputs\.")


_FILTER_ACTION = re.compile(r"filter|changed-files|changed-lanes")


_FILTER_COMMAND = re.compile(r"git diff .*--name-only|nx affected|turbo .*--filter|--affected|changed-lanes")


PATH_FILTER = Rule(
    "no-path-filter",
    Tier.MINOR,
    "A documentation-only change does not run the whole pipeline, and a required check still reports.",
    "A corrected word should not take as long as a release.",
    (
        "jobs:\n  changes:\n    outputs:\n      code: ${{ steps.changed.outputs.code }}\n  test:\n    needs:"
        " changes\n    if: needs.changes.outputs.code == 'true'"
    ),
    _path_filter,
    {".github/workflows/ci.yml": CI_HEAD + "      - run: pytest\n"},
    {
        ".github/workflows/ci.yml": CI_HEAD.replace("  pull_request:\n", "  pull_request:\n    paths-ignore: ['**.md']\n")
        + "      - run: pytest\n"
    },
    "With `paths-ignore`, a required check never reports: a job that compares the changed files, as in the fix, does.",
)


_LOCKED = re.compile(
    r"(npm ci|npm install|npm i|pnpm (install|i)|yarn|uv sync|poetry install|pipenv|bundle install"
    r"|pip3? install .*-r|composer install|bun install)"
)


def _no_cache(facts: Facts) -> Iterator[Answer]:
    broken, some = False, False
    told: set[str] = set()
    for job in once(facts.lanes):
        installs = [effect for effect in job.of(Kind.INSTALL) if _LOCKED.match(effect.detail)]
        if (
            not installs
            or job.of(Kind.PUBLISH, Kind.PUSH, Kind.DEPLOY)
            or job.entry.triggers == ("release",)
            or job.self_hosted()
        ):
            continue
        if re.search(r"release|publish", job.words, re.IGNORECASE):
            continue
        some = True
        if job.of(Kind.CACHE) or job.job.node.get("container") is not None:
            continue
        broken = True
        if job.file.path not in told:
            told.add(job.file.path)
            yield Broken(
                installs[0].place,
                f"`{installs[0].detail}` downloads every dependency in each run.",
                via=job.via,
                key=job.job.id,
            )
    if not broken:
        yield (
            Held("Dependency installs are cached.")
            if some
            else NotApplicable("No check installs dependencies from a lock file.")
        )


NO_CACHE = Rule(
    "no-cache",
    Tier.MINOR,
    "Dependency installs are cached by lock file.",
    "Downloads make every run slower, and fail when a registry does.",
    "- uses: actions/setup-node@<sha>\n  with:\n    node-version: 24\n    cache: npm",
    _no_cache,
    {".github/workflows/ci.yml": CI_HEAD + "      - run: npm ci\n      - run: npm test\n"},
    {
        ".github/workflows/ci.yml": CI_HEAD
        + (
            "      - uses: actions/setup-node@<sha>\n        with:\n          cache: npm\n      - run: npm ci\n "
            "     - run: npm test\n"
        )
    },
    "Jobs that release or deploy are left out: a cache that pull requests can write has no place in them.",
)


def _unscanned(facts: Facts) -> Iterator[Answer]:
    if not facts.lanes and not facts.deploying:
        yield NotApplicable("No workflow checks or deploys code.")
        return
    dependencies = facts.pipeline.all(Kind.SCAN_DEPENDENCIES)
    code = facts.pipeline.all(Kind.SCAN_CODE)
    managed = [
        path
        for path in (
            ".github/dependabot.yml",
            ".github/dependabot.yaml",
            "renovate.json",
            ".github/renovate.json",
            "renovate.json5",
            ".renovaterc",
        )
        if path in facts.repository.paths
    ]
    if dependencies and code:
        yield Held(f"`{dependencies[0][1].detail}` and `{code[0][1].detail}` scan.", dependencies[0][1].place)
        return
    missing = " and ".join(what for what, found in (("dependencies", dependencies), ("code", code)) if not found)
    if managed or dependencies or code or facts.unread is not None:
        yield Unknown(
            (
                f"No workflow scans {missing}. GitHub's own scans (Dependabot alerts, CodeQL default setup) are"
                " settings, which this token cannot read."
            ),
            Place(managed[0], 1) if managed else None,
        )
    else:
        job = (facts.lanes or facts.deploying)[0]
        yield Broken(
            Place(job.entry.path, 1), "Neither dependencies nor code are scanned for known vulnerabilities.", key="scan"
        )


UNSCANNED = Rule(
    "unscanned-dependencies",
    Tier.MAJOR,
    "Dependencies are scanned for known vulnerabilities, code for known-bad patterns.",
    "Known vulnerabilities are the ones that get exploited.",
    (
        "- run: pip-audit --format json --output audit.json || true # the gate decides\n"
        "- run: bandit --recursive src --format json --output bandit.json || true\n"
        "- uses: org/cicd-actions/scan-gate@<sha>\n  with:\n    reports: |\n"
        "      pip-audit: audit.json\n      bandit: bandit.json"
    ),
    _unscanned,
    {".github/workflows/ci.yml": CI_HEAD + "      - run: pytest\n"},
    {".github/workflows/ci.yml": CI_HEAD + "      - run: pytest\n      - run: pip-audit\n      - run: bandit -r src\n"},
)
