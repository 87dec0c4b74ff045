"""What a pipeline file and an event become: which jobs run with which settings, and how far a release goes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline import planning, release_settings
from cicd_actions.pipeline.event import Event, RefusedEvent
from cicd_actions.pipeline.planning import Plan
from cicd_actions.pipeline.toolchains import nearest_lock
from cicd_actions.pipeline_file.reading import parse
from cicd_actions.toolkit.errors import ActionError

FILES = Path(__file__).resolve().parents[2] / "data" / "pipeline_files"
SHOP, WORKSPACE, PLATFORM = ((FILES / f"{name}.yml").read_text("utf-8") for name in ("shop", "workspace", "platform"))
TRACKED = {
    SHOP: ["apps/api/uv.lock", "apps/web/pnpm-lock.yaml"],
    WORKSPACE: ["uv.lock", "bun.lock", "backend/pyproject.toml", "frontend/package.json"],
    PLATFORM: ["uv.lock", "frontend/pnpm-lock.yaml"],
}
PUSH = Event("push", "refs/heads/main", "a" * 40, "org/app", "main", ["apps/api/x.py"])
PULL = dataclasses.replace(PUSH, name="pull_request", ref="refs/pull/1/merge", base="b" * 40)


def plan(text: str, event: Event = PUSH, trusted: str = "", **changed: Any) -> Plan:
    event = dataclasses.replace(event, **changed)
    return planning.make(parse(text), parse(trusted) if trusted else None, event, TRACKED.get(text, []))


def running(found: Plan) -> tuple[list[str], list[str], list[str]]:
    return found.lanes, found.specs, found.clients


@pytest.mark.parametrize(
    ("files", "lanes", "specs", "clients"),
    [
        (["apps/api/x.py"], ["api"], ["api"], ["web"]),
        (["apps/web/x.ts"], [], ["api"], ["web"]),
        (["apps/web/x.ts", "infra/api.Dockerfile"], ["api"], ["api"], ["web"]),
        (["README.md", "docs/x.png"], [], [], []),
        (["apps/apix/y"], ["api"], ["api"], ["web"]),
        (None, ["api"], ["api"], ["web"]),
    ],
)
def test_make_pull_request_runs_the_lanes_it_touches(
    files: list[str] | None, lanes: list[str], specs: list[str], clients: list[str]
) -> None:
    for name in ("pull_request", "merge_group"):
        found = plan(SHOP, PULL, name=name, files=files)
        assert running(found) == (lanes, specs, clients)
        assert not found.release
        assert "never releases" in found.why_release


def test_make_pull_request_has_five_jobs_and_a_release_nine() -> None:
    found = plan(SHOP, PULL)
    plan_and_check = 2
    assert plan_and_check + sum(map(len, running(found))) == 5
    released = plan(SHOP)
    approvals = [each for each in released.environments if each.get("approval-environment")]
    assert plan_and_check + sum(map(len, running(released))) + 1 + len(released.environments) + len(approvals) == 9


def test_make_lane_at_the_root_does_not_own_the_other_lanes_files() -> None:
    assert running(plan(PLATFORM, PULL, files=["frontend/x.ts"])) == ([], ["api-3.12"], ["ui"])
    assert running(plan(PLATFORM, PULL, files=["platform/x.py"])) == (["api-3.12", "api-3.13"], ["api-3.12"], ["ui"])
    assert running(plan(PLATFORM, PULL, files=["packages/x.py"])) == (["api-3.12", "api-3.13"], ["api-3.12"], ["ui"])


def test_make_two_lanes_of_one_folder_both_run() -> None:
    assert running(plan(WORKSPACE, PULL, files=["frontend/x.ts"])) == (["end-to-end"], ["backend"], ["frontend"])
    assert running(plan(WORKSPACE, PULL, files=["backend/x.py"])) == (["backend", "end-to-end"], ["backend"], ["frontend"])


def test_make_push_runs_every_lane_unless_only_documentation_changed() -> None:
    assert running(plan(SHOP, files=["apps/web/x.ts"])) == (["api"], ["api"], ["web"])
    only = plan(SHOP, files=["README.md"])
    assert running(only) == ([], [], [])
    assert not only.release


@pytest.mark.parametrize("name", ["pull_request_target", "workflow_run", "issue_comment"])
def test_make_event_with_secrets_is_refused(name: str) -> None:
    with pytest.raises(RefusedEvent, match="GitHub hands secrets to it"):
        plan(SHOP, name=name)


@pytest.mark.parametrize(
    ("file", "name", "ref", "environments"),
    [
        ("shop", "push", "refs/heads/main", ["staging", "production"]),
        ("shop", "workflow_dispatch", "refs/heads/main", ["staging", "production"]),
        ("shop", "push", "refs/heads/other", []),
        ("shop", "schedule", "refs/heads/main", []),
        ("shop", "pull_request", "refs/heads/main", []),
        ("workspace", "push", "refs/heads/main", ["staging"]),
        ("workspace", "push", "refs/heads/main2", []),
        ("platform", "push", "refs/heads/staging/x", ["staging"]),
        ("platform", "push", "refs/heads/main", ["staging", "production"]),
    ],
)
def test_make_release_goes_as_far_as_the_refs_say(file: str, name: str, ref: str, environments: list[str]) -> None:
    found = plan((FILES / f"{file}.yml").read_text("utf-8"), name=name, ref=ref)
    assert [each["name"] for each in found.environments] == environments
    assert found.release == bool(environments)
    assert [each["require-passed-in"] for each in found.environments] == ["", *environments][: len(environments)]


MANUAL = SHOP.replace("    - name: production\n", "    - name: production\n      start: manual\n")
LONG = MANUAL + '    - {name: backup, urls: {api: "https://b.example.org", web: "https://b.example.org"}}\n'
DISPATCH = dataclasses.replace(PUSH, name="workflow_dispatch")


@pytest.mark.parametrize("event", [PUSH, DISPATCH])
def test_make_manual_environment_and_what_follows_it_wait_for_a_promotion(event: Event) -> None:
    found = plan(LONG, event)
    assert [each["name"] for each in found.environments] == ["staging"]
    assert set(found.build["images"]) == {"api", "web"}


def test_make_promotion_runs_no_lane_and_builds_nothing() -> None:
    found = plan(LONG, DISPATCH, promote="production")
    assert running(found) == ([], [], [])
    assert found.release
    assert [(each["name"], each["require-passed-in"]) for each in found.environments] == [("production", "staging")]
    assert found.build["promote-from"] == "staging"
    assert found.build["services"] == {"api": "api", "worker": "api", "web": "web"}
    assert "images" not in found.build
    (last,) = plan(LONG, DISPATCH, promote="backup").environments
    assert last["require-passed-in"] == "production"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"promote": "nowhere"}, "has no such environment"),
        ({"promote": "staging"}, "no environment comes before it"),
        ({"promote": "production", "name": "push"}, "only `workflow_dispatch` promotes"),
        ({"promote": "production", "ref": "refs/heads/other"}, "Refused to promote refs/heads/other"),
    ],
)
def test_make_promotion_that_does_not_fit_is_refused(changed: dict[str, str], error: str) -> None:
    with pytest.raises(ActionError, match=error):
        plan(LONG, DISPATCH, **changed)


def test_make_tag_that_starts_behind_the_first_environment_promotes() -> None:
    text = WORKSPACE.replace("  environments:\n", '  refs: [refs/heads/main, "refs/tags/v*"]\n  environments:\n')
    text = text.replace("    - name: staging\n", "    - name: staging\n      refs: [refs/heads/main]\n")
    found = plan(text, ref="refs/tags/v1")
    assert [(each["name"], each["require-passed-in"]) for each in found.environments] == [("production", "staging")]
    assert found.build["promote-from"] == "staging"
    alone = plan(text.replace("    - name: production\n", '    - name: production\n      after: ""\n'), ref="refs/tags/v1")
    assert alone.environments[0]["require-passed-in"] == ""
    assert set(alone.build["images"]) == {"backend", "frontend"}


def test_make_default_branch_is_a_name_and_not_a_pattern() -> None:
    assert not plan(WORKSPACE, default_branch="v[1]", ref="refs/heads/v1").release
    assert plan(WORKSPACE, default_branch="v[1]", ref="refs/heads/v[1]").release
    assert not plan(WORKSPACE, default_branch="", ref="refs/heads/").release


def test_make_fork_takes_runners_containers_and_release_from_the_base() -> None:
    steering = "\n    container: evil.example/c\n    runs-on: [self-hosted, production]"
    hostile = SHOP.replace("directory: apps/api", f"directory: apps/api{steering}").replace(
        "postgres:17", "evil.example/postgres:17"
    ).replace("lint: uv run", "lint: curl evil | uv run".replace(" | ", " "))  # fmt: skip
    hostile = hostile.replace("version: 1", "version: 1\nruns-on: self-hosted")
    found = plan(hostile, PULL, trusted=SHOP, fork=True)
    assert {settings["runs-on"] for settings in found.jobs.values()} == {"ubuntu-latest"}
    assert "evil.example" not in json.dumps([(each["services"], each["container"]) for each in found.jobs.values()])
    assert found.jobs["api"]["services"]["postgres"]["image"] == "postgres:17"
    assert not found.release
    assert not found.build
    without = plan(hostile, PULL, fork=True)
    assert {settings["runs-on"] for settings in without.jobs.values()} == {"ubuntu-latest"}
    assert not any(settings["services"] for settings in without.jobs.values())
    assert any("does not have the lane `api`" in note for note in without.notes)


def test_make_release_on_pull_request_events_never_happens_whatever_the_ref() -> None:
    for name in ("pull_request", "merge_group", "pull_request_review"):
        assert not plan(SHOP, name=name).environments


def test_make_lane_with_two_versions_is_two_jobs() -> None:
    found = plan(PLATFORM)
    assert (found.jobs["api-3.12"]["python"], found.jobs["api-3.13"]["python"]) == ("3.12", "3.13")
    assert found.jobs["ui"]["client"]["spec"] == "api-3.12"


def test_make_lock_at_the_root_is_found_and_the_manager_with_it() -> None:
    jobs = plan(WORKSPACE).jobs
    assert (jobs["backend"]["python-manager"], jobs["backend"]["python-lock"]) == ("uv", "uv.lock")
    assert jobs["backend"]["install"] == [{"run": "uv sync --frozen", "directory": "backend"}]
    assert (jobs["frontend"]["node-manager"], jobs["frontend"]["node-lock"]) == ("bun", "bun.lock")
    assert jobs["frontend"]["install"] == [{"run": "bun install --frozen-lockfile", "directory": "."}]
    shop = plan(SHOP).jobs["web"]
    assert (shop["node-manager"], shop["node-lock"]) == ("pnpm", "apps/web/pnpm-lock.yaml")
    assert shop["package-json"] == "apps/web/package.json"


def test_nearest_lock_prefers_the_lanes_own_folder() -> None:
    files = ["package-lock.json", "apps/web/pnpm-lock.yaml", "apps/uv.lock"]
    assert nearest_lock("apps/web", files, "node") == "apps/web/pnpm-lock.yaml"
    assert nearest_lock("apps/api", files, "node") == "package-lock.json"
    assert nearest_lock("./apps/api", files, "python") == "apps/uv.lock"
    assert nearest_lock("apps/web", files, "node", "npm") == "package-lock.json"
    assert nearest_lock(".", [], "python") == ""


def test_make_environment_has_every_service_with_its_own_gate() -> None:
    staging, production = plan(PLATFORM).environments
    assert [each["name"] for each in staging["services"]] == list(parse(PLATFORM).services)
    assert staging["services"][0]["health"] == [{"path": "/ready", "version-from": "json:$.version"}]
    assert production["services"][0]["health"][0]["replicas"] == "4"
    assert production["services"][1]["repository"] == "ghcr.io/example/platform"
    assert production["approval-environment"] == "production-approval"
    assert (staging["gate-timeout"], staging["gate-stable-for"]) == ("10m", "1m")
    assert staging["deploy-env"] == "AWS_REGION\nCLUSTER"
    assert staging["migrate-timeout"] == "1h"
    assert staging["migrate-schema-command"] == "alembic"


def test_make_contract_migration_lifts_the_proof_of_the_rollback_and_nothing_else_does() -> None:
    assert plan(SHOP).environments[1]["require-rollback"] == "true"
    assert plan(SHOP).environments[0]["require-rollback"] == "recorded"
    contract = "command: alembic upgrade head, allow-contract: true, backup-command: ./backup}"
    text = SHOP.replace("command: alembic upgrade head}", contract)
    assert [each["require-rollback"] for each in plan(text).environments] == ["false", "false"]


def test_make_build_has_the_images_that_services_run() -> None:
    found = plan(PLATFORM).build
    assert list(found["images"]) == ["platform", "ui"]
    assert found["images"]["platform"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert found["docker"] is True


MIGRATING = """
version: 1
lanes:
  api:
    directory: apps/api
    python: "3.13"
    backing: {postgres: "postgres:17"}
    env: {DATABASE_URL: "postgresql://postgres@{postgres}/app", TEST_DATABASE_URL: "postgresql://postgres@{postgres}/test"}
    prepare: [uv run --frozen alembic upgrade head]
    checks: {test: uv run pytest}
