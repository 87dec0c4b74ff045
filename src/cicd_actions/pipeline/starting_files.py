"""The files that `init` writes: the pipeline file, its callers, and the beginning of SECRETS.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cicd_actions.pipeline.detection.model import Found, Guess

PLACE = "org/cicd-actions"


def pipeline(found: Found) -> str:
    """Returns the pipeline file's text. A release of which nothing tells where it runs stands there as a comment."""
    lines = [
        f"# What this repository does with a commit. Every key: docs/pipeline-file.md of {PLACE}.",
        "# A comment behind a value says what it was guessed from.",
        "version: 1",
    ]
    for title, entries in (("lanes", found.lanes), ("images", found.images), ("services", found.services)):
        if entries:
            lines += ["", f"{title}:", *_mapping({name: Guess(entry) for name, entry in entries.items()}, 1)]
        elif title == "lanes":
            lines += ["", "lanes: {}"]
    release = list(_mapping(found.release, 1))
    if "engine" in found.release:
        lines += ["", "release:", *release]
    elif release:
        block = [
            "release:",
            f"  engine: command  # your own programs; docs/pipeline.md of {PLACE} has the other engines",
            "  roll-out-command: ./deploy/roll-out {service} {image} {sha} {environment}",
            "  running-command: ./deploy/running {environment}",
            "  image-command: ./deploy/image {image}",
            "  job-command: ./deploy/job {service} {image} {environment}",
            *release,
        ]
        lines += ["", *(f"# {line}" for line in block)]
    return "\n".join([*lines, ""])


def _mapping(values: Mapping[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, each in values.items():
        # Names and paths of a repository may hold anything.
        name = key if re.fullmatch(r"[\w.-]+", key) else json.dumps(key)
        value, why = (each.value, each.why) if isinstance(each, Guess) else (each, "")
        comment = f"  # {' '.join(why.split())}" if why else ""
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:{comment}"
            yield from _mapping(value, depth + 1)
        elif isinstance(value, list):
            yield f"{indent}{name}:{comment}"
            yield from (f"{indent}  - {json.dumps(item, ensure_ascii=False)}" for item in value)
        else:
            yield f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}{comment}"


def caller(commit: str, branch: str, *, release: bool) -> str:
    """Returns the workflow that calls verify.yml, and release.yml where there is a release."""
    text = f"""# What it does stands in .github/cicd.yml. Require the check `verify / check` in the branch's rules.
name: Pipeline

on:
  push:
    branches: [{branch}]
  pull_request:
  merge_group:
  workflow_dispatch:

# A newer push to a pull request cancels the run for the older one. A run that may deploy has a separate group.
concurrency:
  group: pipeline-${{{{ github.event.pull_request.number || github.run_id }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}

permissions: {{}}

jobs:
  verify:
    name: verify
    permissions:
      contents: read # check out, and read the history
      actions: read # read how the release's environments are protected
    uses: {PLACE}/.github/workflows/verify.yml@{commit}
"""
    if not release:
        return text
    return f"""{text}
  # Your own jobs (end-to-end, load …) go here, with `needs: verify`; add each to `needs` of the release.

  release:
    name: release
    needs: verify
    permissions:
      contents: read # check out, and compare commits
      packages: write # build: push the images
      actions: read # deploy: read the approval, and prove which run wrote a record
      deployments: write # deploy: record the release
      id-token: write # build: sign the images; deploy: log in to a cloud
      attestations: write # build: store what was signed; deploy: read it
    uses: {PLACE}/.github/workflows/release.yml@{commit}
    with:
      plan: ${{{{ needs.verify.outputs.plan }}}}
    secrets:
      DEPLOY_ENV: ${{{{ secrets.DEPLOY_ENV }}}}
      RELEASE_ENV: ${{{{ secrets.RELEASE_ENV }}}}
      RECORD_KEY: ${{{{ secrets.RECORD_KEY }}}}
      NOTIFY_URLS: ${{{{ secrets.NOTIFY_URLS }}}}
"""


def rollback(commit: str, environments: Sequence[str]) -> str:
    """Returns the workflow that rolls back by hand."""
    return f"""# Actions → Roll back → Run workflow. It only reports its plan until `dry-run` is off.
# docs/rollback.md of {PLACE} is the runbook.
name: Roll back

on:
  workflow_dispatch:
    inputs:
      environment:
        description: Environment to roll back
        type: choice
        options: [{", ".join(environments)}]
        required: true
      to-sha:
        description: Full SHA of the release to roll back to; without it, the last one that passed its gate there
        type: string
        default: ""
      dry-run:
        description: Only plan and check; nothing is changed
        type: boolean
        default: true

permissions: {{}}

jobs:
  roll-back:
    name: roll back
    permissions:
      contents: read # check out; which commits are rolled back
      actions: read # prove which run wrote a record
      deployments: write # read the records, and write the new one
      packages: read # see the images
      id-token: write # log in to a cloud
      attestations: read # prove who built the images
    uses: {PLACE}/.github/workflows/rollback.yml@{commit}
    with:
      environment: ${{{{ inputs.environment }}}}
      to-sha: ${{{{ inputs.to-sha }}}}
      dry-run: ${{{{ inputs.dry-run }}}}
    secrets:
      DEPLOY_ENV: ${{{{ secrets.DEPLOY_ENV }}}}
      RELEASE_ENV: ${{{{ secrets.RELEASE_ENV }}}}
      RECORD_KEY: ${{{{ secrets.RECORD_KEY }}}}
      NOTIFY_URLS: ${{{{ secrets.NOTIFY_URLS }}}}
"""


def lock(commit: str, environments: Sequence[str]) -> str:
    """Returns the workflow that locks an environment."""
    return f"""# Actions → Lock → Run workflow. docs/locks.md of {PLACE} says what a lock does.
name: Lock
run-name: ${{{{ inputs.phase }}}} ${{{{ inputs.environment }}}}

on:
  workflow_dispatch:
    inputs:
      phase:
        description: What to do
        type: choice
        options: [status, lock, unlock]
        required: true
      environment:
        description: Environment
        type: choice
        options: [{", ".join(environments)}]
        required: true
      reason:
        description: Why; needed to lock
        type: string
        default: ""
      until:
        description: "When the lock ends, such as 4h or 2026-12-24T18:00:00+01:00; without it, when it is unlocked"
        type: string
        default: ""

permissions: {{}}

jobs:
  lock:
    name: ${{{{ inputs.phase }}}}
    runs-on: ubuntu-latest
    timeout-minutes: 5
    # For the secret RECORD_KEY.
    environment:
      name: ${{{{ inputs.environment }}}}
      deployment: false
    permissions:
      actions: read # prove which run wrote a record; not needed with `record-key`
      deployments: write # read the records, and write the lock
    steps:
      - uses: {PLACE}/deployment-record@{commit}
        env:
          RECORD_KEY: ${{{{ secrets.RECORD_KEY }}}}
        with:
          phase: ${{{{ inputs.phase }}}}
          environment: ${{{{ inputs.environment }}}}
          reason: ${{{{ inputs.reason }}}}
          until: ${{{{ inputs.until }}}}
          record-key: RECORD_KEY
"""


SECRETS = """# Secrets and variables

Everything that a person has to set, what for, where it lives, and how. After a change run
`cicd-actions secrets-doc-check --code auto --write SECRETS.md`.
"""
