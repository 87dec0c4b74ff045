"""The rules of a safe pipeline, as assertions on the workflow files: what act ignores can be shown only here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline import deploy_step
from cicd_actions.pipeline_file import reading
from cicd_actions.pipeline_file.rules import MOST_BUILDERS
from cicd_actions.toolkit.yaml12 import plain, read

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
REUSABLE = [
    ROOT / ".github" / "workflows" / f"{name}.yml"
    for name in (
        "verify",
        "release",
        "build",
        "image",
        "deploy",
        "pipeline",
        "rollback",
        "stage",
        "infrastructure",
        "rehearsal",
    )
]
EXAMPLE = sorted((ROOT / "examples" / "two-lane" / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted([*(ROOT / ".github" / "actions").glob("*/action.yml"), *(ROOT / "actions").glob("*/action.yml")])
STANDINS = sorted((ROOT / "demo" / "standins").glob("*/*/action.yml"))

PINS = {
    "actions/checkout": ("v7.0.1", "3d3c42e5aac5ba805825da76410c181273ba90b1"),
    "actions/setup-python": ("v7.0.0", "5fda3b95a4ea91299a34e894583c3862153e4b97"),
    "actions/setup-node": ("v7.0.0", "820762786026740c76f36085b0efc47a31fe5020"),
    "actions/upload-artifact": ("v7.0.1", "043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"),
    "actions/download-artifact": ("v8.0.1", "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"),
    "actions/cache": ("v6.1.0", "55cc8345863c7cc4c66a329aec7e433d2d1c52a9"),
    "actions/attest": ("v4.2.2", "1e69f48acb82d1966a394da916b4c1698aa569d6"),
    "actions/attest-build-provenance": ("v4.1.1", "0f67c3f4856b2e3261c31976d6725780e5e4c373"),
    "aquasecurity/trivy-action": ("v0.36.0", "ed142fd0673e97e23eac54620cfb913e5ce36c25"),
    "astral-sh/setup-uv": ("v10.0.0", "ae62891fec2bb8e7d6c99fc78c9fec3a63790f8d"),
    "oven-sh/setup-bun": ("v2.2.0", "0c5077e51419868618aeaa5fe8019c62421857d6"),
    "pnpm/action-setup": ("v6.0.9", "0ebf47130e4866e96fce0953f49152a61190b271"),
    "docker/setup-buildx-action": ("v4.3.0", "37fe631027851001ddb9b187196cc803df7f5f0e"),
    "docker/build-push-action": ("v7.3.0", "53b7df96c91f9c12dcc8a07bcb9ccacbed38856a"),
    "docker/login-action": ("v4.6.0", "dbcb813823bdd20940b903addbd779551569679f"),
    "actions/create-github-app-token": ("v3.2.0", "bcd2ba49218906704ab6c1aa796996da409d3eb1"),
    "azure/login": ("v3.0.1", "f5d393ae46f8fde4be8b75f32e3fc50e654ad0ca"),
    "aws-actions/configure-aws-credentials": ("v6.2.3", "e6de054238d6b7531b4efff3b6587d9aade6a06c"),
    "github/codeql-action": ("v4.37.7", "ff2f1c621b7f889edc0d3c761ac2e6a3f8cdb0dd"),
    "ossf/scorecard-action": ("v2.4.4", "2d1146689b8cda280b9bc96326124645441f03bc"),
    "google-github-actions/auth": ("v3.0.0", "7c6bc770dae815cd3e89ee6cdf493a5fab2cc093"),
    "zizmorcore/zizmor-action": ("v0.6.2", "3dc1ecc9bcb9e94e9b2c709687979e1298497054"),
}
"""Third-party actions: the version that the comment names, and its commit."""

DEPLOY, RELEASE, BUILD, IMAGE, PIPELINE, ROLLBACK, REHEARSAL = (
    ROOT / ".github" / "workflows" / f"{name}.yml"
    for name in ("deploy", "release", "build", "image", "pipeline", "rollback", "rehearsal")
)
LEVELS = {"none": 0, "read": 1, "write": 2}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def load(path: Path) -> dict[str, Any]:
    found = plain(read(path.read_text(encoding="utf-8")).root)
    assert isinstance(found, dict)
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found = load(path)["jobs"]
    assert isinstance(found, dict)
    return found


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    document = load(path)
    for job, body in document.get("jobs", {}).items():
        for step in body.get("steps", []):
            yield job, step
    for step in document.get("runs", {}).get("steps", []):
        yield "", step


def called(job: dict[str, Any]) -> Path | None:
    """The reusable workflow of ours that the job calls."""
    found = re.search(r"\.github/workflows/([a-z-]+\.yml)", job.get("uses", ""))
    return ROOT / ".github" / "workflows" / found[1] if found else None


def asked(path: Path) -> dict[str, str]:
    """The most that any job of a workflow asks for, the workflows that it calls included."""
    found: dict[str, str] = {}
    for job in jobs(path).values():
        target = called(job)
        for scope, level in {**job.get("permissions", {}), **(asked(target) if target else {})}.items():
            found[scope] = max(found.get(scope, "none"), level, key=LEVELS.__getitem__)
    return found


workflows = pytest.mark.parametrize("path", [*OURS, *EXAMPLE], ids=name_of)
everything = pytest.mark.parametrize("path", [*OURS, *EXAMPLE, *ACTIONS, *STANDINS], ids=name_of)


def test_the_files_are_there() -> None:
    assert all(path.is_file() for path in REUSABLE)
    assert [path.name for path in EXAMPLE] == ["pipeline.yml", "rollback.yml"]
    assert ACTIONS
    assert STANDINS


# --- no-timeout, broad-token ---


@workflows
def test_every_job_has_a_time_limit(path: Path) -> None:
    for name, job in jobs(path).items():
        if "uses" not in job:  # GitHub forbids one on a job that calls a workflow; the called jobs have theirs
            limit = job.get("timeout-minutes")
            assert isinstance(limit, int) or re.fullmatch(r"\$\{\{ fromJSON\(.*\.timeout-minutes \}\}", str(limit)), name


@workflows
def test_no_permission_unless_a_job_asks(path: Path) -> None:
    assert load(path)["permissions"] == {}
    for name, job in jobs(path).items():
        assert isinstance(job.get("permissions", {}), dict), f"{name}: `read-all` and `write-all` are never least privilege"


OF_A_DEPLOY = {"deployments", "id-token"}
WRITES = {
    ("build.yml", "build"): {"packages"},
    **{("release.yml", f"build-{number}"): {"packages"} for number in range(1, 5)},
    ("release.yml", "build"): {"packages", "id-token", "attestations"},
    ("release.yml", "image"): {"id-token", "attestations"},
    ("image.yml", "sbom"): {"id-token", "attestations"},
    **{("release.yml", f"environment-{number}"): OF_A_DEPLOY for number in range(1, 5)},
    ("deploy.yml", "deploy"): OF_A_DEPLOY,
    ("deploy.yml", "infrastructure"): {"id-token"},
    ("infrastructure.yml", "infrastructure"): {"id-token"},
    ("rollback.yml", "announce"): {"deployments"},
    ("rollback.yml", "roll-back"): OF_A_DEPLOY,
    ("stage.yml", "promote"): OF_A_DEPLOY,
    ("stage.yml", "abandon"): OF_A_DEPLOY,
    ("pipeline.yml", "release"): {"packages", "attestations", *OF_A_DEPLOY},
    ("rehearsal.yml", "rehearse"): {"packages", *OF_A_DEPLOY},
}


@pytest.mark.parametrize("path", REUSABLE, ids=name_of)
def test_what_may_write(path: Path) -> None:
    for name, job in jobs(path).items():
        writes = {scope for scope, level in job.get("permissions", {}).items() if level == "write"}
        assert writes == WRITES.get((path.name, name), set()), name


@workflows
def test_a_call_grants_exactly_what_the_called_workflow_asks_for(path: Path) -> None:
    """More is never needed; with less GitHub does not start the run."""
    for name, job in jobs(path).items():
        target = called(job)
        if target is not None:
            assert job["permissions"] == asked(target), name


# --- unpinned-action ---


@everything
def test_third_party_actions_are_pinned_to_the_known_commit(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.match(r"\s*(?:- )?uses: (\S+)(.*)", line)
        if not found or found[1].startswith(("$/", "./", "org/cicd-actions/")):
            continue
        action, _, commit = found[1].partition("@")
        version, pinned = PINS["/".join(action.split("/")[:2])]
        assert (commit, found[2].strip()) == (pinned, f"# {version}"), line


def test_hardening_lists_every_action_that_a_called_workflow_uses() -> None:
    """A policy without one of them blocks the pipeline. Another setting allows those of GitHub."""
    text = (ROOT / "docs" / "hardening.md").read_text("utf-8").partition("<!-- allowed -->")[2].partition("```text\n")[2]
    used = {step["uses"].partition("@")[0] for path in [*REUSABLE, *ACTIONS] for _, step in steps(path) if "uses" in step}
    named = {"/".join(action.split("/")[:2]) for action in used if not action.startswith(("$/", "./", "actions/", "github/"))}
    # trivy-action is a composite that uses it.
    named.add("aquasecurity/setup-trivy")
    assert text.partition("```")[0].splitlines() == ["org/cicd-actions/*", *(f"{name}@*" for name in sorted(named))]


@pytest.mark.parametrize("path", [*OURS, *ACTIONS], ids=name_of)
def test_what_is_ours_is_named_so_that_it_comes_from_the_same_commit(path: Path) -> None:
    named = [step["uses"] for _, step in steps(path) if "uses" in step]
    named += [job["uses"] for job in load(path).get("jobs", {}).values() if "uses" in job]
    for uses in named:
        if uses.startswith("$/"):
            folder = ROOT / uses.removeprefix("$/")
            # health-gate and its kind are built by their own packages; what stands in .github is of the workflows themselves.
            assert folder.parent in {ROOT / "actions", ROOT / ".github" / "actions"}
            assert (folder / "action.yml").is_file(), uses
        elif uses.startswith("./release/"):
            # What the self-test unpacks: a tree that the same run built from this commit.
            assert path.name == "self-test.yml"
            assert (ROOT / "actions" / uses.removeprefix("./release/") / "action.yml").is_file(), uses
        elif uses.startswith("./"):
            assert (ROOT / uses).is_file(), uses
        else:
            assert "cicd-actions" not in uses, uses


def test_the_example_calls_us_as_an_outside_repository_would() -> None:
    for path in EXAMPLE:
        for job in jobs(path).values():
            assert re.fullmatch(r"org/cicd-actions/\.github/workflows/(verify|release|rollback)\.yml@[0-9a-f]{40}", job["uses"])


# --- injection, credentials, secrets ---


@everything
def test_promise_inputs_reach_the_code_through_the_environment(path: Path) -> None:
    for job, step in steps(path):
        assert "${{" not in str(step.get("run", "")), f"{job}: hand it over in `env:`"
        assert "${{" not in str(step.get("shell", ""))


@everything
def test_a_checkout_keeps_no_credentials(path: Path) -> None:
    for job, step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step.get("with", {}).get("persist-credentials") is False, job


@workflows
def test_no_event_gives_a_strangers_code_our_secrets(path: Path) -> None:
    triggers = load(path)["on"]
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers)


@workflows
def test_secrets_are_handed_on_by_name_and_never_as_a_whole(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "toJSON(secrets)" not in text
    for name, job in jobs(path).items():
        assert job.get("secrets") != "inherit", name
        for key, value in job.get("secrets", {}).items():
            assert value == f"${{{{ secrets.{key} }}}}"


@workflows
def test_no_secret_is_in_an_output(path: Path) -> None:
    """GitHub drops an output in which a masked value stands, and says so only in the log of the job."""
    for job in jobs(path).values():
        for value in job.get("outputs", {}).values():
            assert "secrets." not in re.sub(r"secrets\.[A-Z_]+ != ''", "", value), "only whether there is one"


def test_secrets_reach_only_the_steps_that_need_them() -> None:
    with_secrets = {
        (path.name, job, step.get("name", step.get("uses", "").partition("@")[0]))
        for path in REUSABLE
        for job, step in steps(path)
        if re.search(r"\bsecrets\.[A-Z]", str(step))
    }
    assert with_secrets == {
        ("build.yml", "build", "docker/login-action"),
        ("build.yml", "build", "Build the image once"),
        ("release.yml", "build", "docker/login-action"),
        ("release.yml", "build", "Build every image once"),
        ("image.yml", "image", "docker/login-action"),
        ("infrastructure.yml", "infrastructure", "What would change, or has drifted"),  # only what reads
        ("deploy.yml", "infrastructure", "Plan the infrastructure"),  # the key encrypts the plan
        ("deploy.yml", "deploy", "Log in to the registry"),
        ("deploy.yml", "deploy", "Outputs of the infrastructure"),
        ("deploy.yml", "deploy", "Apply the infrastructure"),
        ("deploy.yml", "deploy", "What is released"),  # masks their values
        ("deploy.yml", "deploy", "Start the record"),  # proves the rollback with the programs that would do it
        ("deploy.yml", "deploy", "Finish the record"),  # signs it
        ("deploy.yml", "deploy", "Migrate"),
        ("deploy.yml", "deploy", "After the migration"),
        ("deploy.yml", "deploy", "Roll out"),
        ("deploy.yml", "deploy", "Gate"),  # headers and commands of the targets
        ("deploy.yml", "deploy", "Smoke tests"),
        ("deploy.yml", "deploy", "Roll back"),
        ("deploy.yml", "ask", "Ask people"),  # whom
        ("deploy.yml", "deploy", "Tell people"),
        ("rollback.yml", "announce", "End the deploys that wait"),  # signs it
        ("rollback.yml", "roll-back", "Log in to the registry"),
        ("rollback.yml", "roll-back", "Tell people"),
        ("rollback.yml", "roll-back", "What is rolled back"),
        ("rollback.yml", "roll-back", "Outputs of the infrastructure"),
        ("rollback.yml", "roll-back", "Roll back"),
        ("stage.yml", "abandon", "Log in to the registry"),
        ("stage.yml", "abandon", "What runs there"),
        ("stage.yml", "abandon", "Outputs of the infrastructure"),
        ("stage.yml", "abandon", "Abandon the stage"),
        ("stage.yml", "abandon", "Record it"),  # signs it
        ("rehearsal.yml", "rehearse", "docker/login-action"),
        ("rehearsal.yml", "rehearse", "The good release"),
        ("rehearsal.yml", "rehearse", "It answers"),
        ("rehearsal.yml", "rehearse", "The broken release"),
        ("rehearsal.yml", "rehearse", "Roll out"),
        ("rehearsal.yml", "rehearse", "Gate"),
        ("rehearsal.yml", "rehearse", "Roll back"),
        ("rehearsal.yml", "rehearse", "The good release answers again"),
    }
    assert all("env" not in load(path) and not any("env" in job for job in jobs(path).values()) for path in REUSABLE)


def test_people_are_told_at_the_end_and_only_where_the_secret_says_whom() -> None:
    found = jobs(DEPLOY)["deploy"]["steps"]
    tell, outcome = found[-2:]
    assert outcome["name"] == "Outcome", "a step that fails hides no message"
    assert (tell["uses"], tell["if"]) == ("$/actions/notify", "${{ !cancelled() }}")
    assert tell["with"]["urls"] == "${{ secrets.NOTIFY_URLS != '' && 'NOTIFY_URLS' || '' }}"
    events = set(re.findall(r"&& '([a-z-]+)'|\|\| '([a-z-]+)'", tell["with"]["event"]))
    expected = {"rolled-back", "passed", "failed", "refused", "waiting", "inconclusive"}
    assert {first or second for first, second in events} == expected


def test_people_are_asked_for_an_approval_beside_the_job_that_waits_for_it() -> None:
    ask, approve = jobs(DEPLOY)["ask"], jobs(DEPLOY)["approve"]
    assert "environment" not in ask
    assert ask["needs"] == approve["needs"] == "infrastructure"
    assert ask["if"] == f"{approve['if'].removesuffix(' }}')} && inputs.notify }}}}"
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    assert release["build"]["outputs"]["notify"] == "${{ secrets.NOTIFY_URLS != '' }}"
    calls = [job for job in release.values() if called(job) == DEPLOY]
    assert [job["with"]["notify"] for job in calls] == ["${{ needs.build.outputs.notify == 'true' }}"] * 4


def test_only_a_job_that_names_the_deploys_environment_sees_its_secrets() -> None:
    for path in REUSABLE:
        for name, job in jobs(path).items():
            uses_them = any(re.search(r"secrets\.(RELEASE|DEPLOY)_ENV", str(step)) for step in job.get("steps", []))
            assert uses_them == ("environment" in job and name not in {"approve", "announce"}), f"{path.name}: {name}"


def test_the_secrets_of_a_deploy_are_required_and_handed_on_by_name_at_each_level() -> None:
    """A forgotten one would be an empty string on a green run."""
    for name in ("release", "deploy", "pipeline", "rollback", "stage", "rehearsal"):
        declared = load(ROOT / ".github" / "workflows" / f"{name}.yml")["on"]["workflow_call"]["secrets"]
        assert {secret for secret, facts in declared.items() if facts["required"]} == {"DEPLOY_ENV", "RELEASE_ENV"}
    for path in [*REUSABLE, *EXAMPLE]:
        for name, job in jobs(path).items():
            target = called(job)
            declared = load(target)["on"]["workflow_call"].get("secrets", {}) if target else {}
            assert {secret for secret, facts in declared.items() if facts["required"]} <= set(job.get("secrets", {})), name
            assert set(job.get("secrets", {})) <= set(declared), name


def test_clouds_are_reached_without_stored_keys() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    assert "aws-secret-access-key" not in text
    assert "credentials_json" not in text
    assert "role-to-assume" in text
    assert "workload_identity_provider" in text
    for path in REUSABLE:
        for name, job in jobs(path).items():
            names = [str(step.get("name", "")) for step in job.get("steps", [])]
            clouds = {each.removeprefix("Log in to ") for each in names if each.startswith("Log in to ")} - {"the registry"}
            assert clouds in (set(), {"AWS", "Google Cloud", "Azure"}), f"{path.name}: {name} knows one cloud and not another"


# --- merged-lanes, client-drift, spec-from-server, hidden-lane, sequential-gates, no-cache, no-path-filter ---

VERIFY = ROOT / ".github" / "workflows" / "verify.yml"
SETTINGS = "fromJSON(needs.plan.outputs.jobs)[matrix.lane]"


def test_the_lanes_are_separate_jobs_coupled_by_the_spec_alone() -> None:
    found = jobs(VERIFY)
    assert list(found) == ["plan", "lane", "spec", "client", "scan", "check"]
    assert found["scan"]["needs"] == "plan"
    assert found["lane"]["needs"] == found["spec"]["needs"] == "plan"
    assert found["client"]["needs"] == ["plan", "spec"]


@pytest.mark.parametrize(("name", "lists"), [("lane", "lanes"), ("spec", "specs"), ("client", "clients")])
def test_a_matrix_is_the_jobs_names_and_their_settings_come_from_the_plan(name: str, lists: str) -> None:
    job = jobs(VERIFY)[name]
    assert job["strategy"] == {
        "fail-fast": False,
        "matrix": {"lane": f"${{{{ fromJSON(needs.plan.outputs.{lists} || '[]') }}}}"},
    }
    # GitHub fails on an empty list; and a red spec must not skip the client's other checks.
    assert job["if"] == f"${{{{ !cancelled() && needs.plan.result == 'success' && needs.plan.outputs.{lists} != '[]' }}}}"
    for key in ("runs-on", "timeout-minutes", "container", "services"):
        assert job[key] == f"${{{{ {SETTINGS}.{key} }}}}", key
    assert "${{" not in job["name"], "a skipped matrix would show the expression"
    assert "runner.temp" not in str(job), "inside a container it names a folder of the machine"
    given = next(step for step in job["steps"] if step.get("uses") == "$/.github/actions/run-lane")["with"]
    assert given["services"] == "${{ toJSON(job.services) }}"
    assert "env" not in job, "a lane's variables go to the action that runs its checks"


def test_the_check_reports_always_and_holds_every_job_to_what_was_decided() -> None:
    found = jobs(VERIFY)
    check = found["check"]
    assert check["if"] == "always()"
    assert set(check["needs"]) == set(found) - {"check"}
    step = check["steps"][-1]
    assert step["uses"] == "$/.github/actions/check-jobs"
    assert step["if"] == "always()"
    assert step["with"]["needs"] == "${{ toJSON(needs) }}"
    assert step["with"]["outputs"] == "plan=plan", "a plan that is dropped would be a release that does not happen"
    assert dict(line.split("=", 1) for line in step["with"]["expected"].splitlines()) == {
        "plan": "true",
        "lane": "${{ needs.plan.outputs.lanes != '[]' }}",
        "spec": "${{ needs.plan.outputs.specs != '[]' }}",
        "client": "${{ needs.plan.outputs.clients != '[]' }}",
        "scan": "${{ needs.plan.outputs.scans != '{}' }}",
    }


def test_undocumented_secrets_warn_or_fail_and_never_keep_a_lane_waiting() -> None:
    step = next(step for step in jobs(VERIFY)["check"]["steps"] if step.get("uses") == "$/actions/secrets-doc-check")
    assert step["continue-on-error"] == "${{ fromJSON(needs.plan.outputs.secrets-doc || '{}').check == 'warn' }}"
    assert step["if"] == "needs.plan.result == 'success' && fromJSON(needs.plan.outputs.secrets-doc).check != 'off'"


def test_a_fork_gets_the_runners_and_containers_of_the_base() -> None:
    found = jobs(VERIFY)["plan"]["steps"]
    base = next(step for step in found if step.get("name") == "Check out the base's file")
    assert base["if"].endswith("github.event.pull_request.head.repo.full_name != github.repository")
    assert base["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    plan = next(step for step in found if step.get("id") == "plan")
    assert plan["with"]["base-config"] == f"{base['with']['path']}/${{{{ inputs.config }}}}"


def test_the_audit_warns_or_fails_on_every_file_of_the_commit_after_the_plan() -> None:
    plan, checkout, audit = jobs(VERIFY)["plan"]["steps"][-3:]
    assert plan["id"] == "plan"
    assert checkout["with"] == {"fetch-depth": 0, "filter": "blob:none", "persist-credentials": False}
    assert audit["uses"] == "$/actions/pipeline-audit"
    assert checkout["if"] == audit["if"] == "steps.plan.outputs.audit != 'off'"
    assert audit["continue-on-error"] == "${{ steps.plan.outputs.audit == 'warn' }}"


def test_the_document_is_exported_and_the_client_compared() -> None:
    found = jobs(VERIFY)
    compare = next(step for step in found["client"]["steps"] if step.get("uses") == "$/actions/verify-openapi-client")
    assert compare["if"] == "${{ !cancelled() && steps.lane.outputs.installed == 'true' }}"
    given = compare["with"]
    assert "comment" not in given, "a called workflow that asks for more than its caller grants fails at start"
    for key in ("fail-on", "rules", "acknowledge"):
        assert given[key] == f"${{{{ {SETTINGS}.client.{key} }}}}"
    assert "steps.base.outcome == 'success'" in given["base-spec"]
    # Only the current document's export precedes the client's lane; the base's is kept by commit, or comes after the upload.
    names = [step.get("name", step.get("uses", "").partition("@")[0]) for step in found["spec"]["steps"]]
    assert (
        names.index("Export the OpenAPI document")
        < names.index("actions/upload-artifact")
        < names.index("actions/cache/restore")
    )
    assert all(
        step["continue-on-error"] is True for step in found["spec"]["steps"] if "the current API" in step.get("name", "")
    )


def test_installations_are_cached_by_their_lock_files() -> None:
    lock = {"astral-sh/setup-uv": "python-lock", "actions/setup-python": "python-lock", "actions/setup-node": "node-lock"}
    for _, step in steps(ROOT / ".github" / "actions" / "set-up-lane" / "action.yml"):
        action = step.get("uses", "").partition("@")[0]
        if action in lock:
            key = "cache-dependency-glob" if action == "astral-sh/setup-uv" else "cache-dependency-path"
            assert step["with"][key] == f"${{{{ fromJSON(inputs.job).{lock[action]} }}}}"
        elif action == "actions/cache":  # poetry, pdm and bun, whose set-up actions keep nothing by themselves
            found = re.search(r"hashFiles\(fromJSON\(inputs\.job\)\.(\w+-lock)\)", step["with"]["key"])
            assert found
            assert step["if"].endswith(f"fromJSON(inputs.job).{found[1]} != ''")


# --- stale-ci-runs, cancellable-deploy ---


def test_a_newer_push_cancels_checks_and_never_a_deployment() -> None:
    for path in EXAMPLE[:1]:
        concurrency = load(path)["concurrency"]
        assert concurrency["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
        assert concurrency["group"].endswith("${{ github.event.pull_request.number || github.run_id }}")
    for path in REUSABLE:
        assert "concurrency" not in load(path)
        for name, job in jobs(path).items():
            group = str(job.get("concurrency", {}).get("group", ""))
            if name in {"deploy", "roll-back", "abandon", "rehearse"}:
                assert job["concurrency"]["cancel-in-progress"] is False
                assert job["concurrency"]["queue"] == "max"
                assert "deploy-" in group
            elif name == "approve":
                assert group.startswith("approve-")
                assert job["concurrency"]["cancel-in-progress"] is True
                assert "queue" not in job["concurrency"], "GitHub refuses both together"
            else:
                assert "concurrency" not in job, name


def test_an_approval_waits_without_the_deploys_lock() -> None:
    found = jobs(DEPLOY)
    approve, deploy = found["approve"], found["deploy"]
    assert approve["environment"] == "${{ fromJSON(inputs.settings).approval-environment }}"
    # Skipped counts only where it was not asked for: a lost plan, or approval, must not look like one that was not needed.
    planned = (
        "(needs.infrastructure.result == 'success' || needs.infrastructure.result == 'skipped'"
        " && fromJSON(inputs.settings).infrastructure.directory == '')"
    )
    assert approve["if"] == f"${{{{ !cancelled() && {planned} && fromJSON(inputs.settings).approval-environment != '' }}}}"
    assert deploy["needs"] == ["infrastructure", "approve"]
    assert deploy["if"] == (
        "${{ !cancelled() && (needs.approve.result == 'success' || needs.approve.result == 'skipped' &&"
        f" fromJSON(inputs.settings).approval-environment == '') && {planned} }}}}"
    )
    check = deploy["steps"][1]
    assert check["uses"] == "$/.github/actions/check-approval"
    assert check["with"]["at"] == "${{ needs.approve.outputs.at }}"


def test_what_only_github_can_show_of_an_approval_is_shown_by_a_test_there() -> None:
    """The job that it starts twice waits as the one of a deploy does."""
    waits = jobs(ROOT / ".github" / "workflows" / "waits.yml")["approve"]
    approve = jobs(DEPLOY)["approve"]
    assert waits["concurrency"]["group"].startswith("approve-")
    assert waits["concurrency"]["cancel-in-progress"] is approve["concurrency"]["cancel-in-progress"] is True
    assert waits["environment"]
    shown = jobs(ROOT / ".github" / "workflows" / "approval-test.yml")["approval"]["steps"][-1]
    assert shown["run"] == "python3 tests/self_test/supersede.py waits.yml"


def test_a_dry_run_of_a_rollback_waits_for_nothing() -> None:
    group = jobs(ROLLBACK)["roll-back"]["concurrency"]["group"]
    assert group.startswith("${{ inputs.dry-run && format('rollback-plan-{0}', github.run_id)")
    assert load(ROLLBACK)["on"]["workflow_call"]["inputs"]["dry-run"]["default"] is True


def test_a_rollback_is_announced_outside_the_queue_and_does_not_wait_for_that() -> None:
    found = jobs(ROLLBACK)
    announce = found["announce"]
    assert (announce["needs"], announce["if"]) == ("plan", "${{ !inputs.dry-run }}")
    assert "concurrency" not in announce
    assert announce["environment"] == found["roll-back"]["environment"], "its secret signs the record"
    assert found["roll-back"]["needs"] == "plan"
    (step,) = announce["steps"]
    assert json.loads(step["with"]["values"]) == {"phase": "announce-rollback"}


# --- migrate-first, unverified-deploy, no-rollback, no-staging, rebuilt-release, mutable-image-tag, ungated-release ---


def test_an_environment_is_one_job_in_one_order() -> None:
    job = jobs(DEPLOY)["deploy"]
    names = [step.get("name", "") for step in job["steps"]]
    order = [
        "What is released", "Start the record", "Apply the infrastructure", "Migrate", "After the migration", "Roll out",
        "Gate", "Smoke tests", "Finish the record", "Roll back", "Outcome",
    ]  # fmt: skip
    assert [name for name in names if name in order] == order
    assert job["environment"]["deployment"] is False
    assert job["environment"]["url"]
    by_name = {step.get("name"): step for step in job["steps"]}
    unless_staged = "steps.roll-out.outputs.stage != 'staged'"
    assert by_name["Gate"]["if"] == unless_staged, "while it is staged, the old release may answer"
    for name in ("What is released", "Start the record", "Roll out"):
        assert "if" not in by_name[name], f"{name} runs exactly when everything before it went well"
    assert by_name["Migrate"]["if"] == "fromJSON(inputs.settings).migrate-command != ''"
    assert by_name["After the migration"]["if"] == "fromJSON(inputs.settings).after-migrate != ''"
    assert by_name["Smoke tests"]["if"] == f"fromJSON(inputs.settings).smoke[0] != '' && {unless_staged}"
    assert by_name["Finish the record"]["if"] == "${{ always() && steps.start.outputs.deployment-id != '' }}"
    assert by_name["Outcome"]["if"] == "always()"


def test_what_is_released_and_scanned_reads_no_cache_that_the_lanes_write() -> None:
    """What a lane runs can write the Actions cache of its branch; these actions read that unless they are told not to."""
    found = [step for path in DEPLOY.parent.glob("*.yml") for job in jobs(path).values() for step in job.get("steps", ())]
    for action, key in (("docker/setup-buildx-action", "cache-binary"), ("aquasecurity/trivy-action", "cache")):
        steps = [step for step in found if step.get("uses", "").startswith(f"{action}@")]
        assert len(steps) > 1
        assert [step.get("with", {}).get(key) for step in steps] == [False] * len(steps), action
    for path in (RELEASE, DEPLOY, DEPLOY.with_name("publish.yml")):
        assert not re.search(r"actions/cache|type=gha|[^-]cache: (?!false)", path.read_text("utf-8")), path


def test_nothing_moves_before_the_images_are_proven() -> None:
    """An image that the build did not attest, or one that was pushed in its place, stops the job here."""
    names = [step.get("name") for step in jobs(DEPLOY)["deploy"]["steps"]]
    proof = jobs(DEPLOY)["deploy"]["steps"][names.index("The images are attested")]
    assert "continue-on-error" not in proof
    for later in ("Start the record", "Migrate", "Roll out"):
        step = jobs(DEPLOY)["deploy"]["steps"][names.index(later)]
        assert names.index(later) > names.index("The images are attested")
        assert not re.search(r"always\(\)|failure\(\)|cancelled\(\)", str(step.get("if", ""))), later
    assert jobs(RELEASE)["build"]["steps"][-1]["uses"].startswith("actions/attest@"), "what is deployed was attested"


def test_an_sbom_is_attested_by_a_job_in_which_no_scanner_runs() -> None:
    """It can sign. Its check gets the hash from an output, which no other job can write."""
    found = jobs(IMAGE)
    listing, signing = found["image"], found["sbom"]
    assert list(found) == ["image", "sbom"]
    assert set(listing["permissions"].values()) == {"read"}
    assert signing["permissions"] == {"id-token": "write", "attestations": "write"}
    assert (signing["needs"], signing["if"]) == ("image", "fromJSON(inputs.build).sbom")
    used = [step["uses"].partition("@")[0] for step in signing["steps"] if "uses" in step]
    assert used == ["actions/download-artifact", "$/.github/actions/check-sbom", "actions/attest"]
    download, check, attest = (step for step in signing["steps"] if "uses" in step)
    assert not {"if", "continue-on-error"} & {*check, *attest}
    made = next(step for step in listing["steps"] if step.get("id") == "checked")
    assert listing["outputs"] == {"sha256": "${{ steps.checked.outputs.sha256 }}"}
    assert made["uses"] == check["uses"]
    assert "sha256" not in made["with"]
    # Without an output, nothing matches.
    assert check["with"]["sha256"] == "${{ needs.image.outputs.sha256 || 'none' }}"
    assert check["with"]["sbom"] == attest["with"]["sbom-path"] == f"{download['with']['path']}/sbom.cdx.json"
    kept = next(step["with"] for step in listing["steps"] if step.get("uses", "").startswith("actions/upload-artifact@"))
    assert download["with"]["name"] == kept["name"]


def test_an_sbom_is_of_the_image_that_was_built() -> None:
    listing, signing = jobs(IMAGE)["image"], jobs(IMAGE)["sbom"]
    listed = next(step for step in listing["steps"] if step.get("id") == "sbom")
    assert listed["with"]["format"] == "cyclonedx"
    assert not {"if", "continue-on-error"} & set(listed), "also where nothing is scanned, and never without one"
    scanned = next(step for step in listing["steps"] if step.get("id") == "scan")
    assert (listed["uses"], listed["env"]) == (scanned["uses"], scanned["env"]), "of the same platform"
    assert listed["with"]["skip-setup-trivy"] == "${{ steps.scan.outcome == 'success' }}"
    given = next(step["with"] for step in signing["steps"] if step.get("id") == "attest")
    assert f"{given['subject-name']}@{given['subject-digest']}" == listed["with"]["image-ref"] == scanned["with"]["image-ref"]
    assert jobs(RELEASE)["image"]["with"]["digest"] == "${{ fromJSON(needs.build.outputs.digests)[matrix.image] }}"


@pytest.mark.parametrize(("job", "step"), [("image", "sbom"), ("sbom", "attest")])
def test_a_missing_sbom_says_what_to_do(job: str, step: str) -> None:
    told = next(
        each for each in jobs(IMAGE)[job]["steps"] if each.get("if") == f"failure() && steps.{step}.outcome == 'failure'"
    )
    assert "run the failed jobs again: nothing is built again" in " ".join(re.sub(r'" \\\n *"', " ", told["run"]).split())
    assert "`build: {sbom: false}`" in told["run"].replace("\\`", "`")


def test_nothing_but_the_sbom_is_made_where_nothing_is_scanned() -> None:
    gated = {step["name"] for step in jobs(IMAGE)["image"]["steps"] if step.get("if") == "fromJSON(inputs.build).scans.scan"}
    assert gated == {"Scan the image", "Date the scanner's database", "The image was scanned, and nothing is overdue"}


def test_a_promotion_builds_nothing() -> None:
    """The same job names the digests: those that it built, or those that passed in the environment before."""
    build = jobs(RELEASE)["build"]
    by_name = {step.get("name"): step for step in build["steps"]}
    source = "fromJSON(inputs.plan).build.promote-from"
    assert by_name["What passed in the environment before"]["if"] == f"{source} != ''"
    assert by_name["Build every image once"]["if"] == f"{source} == ''"
    assert build["outputs"]["digests"] == "${{ steps.build.outputs.digests || steps.promoted.outputs.digests }}"


SEPARATE = [f"build-{number}" for number in range(1, MOST_BUILDERS + 1)]


def test_an_image_with_its_own_runner_hands_its_digest_to_the_build() -> None:
    """A job for each, because outputs of a matrix share their names."""
    found = jobs(RELEASE)
    for number, name in enumerate(SEPARATE):
        assert called(found[name]) == BUILD
        assert found[name]["with"]["image"] == f"${{{{ fromJSON(inputs.plan).build.separate[{number}] }}}}"
    assert found["build"]["needs"] == SEPARATE
    built = next(step for step in found["build"]["steps"] if step.get("id") == "build")
    assert built["with"]["built"] == "${{ toJSON(needs) }}"
    (alone,) = jobs(BUILD).values()
    assert "strategy" not in alone
    assert found["build"]["steps"][-1]["with"] == {"subject-checksums": "${{ steps.build.outputs.checksums }}"}


def test_only_the_workflow_that_deploys_trust_attests_provenance() -> None:
    """GitHub's certificate names the workflow in which the job stands: that of a workflow which it calls proves nothing."""
    attests = {
        path.name
        for path in REUSABLE
        for _, step in steps(path)
        if step.get("uses", "").startswith("actions/attest@") and "sbom-path" not in step["with"]
    }
    assert attests == {Path(deploy_step.BUILDS).name}


