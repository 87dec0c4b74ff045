"""The rules of a safe pipeline, as assertions on the workflow files: what act ignores can be shown only here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.yaml12 import plain, read
from cicd_actions.workflows import expressions
from cicd_actions.workflows.syntax import Access, Call, Comparison, Context, Literal, Logical, Node

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
REUSABLE = [ROOT / ".github" / "workflows" / f"{name}.yml" for name in ("two-lane", "build", "deploy", "pipeline")]
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
    "actions/attest-build-provenance": ("v4.1.1", "0f67c3f4856b2e3261c31976d6725780e5e4c373"),
    "astral-sh/setup-uv": ("v10.0.0", "ae62891fec2bb8e7d6c99fc78c9fec3a63790f8d"),
    "pnpm/action-setup": ("v6.0.9", "0ebf47130e4866e96fce0953f49152a61190b271"),
    "docker/setup-buildx-action": ("v4.3.0", "37fe631027851001ddb9b187196cc803df7f5f0e"),
    "docker/build-push-action": ("v7.3.0", "53b7df96c91f9c12dcc8a07bcb9ccacbed38856a"),
    "docker/login-action": ("v4.6.0", "dbcb813823bdd20940b903addbd779551569679f"),
    "actions/create-github-app-token": ("v3.2.0", "bcd2ba49218906704ab6c1aa796996da409d3eb1"),
    "aws-actions/configure-aws-credentials": ("v6.2.3", "e6de054238d6b7531b4efff3b6587d9aade6a06c"),
    "google-github-actions/auth": ("v3.0.0", "7c6bc770dae815cd3e89ee6cdf493a5fab2cc093"),
    "zizmorcore/zizmor-action": ("v0.6.2", "3dc1ecc9bcb9e94e9b2c709687979e1298497054"),
}
"""Third-party actions: the version that the comment names, and its commit."""

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
            assert isinstance(limit, int) or re.fullmatch(r"\$\{\{ inputs\.[a-z-]*timeout-minutes \}\}", str(limit)), name


@workflows
def test_no_permission_unless_a_job_asks(path: Path) -> None:
    assert load(path)["permissions"] == {}
    for name, job in jobs(path).items():
        assert isinstance(job.get("permissions", {}), dict), f"{name}: `read-all` and `write-all` are never least privilege"


WRITES = {
    ("build.yml", "api"): {"packages"},
    ("build.yml", "web"): {"packages"},
    ("deploy.yml", "deploy"): {"deployments", "id-token"},
    ("pipeline.yml", "build"): {"packages"},
    ("pipeline.yml", "staging"): {"deployments", "id-token"},
    ("pipeline.yml", "production"): {"deployments", "id-token"},
}


@pytest.mark.parametrize("path", REUSABLE, ids=name_of)
def test_what_may_write(path: Path) -> None:
    for name, job in jobs(path).items():
        writes = {scope for scope, level in job.get("permissions", {}).items() if level == "write"}
        assert writes == WRITES.get((path.name, name), set()), name


@workflows
def test_a_called_workflow_asks_for_nothing_that_its_caller_does_not_grant(path: Path) -> None:
    for name, job in jobs(path).items():
        target = called(job)
        if target is None:
            continue
        granted = job.get("permissions", {})
        for inner, embedded in jobs(target).items():
            for scope, level in embedded.get("permissions", {}).items():
                assert LEVELS[granted.get(scope, "none")] >= LEVELS[level], f"{name} calls {inner}: {scope}: {level}"


@workflows
def test_a_caller_grants_nothing_that_nobody_asks_for(path: Path) -> None:
    for name, job in jobs(path).items():
        target = called(job)
        if target is None:
            continue
        asked: dict[str, str] = {}
        for embedded in jobs(target).values():
            for scope, level in embedded.get("permissions", {}).items():
                asked[scope] = max(asked.get(scope, "none"), level, key=LEVELS.__getitem__)
        assert job["permissions"] == asked, name


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
    for job in jobs(EXAMPLE[0]).values():
        assert re.fullmatch(r"org/cicd-actions/\.github/workflows/pipeline\.yml@[0-9a-f]{40}", job["uses"])


# --- injection, credentials, secrets ---


@everything
def test_no_expression_stands_in_a_script(path: Path) -> None:
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
            assert "secrets." not in value


def test_secrets_reach_only_the_steps_that_need_them() -> None:
    with_secrets = {
        (path.name, job, step.get("name", step.get("uses", "").partition("@")[0]))
        for path in REUSABLE
        for job, step in steps(path)
        if re.search(r"\bsecrets\.[A-Z]", str(step))
    }
    assert with_secrets == {
        ("build.yml", "api", "docker/login-action"),
        ("build.yml", "web", "docker/login-action"),
        ("deploy.yml", "deploy", "What is released"),  # masks their values
        ("deploy.yml", "deploy", "Start the record"),  # proves the rollback with the programs that would do it
        ("deploy.yml", "deploy", "Finish the record"),  # signs it
        ("deploy.yml", "deploy", "Migrate"),
        ("deploy.yml", "deploy", "Roll out"),
        ("deploy.yml", "deploy", "Roll back"),
    }
    assert all("env" not in load(path) and not any("env" in job for job in jobs(path).values()) for path in REUSABLE)


def test_only_the_job_that_names_the_environment_sees_the_environments_secrets() -> None:
    for path in REUSABLE:
        for name, job in jobs(path).items():
            uses_them = any(
                "secrets.RELEASE_ENV" in str(step) or "secrets.DATABASE_URL" in str(step) for step in job.get("steps", [])
            )
            assert uses_them == ("environment" in job), f"{path.name}: {name}"


def test_clouds_are_reached_without_stored_keys() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    assert "aws-secret-access-key" not in text
    assert "credentials_json" not in text
    assert "role-to-assume" in text
    assert "workload_identity_provider" in text


# --- merged-lanes, client-drift, spec-from-server, hidden-lane, sequential-gates, no-cache, no-path-filter ---

TWO_LANE = ROOT / ".github" / "workflows" / "two-lane.yml"


def test_the_lanes_are_jobs_of_their_own_coupled_by_the_spec_alone() -> None:
    lanes = jobs(TWO_LANE)
    assert list(lanes) == ["changes", "spec", "api", "web", "secrets", "check"]
    assert lanes["spec"]["needs"] == lanes["api"]["needs"] == "changes"
    assert lanes["web"]["needs"] == ["changes", "spec"]


def test_the_check_reports_always_and_holds_every_job_to_what_was_decided() -> None:
    lanes = jobs(TWO_LANE)
    check = lanes["check"]
    assert check["if"] == "always()"
    assert set(check["needs"]) == set(lanes) - {"check"}
    (step,) = check["steps"]
    assert step["uses"] == "$/.github/actions/check-jobs"
    assert step["with"]["needs"] == "${{ toJSON(needs) }}"
    assert dict(line.split("=", 1) for line in step["with"]["expected"].splitlines()) == {
        "changes": "true",
        "spec": "${{ needs.changes.outputs.web }}",
        "api": "${{ needs.changes.outputs.api }}",
        "web": "${{ needs.changes.outputs.web }}",
        "secrets": "true",
    }
    for name in ("spec", "api", "web"):
        lane = "web" if name == "spec" else name
        assert lanes[name]["if"] == f"needs.changes.outputs.{lane} == 'true'"


def test_undocumented_secrets_warn_or_fail_and_never_keep_a_lane_waiting() -> None:
    lanes = jobs(TWO_LANE)
    secrets = lanes["secrets"]
    assert secrets["needs"] == "changes"
    assert "if" not in secrets, "a change of documentation alone can be what is missing"
    step = secrets["steps"][-1]
    assert step["uses"] == "$/actions/secrets-doc-check"
    assert step["if"] == "inputs.secrets-doc-check != 'off'"
    assert step["continue-on-error"] == "${{ inputs.secrets-doc-check == 'warn' }}"
    assert load(TWO_LANE)["on"]["workflow_call"]["inputs"]["secrets-doc-check"]["default"] == "warn"
    assert not any("secrets" in (job.get("needs") or ()) for name, job in lanes.items() if name != "check")


@pytest.mark.parametrize("lane", ["api", "web"])
def test_no_gate_of_a_lane_hides_another(lane: str) -> None:
    found = jobs(TWO_LANE)[lane]["steps"]
    install = next(number for number, step in enumerate(found) if step.get("id") == "install")
    gates = found[install + 1 :]
    assert len(gates) >= 5
    for step in gates:
        assert step["if"].startswith("${{ !cancelled() && steps."), step["name"]
        assert "continue-on-error" not in step


def test_the_document_is_exported_and_the_client_compared() -> None:
    lanes = jobs(TWO_LANE)
    inputs = load(TWO_LANE)["on"]["workflow_call"]["inputs"]
    assert "export_openapi.py {spec}" in inputs["api-spec-command"]["default"]
    assert not any("services" in job for name, job in lanes.items() if name != "api")
    compare = next(step for step in lanes["web"]["steps"] if step.get("name") == "The committed client is the generated one")
    assert compare["uses"] == "$/actions/verify-openapi-client"
    given = compare["with"]
    assert inputs["client-fail-on"]["default"] == "drift"
    assert "comment" not in given, "a called workflow that asks for more than its caller grants fails at start"
    # The web lane alone judges a base that could not be exported.
    before = [step for step in lanes["spec"]["steps"] if "the current API" in step.get("name", "")]
    assert [step["continue-on-error"] for step in before] == [True] * 3
    assert given["base-spec"].startswith("${{ needs.spec.outputs.base == 'true' && ")


def _value(node: Node, contexts: dict[str, Any]) -> Any:
    """Evaluates the part of GitHub's expressions that the test below needs."""
    match node:
        case Context(name=name):
            return contexts[name]
        case Access(of=of, key=Literal(value=key)):
            return _value(of, contexts)[key]
        case Comparison(operator=operator, left=left, right=right):
            return (_value(left, contexts) == _value(right, contexts)) is (operator == "==")
        case Call(name="contains", arguments=(text, part)):
            return _value(part, contexts) in _value(text, contexts)
        case Logical(operator=operator, operands=operands):
            return (any if operator == "||" else all)(_value(each, contexts) for each in operands)
        case Literal(value=value):
            return value
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("exported", "base", "fail_on", "rules", "compares"),
    [
        ("success", "abc", "drift", "", True),
        ("failure", "abc", "drift", "", False),
        ("failure", "abc", "drift\nbreaking", "", True),
        ("skipped", "abc", "generated-symbol", "", True),
        ("failure", "abc", "drift", "body-removed: error", True),
        ("failure", "abc", "drift", "body-removed: warn", False),
        ("skipped", "", "breaking", "", False),
    ],
)
def test_base_export_failed_fails_the_lane_where_the_comparison_can(
    exported: str, base: str, fail_on: str, rules: str, *, compares: bool
) -> None:
    output = jobs(TWO_LANE)["spec"]["outputs"]["base"].removeprefix("${{ ").removesuffix(" }}")
    contexts = {
        "steps": {"base": {"outcome": exported}},
        "needs": {"changes": {"outputs": {"base": base}}},
        "inputs": {"client-fail-on": fail_on, "client-rules": rules},
    }
    assert _value(expressions.parse(output), contexts) is compares