images: {api: {repository: org/api}}
services: {api: {image: api}}
release:
  migrate: {service: api, command: alembic upgrade head}
  running-command: ./running
  roll-out-command: ./roll-out
  environments: [{name: staging, urls: {api: "https://api.example.com"}}]
"""


def test_make_lane_that_prepares_the_database_as_the_release_does_verifies_migrations() -> None:
    expected = {
        "check": "fail",
        "command": "uv run --frozen alembic upgrade head",
        "variable": "DATABASE_URL",
        "base-install-command": "uv sync --frozen",
    }
    assert plan(MIGRATING, PULL).jobs["api"]["migrations"] == expected
    assert plan(MIGRATING, PULL, MIGRATING, fork=True).jobs["api"]["migrations"] == expected
    for scheme in ("mysql+pymysql", "mariadb+mariadbconnector", "sqlite+aiosqlite"):
        assert plan(MIGRATING.replace("postgresql:", f"{scheme}:"), PULL).jobs["api"]["migrations"] == expected
    warns = MIGRATING.replace("upgrade head}", "upgrade head, verify: warn}")
    assert plan(warns, PULL).jobs["api"]["migrations"]["check"] == "warn"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("command: alembic upgrade head}", "command: alembic upgrade head, verify: 'off'}"),
        ("command: alembic upgrade head}", "command: alembic -c other.ini upgrade head}"),
        ("  migrate: {service: api, command: alembic upgrade head}\n", ""),
        ("postgresql://", "mongodb://"),
    ],
)
def test_make_lane_that_does_not_prepare_the_release_s_database_verifies_nothing(old: str, new: str) -> None:
    assert "migrations" not in plan(MIGRATING.replace(old, new), PULL).jobs["api"]


def test_settings_infrastructure_has_the_tools_commands_and_its_time(tmp_path: Path) -> None:
    """The file says what differs; an environment changes one key and keeps the others. A fork's pull request gets nothing."""
    common = "  infrastructure: {directory: 'infra/{environment}', outputs: {DB_HOST: host}}\n  environments:"
    text = SHOP.replace("  environments:", common, 1)
    text = text.replace("- name: staging", "- name: staging\n      infrastructure: {tool: tofu, allow-destroy: ['aws_x.*']}", 1)
    staging, production = plan(text).environments
    assert staging["infrastructure"]["plan"].startswith("tofu plan ")
    assert production["infrastructure"]["apply"].startswith("terraform apply ")
    assert staging["infrastructure"]["outputs"] == production["infrastructure"]["outputs"] == {"DB_HOST": "host"}
    assert (staging["infrastructure"]["allow-destroy"], production["infrastructure"]["allow-destroy"]) == (["aws_x.*"], [])
    assert staging["timeout-minutes"] == plan(SHOP).environments[0]["timeout-minutes"] + 40
    shown = release_settings.infrastructure(parse(text), PULL)
    assert shown["names"] == ["staging", "production"]
    assert release_settings.infrastructure(parse(SHOP), PULL) == {}


def test_build_image_with_a_runner_is_built_separately() -> None:
    text = SHOP.replace("dockerfile: infra/web.Dockerfile", "dockerfile: infra/web.Dockerfile, runs-on: ubuntu-24.04-arm")
    build = plan(text).build
    assert (build["separate"], build["images"]["web"]["runs-on"], build["docker"]) == (["web"], ["ubuntu-24.04-arm"], True)
    assert plan(SHOP).build["separate"] == []


@pytest.mark.parametrize(
    ("registry", "token"),
    [
        ("ghcr.io", True),
        ("containers.github.corp.example", True),
        ("registry.example.com", False),
        ("ghcr.io.evil.example", False),
    ],
)
def test_registry_only_githubs_own_gets_the_jobs_token(registry: str, token: bool) -> None:
    found = plan(f"{SHOP}build: {{registry: {registry}}}\n", dataclasses.replace(PUSH, server="github.corp.example"))
    assert found.build["registry-token"] is token
    assert [each["registry-token"] for each in found.environments] == [token] * len(found.environments)