def test_the_jobs_token_goes_to_githubs_own_registry_alone() -> None:
    """Another registry that gets it could act with it until the job ends."""
    for path in (RELEASE, BUILD, REHEARSAL):
        logins = [step["with"] for _, step in steps(path) if step.get("uses", "").startswith("docker/login-action@")]
        assert logins
        for given in logins:
            of = given["registry"].removeprefix("${{ ").removesuffix(".registry }}")
            assert given["password"] == f"${{{{ secrets.REGISTRY_PASSWORD || {of}.registry-token && github.token || '' }}}}"


@pytest.mark.parametrize("path", [DEPLOY, ROLLBACK], ids=name_of)
def test_a_deploy_logs_in_to_the_registry_before_it_asks_for_an_image(path: Path) -> None:
    found = jobs(path)["deploy" if path == DEPLOY else "roll-back"]
    names = [step.get("uses") for step in found["steps"]]
    assert names.index("$/.github/actions/registry-login") < names.index("$/.github/actions/release-images")
    assert found["permissions"]["packages"] == "read"


def test_only_a_proven_fail_takes_a_release_back() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    assert by_name["Roll back"]["if"] == (
        "${{ always() && (steps.gate.outputs.verdict == 'fail' || steps.smoke.outputs.verdict == 'fail'"
        " || steps.finish.outputs.ended != '') }}"
    )
    assert by_name["Roll back"]["with"]["action"] == "rollback-to-previous-sha"
    assert "!= 'pass'" not in DEPLOY.read_text(encoding="utf-8").replace("never `!= 'pass'`", "")


