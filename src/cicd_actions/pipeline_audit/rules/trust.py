"""Rules about what a workflow may do, whose code it runs, and what it knows: tokens, pins, secrets, triggers, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit import known_actions
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.facts import NO_WORKFLOWS, Facts, at, once
from cicd_actions.pipeline_audit.model import JobRun, StepRun
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.examples import CHECKOUT, CI_HEAD, PINNED
from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar
from cicd_actions.workflows.files import File, scalar_text
from cicd_actions.workflows.place import Place

_PR_HEAD = re.compile(
    r"github\.event\.pull_request\.head\.(sha|ref)|github\.head_ref|refs/pull/|github\.event\.number|pull_request\.number"
    r"|event\.pull_request\.merge_commit_sha|github\.event\.pull_request\.head\.repo"
)
_ASKED_HEAD = re.compile(rf"{_PR_HEAD.pattern}|\bhead\.(sha|ref)\b|headRef(Oid|Name)|\bpulls/\S+ .*\bhead\b")
"""How a step asks for the head of a pull request whose number it has."""

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
        taken = [(number, step) for number, step in enumerate(job.steps) if _takes_head(job, step)]
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


def _takes_head(job: JobRun, step: StepRun) -> bool:
    if known_actions.name_of(step.uses) == "actions/checkout":
        ref = step.given.get("ref", "") + step.given.get("repository", "")
        return bool(_PR_HEAD.search(ref)) or any(_ASKED_HEAD.search(text) for text in _origins(job, ref))
    return any(
        re.match(r"gh pr checkout|git (fetch|checkout|pull) .*(refs/pull|pull/|head\.|head_ref|PR_)", command.text)
        for command, _ in step.commands
    )


def _origins(job: JobRun, text: str) -> Iterator[str]:
    """Yields the texts of the steps and variables from which an expression takes its value."""
    for kind, name in re.findall(r"\b(steps|needs|env)\.([\w-]+)", text):
        if kind == "env":
            for owner in (job.job.node, job.file.document.root):
                env = owner.get("env") if isinstance(owner, Mapping) else None
                yield scalar_text(env.get(name)) if isinstance(env, Mapping) else ""
            continue
        steps = job.steps if kind == "steps" else [step for other in job.needs if other.job.id == name for step in other.steps]
        for step in steps:
            if kind == "needs" or scalar_text(step.step.node.get("id")) == name:
                yield " ".join([*step.given.values(), *(command.text for command, _ in step.commands)])


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
    {".github/workflows/pr.yml": _TARGET.replace("_target", "").replace("<sha>", PINNED) + "      - run: npm ci && npm test\n"},
)


def _writes(node: Node | None) -> list[str]:
    if isinstance(node, Scalar):
        return ["write-all"] if node.text == "write-all" else []
    return [key.text for key, value in node.entries if scalar_text(value) == "write"] if isinstance(node, Mapping) else []


def _broad(facts: Facts) -> Iterator[Answer]:
    files = [file for file in facts.pipeline.workflows if file.jobs]
    if not files:
        yield NO_WORKFLOWS
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
    {".github/workflows/ci.yml": CI_HEAD.replace("permissions:\n  contents: read\n", "") + CHECKOUT},
    {".github/workflows/ci.yml": CI_HEAD + CHECKOUT},
    "Where zizmor runs, its audit `excessive-permissions` decides. Workflows that are only called are capped by their callers.",
)

_SHA = re.compile(r"[0-9a-f]{40}|sha256:[0-9a-f]{64}")


def _unpinned(facts: Facts) -> Iterator[Answer]:
    if not facts.pipeline.files:
        yield NO_WORKFLOWS
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
    {".github/workflows/ci.yml": CI_HEAD + "      - uses: docker/build-push-action@v6\n"},
    {
        ".github/workflows/ci.yml": CI_HEAD
        + "      - uses: docker/build-push-action@53b7df96c91f9c12dcc8a07bcb9ccacbed38856a # v7.3.0\n"
    },
    "Actions of GitHub and of the repository's owner are not third-party. zizmor's `unpinned-uses` tells the same places.",
)
