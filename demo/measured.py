"""The end of a demo: the dashboard of these runs, and the notification of how it ended, by the project's own actions."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

from cicd_actions.__main__ import run
from demo.messages import Messages
from demo.picture import Job
from demo.records import KEY, REPOSITORY, Records
from demo.story import Chapter, Story
from demo.view import short
from demo.workspace import WORKFLOW
from tests.fakes.github import actions

DASHBOARD = "dashboard"


def measure(story: Story, messages: Messages) -> list[str]:
    """Writes the dashboard, sends the message about the newest run as its last step would, and returns what people read."""
    now = time.time()
    for number, chapter in enumerate(story.chapters, 1):
        _listed(story, number, chapter, now)
    folder = story.workspace.folder
    token = story.records.github.token(actions="read", deployments="read", contents="read", pull_requests="read")
    measured = {"environment": "production", "record-key": "RECORD_KEY", "dashboard": str(folder / DASHBOARD)}
    said = _action(story.records, token, "pipeline-metrics", measured)
    newest = story.chapters[-1]
    ended = {"event": "failed", "reason": story.expected.promise}
    if newest.picture.exit_code == 0:
        ended = {"event": "passed", "environment": "production"}
    told = {"sha": newest.sha, "record-key": "RECORD_KEY", "urls": "NOTIFY_URLS", "on-change-only": "false", **ended}
    sent = _action(story.records, token, "notify", told, NOTIFY_URLS=messages.url, GITHUB_RUN_ID=str(len(story.chapters)))
    return [said, sent, "", *messages.lines()]


def _listed(story: Story, number: int, chapter: Chapter, now: float) -> None:
    """Makes a run known to the stand-in for GitHub, with its jobs and steps."""
    offset = now - story.clock()
    jobs = [(name, job) for name, job in chapter.picture.jobs.items() if job.ended is not None]
    begun = min(job.started for _, job in jobs) if jobs else story.clock()
    actions.ended(
        story.records.github,
        REPOSITORY,
        number,
        chapter.sha,
        int(begun + offset),
        took=round(chapter.took),
        conclusion="success" if chapter.picture.exit_code == 0 else "failure",
        name="Pipeline",
        path=WORKFLOW,
        jobs=[_ran(name, job, begun) for name, job in jobs],
    )


def _ran(name: str, job: Job, begun: float) -> actions.Ran:
    ended = job.started if job.ended is None else job.ended
    steps = [
        (step.name, step.result or "success", round((step.ended or step.started) - step.started)) for step in job.steps.values()
    ]
    return actions.Ran(short(name), job.result, round(job.started - begun), round(ended - job.started), steps=steps)


def _action(records: Records, token: str, name: str, inputs: dict[str, str], **variables: str) -> str:
    """Runs an action in this process, and returns its sentence."""
    environment = {
        "INPUTS": json.dumps({**inputs, "github-token": token}),
        "GITHUB_API_URL": records.url,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_REF_NAME": "main",
        "RECORD_KEY": KEY,
        **variables,
    }
    output = io.StringIO()
    run([name, "--json"], environment, output, io.StringIO())
    return f"{name}: {json.loads(output.getvalue())['headline']}"


def page(story: Story) -> Path:
    """Returns the dashboard's page."""
    return story.workspace.folder / DASHBOARD / "index.html"