def values(step: dict[str, Any]) -> dict[str, Any]:
    """The inputs that a deploy-step gives besides the settings, with the expressions as texts."""
    found: dict[str, Any] = json.loads(
        re.sub(r"\$\{\{ (toJSON\(.*?\)) \}\}(?=[,}])", lambda match: json.dumps(match[1]), step["with"]["values"])
    )
    return found


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        ({"gate.verdict": "pass", "smoke.outcome": "skipped"}, "pass"),
        ({"gate.verdict": "fail", "smoke.outcome": "skipped"}, "fail"),
        ({"roll-out.verdict": "fail"}, "fail"),
        ({"roll-out.verdict": "fail", "roll-out.stage": "abandoned"}, "fail"),
        ({"roll-out.verdict": "inconclusive"}, "inconclusive"),
        ({"roll-out.verdict": "inconclusive", "roll-out.stage": "abandoned"}, "abandoned"),
        ({"roll-out.verdict": "inconclusive", "roll-out.stage": "held"}, "staged"),
        ({"roll-out.verdict": "pass", "roll-out.stage": "staged"}, "staged"),
        ({"migrate.verdict": "fail", "migrate.status": "failed"}, "fail"),
        ({"migrate.verdict": "fail", "migrate.status": "refused"}, "inconclusive"),
        ({"job.status": "cancelled", "roll-out.verdict": "fail"}, "cancelled"),
        ({}, "inconclusive"),
    ],
)
def test_verdict_that_is_recorded_is_fail_only_where_something_of_the_release_was_tried(
    ended: dict[str, str], verdict: str
) -> None:
    """`&&` and `||` give one of their operands, as Python's words do."""
    (finish,) = (step for _, step in steps(DEPLOY) if step.get("name") == "Finish the record")
    (text,) = re.findall(r'"verdict": \$\{\{ toJSON\((.*?)\) \}\}', finish["with"]["values"], re.DOTALL)
    known = re.sub(r"(?:steps\.)?([a-z-]+)\.(?:outputs\.)?([a-z-]+)", r'ended.get("\1.\2", "")', text)
    words = " ".join(known.replace("&&", "and").replace("||", "or").split())
    assert eval(words, {"ended": ended}) == verdict  # noqa: S307 - the project's own text


