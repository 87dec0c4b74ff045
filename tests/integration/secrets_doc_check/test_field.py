"""Small repositories of shapes that were met in the field: what is used where, what documents it, what GitHub refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cicd_actions.secrets_doc_check import run
from cicd_actions.secrets_doc_check.inputs import Inputs
from cicd_actions.secrets_doc_check.model import Use
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Details, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.terminal import render
from cicd_actions.toolkit.verdict import Verdict
from tests.fakes.github import FakeGitHub, settings
from tests.integration.secrets_doc_check.conftest import Check, fill, names

FLOW = ".github/workflows/a.yml"


def workflow(steps: str, *, on: str = "push", job: str = "") -> str:
    """A workflow of one job with these steps (one line of flow YAML), and more keys of the job."""
    return f"on: {on}\njobs:\n  a:\n    runs-on: x\n{job}    steps: {steps}\n"


def reading(*expressions: str) -> str:
    return "[{run: 'x " + " ".join(f"${{{{ {one} }}}}" for one in expressions) + "'}]"


def rules(report: Report) -> list[str]:
    return sorted({found.rule.partition("/")[2] for found in report.findings})


@pytest.fixture
def uses(repository: Path, make_runtime: Callable[..., Runtime]) -> Callable[[], dict[str, list[Use]]]:
    def gathered() -> dict[str, list[Use]]:
        runtime = make_runtime(GITHUB_REPOSITORY="org/app")
        found: dict[str, list[Use]] = {}
        for use in run._gather(load(Inputs, {}, runtime.redactor), runtime).uses:
            found.setdefault(use.name, []).append(use)
        return found

    return gathered


def test_a_name_built_from_the_workflow_s_own_is_resolved_where_it_starts(repository: Path, check: Check) -> None:
    called = "{workflow_call: {}}"
    steps = """[{run: "x ${{ secrets[format('{0}_HOST', github.workflow)] }}"}]"""
    fill(
        repository, {FLOW: "name: LS\n" + workflow(steps), ".github/workflows/b.yml": "name: B\n" + workflow(steps, on=called)}
    )
    report = check({})
    assert names(report, "undocumented") == ["LS_HOST"]
    assert [found.file for found in report.findings if found.rule.endswith("not-analysable")] == [".github/workflows/b.yml"]


# --- documentation


def test_a_generated_purpose_is_what_the_workflow_tells(repository: Path, check: Check) -> None:
    steps = (
        "[{uses: 'docker/login-action@v3', with: {password: '${{ secrets.K }}'}},"
        " {name: Publish, run: x, env: {NPM: '${{ secrets.N }}'}}, {run: x, env: {AWS: '${{ secrets.U }}'}},"
        " {name: Upload, run: 'x ${{ secrets.I }}'}, {run: 'x ${{ secrets.R }}'}]"
    )
    fill(repository, {FLOW: workflow(steps)})
    assert check({"write": "SECRETS.md"}).verdict is Verdict.PASS
    text = (repository / "SECRETS.md").read_text()
    assert "- `K`: read by the input `password` of `docker/login-action`\n" in text
    assert '- `N`: read by the variable `NPM` of the step "Publish"\n' in text
    assert "- `U`: read by the variable `AWS` of the job `a`\n" in text
    assert '- `I`: read by the step "Upload"\n' in text
    assert "- `R`: read by a command of the job `a`\n" in text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("README.md", "## Secrets\n\n`k_one` publishes the package; it lives in the repository.\n"),
        ("README.md", "## Secrets\n\n- OTHER: x\n\nSet `K_ONE` in the settings of the repository, for the package.\n"),
        ("README.md", "# Use\n\n## Environment variables\n\nThe key K_ONE publishes the package.\n"),
        ("README.md", "## Secrets\n\n1. `K_ONE` - publishes the package\n2. OTHER: x\n"),
        ("README.md", "## Secrets\n\n`K_ONE`\n: Publishes the package.\n"),
        ("README.md", "<dl><dt>OTHER</dt><dd>x</dd>\n<dt><code>K_ONE</code></dt><dd>Publishes the package.</dd>\n</dl>\n"),
        ("docs/use.mdx", "## Secrets\n\n| name | purpose |\n|---|---|\n| secrets.K_ONE | publishes |\n"),
        (".env.example", "# Publishes the package.\nK_ONE=\n"),
        ("api/.env.example", "# K_ONE=abc # publishes the package\n"),
    ],
)
def test_a_name_is_documented(repository: Path, check: Check, path: str, text: str) -> None:
    fill(repository, {FLOW: workflow(reading("secrets.K_ONE")), path: text})
    assert names(check({}), "undocumented") == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("README.md", "## Build\n\nRun `K_ONE` first.\n"),
        ("CONTRIBUTING.md", "## Secrets\n- `K_ONE`: one\n"),
        ("docs/deploy.rst", "K_ONE\n  publishes\n"),
        ("api/.env.example", "K_ONE=\n"),
    ],
)
def test_a_mention_elsewhere_is_a_hint(repository: Path, check: Check, path: str, text: str) -> None:
    fill(repository, {FLOW: workflow(reading("secrets.K_ONE")), path: text})
    report = check({})
    assert names(report, "undocumented") == ["K_ONE"]
    hinted = path.endswith(("md", "rst"))
    assert (f"{path}:" in report.findings[0].message) == hinted


def test_a_document_that_docs_does_not_name_is_named_by_the_fix(repository: Path, check: Check) -> None:
    fill(repository, {FLOW: workflow(reading("secrets.K_ONE")), "DEPLOY.md": "## Secrets\n- `K_ONE`: one\n"})
    fix = check({}).findings[0].fix
    assert fix.splitlines()[-1].strip() == "DEPLOY.md"
    assert not names(check({"docs": "\n".join(line.strip() for line in fix.splitlines()[3:])}), "undocumented")


def test_the_first_run_says_where_it_looked_and_offers_to_write(repository: Path, check: Check) -> None:
    fill(repository, {FLOW: workflow(reading("secrets.K"))})
    told = repr(check({}).blocks)
    assert "1 workflow or action file, no document (the input `docs` names none that exists)" in told
    assert "secrets-doc-check --write SECRETS.md" in told


def test_a_passing_report_is_three_lines_and_a_folded_table(repository: Path, check: Check) -> None:
    listed = "".join(f"- NAME_{number}: what for. Repository. Ask.\n" for number in range(31))
    fill(
        repository,
        {FLOW: workflow(reading(*(f"secrets.NAME_{number}" for number in range(31)))), "SECRETS.md": listed},
    )
    report = check({})
    first, folded = report.blocks
    assert isinstance(first, Paragraph)
    assert isinstance(folded, Details)
    assert folded.title == "All names (31)"
    assert [line for line in render(report.blocks, str) if line] == [str(first.text), "All names (31)"]


def test_optional_settings_with_a_default_are_no_errors(repository: Path, check: Check) -> None:
    fill(repository, {"app.py": "import os\nA = os.environ['NEEDED_ONE']\nB = os.environ.get('SPARED_ONE', 'x')\n"})
    report = check({"code": "auto"})
    assert names(report, "undocumented") == ["NEEDED_ONE"]
    assert "optional, with a default" in repr(report.blocks)


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("src/client.gen.ts", ""),
        ("third_party/x.ts", ""),
        ("src/marked.ts", ""),
        ("src/api.ts", "// This file was auto-generated by a tool.\n"),
        ("src/x.ts", "/** @generated */\n"),
        ("src/y.ts", "// Code generated by x. DO NOT EDIT.\n"),
    ],
)
def test_generated_and_vendored_code_is_skipped(repository: Path, check: Check, path: str, head: str) -> None:
    fill(repository, {path: f"{head}export const a = process.env.GENERATED_NAME;\n"})
    fill(repository, {".gitattributes": "src/marked.ts linguist-generated\n"})
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    assert names(check({"code": "auto"}), "undocumented") == []
    fill(repository, {"src/own.ts": "export const a = process.env.OWN_NAME;\n"})
    assert names(check({"code": "auto"}), "undocumented") == ["OWN_NAME"]


# --- places


def test_a_name_with_and_without_an_environment_has_both_places(repository: Path, check: Check) -> None:
    other = workflow(reading("secrets.K"), job="    environment: production\n")
    fill(repository, {FLOW: workflow(reading("secrets.K")), ".github/workflows/b.yml": other})
    (found,) = check({}).findings
    assert "Lives in: repository and environment production. How: `gh secret set K` and" in found.fix
    assert "`gh secret set K --env production`" in found.fix


CALLER = "on: push\njobs:\n  a:\n    uses: ./.github/workflows/b.yml\n"
CALLED = """\
on:
  workflow_call:
    secrets:
      DB: {required: true}
