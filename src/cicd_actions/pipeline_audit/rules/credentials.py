"""Rules about secrets: where they stand, how long they live, and where they are documented."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit import known_actions, literals
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.facts import Facts
from cicd_actions.pipeline_audit.model import JobRun, StepRun
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier
from cicd_actions.pipeline_audit.rules.examples import CI_HEAD, HEAD, SET_IMAGE, STATUS, UNDO, deploy_job
from cicd_actions.secrets_doc_check import documentation, mentions, uses
from cicd_actions.secrets_doc_check.inputs import Inputs as SecretInputs
from cicd_actions.secrets_doc_check.inventory import compare
from cicd_actions.secrets_doc_check.model import Column
from cicd_actions.secrets_doc_check.rules import State
from cicd_actions.toolkit.inputs import declarations
from cicd_actions.toolkit.yaml12 import Mapping
from cicd_actions.workflows.files import scalar_text
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.tree import glob


def _literal(facts: Facts) -> Iterator[Answer]:
    found = False
    for place, whose in literals.tokens(facts.repository):
        found = True
        yield Broken(
            place,
            f"A {whose} token stands in this file: its checksum is right. Revoke it, then remove it.",
            key=f"{place.file}",
        )
    if not found:
        scans = facts.pipeline.all(Kind.SCAN_SECRETS)
        yield Held(
            "No token with a checksum stands in a file." + (f" `{scans[0][1].detail}` scans for others." if scans else "")
        )


LITERAL = Rule(
    "literal-secret",
    Tier.CRITICAL,
    "No secret stands in a file.",
    "Everyone who can read the repository, and every copy of it, has the secret.",
    "env:\n  NPM_TOKEN: ${{ secrets.NPM_TOKEN }}",
    _literal,
    {".npmrc": "//npm.example.com/:_authToken=npm_" + "ExampleExampleExampleExampleEx" + "{checksum}\n"},
    {".npmrc": "//npm.example.com/:_authToken=${NPM_TOKEN}\n"},
    "Only tokens whose format carries a checksum are reported (GitHub, npm), so a report is never about a sample. Use a secret"
    " scanner for the others.",
)


_KEYS: dict[str, tuple[str, str]] = {
    "aws-actions/configure-aws-credentials": ("aws-access-key-id", "AWS"),
    "google-github-actions/auth": ("credentials_json", "Google Cloud"),
    "google-github-actions/setup-gcloud": ("service_account_key", "Google Cloud"),
    "azure/login": ("creds", "Azure"),
}


_KEY_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AWS",
    "AWS_SECRET_ACCESS_KEY": "AWS",
    "GOOGLE_CREDENTIALS": "Google Cloud",
    "GCP_SA_KEY": "Google Cloud",
    "AZURE_CREDENTIALS": "Azure",
    "ARM_CLIENT_SECRET": "Azure",
    "AZURE_CLIENT_SECRET": "Azure",
}


_OTHER_STORE = re.compile(
    (
        r"endpoint|r2\b|cloudflarestorage|minio|backblaze|wasabi|digitaloceanspaces|scaleway|hetzner|spaces"
        r"|tigris|supabase|localstack|minioadmin"
    ),
    re.IGNORECASE,
)


def _long_lived(facts: Facts) -> Iterator[Answer]:
    federated: StepRun | None = None
    told: set[Place] = set()
    for job in facts.written:
        for step in job.steps:
            name = "/".join(known_actions.name_of(step.uses).split("/")[:2])
            key, cloud = _KEYS.get(name, ("", ""))
            if key and "secrets." in step.given.get(key, ""):
                if step.place not in told:
                    told.add(step.place)
                    yield Broken(
                        step.place,
                        f"This step logs in to {cloud} with a stored key (`{key}`).",
                        via=job.via,
                        key=f"{job.job.id}:{cloud}",
                    )
            elif key:
                federated = federated or step
        stored = {variable: place for place, variable in reversed(list(_stored(job)))}
        for variable, place in stored.items():
            if place not in told and not any(one.file == place.file and abs(one.line - place.line) < 3 for one in told):
                told.add(place)
                yield Broken(
                    place,
                    f"This job gets a stored key of {_KEY_VARIABLES[variable]} (`{variable}`).",
                    via=job.via,
                    key=f"{job.job.id}:{variable}",
                )
    if not told:
        yield (
            Held("Clouds are reached by OIDC.", federated.place)
            if federated
            else NotApplicable("No workflow logs in to a cloud that knows OIDC.")
        )


def _stored(job: JobRun) -> Iterator[tuple[Place, str]]:
    """Where `env:` gives a job a cloud's key from a secret; not for stores that only speak the same protocol."""
    if not any(name in job.file.document.text for name in _KEY_VARIABLES):
        return
    for node in [job.job.node, *(step.step.node for step in job.steps)]:
        block = node.get("env")
        entries = block.entries if isinstance(block, Mapping) else []
        found = [(key, value) for key, value in entries if key.text in _KEY_VARIABLES and "secrets." in scalar_text(value)]
        if not found:
            continue
        texts = " ".join(f"{key.text} {scalar_text(value)}" for key, value in entries) + " ".join(
            command.text for step in job.steps for command, _ in step.commands
        )
        if not _OTHER_STORE.search(texts):
            key, _ = found[0]
            yield Place(job.file.path, key.line), key.text