def deploy_steps(path: Path) -> list[dict[str, Any]]:
    return [step for _, step in steps(path) if step.get("uses") == "$/.github/actions/deploy-step"]


def test_every_step_of_a_deploy_has_the_environments_settings_and_names_inputs_that_exist() -> None:
    """So the engine that is rolled back is the one that was rolled out, and the one on which the rollback was proven."""
    planned = "${{ needs.plan.outputs.settings }}"
    for path, settings in ((DEPLOY, "${{ inputs.settings }}"), (ROLLBACK, planned), (REHEARSAL, planned)):
        for step in deploy_steps(path):
            known = load(ROOT / "actions" / step["with"]["action"] / "action.yml")["inputs"]
            assert step["with"]["settings"] == settings
            assert set(values(step)) <= set(known), step["name"]


def test_the_release_that_runs_again_is_gated_like_the_one_that_was_left() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    gate, back = values(by_name["Gate"]), values(by_name["Roll back"])
    assert gate["targets"] == "toJSON(steps.release.outputs.targets)"
    assert back["targets"] == "toJSON(steps.release.outputs.rollback-targets)"
    # `gate-timeout` is a setting of the same name.
    assert gate["timeout"] == "toJSON(fromJSON(inputs.settings).gate-timeout)"
    assert back["stable-for"] == gate["stable-for"]
    assert back["current-sha"] == "toJSON(inputs.sha || github.sha)"
    # A rollback moves all services at once: what ran before is known to work.
    assert back["parallelism"] == ""


