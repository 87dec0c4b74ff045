"""Rules about what a workflow may do, whose code it runs, and what it knows: tokens, pins, secrets, triggers, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit import known_actions, literals
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.facts import Facts, at, once
from cicd_actions.pipeline_audit.model import JobRun, StepRun
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.deploys import _HEAD, _SET_IMAGE, _STATUS, _UNDO, _deploy
from cicd_actions.secrets_doc_check import documentation, uses
from cicd_actions.secrets_doc_check.inputs import Inputs as SecretInputs
from cicd_actions.secrets_doc_check.inventory import compare
from cicd_actions.secrets_doc_check.model import Column
from cicd_actions.secrets_doc_check.rules import State
from cicd_actions.toolkit.inputs import declarations
from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar
from cicd_actions.workflows.files import File, scalar_text
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.tree import glob

_NO_WORKFLOWS = NotApplicable("The repository has no workflows.")

_CI_HEAD = """\
name: CI
on:
  pull_request:
permissions:
  contents: read
concurrency:
  group: ci-${{ github.ref }}
  cancel-in-progress: true
jobs:
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
"""
_PIN = "3d3c42e5aac5ba805825da76410c181273ba90b1"
_CHECKOUT = f"      - uses: actions/checkout@{_PIN} # v7.0.1\n"


# untrusted-checkout

_PR_HEAD = re.compile(
    r"github\.event\.pull_request\.head\.(sha|ref)|github\.head_ref|refs/pull/|github\.event\.number|pull_request\.number"
    r"|event\.pull_request\.merge_commit_sha|github\.event\.pull_request\.head\.repo"
)
_SAME_REPOSITORY = re.compile(
    r"head\.repo\.full_name\s*==\s*(github\.repository|github\.event\.repository|'[^']+')"
    r"|head\.repo\.fork\s*==\s*false|!\s*github\.event\.pull_request\.head\.repo\.fork"
    r"|pull_request\.user\.login\s*==|github\.actor\s*==|pull_request\.merged|author_association|labels?\b"
)
_ONLY_READS = re.compile(
    r"(git (diff|log|show|rev-parse|fetch|config|remote|merge-base|add|commit|push|checkout|status)|echo"
    r"|cat|ls|cd|gh (pr|api|issue)|jq|grep|find|wc|test|\[|printf|set|export|mkdir|diff|sort|head|tail|tr"
    r"|cut|exit|read|sleep|date)$"
)


def _untrusted(facts: Facts) -> Iterator[Answer]:
    jobs = [job for job in facts.pipeline.jobs if "pull_request_target" in job.entry.triggers]
    if not jobs:
        yield NotApplicable("No workflow starts on `pull_request_target`.")
        return
    for job in once(jobs):
        taken = [(number, step) for number, step in enumerate(job.steps) if _takes_head(step)]
        if not taken:
            yield Held(f"`{job.job.id}` does not check out the pull request.", job.place)
            continue
        number, step = taken[0]
        conditions = " ".join([*job.conditions, step.condition])
        runs = next((one for one in job.steps[number + 1 :] if _runs_code(one)), None)
        if not _powerful(job):
            yield Held(f"`{job.job.id}` has neither secrets nor a token that writes.", job.place)
        elif _SAME_REPOSITORY.search(conditions):
            yield Unknown(
                "A condition limits whose pull requests get here; a later push to the same pull request may not be covered.",
                step.place,
            )
        elif job.job.environment is not None:
            yield Unknown("The environment may ask for an approval before this runs.", step.place)
        elif runs is None:
            yield Unknown(
                "The pull request's files are checked out with secrets available; no step seems to run them.", step.place
            )
        else:
            message = (
                f"`pull_request_target` runs the code of the pull request (“{runs.step.label}”) with this"
                " repository's token and secrets."
            )
            yield Broken(step.place, message, via=job.via, key=job.job.id)


def _takes_head(step: StepRun) -> bool:
    if known_actions.name_of(step.uses) == "actions/checkout":
        return bool(_PR_HEAD.search(step.given.get("ref", "") + step.given.get("repository", "")))
    return any(
        re.match(r"gh pr checkout|git (fetch|checkout|pull) .*(refs/pull|pull/|head\.|head_ref|PR_)", command.text)
        for command, _ in step.commands
    )


def _runs_code(step: StepRun) -> bool:
    if step.uses.startswith("./"):
        return True
    if any(effect.kind in {Kind.TEST, Kind.LINT, Kind.TYPES, Kind.INSTALL, Kind.BUILD, Kind.CLIENT} for effect in step.effects):
        return True
    return any(
        not _ONLY_READS.match(" ".join(command.words[:2])) and not _ONLY_READS.match(command.program)
        for command, _ in step.commands
    )


def _powerful(job: JobRun) -> bool:
    """Whether the job has a secret, or a token that may write."""
    handed = job.job.node
    text = _secrets_in(handed) | _secrets_in(
        job.file.document.root.get("env") if isinstance(job.file.document.root, Mapping) else None
    )
    if text - {"GITHUB_TOKEN"}:
        return True
    node = job.job.node.get("permissions") or (
        job.file.document.root.get("permissions") if isinstance(job.file.document.root, Mapping) else None
    )
    return node is None or bool(_writes(node))


def _secrets_in(node: Node | None) -> set[str]:
    found: set[str] = set()
    pending: list[Node] = [node] if node is not None else []
    while pending:
        one = pending.pop()
        if isinstance(one, Scalar):
            found.update(re.findall(r"secrets\.(\w+)", one.text))
        elif isinstance(one, Mapping):
            pending += [value for _, value in one.entries]
        else:
            pending += one.items
    return found


_TARGET = (
    "on: pull_request_target\njobs:\n  test:\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n   "
    " steps:\n      - uses: actions/checkout@<sha>\n"
)

UNTRUSTED = Rule(
    "untrusted-checkout",
    Tier.CRITICAL,
    "`pull_request_target` never checks out or runs the pull request's code with secrets available.",
    "Anyone can open a pull request; what it runs here can read the secrets and push to the repository.",
    "on:\n  pull_request:        # forks get no secrets, and a read-only token\npermissions:\n  contents: read",
    _untrusted,
    {
        ".github/workflows/pr.yml": _TARGET
        + "        with:\n          ref: ${{ github.event.pull_request.head.sha }}\n      - run: npm ci && npm test\n"
    },
    {".github/workflows/pr.yml": _TARGET.replace("_target", "").replace("<sha>", _PIN) + "      - run: npm ci && npm test\n"},
)


def _literal(facts: Facts) -> Iterator[Answer]:
    found = False
    for place, whose in literals.tokens(facts.repository):
        found = True
        yield Broken(
            place,
            f"A {whose} token stands in this file: its checksum is right. Revoke it, then remove it.",
            key=f"{place.file}",
        )
    if not found:
        scans = facts.pipeline.all(Kind.SCAN_SECRETS)
        yield Held(
            "No token with a checksum stands in a file." + (f" `{scans[0][1].detail}` scans for others." if scans else "")
        )


LITERAL = Rule(
    "literal-secret",
    Tier.CRITICAL,
    "No secret stands in a file.",
    "Everyone who can read the repository, and every copy of it, has the secret.",
    "env:\n  NPM_TOKEN: ${{ secrets.NPM_TOKEN }}",
    _literal,
    {".npmrc": "//npm.example.com/:_authToken=npm_" + "ExampleExampleExampleExampleEx" + "{checksum}\n"},
    {".npmrc": "//npm.example.com/:_authToken=${NPM_TOKEN}\n"},
    "Only tokens whose format carries a checksum are reported (GitHub, npm), so a report is never about a sample. Use a secret"
    " scanner for the others.",
)


# broad-token


def _writes(node: Node | None) -> list[str]:
    if isinstance(node, Scalar):
        return ["write-all"] if node.text == "write-all" else []
    return [key.text for key, value in node.entries if scalar_text(value) == "write"] if isinstance(node, Mapping) else []


def _broad(facts: Facts) -> Iterator[Answer]:
    files = [file for file in facts.pipeline.workflows if file.jobs]
    if not files:
        yield _NO_WORKFLOWS
        return
    carried = _by_file(facts, "excessive-permissions")
    for file in files:
        top = file.document.root.get("permissions") if isinstance(file.document.root, Mapping) else None
        if not file.starts_itself and top is None:
            yield Unknown("A workflow that is only called has at most its caller's permissions.", Place(file.path, 1))
            continue
        if facts.zizmor is not None:
            told = [one for one in carried.get(file.path, []) if one.severity in {"High", "Medium"}]
            if told:
                yield Broken(
                    told[0].place, f"{_sentence(told[0].message)} (zizmor: excessive-permissions)", _LEAST, key="permissions"
                )
            else:
                yield Held("zizmor finds no permission that is too broad.", Place(file.path, 1))
            continue
        missing = [job for job in file.jobs.values() if job.node.get("permissions") is None]
        writes = _writes(top)
        if top is None and missing:
            if facts.settings and facts.settings.default_token == "read":
                yield Held("The repository's default token only reads.", Place(file.path, 1))
            else:
                yield Broken(
                    Place(file.path, 1),
                    "The workflow has no `permissions:`, so its jobs get the repository's default token.",
                    _LEAST,
                    key="permissions",
                )
        elif writes and len(file.jobs) > 1:
            message = f"Every job gets the permission to write ({', '.join(writes)}): `permissions:` at the top."
            yield Broken(at(file, "permissions"), message, _LEAST, key="permissions")
        else:
            yield Held("The token is limited.", at(file, "permissions"))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _by_file(facts: Facts, *ids: str) -> dict[str, list]:  # type: ignore[type-arg]
    found: dict[str, list] = {}  # type: ignore[type-arg]
    for one in facts.zizmor or []:
        if one.id in ids:
            found.setdefault(one.place.file, []).append(one)
    return found


_LEAST = "permissions:\n  contents: read"

BROAD = Rule(
    "broad-token",
    Tier.MAJOR,
    "`permissions:` is least-privilege at the top, widened job by job.",
    "A step that is taken over can do whatever the job's token may do.",
    _LEAST + "\njobs:\n  release:\n    permissions:\n      contents: write # to make the release",
    _broad,
    {".github/workflows/ci.yml": _CI_HEAD.replace("permissions:\n  contents: read\n", "") + _CHECKOUT},
    {".github/workflows/ci.yml": _CI_HEAD + _CHECKOUT},
    "Where zizmor runs, its audit `excessive-permissions` decides. Workflows that are only called are capped by their callers.",
)

_SHA = re.compile(r"[0-9a-f]{40}|sha256:[0-9a-f]{64}")


def _unpinned(facts: Facts) -> Iterator[Answer]:
    if not facts.pipeline.files:
        yield _NO_WORKFLOWS
        return
    owner = facts.repository.name.partition("/")[0].lower()
    broken = False
    for file in facts.pipeline.files:
        places: dict[str, list[int]] = {}
        for uses_, line in _used(file):
            if _third_party(uses_, owner):
                places.setdefault(uses_, []).append(line)
        for uses_, lines in places.items():
            broken = True
            name, _, ref = uses_.partition("@")
            also = f" Also in line {', '.join(map(str, lines[1:]))}." if len(lines) > 1 else ""
            message = f"`{uses_}` can become other code at any time: pin it to a full commit SHA.{also}"
            yield Broken(Place(file.path, lines[0]), message, f"uses: {name}@<40 hex digits> # {ref}", key=name)
    if not broken:
        yield Held("Every third-party action is pinned to a commit.")


def _third_party(uses_: str, owner: str) -> bool:
    """Whether an action of somebody else is not pinned to a commit."""
    name, _, ref = uses_.partition("@")
    theirs = name.partition("/")[0].lower()
    if name.startswith(("./", "$/", "docker://")) or not ref or theirs in {"actions", "github", owner} or "${{" in name:
        return False
    return not _SHA.fullmatch(ref) and ref != "<sha>"


def _used(file: File) -> Iterator[tuple[str, int]]:
    for job in file.jobs.values():
        node = job.node.get("uses")
        if isinstance(node, Scalar):
            yield node.text.strip(), node.line
    for step in [*(step for job in file.jobs.values() for step in job.steps), *file.steps]:
        node = step.node.get("uses")
        if isinstance(node, Scalar):
            yield node.text.strip(), node.line


UNPINNED = Rule(
    "unpinned-action",
    Tier.MAJOR,
    "Third-party actions are pinned to a full commit SHA.",
    "A tag can be moved to other code, which then runs with your token and secrets.",
    "- uses: docker/build-push-action@53b7df96c91f9c12dcc8a07bcb9ccacbed38856a # v7.3.0",
    _unpinned,
    {".github/workflows/ci.yml": _CI_HEAD + "      - uses: docker/build-push-action@v6\n"},
    {
        ".github/workflows/ci.yml": _CI_HEAD
        + "      - uses: docker/build-push-action@53b7df96c91f9c12dcc8a07bcb9ccacbed38856a # v7.3.0\n"
    },
    "Actions of GitHub and of the repository's owner are not third-party. zizmor's `unpinned-uses` tells the same places.",
)

# long-lived-cloud-key

_KEYS: dict[str, tuple[str, str]] = {
    "aws-actions/configure-aws-credentials": ("aws-access-key-id", "AWS"),
    "google-github-actions/auth": ("credentials_json", "Google Cloud"),
    "google-github-actions/setup-gcloud": ("service_account_key", "Google Cloud"),
    "azure/login": ("creds", "Azure"),
}
_KEY_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AWS",
    "AWS_SECRET_ACCESS_KEY": "AWS",
    "GOOGLE_CREDENTIALS": "Google Cloud",
    "GCP_SA_KEY": "Google Cloud",
    "AZURE_CREDENTIALS": "Azure",
    "ARM_CLIENT_SECRET": "Azure",
    "AZURE_CLIENT_SECRET": "Azure",
}
_OTHER_STORE = re.compile(
    (
        r"endpoint|r2\b|cloudflarestorage|minio|backblaze|wasabi|digitaloceanspaces|scaleway|hetzner|spaces"
        r"|tigris|supabase|localstack|minioadmin"
    ),
    re.IGNORECASE,
)


def _long_lived(facts: Facts) -> Iterator[Answer]:
    federated: StepRun | None = None
    told: set[Place] = set()
    for job in once(facts.pipeline.jobs):
        for step in job.steps:
            name = "/".join(known_actions.name_of(step.uses).split("/")[:2])
            key, cloud = _KEYS.get(name, ("", ""))
            if key and "secrets." in step.given.get(key, ""):
                if step.place not in told:
                    told.add(step.place)
                    yield Broken(
                        step.place,
                        f"This step logs in to {cloud} with a stored key (`{key}`).",
                        via=job.via,
                        key=f"{job.job.id}:{cloud}",
                    )
            elif key:
                federated = federated or step
        for place, variable in _stored(job):
            if place not in told and not any(one.file == place.file and abs(one.line - place.line) < 3 for one in told):
                told.add(place)
                yield Broken(
                    place,
                    f"This job gets a stored key of {_KEY_VARIABLES[variable]} (`{variable}`).",
                    via=job.via,
                    key=f"{job.job.id}:{variable}",
                )
    if not told:
        yield (
            Held("Clouds are reached by OIDC.", federated.place)
            if federated
            else NotApplicable("No workflow logs in to a cloud that knows OIDC.")
        )


def _stored(job: JobRun) -> Iterator[tuple[Place, str]]:
    """Where `env:` gives a job a cloud's key from a secret; not for stores that only speak the same protocol."""
    if not any(name in job.file.document.text for name in _KEY_VARIABLES):
        return
    for node in [job.job.node, *(step.step.node for step in job.steps)]:
        block = node.get("env")
        entries = block.entries if isinstance(block, Mapping) else []
        found = [(key, value) for key, value in entries if key.text in _KEY_VARIABLES and "secrets." in scalar_text(value)]
        if not found:
            continue
        texts = " ".join(f"{key.text} {scalar_text(value)}" for key, value in entries) + " ".join(
            command.text for step in job.steps for command, _ in step.commands
        )
        if not _OTHER_STORE.search(texts):
            key, _ = found[0]
            yield Place(job.file.path, key.line), key.text