LONG_LIVED = Rule(
    "long-lived-cloud-key",
    Tier.MAJOR,
    "Clouds are reached by OIDC, not by stored keys.",
    "A stored key works from anywhere, until someone remembers to rotate it.",
    (
        "permissions:\n  id-token: write\nsteps:\n  - uses: aws-actions/configure-aws-credentials@<sha>\n   "
        " with:\n      role-to-assume: arn:aws:iam::123456789012:role/deploy\n      aws-region: eu-central-1"
    ),
    _long_lived,
    {
        ".github/workflows/deploy.yml": HEAD
        + deploy_job(
            (
                "- uses: aws-actions/configure-aws-credentials@<sha>\n  with:\n    aws-access-key-id: ${{"
                " secrets.AWS_ACCESS_KEY_ID }}\n    aws-secret-access-key: ${{ secrets.AWS_SECRET_ACCESS_KEY }}"
            ),
            SET_IMAGE,
            STATUS,
            UNDO,
        )
    },
    {
        ".github/workflows/deploy.yml": HEAD
        + deploy_job(
            "- uses: aws-actions/configure-aws-credentials@<sha>\n  with:\n    role-to-assume: ${{ vars.ROLE }}",
            SET_IMAGE,
            STATUS,
            UNDO,
        )
    },
    "AWS, Google Cloud and Azure count. Keys for stores that only speak the S3 protocol do not: those know no OIDC.",
)


def _undocumented(facts: Facts) -> Iterator[Answer]:
    found = uses.collect(facts.pipeline.inspections, facts.repository.files)
    if not found.uses:
        yield NotApplicable("No workflow uses a secret or a variable.")
        return
    patterns = tuple(glob(line) for line in declarations(SecretInputs)["docs"].default.splitlines())
    entries = []
    documents = facts.repository.tree.matching(patterns)
    for path in documents:
        text = facts.repository.text(path)
        if text is not None:
            entries += documentation.scan(path, text, frozenset())
    for path, text in facts.repository.files.texts.items():
        line, comment = documentation.trailing_comment(text)
        entries += documentation.scan(path, comment, frozenset(), first_line=line)
    rows = compare(found.uses, entries, Column(), {})
    missing: dict[str, list[tuple[str, Place]]] = {}
    for row in rows:
        if State.UNDOCUMENTED in row.states and row.uses:
            place = row.uses[0].place
            missing.setdefault(place.file, []).append((row.name, place))
    wanted = [name for names in missing.values() for name, _ in names]
    found_in = mentions.find(facts.repository.tree, wanted, documents)
    mentioned = {name: place for name, (place, read) in found_in.items() if not read}
    for file, names in missing.items():
        listed = ", ".join(f"`{name}`" for name, _ in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        first = min(place for _, place in names)
        verb = "is" if len(names) == 1 else "are"
        told = [str(mentioned[name.upper()]) for name, _ in names if name.upper() in mentioned]
        hint = f" Mentioned outside the documents that count: {', '.join(told[:3])}." if told else ""
        yield Broken(
            Place(file, first.line),
            f"{listed} {verb} used here and not documented.{hint}",
            "Run `bin/cicd-actions secrets-doc-check --write SECRETS.md`, and fill in the purposes.",
            key="undocumented",
        )
    if not missing:
        yield Held(f"All {len(rows)} names are documented.")


UNDOCUMENTED = Rule(
    "undocumented-secret",
    Tier.MAJOR,
    "Every secret and variable is listed: name, purpose, where it lives, how to set it.",
    "Setting up a second environment, or rotating a key, starts with knowing which ones there are.",
    (
        "# SECRETS.md\n- `DEPLOY_KEY`: pushes to the server. Lives in: environment production. How: `gh"
        " secret set DEPLOY_KEY --env production`."
    ),
    _undocumented,
    {
        ".github/workflows/ci.yml": CI_HEAD
        + "      - run: ./publish\n        env:\n          DEPLOY_KEY: ${{ secrets.DEPLOY_KEY }}\n"
    },
    {
        ".github/workflows/ci.yml": CI_HEAD
        + "      - run: ./publish\n        env:\n          DEPLOY_KEY: ${{ secrets.DEPLOY_KEY }}\n",
        "SECRETS.md": "# Secrets\n\n- `DEPLOY_KEY`: publishes. Lives in: repository. How: `gh secret set DEPLOY_KEY`.\n",
    },
    "It is what secrets-doc-check finds in the workflows; that action writes the document, too.",
)