def test_the_record_says_what_became_of_the_release() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    start, finish = values(by_name["Start the record"]), values(by_name["Finish the record"])
    assert (start["phase"], finish["phase"]) == ("start", "finish")
    assert {key: start[key] for key in ("services", "environment-url")} == {
        key: finish[key] for key in ("services", "environment-url")
    }
    # The gate's verdict counts where no smoke test ran after it.
    assert finish["verdict"].startswith(
        "toJSON(steps.smoke.outputs.verdict || (steps.smoke.outcome == 'skipped' && steps.gate.outputs.verdict)"
        " || (job.status == 'cancelled'"
    )
    assert "'pass'" not in finish["verdict"], "only the gate says pass"
    assert finish["deployment-id"] == "toJSON(steps.start.outputs.deployment-id)"


def test_the_rollback_is_proven_before_anything_moves_with_the_programs_that_would_do_it() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    assert by_name["Start the record"]["env"] == by_name["Roll back"]["env"]
    start, back = values(by_name["Start the record"]), values(by_name["Roll back"])
    assert {key: start[key] for key in ("schema-service", "schema-command")} == {
        key: back[key] for key in ("schema-service", "schema-command")
    }


def test_every_step_that_reads_or_writes_records_has_their_key() -> None:
    for path in (DEPLOY, ROLLBACK):
        found = [
            step for step in deploy_steps(path) if step["with"]["action"] in {"deployment-record", "rollback-to-previous-sha"}
        ]
        assert found
        assert all(step["env"]["RECORD_KEY"] == "${{ secrets.RECORD_KEY }}" for step in found)
    assert jobs(DEPLOY)["deploy"]["permissions"]["actions"] == "read"