LONG_LIVED = Rule(
    "long-lived-cloud-key",
    Tier.MAJOR,
    "Clouds are reached by OIDC, not by stored keys.",
    "A stored key works from anywhere, until someone remembers to rotate it.",
    (
        "permissions:\n  id-token: write\nsteps:\n  - uses: aws-actions/configure-aws-credentials@<sha>\n   "
        " with:\n      role-to-assume: arn:aws:iam::123456789012:role/deploy\n      aws-region: eu-central-1"
    ),
    _long_lived,
    {
        ".github/workflows/deploy.yml": _HEAD
        + _deploy(
            (
                "- uses: aws-actions/configure-aws-credentials@<sha>\n  with:\n    aws-access-key-id: ${{"
                " secrets.AWS_ACCESS_KEY_ID }}\n    aws-secret-access-key: ${{ secrets.AWS_SECRET_ACCESS_KEY }}"
            ),
            _SET_IMAGE,
            _STATUS,
            _UNDO,
        )
    },
    {
        ".github/workflows/deploy.yml": _HEAD
        + _deploy(
            "- uses: aws-actions/configure-aws-credentials@<sha>\n  with:\n    role-to-assume: ${{ vars.ROLE }}",
            _SET_IMAGE,
            _STATUS,
            _UNDO,
        )
    },
    "AWS, Google Cloud and Azure count. Keys for stores that only speak the S3 protocol do not: those know no OIDC.",
)


