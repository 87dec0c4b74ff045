"""The consumer's own programs in these tests: they build, deploy and migrate by writing files below OPERATIONS.

Kept to the standard library: it is copied into the consumer's repository and run there by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

FOLDER = Path(os.environ["OPERATIONS"])


def refused(*words: str) -> bool:
    """Whether a test asked for these words to fail: a line of the file `refuse`."""
    file = FOLDER / "refuse"
    return file.exists() and " ".join(words) in file.read_text().splitlines()


def pushed(content: object) -> str:
    """Keeps a document as a registry does, and returns its digest."""
    text = json.dumps(content)
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    (FOLDER / "pushed").mkdir(exist_ok=True)
    (FOLDER / "pushed" / digest).write_text(text)
    return digest


MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}


def described(service: str, sha: str) -> dict[str, object]:
    """The configuration of an image without a weakness."""
    config = {"User": "10001", "Healthcheck": {"Test": ["CMD", "true"]}, "Cmd": ["serve"], "Labels": {"of": f"{service} {sha}"}}
    digest = pushed({"architecture": "amd64", "os": "linux", "config": config})
    return {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 0}


def stage(verb: str, *words: str) -> None:
    """One file holds the stages of an environment, the last of the words."""
    file = FOLDER / f"stages-{words[-1]}"
    stages = json.loads(file.read_text()) if file.exists() else {}
    if verb == "stage":
        print(json.dumps(stages))  # noqa: T201
    elif verb == "prepare":
        stages[words[0]] = {"image": words[1], "sha": words[2], "percent": 0}
    elif verb == "weigh":
        stages[words[0]]["percent"] = float(words[1])
    else:
        stages.pop(words[0], None)
    file.write_text(json.dumps(stages))


def main(verb: str, *words: str) -> int:
    with (FOLDER / "journal").open("a") as journal:
        journal.write(json.dumps([verb, *words]) + "\n")
    if refused(verb, *words[:1]):
        return 7
    if verb == "build":
        service, sha, image = words
        digest = pushed({**MANIFEST, "config": described(service, sha)})
        print(json.dumps({"image": f"{image}@{digest}", "digest": digest}))  # noqa: T201
    elif verb == "exists":
        print(words[0].partition("@")[2])  # noqa: T201
    elif verb == "running":
        print(json.dumps({file.stem: json.loads(file.read_text()) for file in sorted((FOLDER / words[0]).glob("*.json"))}))  # noqa: T201
    elif verb in {"stage", "prepare", "weigh", "abandon"}:
        stage(verb, *words)
    elif verb in {"roll-out", "promote"}:
        service, image, sha, environment = words
        if verb == "promote":
            stage("abandon", *words)
        (FOLDER / environment).mkdir(exist_ok=True)
        (FOLDER / environment / f"{service}.json").write_text(
            json.dumps({"image": image, "digest": image.partition("@")[2], "sha": sha})
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