def test_an_environment_is_reached_only_through_the_one_before_with_the_same_digests() -> None:
    found = jobs(RELEASE)
    assert list(found) == [*SEPARATE, "build", "image", *(f"environment-{number}" for number in range(1, 5))]
    scanned = (
        " && (needs.image.result == 'success' || needs.image.result == 'skipped'"
        " && fromJSON(inputs.plan || '{}').build.scans.any != true)"
    )
    for number in range(1, 5):
        job = found[f"environment-{number}"]
        before = "build" if number == 1 else f"environment-{number - 1}"
        assert job["needs"] == (["build", "image"] if number == 1 else ["build", before])
        assert job["if"] == (
            f"${{{{ !cancelled() && needs.{before}.result == 'success'{scanned if number == 1 else ''}"
            f" && fromJSON(inputs.plan || '{{}}').environments[{number - 1}].name != '' }}}}"
        )
        assert job["uses"] == "./.github/workflows/deploy.yml"
        assert job["with"] == {
            "settings": f"${{{{ toJSON(fromJSON(inputs.plan).environments[{number - 1}]) }}}}",
            "digests": "${{ needs.build.outputs.digests }}",
            "notify": "${{ needs.build.outputs.notify == 'true' }}",
        }


MOST_LEVELS = 4
"""Workflows that call each other, the caller included: https://docs.github.com/enterprise-server@latest/actions/reference/workflows-and-actions/reusing-workflow-configurations"""


