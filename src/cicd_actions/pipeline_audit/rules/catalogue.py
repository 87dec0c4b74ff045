"""Every rule, worst first."""

from __future__ import annotations

from cicd_actions.pipeline_audit.rules import deploys, images, lanes, migrations, workflows
from cicd_actions.pipeline_audit.rules.definition import Rule

_ORDER = [
    "no-rollback",
    "startup-migration",
    "untrusted-checkout",
    "literal-secret",
    "push-is-not-deploy",
    "unverified-deploy",
    "no-staging",
    "migrate-first",
    "rebuilt-release",
    "mutable-image-tag",
    "ungated-traffic",
    "broad-token",
    "unpinned-action",
    "long-lived-cloud-key",
    "merged-lanes",
    "client-drift",
    "spec-from-server",
    "ungated-release",
    "cancellable-deploy",
    "unapproved-production",
    "undocumented-secret",
    "unsafe-migration",
    "unbacked-contract",
    "hidden-lane",
    "unscanned-dependencies",
    "sequential-gates",
    "unscanned-image",
    "stale-ci-runs",
    "no-path-filter",
    "no-timeout",
    "no-cache",
    "silent-failure",
    "unmeasured",
]

_FOUND = {rule.id: rule for module in (deploys, migrations, images, workflows, lanes) for rule in module.RULES}

RULES: dict[str, Rule] = {id_: _FOUND[id_] for id_ in _ORDER}
"""By id, in the order of the tiers."""
