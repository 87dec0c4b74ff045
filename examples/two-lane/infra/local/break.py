#!/usr/bin/env python3
"""Change a copy of this repository in a way that a pipeline has to notice. For the demo.

  health              a release that is alive but never becomes ready: it needs a setting that does not exist
  contract            an endpoint's answer changes; its tests do too, but the client is not regenerated
  contract-migration  a migration that drops a column which the release that runs still reads
  errors              every fifth list of items is an error, once a process has answered fifty: no test asks that often
  migration           a migration that works on a new database, as in CI, and fails on one that has data
  feature             nothing broken: a column, an endpoint that fills it, and a checkbox on the page

Each is the patch of that name in changes/. The work tree is changed; nothing is committed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

CHANGES = Path(__file__).resolve().parent / "changes"
EXAMPLE = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="break.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted(path.stem for path in CHANGES.glob("*.patch"))
    parser.add_argument("name", metavar="NAME", choices=names, help=", ".join(names))
    name: str = parser.parse_args().name
    top = _git("rev-parse", "--show-toplevel")
    if top.returncode != 0 or Path(top.stdout.strip()).resolve() != EXAMPLE:
        print(
            "break.py: this is not a separate repository. Copy the example to an empty folder, "
            "`git init` and commit it there, and run the copy's break.py.",
            file=sys.stderr,
        )
        return 2
    applied = _git("apply", "--whitespace=nowarn", str(CHANGES / f"{name}.patch"))
    if applied.returncode != 0:
        print(f"break.py: {name} does not fit this work tree:\n{applied.stderr}", file=sys.stderr)
        return 1
    print(f"applied {name}; see it with `git diff`", file=sys.stderr)
    return 0


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=EXAMPLE, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