def test_workflows_call_each_other_on_as_many_levels_as_a_server_knows() -> None:
    def levels(path: Path) -> int:
        return 1 + max((levels(target) for job in jobs(path).values() if (target := called(job))), default=0)

    assert 1 + max(levels(path) for path in REUSABLE) == MOST_LEVELS


def test_a_release_needs_a_green_check_and_the_plan_that_it_handed_on() -> None:
    found = jobs(RELEASE)
    assert [name for name, job in found.items() if "needs" not in job] == SEPARATE
    released = "fromJSON(inputs.plan || '{}').release == true"
    for number, name in enumerate(SEPARATE):
        assert found[name]["if"] == f"{released} && fromJSON(inputs.plan || '{{}}').build.separate[{number}] != ''"
    assert found["build"]["if"] == (
        f"${{{{ !cancelled() && {released}"
        " && !contains(needs.*.result, 'failure') && !contains(needs.*.result, 'cancelled') }}"
    )
    assert jobs(PIPELINE)["release"]["if"] == "${{ !cancelled() && needs.verify.result == 'success' }}"
    assert jobs(PIPELINE)["release"]["with"] == {"plan": "${{ needs.verify.outputs.plan }}"}
    assert load(VERIFY)["on"]["workflow_call"]["outputs"]["plan"]["value"] == "${{ jobs.check.outputs.plan }}"
    # GitHub evaluates the outputs of a failed job too, and keeps an earlier attempt's in place of an empty one.
    assert jobs(VERIFY)["check"]["outputs"]["plan"] == "${{ job.status == 'success' && needs.plan.outputs.plan || '{}' }}"


def test_a_job_behind_one_that_may_be_skipped_names_the_results_it_needs() -> None:
    """An implicit success() looks through all ancestors."""
    for path in REUSABLE:
        found = jobs(path)
        for name, job in found.items():
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            if any("if" in found[each] for each in needs) and job.get("if") != "always()":
                assert job["if"].startswith("${{ !cancelled() && "), f"{path.name}: {name}"
                assert ".result" in job["if"]


def test_deploying_never_builds() -> None:
    text = DEPLOY.read_text(encoding="utf-8")
    assert "build-images" not in text
    assert "buildx" not in text


# --- one shape for callers ---


@pytest.mark.parametrize("path", [VERIFY, PIPELINE], ids=name_of)
def test_inputs_are_the_files_place_the_plans_runner_and_what_a_dispatch_promotes(path: Path) -> None:
    """What differs between repositories stands in the pipeline file: no setting exists twice."""
    assert set(load(path)["on"]["workflow_call"]["inputs"]) == {"config", "runs-on", "promote"}


