"""The end of a demo: tables of the jobs, of what runs where and of the gates' verdicts; the same as a file."""

from __future__ import annotations

from collections.abc import Sequence

from demo.engines import ENVIRONMENTS
from demo.picture import Picture
from demo.story import Chapter, Story, answers, duration, refused, taken_back, verdicts
from demo.view import MARKS, WORDS, short


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that is also even in a terminal."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in [head, *rows]
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


def results(story: Story) -> list[str]:
    """Jobs × result × time, a pair of columns for each commit."""
    head = ["job", *(f"{chapter.title} ({chapter.sha[:12]})" for chapter in story.chapters)]
    rows = [[short(job), *(cell(chapter.picture, job) for chapter in story.chapters)] for job in story.planned]
    rows.append(["all", *(f"{duration(0, chapter.took)}" for chapter in story.chapters)])
    return table(head, rows)


def cell(picture: Picture, job: str) -> str:
    found = picture.jobs.get(job)
    if found is None:
        return "– not run"
    sign = MARKS.get(found.result, MARKS["failure"])[0]
    return f"{sign} {WORDS.get(found.result, found.result)} {duration(found.started, found.ended)}"


def environments(story: Story) -> list[str]:
    rows = []
    names = {chapter.sha: chapter.title for chapter in story.chapters}
    for environment in ENVIRONMENTS:
        running = story.engine.running(environment)
        says = answers(story.engine, environment)
        for service in ("api", "web"):
            now = running.get(service, {})
            sha = now.get("sha", "")
            said = says[service]
            rows.append([
                environment, service, f"{names.get(sha, 'nothing')} ({sha[:12]})" if sha else "nothing",
                now.get("digest", "")[:19], said[:12], story.engine.urls(environment)[service],
            ])  # fmt: skip
    return table(["environment", "service", "runs", "digest", "answers as", "at"], rows)


def gates(story: Story) -> list[str]:
    rows = []
    for chapter in story.chapters:
        found = verdicts(chapter.picture)
        rows.append(
            [chapter.title, *(found.get(environment, "not reached") for environment in ENVIRONMENTS), went_back(story, chapter)]
        )
    return table(["gate's verdict", *ENVIRONMENTS, "taken back"], rows)


def went_back(story: Story, chapter: Chapter) -> str:
    """Where, to which commit, and what its gate said then."""
    names = {each.sha: each.title for each in story.chapters}
    found = taken_back(chapter.picture)
    said = [
        f"{environment}: to {names.get(back['to-sha'], 'an older release')} ({back['to-sha'][:12]}), {back.get('verdict', '')}"
        for environment, back in found.items()
    ]
    said += [f"{environment}: by the roll-out itself" for environment in refused(chapter.picture)]
    return ", ".join(said) or "–"


def records(story: Story) -> list[str]:
    """What the stand-in for GitHub has recorded, oldest first."""
    names = {chapter.sha: chapter.title for chapter in story.chapters}
    rows = [
        [environment, task, f"{names.get(sha, 'another commit')} ({sha[:12]})"]
        for environment, task, sha in story.records.lines()
    ]
    return table(["environment", "record", "commit"], rows)


def write(story: Story) -> None:
    """The report as Markdown, with the summary that each job wrote."""
    lines = [
        "# Demo",
        "",
        story.expected.promise,
        "",
        *results(story),
        "",
        *environments(story),
        "",
        *gates(story),
        "",
        *records(story),
        "",
    ]
    for chapter in story.chapters:
        lines += [f"# {chapter.title}: {chapter.sha}", ""]
        for summary in chapter.picture.summaries:
            lines += [f"## {short(summary.job)}", "", summary.text.strip(), ""]
    (story.workspace.folder / "report.md").write_text("\n".join(lines), encoding="utf-8")