def test_every_input_of_the_comparison_reaches_the_action() -> None:
    given = next(step for _, step in steps(TWO_LANE) if step.get("uses") == "$/actions/verify-openapi-client")["with"]
    assert given["rules"] == "${{ inputs.client-rules }}"
    for name in ("two-lane", "pipeline"):
        inputs = load(ROOT / ".github" / "workflows" / f"{name}.yml")["on"]["workflow_call"]["inputs"]
        assert inputs["client-rules"] == {**inputs["client-rules"], "type": "string", "default": ""}


def test_installations_are_cached_by_their_lock_files() -> None:
    for job, step in steps(TWO_LANE):
        uses = step.get("uses", "")
        if uses.startswith("astral-sh/setup-uv@"):
            assert step["with"]["enable-cache"] is True
            assert step["with"]["cache-dependency-glob"].endswith("/uv.lock"), job
        if uses.startswith("actions/setup-node@"):
            assert step["with"]["cache-dependency-path"].endswith("${{ inputs.web-lock-file }}"), job


def test_services_answer_on_a_port_that_the_runner_chose_and_are_healthy_first() -> None:
    for name, service in jobs(TWO_LANE)["api"]["services"].items():
        assert all(re.fullmatch(r"\d+/tcp", port) for port in service["ports"]), name
        assert "--health-cmd" in service["options"]