@pytest.mark.parametrize("path", REUSABLE, ids=name_of)
def test_every_input_says_what_it_is(path: Path) -> None:
    call = load(path)["on"]["workflow_call"]
    for kind in ("inputs", "secrets", "outputs"):
        for name, definition in call.get(kind, {}).items():
            assert definition.get("description"), name
    for name, definition in call["inputs"].items():
        assert definition["type"] in {"string", "number", "boolean"}
        assert ("default" in definition) != (definition.get("required") is True), name


@pytest.mark.parametrize("path", REUSABLE, ids=name_of)
def test_every_input_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8").partition("\njobs:\n")[2]
    for name in load(path)["on"]["workflow_call"]["inputs"]:
        assert re.search(rf"inputs\.{name}\b(?!-)", text), name


def test_the_example_names_only_inputs_that_exist() -> None:
    for path in EXAMPLE:
        for job in jobs(path).values():
            target = called(job)
            assert target
            known = load(target)["on"]["workflow_call"].get("inputs", {})
            assert {name for name, one in known.items() if one.get("required")} <= set(job.get("with", {})) <= set(known)


def test_the_examples_file_is_a_pipeline_file() -> None:
    pipeline = reading.load(ROOT / "examples" / "two-lane" / ".github" / "cicd.yml")
    assert list(pipeline.lanes) == ["api", "web"]
    assert pipeline.release
    options = load(EXAMPLE[1])["on"]["workflow_dispatch"]["inputs"]["environment"]["options"]
    assert options == [each.name for each in pipeline.release.environments]


# --- what the page for callers says ---

PAGE = ROOT / "docs" / "pipeline.md"


def callers(path: Path) -> list[dict[str, Any]]:
    """The workflows on a page that call ours, as they are written there."""
    found = re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    written = [
        plain(read(block).root) for block in found if "cicd-actions/.github/workflows/" in block and "\njobs:" in f"\n{block}"
    ]
    return [each for each in written if isinstance(each, dict)]


@pytest.mark.parametrize("page", [PAGE, ROOT / "docs" / "adopting.md"], ids=name_of)
def test_a_page_grants_what_is_asked_for_and_names_what_exists(page: Path) -> None:
    written = callers(page)
    assert written
    for workflow in written:
        for job in workflow["jobs"].values():
            target = called(job)
            if target is None:
                continue
            call = load(target)["on"]["workflow_call"]
            assert job["permissions"] == asked(target)
            assert set(job.get("with", {})) <= set(call.get("inputs", {}))
            required = {name for name, one in call.get("secrets", {}).items() if one["required"]}
            assert required <= set(job.get("secrets", {})) <= set(call.get("secrets", {}))


def test_the_page_lists_what_to_grant_and_every_secret() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `([a-z-]+): (read|write)` \|", text, re.MULTILINE)) == asked(PIPELINE)
    listed = re.findall(r"^\| secret `([A-Z_]+)`", text, re.MULTILINE)
    assert sorted(listed) == sorted(load(PIPELINE)["on"]["workflow_call"]["secrets"])
    example, written = load(EXAMPLE[0]), callers(PAGE)[0]
    assert (written["on"], written["concurrency"]) == (example["on"], example["concurrency"])


def test_the_page_lists_every_variable_that_is_read() -> None:
    read_in_files = {name for path in REUSABLE for name in re.findall(r"\bvars\.([A-Z_]+)", path.read_text(encoding="utf-8"))}
    row = re.compile(r"^\| variables? (.+?) \|", re.MULTILINE)
    listed = {name for found in row.findall(PAGE.read_text(encoding="utf-8")) for name in re.findall(r"`([A-Z_]+)`", found)}
    assert listed == {*read_in_files, "API_URL", "WEB_URL"}


def test_the_rollback_by_hand_is_in_the_deploys_queue_and_changes_nothing_until_it_is_told_to() -> None:
    asked_for = load(EXAMPLE[1])["on"]["workflow_dispatch"]["inputs"]
    assert list(load(EXAMPLE[1])["on"]) == ["workflow_dispatch"]
    assert asked_for["dry-run"] == {**asked_for["dry-run"], "type": "boolean", "default": True}
    deploy = jobs(DEPLOY)["deploy"]["concurrency"]["group"]
    assert deploy == "deploy-${{ fromJSON(inputs.settings).app }}-${{ fromJSON(inputs.settings).name }}"
    back = jobs(ROLLBACK)["roll-back"]["concurrency"]["group"]
    assert "format('deploy-{0}-{1}', fromJSON(needs.plan.outputs.settings).app, inputs.environment)" in back


# --- the rehearsal in a team's staging ---


def test_the_rehearsal_is_in_the_deploys_queue_and_breaks_one_thing_at_a_time() -> None:
    job = jobs(REHEARSAL)["rehearse"]
    assert job["concurrency"]["group"] == ("deploy-${{ fromJSON(needs.plan.outputs.settings).app }}-${{ inputs.environment }}")
    assert (job["concurrency"]["cancel-in-progress"], job["strategy"]["max-parallel"]) == (False, 1)


def test_the_rehearsal_logs_in_as_a_deploy_does() -> None:
    def logins(path: Path, job: str) -> list[dict[str, Any]]:
        return [step for step in jobs(path)[job]["steps"] if str(step.get("if", "")).startswith("vars.")]

    assert logins(REHEARSAL, "rehearse") == logins(DEPLOY, "deploy") == logins(ROLLBACK, "roll-back")


def test_the_rehearsal_rolls_out_gates_and_rolls_back_as_a_deploy_does() -> None:
    """What differs is named here, each with its reason."""
    deploy = {step["id"]: values(step) for step in deploy_steps(DEPLOY) if "id" in step}
    here = {step["id"]: values(step) for step in deploy_steps(REHEARSAL) if "id" in step}
    ours = {"inputs.settings": "needs.plan.outputs.settings"}

    def of_a_deploy(name: str) -> dict[str, Any]:
        # A rehearsal breaks the run's own commit, never one that a stage names.
        words = {key: str(text).replace("inputs.sha || github.sha", "github.sha") for key, text in deploy[name].items()}
        return {key: re.sub(r"\binputs\.settings\b", ours["inputs.settings"], text) for key, text in words.items()}

    # Nothing is migrated, and no client is asked for: a stage would wait for traffic.
    wanted = {key: text for key, text in of_a_deploy("roll-out").items() if key != "migrations"}
    assert here["roll-out"] == {**wanted, "strategy": "rolling"}
    assert here["gate"] == of_a_deploy("gate")
    # The broken release is in no record.
    wanted = {key: text for key, text in of_a_deploy("roll-back").items() if key != "current-sha"}
    good = {"services": "toJSON(steps.good.outputs.repositories)", "targets": "toJSON(steps.good.outputs.rollback-targets)"}
    assert here["roll-back"] == {**wanted, **good}


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("actions/*/README.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert re.match(r"https?://", link) or (page.parent / link).exists(), f"{name_of(page)}: {link}"
