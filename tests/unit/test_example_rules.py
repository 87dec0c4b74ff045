"""What the example must hold to, read from its files: RULES of a safe pipeline, without running anything."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-lane"
INFRA = EXAMPLE / "infra"
PACKAGE = EXAMPLE / "apps" / "api" / "src" / "two_lane_api"
DOCKERFILES = ["api.Dockerfile", "web.Dockerfile"]
STACKS = ["compose.yml", "stack.yml"]
RELEASED = ["api", "web"]
MIGRATES = re.compile(r"alembic|migrat|upgrade", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str


def instructions(name: str) -> list[Instruction]:
    text = (INFRA / name).read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = []
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        word, _, value = line.strip().partition(" ")
        if word:
            found.append(Instruction(word.upper(), value.strip()))
    return found


def last_stage(name: str) -> list[Instruction]:
    every = instructions(name)
    start = max(index for index, one in enumerate(every) if one.name == "FROM")
    return every[start:]


def values(found: list[Instruction], name: str) -> list[str]:
    return [one.value for one in found if one.name == name]


def services(name: str) -> dict[str, dict[str, Any]]:
    document: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load((INFRA / name).read_text(encoding="utf-8"))
    return document["services"]


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z", "--", "."], cwd=EXAMPLE, capture_output=True, text=True, check=True)
    return [EXAMPLE / name for name in done.stdout.split("\0") if name]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The example as a separate repository."""
    copy = tmp_path / "copy"
    for path in tracked():
        target = copy / path.relative_to(EXAMPLE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-qm", "1"]):
        subprocess.run(["git", *command], cwd=copy, check=True)
    return copy


# --- images


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_does_not_run_as_root(name: str) -> None:
    user = values(last_stage(name), "USER")[-1]
    # A number, so that an orchestrator can tell without looking into the image.
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_tells_its_health_and_its_commit(name: str) -> None:
    stage = last_stage(name)
    (health,) = values(stage, "HEALTHCHECK")
    assert "CMD [" in health
    assert "--timeout=" in health
    assert any("org.opencontainers.image.revision=${RELEASE_SHA}" in label for label in values(stage, "LABEL"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_no_image_migrates_when_it_starts(name: str) -> None:
    stage = last_stage(name)
    (command,) = values(stage, "CMD")
    assert isinstance(json.loads(command), list), "exec form, so that signals reach the program"
    for started in (command, *values(stage, "ENTRYPOINT"), *values(stage, "HEALTHCHECK")):
        assert not MIGRATES.search(started)
    assert not MIGRATES.search((INFRA / "web" / "start.sh").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_base_images_can_be_replaced_and_are_never_latest(name: str) -> None:
    arguments = dict(value.split("=", 1) for value in values(instructions(name), "ARG") if "=" in value)
    bases = [value.split()[0] for value in values(instructions(name), "FROM")]
    for base in bases:
        match = re.fullmatch(r"\$\{(\w+_IMAGE)\}", base)
        assert match, f"{base} is not an ARG"
        default = arguments[match[1]]
        assert re.search(r":[\w.-]+$|@sha256:[0-9a-f]{64}$", default)
        assert not default.endswith(":latest")


# --- compose and stack


@pytest.mark.parametrize("name", STACKS)
def test_no_service_migrates_when_it_starts(name: str) -> None:
    for service, described in services(name).items():
        started = json.dumps([described.get(key) for key in ("command", "entrypoint", "healthcheck")])
        assert not MIGRATES.search(service + started), service


@pytest.mark.parametrize("name", STACKS)
def test_images_have_a_tag_or_must_be_given(name: str) -> None:
    for service, described in services(name).items():
        image = described.get("image")
        if image is None:
            assert "build" in described, service
            continue
        default = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", image)
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", default) or re.search(r":[\w.-]+$", default), image
        assert not default.endswith(":latest"), image


@pytest.mark.parametrize("service", RELEASED)
def test_the_stack_starts_the_new_first_and_goes_back_by_itself(service: str) -> None:
    deploy = services("stack.yml")[service]["deploy"]
    assert deploy["update_config"]["order"] == "start-first"
    assert deploy["update_config"]["failure_action"] == "rollback"
    assert deploy["update_config"]["monitor"]
    assert deploy["rollback_config"]["order"] == "start-first"
    assert deploy["replicas"] >= 2
    assert "healthcheck" not in services("stack.yml")[service], "the image's own would be switched off"


@pytest.mark.parametrize("service", RELEASED)
def test_what_runs_on_a_read_only_disk_can_write_to_tmp(service: str) -> None:
    described = services("stack.yml")[service]
    assert described["read_only"]
    assert "tmpfs" not in described, "`docker stack deploy` leaves it out"
    assert {"type": "tmpfs", "target": "/tmp"} in described["volumes"]  # noqa: S108 - the container's own


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
def test_haproxy_takes_the_proxy_s_configuration() -> None:
    words = ["haproxy", "-c", "-f", str(INFRA / "proxy" / "haproxy.cfg")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", RELEASED)
def test_the_proxy_asks_each_replica_before_it_sends_it_anything(service: str) -> None:
    text = (INFRA / "proxy" / "haproxy.cfg").read_text(encoding="utf-8")
    backend = re.search(rf"^backend {service}\n((?:[ \t]+.*\n?)*)", text, re.MULTILINE)
    assert backend
    assert f"server-template {service} " in backend[1]
    assert "option httpchk GET /" in backend[1]
    assert re.search(r"default-server .*\bcheck\b", text)


@pytest.mark.parametrize("name", STACKS)
def test_no_secret_stands_in_a_file(name: str) -> None:
    for service, described in services(name).items():
        for variable, value in described.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), f"{service}: {variable}"
            password = re.search(r"://[^/@]*:([^/@]*)@", str(value).replace("${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}", "$"))
            assert password is None or password[1] == "$", f"{service}: {variable}"


# --- the api


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_the_application_never_changes_the_schema() -> None:
    for path, tree in modules():
        if "migrations" in path.parts:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "alembic":
                assert node.module == "alembic.script", f"{path.name}: reading revisions is all it may do"
            elif isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] != "alembic" for alias in node.names), path.name
            elif isinstance(node, ast.Attribute):
                assert node.attr not in {"create_all", "drop_all"}, path.name


def revisions() -> list[tuple[Path, dict[str, object], dict[str, ast.FunctionDef]]]:
    found = []
    for path in sorted((PACKAGE / "migrations" / "versions").glob("0*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        constants: dict[str, object] = {
            target.id: node.value.value
            for node in body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
        found.append((path, constants, functions))
    return found


def test_migrations_are_one_chain_of_expands_with_a_way_down() -> None:
    previous = None
    assert len(revisions()) >= 3
    for path, constants, functions in revisions():
        assert constants["down_revision"] == previous, path.name
        assert constants["deploy_phase"] == "expand", path.name
        assert path.name.startswith(str(constants["revision"]))
        down = functions["downgrade"]
        work = [node for node in down.body if not isinstance(node, ast.Pass) and not is_text(node)]
        assert work or ast.get_docstring(down), f"{path.name}: a downgrade works, or says why not"
        previous = constants["revision"]


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


# --- what has to be set


def settings() -> set[str]:
    """The variables that the settings class reads."""
    tree = ast.parse((PACKAGE / "settings.py").read_text(encoding="utf-8"))
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Settings")
    return {
        node.target.id.upper() for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def needed_by_people() -> set[str]:
    """What the compose and stack files, the web image and the pipeline take from outside."""
    found: set[str] = set()
    for name in STACKS:
        found |= set(re.findall(r"\$\{(\w+)", (INFRA / name).read_text(encoding="utf-8")))
    found |= set(re.findall(r"^checked (\w+)", (INFRA / "web" / "start.sh").read_text(encoding="utf-8"), re.MULTILINE))
    for workflow in (EXAMPLE / ".github" / "workflows").glob("*.yml"):
        found |= set(re.findall(r"\b(?:vars|secrets)\.(\w+)", workflow.read_text(encoding="utf-8"))) - {"GITHUB_TOKEN"}
    return found


def documented() -> dict[str, str]:
    """Name → its whole entry in SECRETS.md."""
    text = (EXAMPLE / "SECRETS.md").read_text(encoding="utf-8")
    entries: dict[str, str] = {}
    for entry in re.findall(r"^- ([A-Z][^:]*:.*(?:\n  .*)*)", text, re.MULTILINE):
        for name in entry.partition(":")[0].split("/"):
            assert name.strip() not in entries, f"{name} is listed twice"
            entries[name.strip()] = entry
    return entries


def test_everything_that_is_read_is_documented() -> None:
    assert settings() >= {"DATABASE_URL", "REDIS_URL", "RELEASE_SHA"}
    assert (settings() | needed_by_people()) - set(documented()) == set()


def test_everything_that_is_documented_is_read() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in tracked()
        if path.suffix in {".py", ".yml", ".sh", ".Dockerfile"} and path.name != "SECRETS.md"
    )
    workflows = list((EXAMPLE / ".github" / "workflows").glob("*.yml"))
    by_the_pipeline = {"GATE_TIMEOUT", "DEPLOY_RUNNER", "POSTGRES_IMAGE", "REDIS_IMAGE"} | {
        name for name in documented() if name.startswith(("STAGING_", "PRODUCTION_"))
    }
    unread = {name for name in documented() if not re.search(rf"\b{name}\b", code)} - settings()
    assert unread <= (set() if workflows else by_the_pipeline)


@pytest.mark.parametrize("name", sorted(documented()))
def test_an_entry_says_what_for_where_and_how(name: str) -> None:
    entry = documented()[name]
    assert len(entry.partition(":")[2].strip()) > 20
    assert "Where: " in entry
    assert "Set: " in entry or "Optional." in entry


# --- the repository


def test_lock_files_are_those_that_may_be_committed() -> None:
    names = {path.relative_to(EXAMPLE).as_posix() for path in tracked()}
    assert "apps/web/pnpm-lock.yaml" in names
    assert not any(name.endswith("uv.lock") for name in names)
    ignored = (EXAMPLE / ".gitignore").read_text(encoding="utf-8")
    assert "uv.lock" not in ignored, "an adopter of the example commits theirs"
    assert not re.search(r"https?://|tarball:", (EXAMPLE / "apps" / "web" / "pnpm-lock.yaml").read_text(encoding="utf-8"))


def test_package_manager_is_pinned_exactly() -> None:
    package = json.loads((EXAMPLE / "apps" / "web" / "package.json").read_text(encoding="utf-8"))
    assert re.fullmatch(r"pnpm@10\.\d+\.\d+", package["packageManager"])
    assert set(package["scripts"]) >= {"lint", "typecheck", "generate", "test", "build"}


@pytest.mark.parametrize("name", ["contract", "errors", "feature", "health", "migration"])
def test_each_way_to_break_it_fits_the_tree(repository: Path, name: str) -> None:
    def run(*arguments: str) -> str:
        return subprocess.run(arguments, cwd=repository, capture_output=True, text=True, check=True).stdout

    run(sys.executable, "infra/local/break.py", name)
    changed = run("git", "status", "--porcelain", "--untracked-files=all")
    assert "apps/api/" in changed
    assert ("apps/web/" in changed) is (name == "feature"), "only the good change brings the client that fits it"
    for path in (repository / "apps" / "api").rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_breaking_it_is_refused_where_it_is_no_copy() -> None:
    done = subprocess.run(
        [sys.executable, str(INFRA / "local" / "break.py"), "health"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Copy the example" in done.stderr