# --- stale-ci-runs, cancellable-deploy ---


def test_a_newer_push_cancels_checks_and_never_a_deployment() -> None:
    for path in EXAMPLE[:1]:
        concurrency = load(path)["concurrency"]
        assert concurrency["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
        assert concurrency["group"].endswith("${{ github.event.pull_request.number || github.run_id }}")
    for path in REUSABLE:
        assert "concurrency" not in load(path)
        for name, job in jobs(path).items():
            if "environment" in job:
                concurrency = job["concurrency"]
                assert concurrency["cancel-in-progress"] is False
                assert concurrency["queue"] == "max"
                assert "inputs.environment" in concurrency["group"]
                assert "inputs.app" in concurrency["group"]
            else:
                assert "concurrency" not in job, name


# --- migrate-first, unverified-deploy, no-rollback, no-staging, rebuilt-release, mutable-image-tag, ungated-release ---

DEPLOY = ROOT / ".github" / "workflows" / "deploy.yml"
PIPELINE = ROOT / ".github" / "workflows" / "pipeline.yml"


def test_an_environment_is_one_job_in_one_order() -> None:
    ((_, job),) = jobs(DEPLOY).items()
    names = [step.get("name", "") for step in job["steps"]]
    order = [
        "What is released", "Start the record", "Migrate", "Roll out", "Gate", "Finish the record", "Roll back", "Outcome",
    ]  # fmt: skip
    assert [name for name in names if name in order] == order
    assert job["environment"]["deployment"] is False
    assert job["environment"]["url"]
    by_name = {step.get("name"): step for step in job["steps"]}
    for name in ("What is released", "Start the record", "Roll out", "Gate"):
        assert "if" not in by_name[name], f"{name} runs exactly when everything before it went well"
    assert by_name["Migrate"]["if"] == "inputs.migrate-command != ''"
    assert by_name["Finish the record"]["if"] == "${{ always() && steps.start.outputs.deployment-id != '' }}"
    assert by_name["Outcome"]["if"] == "always()"


def test_only_a_proven_fail_takes_a_release_back() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    assert by_name["Roll back"]["if"] == "${{ always() && steps.gate.outputs.verdict == 'fail' }}"
    assert by_name["Roll back"]["uses"] == "$/actions/rollback-to-previous-sha"
    assert "!= 'pass'" not in DEPLOY.read_text(encoding="utf-8").replace("never `!= 'pass'`", "")


def test_the_release_that_runs_again_is_gated_like_the_one_that_was_left() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    gate, back = by_name["Gate"]["with"], by_name["Roll back"]["with"]
    assert back["targets"].count('"{sha}"') == 2
    assert back["targets"].replace('"{sha}"', "SHA").replace("'expect-version: SHA'", "X") == gate["targets"].replace(
        "${{ toJSON(github.sha) }}", "SHA"
    ).replace("format('expect-version: {0}', toJSON(github.sha))", "X")
    assert (back["gate-timeout"], back["stable-for"]) == (gate["timeout"], gate["stable-for"])
    assert back["current-sha"] == "${{ github.sha }}"
    out = by_name["Roll out"]["with"]
    # A rollback moves all services at once: what ran before is known to work.
    engine = {key: value for key, value in out.items() if key not in {"services", "sha", "parallelism"}}
    assert {key: back[key] for key in engine} == engine


def test_the_record_says_what_became_of_the_release() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    start, finish = by_name["Start the record"]["with"], by_name["Finish the record"]["with"]
    assert (start["phase"], finish["phase"]) == ("start", "finish")
    shared = ("app", "environment", "services", "environment-url", "audit-url")
    assert {key: start[key] for key in shared} == {key: finish[key] for key in shared}
    assert finish["verdict"].split()[1] == "steps.gate.outputs.verdict"
    assert "'pass'" not in finish["verdict"], "only the gate says pass"
    assert finish["deployment-id"] == "${{ steps.start.outputs.deployment-id }}"


def test_the_rollback_is_proven_before_anything_moves() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    start, back = by_name["Start the record"], by_name["Roll back"]
    asked = ("engine", "stack", "context", "namespace", "schema-service", "schema-command", "allow-unverified")
    programs = tuple(f"{name}-command" for name in ("running", "image", "job", "roll-out"))
    assert {key: start["with"][key] for key in asked + programs} == {key: back["with"][key] for key in asked + programs}
    assert start["env"] == back["env"]
    assert start["with"]["require-rollback"] == "${{ inputs.allow-contract && 'false' || inputs.require-rollback }}"
    for workflow in (DEPLOY, PIPELINE):
        assert load(workflow)["on"]["workflow_call"]["inputs"]["require-rollback"]["default"] == "recorded"


def test_every_step_that_reads_or_writes_records_has_their_key() -> None:
    found = [
        step for _, step in steps(DEPLOY) if re.search(r"(deployment-record|rollback-to-previous-sha)$", step.get("uses", ""))
    ]
    assert len(found) == 3
    for step in found:
        assert step["env"]["RECORD_KEY"] == "${{ secrets.RECORD_KEY }}"
        assert step["with"]["record-key"] == "${{ secrets.RECORD_KEY != '' && 'RECORD_KEY' || '' }}"
        assert step["with"]["records-refs"] == "${{ inputs.records-refs }}"
    assert jobs(DEPLOY)["deploy"]["permissions"]["actions"] == "read"


def test_the_gate_asks_both_services_for_the_commit_that_was_deployed() -> None:
    by_name = {step.get("name"): step for _, step in steps(DEPLOY)}
    gate = by_name["Gate"]
    assert gate["uses"] == "$/actions/health-gate"
    inputs = load(DEPLOY)["on"]["workflow_call"]["inputs"]
    assert inputs["api-health-path"]["default"] == "/health/ready"
    assert inputs["web-health-path"]["default"] == "/"
    assert gate["with"]["targets"].count("toJSON(github.sha)") == 2
    assert inputs["gate-timeout"]["default"] == gate["with"].get("timeout", "").replace("${{ inputs.gate-timeout }}", "5m")


def test_production_is_reached_only_through_staging_with_the_same_digests() -> None:
    way = jobs(PIPELINE)
    assert list(way) == ["verify", "release-gate", "build", "staging", "production", "result"]
    assert way["release-gate"]["needs"] == "verify"
    assert way["build"]["needs"] == "release-gate"
    assert way["build"]["if"] == way["staging"]["if"] == "needs.release-gate.outputs.release == 'true'"
    assert "staging" in way["production"]["needs"]
    assert "needs.staging.outputs.verdict == 'pass'" in way["production"]["if"]
    for name in ("staging", "production"):
        assert way[name]["uses"] == "./.github/workflows/deploy.yml"
        assert way[name]["with"]["digests"] == "${{ needs.build.outputs.digests }}"
        differ = {key: value for key, value in way[name]["with"].items() if value != way["production"]["with"][key]}
        assert not set(differ) - {"environment", "api-url", "web-url", "require-passed-in"}, "what differs is named, no more"
    assert way["production"]["with"]["require-passed-in"] == "${{ inputs.staging-environment }}"
    assert way["staging"]["with"]["require-passed-in"] == ""
    assert way["result"]["if"] == "always()"
    assert set(way["result"]["needs"]) == set(way) - {"result"}
    assert "uses" not in way["result"], "outputs of a workflow whose last jobs are all calls are lost"


def test_an_image_is_tagged_with_the_commit_and_handed_on_by_digest() -> None:
    builds = jobs(ROOT / ".github" / "workflows" / "build.yml")
    for service in ("api", "web"):
        pushed = next(step for step in builds[service]["steps"] if step.get("id") == "docker")
        assert pushed["with"]["tags"] == f"${{{{ inputs.{service}-image }}}}:${{{{ github.sha }}}}"
        assert "latest" not in str(pushed["with"])
        assert "org.opencontainers.image.revision=${{ github.sha }}" in pushed["with"]["labels"]


def test_both_images_are_built_alike() -> None:
    builds = jobs(ROOT / ".github" / "workflows" / "build.yml")
    assert repr(builds["api"]).replace("api", "web") == repr(builds["web"])


def test_deploying_never_builds() -> None:
    text = DEPLOY.read_text(encoding="utf-8")
    assert "build-push-action" not in text
    assert "build-command" not in text


# --- one shape for callers ---

RENAMED = {"build.yml": "build-", "deploy.yml": "deploy-"}
SHARED = {"runs-on", "timeout-minutes"}
OF_AN_ENVIRONMENT = {"environment", "api-url", "web-url"}
HANDED_OVER = {"digests", "images", "require-passed-in"}


def test_the_pipeline_hands_every_input_of_its_parts_on_unchanged() -> None:
    outer = load(PIPELINE)["on"]["workflow_call"]["inputs"]
    seen = {"staging-refs", "production-refs"}
    for name, job in jobs(PIPELINE).items():
        target = called(job)
        if target is None:
            continue
        inner = load(target)["on"]["workflow_call"]["inputs"]
        assert set(job["with"]) == set(inner), f"{name}: an input is missing, or one too many"
        for key, definition in inner.items():
            if key in HANDED_OVER:
                continue
            mine = key
            if key in SHARED:
                mine = RENAMED.get(target.name, "") + key
            elif key in OF_AN_ENVIRONMENT:
                mine = f"{name}-{key}"
            assert job["with"][key] == f"${{{{ inputs.{mine} }}}}"
            seen.add(mine)
            if key not in OF_AN_ENVIRONMENT:
                assert outer[mine] == definition, mine
    assert set(outer) == seen


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
    known = load(PIPELINE)["on"]["workflow_call"]
    for path in EXAMPLE[:1]:
        for job in jobs(path).values():
            assert set(job["with"]) <= set(known["inputs"])
            assert {name for name, one in known["inputs"].items() if one.get("required")} <= set(job["with"])
            assert set(job["secrets"]) <= set(known["secrets"])


# --- what the page for callers says ---

PAGE = ROOT / "docs" / "pipeline.md"


def test_the_page_grants_what_is_asked_for_and_names_what_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert block
    written = plain(read(block[1]).root)
    assert isinstance(written, dict)
    (theirs,) = written["jobs"].values()
    (example,) = jobs(EXAMPLE[0]).values()
    call = load(PIPELINE)["on"]["workflow_call"]
    assert theirs["permissions"] == example["permissions"]
    assert written["concurrency"] == load(EXAMPLE[0])["concurrency"]
    assert written["on"] == load(EXAMPLE[0])["on"]
    assert {name for name, one in call["inputs"].items() if one.get("required")} <= set(theirs["with"]) <= set(call["inputs"])
    granted = dict(re.findall(r"^\| `([a-z-]+): (read|write)` \|", text, re.MULTILINE))
    assert granted == theirs["permissions"]
    listed = re.findall(r"^\| secret `([A-Z_]+)`", text, re.MULTILINE)
    assert sorted(listed) == sorted(call["secrets"])


def test_the_page_lists_every_variable_that_is_read() -> None:
    read_in_files = {name for path in REUSABLE for name in re.findall(r"\bvars\.([A-Z_]+)", path.read_text(encoding="utf-8"))}
    row = re.compile(r"^\| variables? (.+?) \|", re.MULTILINE)
    listed = {name for found in row.findall(PAGE.read_text(encoding="utf-8")) for name in re.findall(r"`([A-Z_]+)`", found)}
    assert listed == read_in_files


def test_the_way_back_by_hand_is_a_deploy_of_its_own_kind() -> None:
    """Same queue, same environment, same programs as the pipeline has; and it changes nothing until it is told to."""
    rollback, pipeline = load(EXAMPLE[1]), load(EXAMPLE[0])
    asked = rollback["on"]["workflow_dispatch"]["inputs"]
    assert list(rollback["on"]) == ["workflow_dispatch"]
    assert asked["dry-run"] == {**asked["dry-run"], "type": "boolean", "default": True}
    ((_, job),) = rollback["jobs"].items()
    deploy = jobs(DEPLOY)["deploy"]
    assert job["concurrency"]["group"] == deploy["concurrency"]["group"].replace("inputs.app || ", "")
    assert {key: job["concurrency"][key] for key in ("cancel-in-progress", "queue")} == {
        "cancel-in-progress": False,
        "queue": "max",
    }
    assert job["environment"] == {"name": "${{ inputs.environment }}", "deployment": False}
    (step,) = [step for step in job["steps"] if "rollback-to-previous-sha" in step.get("uses", "")]
    assert re.fullmatch(r"org/cicd-actions/rollback-to-previous-sha@[0-9a-f]{40}", step["uses"])
    known = load(ROOT / "actions" / "rollback-to-previous-sha" / "action.yml")["inputs"]
    assert set(step["with"]) <= set(known)
    given = pipeline["jobs"]["pipeline"]["with"]
    for name in ("engine", "running-command", "image-command", "job-command", "roll-out-command"):
        assert step["with"][name] == given[name], name
    assert step["with"]["services"].split() == [f"api={given['api-image']}", f"web={given['web-image']}"]


def test_the_readme_grants_the_same() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [found for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "workflows/pipeline.yml" in found]
    written = plain(read(block).root)
    assert isinstance(written, dict)
    (theirs,) = written["jobs"].values()
    (example,) = jobs(EXAMPLE[0]).values()
    call = load(PIPELINE)["on"]["workflow_call"]
    assert theirs["permissions"] == example["permissions"]
    assert {name for name, one in call["inputs"].items() if one.get("required")} <= set(theirs["with"]) <= set(call["inputs"])
    assert set(theirs["secrets"]) <= set(call["secrets"])


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("actions/*/README.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert re.match(r"https?://", link) or (page.parent / link).exists(), f"{name_of(page)}: {link}"
