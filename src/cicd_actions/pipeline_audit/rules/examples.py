"""Holds the parts of the rules' examples."""

from __future__ import annotations

HEAD = """\
name: Deploy
on:
  push:
    branches: [main]
permissions:
  contents: read
concurrency:
  group: deploy
  cancel-in-progress: false
jobs:
"""


def deploy_job(*steps: str, job: str = "production", environment: str = "production", extra: str = "") -> str:
    """A job of the examples."""
    lines = "".join("      " + line + "\n" for step in steps for line in step.strip("\n").split("\n"))
    return (
        f"  {job}:\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n{extra}"
        + (f"    environment: {environment}\n" if environment else "")
        + f"    steps:\n{lines}"
    )


SET_IMAGE = "- run: kubectl set image deployment/api api=ghcr.io/org/api@${{ vars.DIGEST }}"


STATUS = "- run: kubectl rollout status deployment/api --timeout=2m"


UNDO = "- if: failure()\n  run: kubectl rollout undo deployment/api"


CI_HEAD = """\
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


PINNED = "3d3c42e5aac5ba805825da76410c181273ba90b1"


CHECKOUT = f"      - uses: actions/checkout@{PINNED} # v7.0.1\n"


MIGRATE = "- run: docker run --rm -e DATABASE_URL ghcr.io/org/api@${{ vars.DIGEST }} alembic upgrade head"
