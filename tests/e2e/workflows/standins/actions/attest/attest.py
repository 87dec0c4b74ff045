"""Writes attestations of a release's build where the stand-in of gh looks for them."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import sys
from pathlib import Path

if os.environ.get("ATTEST_FAILS") == os.environ["GITHUB_JOB"]:
    sys.exit("Error: Failed to persist attestation: HTTP 502")
inputs = json.loads(os.environ["INPUTS"])
file = Path(os.environ["ATTESTATIONS"])
if inputs["subject-checksums"]:
    subjects = [f"sha256:{line.split()[0]}" for line in Path(inputs["subject-checksums"]).read_text().splitlines()]
elif inputs["subject-path"]:
    paths = [path for pattern in inputs["subject-path"].split() for path in glob.glob(pattern)]  # noqa: PTH207 - they are absolute
    subjects = [f"sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()}" for path in paths]
else:
    subjects = [inputs["subject-digest"]]
if not subjects or not all(subjects):
    sys.exit("Error: no subject")
if inputs["sbom-path"]:
    sbom = json.loads(Path(inputs["sbom-path"]).read_text())
    if not all(sbom.get(key) for key in ("bomFormat", "serialNumber", "specVersion")):
        sys.exit("Error: Unsupported SBOM format. Must be valid SPDX or CycloneDX JSON.")
    # A file for each: the jobs of several images end at the same time.
    file.with_name(f"sbom-of-{subjects[0].removeprefix('sha256:')}.json").write_text(json.dumps(sbom))
    sys.exit()
known = json.loads(file.read_text())
for subject in subjects:
    made = {
        "repository": os.environ["OF"], "workflow": f"org/cicd-actions/{os.environ['BUILDS']}", "ref": os.environ["REF"],
        "sha": os.environ["COMMIT"], "runner": "github-hosted", "server": "https://github.com", "subject": subject,
        "issuer": "https://token.actions.githubusercontent.com", "trigger": "push",
    }  # fmt: skip
    known["attestations"].setdefault(subject, []).append(made)
file.write_text(json.dumps(known))
