"""Says what the audit sees: the first thing to look at when a rule surprises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.facts import Facts, once
from cicd_actions.pipeline_audit.model import JobRun
from cicd_actions.toolkit.report import Block, Bullets, Code, Details, Heading, Inline, Paragraph, Table

MOST = 40
"""Rows of a table; the others are counted."""


def blocks(facts: Facts) -> list[Block]:
    """Returns the model of the pipeline as text: workflows, lanes, builds, migrations, deploys, gates."""
    made: list[Block] = [Heading("What I see"), Paragraph(_sentence(facts))]
    deploys = list(_deploys(facts))
    if deploys:
        made.append(
            Table(("deploy", "by", "stage", "environment", "waits for", "verified by", "rolled back by"), _cut(deploys))
        )
    parts = list(_parts(facts))
    if parts:
        made.append(Bullets(parts))
    calls = [job for job in facts.pipeline.jobs if job.via]
    if calls:
        rows: list[Inline] = [
            [
                Code(str(job.place)),
                f" ({job.job.id}), called from ",
                Code(" ← ".join(str(place) for place in reversed(job.via))),
            ]
            for job in once(calls)[:MOST]
        ]
        made.append(Details(f"Jobs of called workflows ({len(once(calls))})", [Bullets(rows)], summary_only=True))
    if facts.pipeline.unread:
        unread: list[Inline] = [[Code(str(place)), f": {why}"] for place, why in facts.pipeline.unread[:MOST]]
        made.append(Details(f"Not followed ({len(facts.pipeline.unread)})", [Bullets(unread)]))
    return made


def _sentence(facts: Facts) -> str:
    pipeline = facts.pipeline
    workflows, jobs = len(pipeline.workflows), len(facts.written)
    said = facts.repository.deploys
    if facts.deploying:
        platforms = sorted({effect.what for job in facts.deploying for _, effect in job.service_deploys})
        deploys = f"It deploys with {', '.join(platforms)}."
    elif said is False:
        deploys = "It deploys nothing: .github/cicd.yml says `deploys: false`."
    elif pipeline.guessed_deploys:
        _, effect = pipeline.guessed_deploys[0]
        deploys = (
            f"It may deploy: `{effect.detail}` ({effect.place}). Write `deploys: true` or `deploys: false` in .github/cicd.yml."
        )
    else:
        deploys = "It deploys no service from its workflows."
    return f"{_count(workflows, 'workflow')} with {_count(jobs, 'job')}. {deploys}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cut(rows: list[list[Inline]]) -> list[list[Inline]]:
    if len(rows) <= MOST:
        return rows
    return [*rows[:MOST], [f"and {len(rows) - MOST} more", *[""] * (len(rows[0]) - 1)]]


def _deploys(facts: Facts) -> Iterator[list[Inline]]:
    # A workflow that is called for two stages deploys twice.
    rows = {(job.place, job.stages, job.environments): job for job in reversed(facts.deploying)}
    for job in reversed(rows.values()):
        _, effect = job.service_deploys[0]
        after = [one for _, one in job.effects[job.effects.index((_, effect)) + 1 :]] + [
            one for each in facts.after(job) for _, one in each.effects
        ]
        verified = [one.what if one.what != "probe" else one.detail for one in after if one.kind is Kind.VERIFY]
        rolled = [one.detail for one in after if one.kind is Kind.ROLLBACK]
        if effect.rolls_back:
            rolled.append(effect.what)
        yield [
            [Code(str(effect.place)), f" ({job.job.id})"],
            ", ".join(dict.fromkeys(one.what for _, one in job.service_deploys)),
            ", ".join(sorted(map(str, job.stages))),
            ", ".join(job.environments) if job.environments else "chosen at run time" if job.environments is None else "—",
            ", ".join(dict.fromkeys(one.job.id for one in job.needs)) or "—",
            ", ".join(dict.fromkeys(verified[:2])) or ("itself" if effect.waits else "—"),
            ", ".join(dict.fromkeys(rolled[:2])) or "—",
        ]


_SHOWN = (
    ("Lanes", (Kind.TEST, Kind.LINT, Kind.TYPES)),
    ("Builds", (Kind.BUILD,)),
    ("Images pushed", (Kind.PUSH,)),
    ("Migrations", (Kind.MIGRATE,)),
    ("Published", (Kind.PUBLISH,)),
    ("Previews", ()),
    ("Scans", (Kind.SCAN_DEPENDENCIES, Kind.SCAN_CODE, Kind.SCAN_IMAGE, Kind.SCAN_SECRETS)),
    ("Notifications", (Kind.NOTIFY,)),
)


def _parts(facts: Facts) -> Iterator[Inline]:
    for title, kinds in _SHOWN:
        if title == "Previews":
            found = [(job, effect.detail) for job in facts.written for effect in job.of(Kind.DEPLOY) if effect.preview]
        else:
            found = [(job, effect.detail) for job in facts.written for effect in job.of(*kinds)]
        if found:
            yield [f"{title}: ", *_listed(found)]
    for path, started in facts.pipeline.started.items():
        yield [Code(path), " is started by ", *_joined(Code(str(step.place)) for _, step in started[:MOST])]
    scheduled = sorted({job.entry.path for job in facts.pipeline.jobs if "schedule" in job.entry.triggers})
    if scheduled:
        yield ["Scheduled: ", *_joined(Code(path) for path in scheduled[:MOST])]


def _listed(found: list[tuple[JobRun, str]]) -> Iterator[str | Code]:
    by_job: dict[str, list[str]] = {}
    for job, detail in found:
        by_job.setdefault(f"{job.job.id} ({job.place})", []).append(detail)
    for index, (job_name, details) in enumerate(list(by_job.items())[:12]):
        unique = list(dict.fromkeys(details))
        yield ("; " if index else "") + f"{job_name}: "
        yield from _joined(Code(one) for one in unique[:3])
        if len(unique) > 3:
            yield f" and {len(unique) - 3} more"
    if len(by_job) > 12:
        yield f"; and {len(by_job) - 12} more jobs"


def _joined(parts: Iterable[Code]) -> Iterator[str | Code]:
    for index, part in enumerate(parts):
        if index:
            yield ", "
        yield part