jobs:
  b:
    runs-on: x
    environment: production
    steps: [{run: x, env: {K: '${{ secrets.DB }}'}}]
"""


@pytest.mark.parametrize(("name", "level"), [("PROD_DB", "repository"), ("DB", "environment production")])
def test_a_handed_secret_lives_where_it_is_read_by_that_name(repository: Path, check: Check, name: str, level: str) -> None:
    caller = f"{CALLER}    secrets:\n      DB: ${{{{ secrets.{name} }}}}\n"
    fill(repository, {FLOW: caller, ".github/workflows/b.yml": CALLED})
    (found,) = check({}).findings
    assert f"Lives in: {level}. How:" in found.fix


def test_an_environment_secret_that_is_handed_over_by_its_own_name_is_not_empty(
    repository: Path, check: Check, github: FakeGitHub
) -> None:
    caller = f"{CALLER}    secrets:\n      DB: ${{{{ secrets.DB }}}}\n"
    fill(repository, {FLOW: caller, ".github/workflows/b.yml": CALLED, "SECRETS.md": "- DB: x\n"})
    there = settings.repository(github, "org/app")
    there.environments["production"] = settings.Names(secrets=["DB"])
    token = github.token(secrets="read", environments="read", actions_variables="read")

    def unset() -> list[str]:
        report = check({"github-token": token, "fail-on": "unset"}, GITHUB_REPOSITORY="org/app", GITHUB_API_URL=github.url)
        return names(report, "unset")

    assert unset() == []
    there.environments["production"].secrets.clear()
    assert unset() == ["DB"]


# --- what GitHub refuses


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({FLOW: workflow("[{if: secrets.KEY, run: x}]")}, "unavailable-context"),
        ({FLOW: "x: &b {A: b}\n" + workflow("[{run: x}]", job="    env:\n      <<: *b\n")}, "merge-key"),
        ({FLOW: workflow(reading("secrets.GITHUB_PAT"))}, "bad-name"),
        ({FLOW: workflow(reading("nonsense.K"))}, "unknown-name"),
        ({FLOW: workflow("[x]")}, "refused-file"),
        (
            {FLOW: CALLER + "    secrets: {DB: '${{ secrets.DB }}', X: y}\n", ".github/workflows/b.yml": CALLED},
            "unknown-secret",
        ),
        ({FLOW: CALLER, ".github/workflows/b.yml": CALLED}, "not-handed-over"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_github_refuses_fails_by_default(repository: Path, check: Check, files: dict[str, str], rule: str) -> None:
    fill(repository, {**files, "SECRETS.md": "- DB: x\n- KEY: x\n"})
    report = check({})
    assert report.verdict is Verdict.FAIL
    assert rule in rules(report)
    assert names(report, "broken")[0].startswith(FLOW)
    assert check({"fail-on": "undocumented"}).verdict is Verdict.PASS


@pytest.mark.parametrize("text", ["secrets.DB || secrets.ANY_DB", "secrets.ANY_DB || secrets.DB"])
def test_one_of_two_names_that_serve_as_well_is_enough_to_be_handed_over(repository: Path, check: Check, text: str) -> None:
    called = workflow(reading(text)).replace("on: push", "on: {workflow_call: {secrets: {DB: {}}}}")
    handed = CALLER + "    secrets: {DB: '${{ secrets.DB }}'}\n"
    fill(repository, {FLOW: handed, ".github/workflows/b.yml": called, "SECRETS.md": "- DB: x\n- ANY_DB: x\n"})
    assert "not-handed-over" not in rules(check({}))
    fill(repository, {FLOW: CALLER})
    assert "not-handed-over" in rules(check({}))


@pytest.mark.parametrize(("job", "says"), [("    if: secrets.KEY\n", True), ("", False)], ids=["job", "step"])
def test_secret_in_a_condition_gets_a_fix_that_github_accepts_there(
    repository: Path, check: Check, job: str, *, says: bool
) -> None:
    step = "[{run: x}]" if job else "[{if: secrets.KEY, run: x}]"
    fill(repository, {FLOW: workflow(step, job=job), "SECRETS.md": "- KEY: x\n"})
    found = [each for each in check({}).findings if each.rule.endswith("unavailable-context")]
    assert len(found) == 1
    assert ("The `if:` of a job cannot read `env` either." in found[0].fix) is says


# --- names that are built


MATRIX = "    strategy:\n      matrix:\n"


@pytest.mark.parametrize(
    ("steps", "job", "on", "expected"),
    [
        (reading("secrets[matrix.key]"), MATRIX + "        key: [A, B]\n", "push", {"A": (), "B": ()}),
        (
            reading("secrets[matrix.to.key]"),
            "    environment: ${{ matrix.to.env }}\n"
            + MATRIX
            + "        to: [{env: dev, key: DEV_KEY}, {env: prod, key: PROD_KEY}]\n",
            "push",
            {"DEV_KEY": ("dev",), "PROD_KEY": ("prod",)},
        ),
        (
            reading("secrets[matrix.key]"),
            "    environment: ${{ matrix.env }}\n"
            + MATRIX
            + "        env: [dev, prod]\n        include: [{env: dev, key: D}, {env: prod, key: P}]\n",
            "push",
            {"D": ("dev",), "P": ("prod",)},
        ),
        (
            reading("secrets[format(''{0}_KEY'', matrix.env)]"),
            MATRIX + '        env: ${{ fromJSON(\'["DEV","PROD"]\') }}\n',
            "push",
            {"DEV_KEY": (), "PROD_KEY": ()},
        ),
        (reading("secrets[join(fromJSON(''[\"A\",\"KEY\"]''), ''_'')]"), "", "push", {"A_KEY": ()}),
        (reading("secrets[env.WHICH]"), "    env: {WHICH: CHOSEN_KEY}\n", "push", {"CHOSEN_KEY": ()}),
        (
            reading("secrets[inputs.which]"),
            "",
            "{workflow_dispatch: {inputs: {which: {type: choice, options: [A, B]}}}}",
            {"A": (), "B": ()},
        ),
        (
            reading("secrets[format(''{0}_KEY'', github.event.inputs.to)]"),
            "    environment: ${{ inputs.to }}\n",
            "{workflow_dispatch: {inputs: {to: {type: choice, options: [dev, prod]}}}}",
            {"DEV_KEY": ("dev",), "PROD_KEY": ("prod",)},
        ),
        (reading("secrets[github.ref == ''x'' && ''P'' || ''D'']"), "", "push", {"D": (), "P": ()}),
    ],
)
def test_a_name_that_the_file_lists_is_resolved(
    repository: Path,
    check: Check,
    uses: Callable[[], dict[str, list[Use]]],
    steps: str,
    job: str,
    on: str,
    expected: dict[str, tuple[str, ...]],
) -> None:
    fill(repository, {FLOW: workflow(steps, on=on, job=job)})
    assert {name: found[0].environments for name, found in uses().items()} == expected
    assert "not-analysable" not in rules(check({}))


@pytest.mark.parametrize("name", ["github.actor", "needs.a.outputs.x", "format('{0}_KEY', github.actor)", "matrix.gone"])
def test_a_name_that_only_the_run_knows_is_said(repository: Path, check: Check, name: str) -> None:
    fill(repository, {FLOW: workflow(reading(f"secrets[{name}]".replace("'", "''")))})
    assert rules(check({})) == ["not-analysable"]


# --- files, stores, trust


def test_tabs_where_github_accepts_them_are_read(repository: Path, check: Check) -> None:
    fill(repository, {FLOW: workflow(reading("secrets.KEY")).replace("runs-on: x", "runs-on:\tx\t# runner\t")})
    report = check({})
    assert names(report, "undocumented") == ["KEY"]
    assert rules(report) == ["undocumented"]


def test_dependabot_has_a_store_of_its_own(repository: Path, check: Check, github: FakeGitHub) -> None:
    text = "version: 2\nregistries:\n  n:\n    type: npm-registry\n    token: ${{secrets.NPM_KEY}}\nupdates: []\n"
    fill(repository, {".github/dependabot.yml": text, FLOW: workflow("[{run: x}]")})
    (found,) = check({}).findings
    assert (found.file, found.line) == (".github/dependabot.yml", 5)
    assert "Lives in: Dependabot. How: `gh secret set NPM_KEY --app dependabot`." in found.fix
    there = settings.repository(github, "org/app")
    there.own.secrets.append("NPM_KEY")
    token = github.token(secrets="read", environments="read", actions_variables="read", dependabot_secrets="read")
    variables = {"GITHUB_REPOSITORY": "org/app", "GITHUB_API_URL": github.url}
    assert names(check({"github-token": token}, **variables), "unset") == ["NPM_KEY"]
    there.dependabot.append("NPM_KEY")
    assert names(check({"github-token": token}, **variables), "unset") == []


@pytest.mark.parametrize(("on", "untrusted"), [("push", False), ("pull_request", True), ("pull_request_target", False)])
def test_the_report_says_for_whom_a_secret_is_empty(repository: Path, check: Check, on: str, untrusted: bool) -> None:
    fill(repository, {FLOW: workflow(reading("secrets.K"), on=on)})
    assert ("pull requests of forks and Dependabot" in repr(check({}).blocks)) == untrusted


def test_one_name_as_secret_and_as_variable_is_said(repository: Path, check: Check) -> None:
    fill(repository, {FLOW: workflow(reading("secrets.URL", "vars.URL"))})
    report = check({})
    assert rules(report) == ["two-kinds", "undocumented"]
    assert "`gh secret set URL` and `gh variable set URL`" in next(one.fix for one in report.findings if "undoc" in one.rule)


INNER = (
    "on: {workflow_call: {secrets: {T: {required: true, description: opens it}}}}\njobs:\n  c:\n    runs-on: x\n    steps: "
    + reading("secrets.T")
)
SHA = "a" * 40


def test_own_workflows_by_their_full_name_are_followed(repository: Path, check: Check) -> None:
    caller = "on: push\njobs:\n  a:\n    uses: Org/App/.github/workflows/b.yml@main\n    secrets: inherit\n"
    fill(repository, {FLOW: caller, ".github/workflows/b.yml": INNER})
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    assert rules(check({})) == ["not-analysable"]
    subprocess.run(["git", "remote", "add", "origin", "git@github.example:org/app.git"], cwd=repository, check=True)
    for report in (check({}), check({}, GITHUB_REPOSITORY="org/app")):
        assert names(report, "undocumented") == ["T"]
        assert rules(report) == ["undocumented"]


def test_pinned_workflows_of_other_repositories_are_read_with_a_token(
    repository: Path, check: Check, github: FakeGitHub
) -> None:
    caller = (
        f"on: push\njobs:\n  a:\n    uses: org/shared/.github/workflows/b.yml@{SHA}\n    secrets: inherit\n"
        f"  b:\n    uses: org/shared/.github/workflows/b.yml@{SHA}\n    secrets: {{WRONG: x}}\n"
    )
    fill(repository, {FLOW: caller})
    settings.repository(github, "org/app")
    settings.repository(github, "org/shared").files[f".github/workflows/b.yml@{SHA}"] = INNER
    token = github.token(secrets="read", environments="read", actions_variables="read", contents="read")
    report = check({"github-token": token}, GITHUB_REPOSITORY="org/app", GITHUB_API_URL=github.url)
    assert names(report, "undocumented") == ["T"]
    assert {"unknown-secret", "not-handed-over"} <= set(rules(report))
    assert "not-analysable" not in rules(report)
    assert len([call for call in github.calls if "/contents/" in call.path]) == 1, "each file is read once"
    poor = github.token(secrets="read", environments="read", actions_variables="read")
    report = check({"github-token": poor}, GITHUB_REPOSITORY="org/app", GITHUB_API_URL=github.url)
    assert "not-read" in rules(report)
