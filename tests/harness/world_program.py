"""The user's programs of `releases.World`: they keep what runs in a file, and answer for each image's Alembic.

world_program.py FOLDER roll-out SERVICE IMAGE SHA | running | exists IMAGE | job IMAGE ARGUMENT…
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main(folder: Path, what: str, arguments: list[str]) -> int:
    with (folder / "calls.log").open("a") as log:
        log.write(" ".join([what, *arguments]) + "\n")
    images: dict[str, Any] = json.loads((folder / "images.json").read_text())
    state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    if what == "running":
        say(json.dumps(state))
    elif what == "exists":
        if arguments[0] not in images:
            sys.stderr.write(f"no image {arguments[0]}" + "\n")
            return 1
        say(arguments[0].partition("@")[2])
    elif what == "roll-out":
        service, image, commit = arguments
        if (folder / f"broken-{service}").exists():
            sys.stderr.write(f"{service} does not come up: /data is full" + "\n")
            return 7
        if (folder / f"hanging-{service}").exists():
            (folder / "hangs").touch()
            time.sleep(600)
        state[service] = {"image": image, "digest": image.partition("@")[2], "sha": commit}
        part = folder / f"state.{os.getpid()}"
        part.write_text(json.dumps(state))
        part.replace(folder / "state.json")
    elif what == "job":
        image, commit, *words = arguments
        if not commit:
            sys.stderr.write("which release is this? the commit is empty\n")
            return 2
        return alembic(images[image], (folder / "database").read_text().split(), words)
    return 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def alembic(image: dict[str, Any], database: list[str], words: list[str]) -> int:
    """What Alembic 1.13 prints, word for word."""
    history = image.get("history", [])
    known = [each["revision"] for each in history]
    if words[0] == "grep":
        found = [each for each in history if path(each) in words and each.get("phase")]
        for each in found:
            say(f'{path(each)}:deploy_phase = "{each["phase"]}"')
        return 0 if found else 1
    if "broken" in image:
        sys.stderr.write(image["broken"] + "\n")
        return 1
    if words[1] == "show":
        if words[2] not in known:
            say(f"FAILED: Can't locate revision identified by '{words[2]}'")
            return 255
        show(history, known.index(words[2]))
    elif words[1] == "current":
        for revision in database:
            if revision not in known:
                say(f"FAILED: Can't locate revision identified by '{revision}'")
                return 255
            say(revision + (" (head)" if revision == known[-1] else ""))
    elif words[1] == "history":
        for at in reversed(range(len(history))):
            show(history, at)
    return 0


def path(each: dict[str, Any]) -> str:
    return f"/app/migrations/versions/{each['revision']}.py"


def show(history: list[dict[str, Any]], at: int) -> None:
    each = history[at]
    say(f"Rev: {each['revision']}" + (" (head)" if at == len(history) - 1 else ""))
    say(f"Parent: {history[at - 1]['revision'] if at else '<base>'}")
    say(f"Path: {path(each)}\n")
    say(f"    {each.get('message', 'A change')}\n    \n    Revision ID: {each['revision']}\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
