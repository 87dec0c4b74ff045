from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness.measuring import MEASURED

ROOT = Path(__file__).resolve().parents[3]

GENERATE = """\
import json, os, pathlib, sys
spec, client = json.load(open(sys.argv[1])), pathlib.Path(sys.argv[2])
text = "// generated\\n" + "".join(f"export type {name} = {json.dumps(schema)}\\n"
    for name, schema in sorted(spec.get("components", {}).get("schemas", {}).items()))
exec(os.environ.get("BEFORE_WRITING", ""))
client.parent.mkdir(parents=True, exist_ok=True)
client.write_bytes(text.encode())
exec(os.environ.get("AFTER_WRITING", ""))
"""
"""A generator of a few lines: what it does beside is said by the two variables."""


def spec(**schemas: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{next(iter(schemas))}"}}} if schemas else {}
    answer = {"200": {"description": "", **({"content": content} if content else {})}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {"/items": {"get": {"operationId": "list_items", "responses": answer}}},
        "components": {"schemas": schemas},
    }


ITEM = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}


@dataclass
class Outcome:
    """How one run of the action ended."""

    code: int
    verdict: str
    headline: str
    outputs: dict[str, str]
    findings: list[dict[str, Any]]
    log: str

    @property
    def report(self) -> Any:
        return json.loads(Path(self.outputs["report"]).read_text())

    @property
    def rules(self) -> list[str]:
        return [found["rule"] for found in self.findings]

    @property
    def said(self) -> str:
        return "\n".join(f"{found['message']} {found.get('fix', '')}" for found in self.findings)


@dataclass
class Project:
    """A repository with a backend's document and a generated client, and the action run on it."""

    root: Path
    temp: Path
    inputs: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def write(self, path: str, content: Any) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            target.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, **MEASURED, "RUNNER_TEMP": str(self.temp), "PYTHONPATH": str(ROOT / "src"), **self.variables}

    def argv(self, **inputs: str) -> list[str]:
        whole = {**self.inputs, **{name.replace("_", "-"): value for name, value in inputs.items()}}
        flags = [word for name, value in whole.items() for word in (f"--{name}", value)]
        return [sys.executable, "-m", "cicd_actions", "verify-openapi-client", "--json", *flags]

    def run(self, **inputs: str) -> Outcome:
        done = subprocess.run(
            self.argv(**inputs), cwd=self.root, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.stdout, done.stderr
        found = json.loads(done.stdout)
        assert "Traceback" not in done.stderr, done.stderr
        return Outcome(done.returncode, found["verdict"], found["headline"], found["outputs"], found["findings"], done.stderr)

    def state(self) -> dict[str, tuple[float, bytes]]:
        """Every file of the work tree and of `.git`, with time and content."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository whose client is up to date."""
    root, temp = tmp_path / "repo", tmp_path / "temp"
    root.mkdir()
    temp.mkdir()
    made = Project(root, temp)
    made.git("init", "-q", "-b", "main")
    for key, value in (("user.name", "T"), ("user.email", "t@example.com"), ("commit.gpgsign", "false")):
        made.git("config", key, value)
    made.write("tools/generate.py", GENERATE)
    made.write("openapi.json", spec(Item=ITEM))
    made.write(".gitignore", "/dist/\nnode_modules/\n*.local\n")
    made.inputs = {
        "spec": "openapi.json",
        "client-path": "web/client.ts",
        "generate-command": f"{sys.executable} tools/generate.py {{spec}} {{client}}",
    }
    subprocess.run([sys.executable, "tools/generate.py", "openapi.json", "web/client.ts"], cwd=root, check=True)
    made.commit("first")
    return made


@pytest.fixture
def outdated(project: Project) -> Project:
    """A repository whose document has changed, and whose client has not."""
    project.write("openapi.json", spec(Item={**ITEM, "properties": {"id": {"type": "integer"}, "title": {"type": "string"}}}))
    project.commit("change the backend")
    return project


@pytest.fixture
def event(project: Project) -> Callable[..., None]:
    """Have the action meet a GitHub event."""

    def make(name: str, **payload: Any) -> None:
        path = project.temp / "event.json"
        path.write_text(json.dumps(payload))
        project.variables |= {"GITHUB_EVENT_PATH": str(path), "GITHUB_EVENT_NAME": name}

    return make
