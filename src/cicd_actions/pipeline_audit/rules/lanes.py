"""Rules about the lanes of a change: separate, complete, and honest about what did not run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.effects import Effect, Kind
from cicd_actions.pipeline_audit.facts import Facts, once
from cicd_actions.pipeline_audit.known_actions import our_workflow
from cicd_actions.pipeline_audit.model import JobRun, flat_text
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier
from cicd_actions.pipeline_audit.rules.examples import CI_HEAD
from cicd_actions.workflows.files import scalar_text
from cicd_actions.workflows.place import Place

_API = re.compile(
    r"(uv run |poetry run |python3? -m )?(pytest|mypy|pyright|ruff|flake8|go (test|vet)|cargo|rspec"
    r"|phpunit|\S*manage\.py test|dotnet test|mvn|\S*gradlew?)"
)
_WEB = re.compile(r"(npm|pnpm|yarn|bun|npx|vitest|jest|tsc|vue-tsc|eslint|playwright|cypress)\b")
_CHECKS = (Kind.TEST, Kind.LINT, Kind.TYPES)


def _sides(job: JobRun) -> tuple[list[Effect], list[Effect]]:
    """The checks of the api and of the web application in a job."""
    effects = job.of(*_CHECKS)
    return [one for one in effects if _API.match(one.detail)], [one for one in effects if _WEB.match(one.detail)]


def _two_applications(facts: Facts) -> bool:
    """Whether there are an api and a web application: a package.json in a folder for one, and another language."""
    web = any(
        re.search(r"(^|/)(web|frontend|front-end|client|ui|webapp|dashboard|site|app)/package\.json$", path)
        for path in facts.repository.paths
    )
    names = {path.rpartition("/")[2] for path in facts.repository.paths}
    return web and bool(
        names
        & {
            "pyproject.toml",
            "requirements.txt",
            "go.mod",
            "Cargo.toml",
            "Gemfile",
            "pom.xml",
            "build.gradle",
            "composer.json",
            "manage.py",
        }
    )


def _merged(facts: Facts) -> Iterator[Answer]:
    if not _two_applications(facts):
        yield NotApplicable("The repository has not both an api and a web application.")
        return
    sides = [(job, *_sides(job)) for job in once(facts.lanes)]
    both = [(job, api, web) for job, api, web in sides if any(one.kind is Kind.TEST for one in api) and web]
    alone = [job for job, api, web in sides if bool(api) != bool(web)]
    for job, api, web in both:
        message = (
            f"`{job.job.id}` checks the api (`{api[0].detail}`) and the web application (`{web[0].detail}`) in"
            " one job: the first failure hides the other."
        )
        yield Broken(job.place, message, via=job.via, key=job.job.id)
    if not both:
        yield (
            Held("Api and web have separate jobs.", alone[0].place)
            if alone
            else NotApplicable("No workflow checks both applications.")
        )


_TWO = {"web/package.json": "{}\n", "api/pyproject.toml": ""}

MERGED = Rule(
    "merged-lanes",
    Tier.MAJOR,
    "Api and web are separate parallel jobs; each shows its own failure.",
    "One job for both takes twice as long, and its first failure hides the other's.",
    "jobs:\n  api:\n    steps: …\n  web:\n    steps: …",
    _merged,
    _TWO | {".github/workflows/ci.yml": CI_HEAD + "      - run: pytest api\n      - run: npm test --prefix web\n"},
    _TWO
    | {
        ".github/workflows/ci.yml": CI_HEAD
        + (
            "      - run: pytest api\n  web:\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n    steps:\n "
            "     - run: npm test --prefix web\n"
        )
    },
)

_GENERATOR = re.compile(
    r"openapi-typescript|orval|openapi-generator|swagger-typescript-api|@hey-api/openapi-ts"
    r"|openapi-typescript-codegen|@kubb/|oazapfts|nswag"
)


_TRACKED = re.compile(r"\.gen\.[jt]s$|(^|/)(__)?(generated|openapi|sdk|client|gen|api)[^/]*(/.*)?\.[jt]sx?$", re.IGNORECASE)
"""Files that may be a generated client, by their names."""


def _drift(facts: Facts) -> Iterator[Answer]:
    packages = [path for path in facts.repository.named("package.json") if _GENERATOR.search(facts.repository.text(path) or "")]
    checked = [(job, effect) for job, effect in facts.pipeline.all(Kind.CLIENT)]
    # Our verify.yml compares the client of a lane that has one.
    ours = [each for each in checked if each[1].what == "cicd-actions" and (packages or not our_workflow(each[1].detail))]
    if ours:
        yield Held("verify-openapi-client regenerates the client and compares it.", ours[0][1].place)
        return
    if not packages:
        yield NotApplicable("No web application has a generated client.")
        return
    for job, effect in checked:
        commands = [command.text for step in job.steps for command, _ in step.commands]
        if any(
            re.search(
                r"git status .*--porcelain|git add .*(-N|--intent-to-add|-A|\.)|ls-files .*--others|git diff .*--cached", text
            )
            for text in commands
        ):
            yield Held("The client is generated again, and any difference fails the job.", effect.place)
            return
        compared = next((text for text in commands if re.search(r"git diff .*(--exit-code|--quiet)", text)), None)
        if compared:
            yield Broken(
                effect.place,
                f"`{compared}` does not see untracked files: a new file of the client passes.",
                '- run: test -z "$(git status --porcelain)"',
                job.via,
                job.job.id,
            )
            return
    ignored = any(
        re.search(r"generated|openapi|client|sdk|\bgen\b", facts.repository.text(path) or "")
        for path in facts.repository.named(".gitignore")
    )
    if ignored and (checked or not any(_TRACKED.search(path) for path in facts.repository.tree.paths)):
        yield Held("The client is not tracked, and every build generates it.", checked[0][1].place if checked else None)
        return
    text = facts.repository.text(packages[0]) or ""
    match = _GENERATOR.search(text)
    line = text.count("\n", 0, match.start()) + 1 if match else 1
    yield Broken(
        Place(packages[0], line),
        "The client is generated from the OpenAPI document, and no job checks that it is up to date.",
        key="drift",
    )


_CLIENT = {"web/package.json": '{"devDependencies": {"openapi-typescript": "7.0.0"}}\n'}

DRIFT = Rule(
    "client-drift",
    Tier.MAJOR,
    (
        "The web lane regenerates the client from the api lane's `openapi.json` and fails on any difference,"
        " untracked files included."
    ),
    "A stale client compiles, and fails in the browser.",
    (
        "- uses: org/cicd-actions/verify-openapi-client@<sha>\n  with:\n    working-directory: apps/web\n"
        "    spec: ../api/openapi.json\n    client-path: src/api/generated.d.ts"
    ),
    _drift,
    _CLIENT | {".github/workflows/ci.yml": CI_HEAD + "      - run: npm test\n"},
    _CLIENT
    | {
        ".github/workflows/ci.yml": CI_HEAD
        + '      - run: npx openapi-typescript openapi.json -o src/api.d.ts\n      - run: test -z "$(git status --porcelain)"\n'
    },
)

_FETCHED = re.compile(
    (
        r"(curl|wget|http|npx|pnpm|yarn|openapi)\b.*(localhost|127\.0\.0\.1|0\.0\.0\.0):?\d*/\S*(openapi"
        r"|swagger|api-docs|schema)\S*(json|ya?ml|docs|/?)"
    ),
    re.IGNORECASE,
)


def _spec(facts: Facts) -> Iterator[Answer]:
    broken = False
    for job in facts.written:
        for step in job.steps:
            for command, place in step.commands:
                if _FETCHED.match(command.text):
                    broken = True
                    yield Broken(
                        place, "The OpenAPI document is fetched from a server that the job starts.", via=job.via, key=job.job.id
                    )
                    break
    if broken:
        return
    spec = any(re.search(r"openapi\.(json|ya?ml)$|export_openapi", path) for path in facts.repository.paths)
    yield (
        Held("No job fetches the OpenAPI document from a server.")
        if spec
        else NotApplicable("The repository has no OpenAPI document.")
    )


SPEC = Rule(
    "spec-from-server",
    Tier.MAJOR,
    "The OpenAPI document is exported in-process, never fetched from a started server.",
    "A server needs a database, a port and time to start: each can fail the lane, and an old process can answer.",
    "- run: python -c 'import json; from app.main import app; print(json.dumps(app.openapi()))' > openapi.json",
    _spec,
    {
        ".github/workflows/ci.yml": CI_HEAD
        + (
            "      - run: |\n          uvicorn app:app &\n          curl --fail"
            " http://localhost:8000/openapi.json -o openapi.json\n"
        )
    },
    {
        "openapi.json": "{}\n",
        ".github/workflows/ci.yml": CI_HEAD + "      - run: python scripts/export_openapi.py openapi.json\n",
    },
)

_GATE = re.compile(
    (
        r"^(all|ci|check|checks|gate|required|status|success|passed?|done|final|complete|result|results"
        r"|alls?-green|conclusion|verify|ok|merge)([-_ ]|$)|[-_ ](gate|success|passed|green|required"
        r"|complete)$|required|all[-_ ](checks|tests|green|passed)"
    ),
    re.IGNORECASE,
)


def _hidden(facts: Facts) -> Iterator[Answer]:
    broken, some = False, False
    for job in facts.written:
        if len(job.needs) >= 2 and _GATE.search(job.job.id) and job.steps and not _goes_on(facts, job):
            some = True
            answer = _gate(job)
            broken = broken or isinstance(answer, Broken)
            yield answer
        ignored = _ignored(job)
        if ignored is not None:
            broken = True
            yield ignored
    if not broken and not some:
        yield Held("No check hides its failure.") if facts.lanes else NotApplicable("No workflow checks the code.")


def _goes_on(facts: Facts, job: JobRun) -> bool:
    """Whether the job does more than to report: it tests, builds or deploys, or a deploy waits for it."""
    if job.deploys or job.of(Kind.TEST, Kind.BUILD, Kind.PUBLISH):
        return True
    return any(one.deploys or one.of(Kind.BUILD, Kind.PUBLISH) for one in facts.after(job))


def _gate(job: JobRun) -> Answer:
    condition = scalar_text(job.job.node.get("if"))
    if not re.search(r"always\(\)|!\s*cancelled\(\)|failure\(\)", condition):
        message = f"`{job.job.id}` is skipped when a job that it needs fails, and a skipped check counts as passed."
        return Broken(job.place, message, "if: always()", job.via, job.job.id)
    text = flat_text(job.job.node)
    if not re.search(r"\.result|toJSON\(needs\)|needs\.\*|alls-green|check-jobs|outcome", text, re.IGNORECASE):
        return Broken(
            job.place,
            f"`{job.job.id}` runs always, and never looks at the results of what it needs.",
            via=job.via,
            key=job.job.id,
        )
    return Held(f"`{job.job.id}` looks at the result of every job that it needs.", job.place)


_EXPERIMENT = re.compile(r"experimental|nightly|canary|allow|optional|flaky|benchmark|coverage|next|beta", re.IGNORECASE)


def _ignored(job: JobRun) -> Answer | None:
    """A test whose failure leaves the job green."""
    tests = job.of(Kind.TEST)
    if not tests or _EXPERIMENT.search(job.words):
        return None
    whole = scalar_text(job.job.node.get("continue-on-error")).strip() == "true"
    for effect in tests:
        if effect.tolerated or (whole and not job.job.node.get("strategy")):
            return Broken(
                effect.place,
                f"The failure of `{effect.detail}` is ignored: the check passes without it.",
                via=job.via,
                key=job.job.id,
            )
    return None


_TWO_LANES = CI_HEAD + (
    "      - run: pytest\n  lint:\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n    steps:\n      - run: ruff check .\n"
)
_CHECK = (
    "  check:\n    needs: [test, lint]\n{condition}    runs-on: ubuntu-latest\n    timeout-minutes: 5\n "
    "   steps:\n      - run: {run}\n"
)

HIDDEN = Rule(
    "hidden-lane",
    Tier.MAJOR,
    "A lane that did not run, or a skipped gate, never looks like a passed check.",
    "GitHub counts a skipped check as passed: a failed lane lets the pull request through.",
    (
        "  check:\n    if: always()\n    needs: [api, web]\n    steps:\n      - uses:"
        " org/cicd-actions/.github/actions/check-jobs@<sha>\n        with:\n          needs: ${{"
        " toJSON(needs) }}"
    ),
    _hidden,
    {".github/workflows/ci.yml": _TWO_LANES + _CHECK.format(condition="", run="echo passed")},
    {
        ".github/workflows/ci.yml": _TWO_LANES
        + _CHECK.format(condition="    if: always()\n", run="test \"${{ join(needs.*.result, ' ') }}\" = 'success success'")
    },
)


def _sequential(facts: Facts) -> Iterator[Answer]:
    if not facts.lanes:
        yield NotApplicable("No workflow checks the code.")
        return
    broken = False
    for job in once(facts.lanes):
        if job.via and job.file is not job.entry and job.call.interface:
            continue
        hidden = _waits(job)
        if hidden is not None:
            broken = True
            first, second = hidden
            message = f"`{second.detail}` does not run when `{first.detail}` fails: one failure hides the other."
            yield Broken(second.place, message, "- if: ${{ !cancelled() }}\n  run: …", job.via, job.job.id)
    if not broken:
        yield Held("No check hides another.")


def _waits(job: JobRun) -> tuple[Effect, Effect] | None:
    """The first check that waits for another kind of check in the same job."""
    first: Effect | None = None
    for index, effect in job.effects:
        if effect.kind not in _CHECKS or effect.tolerated:
            continue
        step = job.steps[index] if index >= 0 else None
        if first is None:
            first = effect
        elif effect.kind is not first.kind and step is not None and not step.on_failure:
            return first, effect
    return None


SEQUENTIAL = Rule(
    "sequential-gates",
    Tier.MINOR,
    "Lint, types and tests do not wait for each other without need, and one's failure hides no other.",
    "Each hidden failure costs another push and another wait.",
    "- run: ruff check .\n- if: ${{ !cancelled() }}\n  run: pytest",
    _sequential,
    {".github/workflows/ci.yml": CI_HEAD + "      - run: ruff check .\n      - run: pytest\n"},
    {".github/workflows/ci.yml": CI_HEAD + "      - run: ruff check .\n      - if: ${{ !cancelled() }}\n        run: pytest\n"},
)