def _undocumented(facts: Facts) -> Iterator[Answer]:
    found = uses.collect(facts.pipeline.inspections, facts.repository.files)
    if not found.uses:
        yield NotApplicable("No workflow uses a secret or a variable.")
        return
    patterns = tuple(glob(line) for line in declarations(SecretInputs)["docs"].default.splitlines())
    entries = []
    for path in facts.repository.tree.matching(patterns):
        text = facts.repository.text(path)
        if text is not None:
            entries += documentation.scan(path, text, frozenset())
    for path, text in facts.repository.files.texts.items():
        line, comment = documentation.trailing_comment(text)
        entries += documentation.scan(path, comment, frozenset(), first_line=line)
    rows = compare(found.uses, entries, Column(), {})
    missing: dict[str, list[tuple[str, Place]]] = {}
    for row in rows:
        if State.UNDOCUMENTED in row.states and row.uses:
            place = row.uses[0].place
            missing.setdefault(place.file, []).append((row.name, place))
    for file, names in missing.items():
        listed = ", ".join(f"`{name}`" for name, _ in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        first = min(place for _, place in names)
        verb = "is" if len(names) == 1 else "are"
        yield Broken(
            Place(file, first.line),
            f"{listed} {verb} used here and documented nowhere.",
            "Run `bin/cicd-actions secrets-doc-check --write SECRETS.md`, and fill in the purposes.",
            key="undocumented",
        )
    if not missing:
        yield Held(f"All {len(rows)} names are documented.")


UNDOCUMENTED = Rule(
    "undocumented-secret",
    Tier.MAJOR,
    "Every secret and variable is listed: name, purpose, where it lives, how to set it.",
    "Setting up a second environment, or rotating a key, starts with knowing which ones there are.",
    (
        "# SECRETS.md\n- `DEPLOY_KEY`: pushes to the server. Lives in: environment production. How: `gh"
        " secret set DEPLOY_KEY --env production`."
    ),
    _undocumented,
    {
        ".github/workflows/ci.yml": _CI_HEAD
        + "      - run: ./publish\n        env:\n          DEPLOY_KEY: ${{ secrets.DEPLOY_KEY }}\n"
    },
    {
        ".github/workflows/ci.yml": _CI_HEAD
        + "      - run: ./publish\n        env:\n          DEPLOY_KEY: ${{ secrets.DEPLOY_KEY }}\n",
        "SECRETS.md": "# Secrets\n\n- `DEPLOY_KEY`: publishes. Lives in: repository. How: `gh secret set DEPLOY_KEY`.\n",
    },
    "It is what secrets-doc-check finds in the workflows; that action writes the document, too.",
)

# limits and triggers


def _no_timeout(facts: Facts) -> Iterator[Answer]:
    files = [file for file in facts.pipeline.workflows if file.jobs]
    if not files:
        yield _NO_WORKFLOWS
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
    {".github/workflows/ci.yml": _CI_HEAD.replace("    timeout-minutes: 10\n", "") + _CHECKOUT},
    {".github/workflows/ci.yml": _CI_HEAD + _CHECKOUT},
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
        ".github/workflows/ci.yml": _CI_HEAD.replace(
            "concurrency:\n  group: ci-${{ github.ref }}\n  cancel-in-progress: true\n", ""
        )
        + "      - run: pytest\n"
    },
    {".github/workflows/ci.yml": _CI_HEAD + "      - run: pytest\n"},
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
    {".github/workflows/ci.yml": _CI_HEAD + "      - run: pytest\n"},
    {
        ".github/workflows/ci.yml": _CI_HEAD.replace("  pull_request:\n", "  pull_request:\n    paths-ignore: ['**.md']\n")
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
    {".github/workflows/ci.yml": _CI_HEAD + "      - run: npm ci\n      - run: npm test\n"},
    {
        ".github/workflows/ci.yml": _CI_HEAD
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
    "- uses: org/cicd-actions/scan-gate@<sha>",
    _unscanned,
    {".github/workflows/ci.yml": _CI_HEAD + "      - run: pytest\n"},
    {".github/workflows/ci.yml": _CI_HEAD + "      - run: pytest\n      - run: pip-audit\n      - run: bandit -r src\n"},
)

RULES = (UNTRUSTED, LITERAL, BROAD, UNPINNED, LONG_LIVED, UNDOCUMENTED, UNSCANNED, STALE, PATH_FILTER, NO_TIMEOUT, NO_CACHE)
