"""Runs every case of the corpus, and holds what comes out to what was written down for it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.secrets_doc_check import run
from cicd_actions.secrets_doc_check.inputs import Inputs
from cicd_actions.secrets_doc_check.model import Use
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime

CORPUS = Path(__file__).parents[2] / "corpus" / "secrets"
CASES = sorted(CORPUS.glob("*.case"))


def unpack(text: str, root: Path) -> dict[str, str]:
    """Write the files of a case; gives `inputs.json` and `expected.json`, which are not part of the repository."""
    parts = re.split(r"^-- (\S+) --\n", text, flags=re.MULTILINE)
    told: dict[str, str] = {}
    for path, content in zip(parts[1::2], parts[2::2], strict=True):
        if path in {"inputs.json", "expected.json"}:
            told[path] = content
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, encoding="utf-8")
    return told


def shown(use: Use) -> str:
    place = f"{use.place.file.removeprefix('.github/workflows/')}:{use.place.line}:{use.place.column}"
    parts = [str(use.kind), place, f"{use.job}/{use.step}".strip("/")]
    parts.append("?" if use.environments is None else "+".join(use.environments))
    parts += [word for word, is_so in (("optional", use.optional), ("interface", use.interface), ("aside", use.aside)) if is_so]
    parts += [f"via {place.file.removeprefix('.github/workflows/')}:{place.line}" for place in use.via]
    return " | ".join(part for part in parts if part)


def examine(inputs: dict[str, str]) -> dict[str, Any]:
    """What comes out of a run in the present folder."""
    runtime = Runtime({}, io.StringIO())
    read = load(Inputs, inputs, runtime.redactor)
    report = run.run(read, runtime)
    gathered = run._gather(read, runtime)
    uses: dict[str, list[str]] = {}
    for use in gathered.uses:
        uses.setdefault(use.name, []).append(shown(use))
    states = ("undocumented", "unused", "unset", "incomplete")
    own = {f"secrets-doc-check/{state}" for state in states}
    return {
        "verdict": str(report.outputs["verdict"]),
        **{state: report.outputs[state] for state in states},
        "uses": {name: uses[name] for name in sorted(uses)},
        "findings": [
            f"{found.severity} {found.rule.rpartition('/')[2]} {found.file.removeprefix('.github/workflows/')}:{found.line}"
            f":{found.column} {found.message}"
            for found in report.findings
            if found.rule not in own
        ],
        "incomplete entries": [found.message for found in report.findings if found.rule.endswith("/incomplete")],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_case_comes_out_as_written_down(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = unpack(case.read_text(encoding="utf-8"), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert examine(json.loads(told["inputs.json"])) == json.loads(told["expected.json"])


def test_there_are_cases() -> None:
    assert len(CASES) >= 8
