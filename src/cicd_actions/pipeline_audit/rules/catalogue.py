"""Every rule, worst first."""

from __future__ import annotations

from cicd_actions.pipeline_audit.rules.credentials import LITERAL, LONG_LIVED, UNDOCUMENTED
from cicd_actions.pipeline_audit.rules.definition import Rule
from cicd_actions.pipeline_audit.rules.deploys import NO_ROLLBACK, PUSH_ONLY, SILENT, UNMEASURED, UNVERIFIED
from cicd_actions.pipeline_audit.rules.images import MUTABLE, REBUILT, UNSCANNED_IMAGE
from cicd_actions.pipeline_audit.rules.lanes import DRIFT, HIDDEN, MERGED, SEQUENTIAL, SPEC
from cicd_actions.pipeline_audit.rules.migrations import MIGRATE_FIRST, STARTUP
from cicd_actions.pipeline_audit.rules.promotion import CANCELLABLE, NO_STAGING, UNAPPROVED, UNGATED
from cicd_actions.pipeline_audit.rules.revisions import UNBACKED, UNSAFE
from cicd_actions.pipeline_audit.rules.runs import NO_CACHE, NO_TIMEOUT, PATH_FILTER, STALE, UNSCANNED
from cicd_actions.pipeline_audit.rules.traffic import UNGATED_TRAFFIC
from cicd_actions.pipeline_audit.rules.trust import BROAD, UNPINNED, UNTRUSTED

_ALL = (
    NO_ROLLBACK,
    STARTUP,
    UNTRUSTED,
    LITERAL,
    PUSH_ONLY,
    UNVERIFIED,
    NO_STAGING,
    MIGRATE_FIRST,
    REBUILT,
    MUTABLE,
    UNGATED_TRAFFIC,
    BROAD,
    UNPINNED,
    LONG_LIVED,
    MERGED,
    DRIFT,
    SPEC,
    UNGATED,
    CANCELLABLE,
    UNAPPROVED,
    UNDOCUMENTED,
    UNSAFE,
    UNBACKED,
    HIDDEN,
    UNSCANNED,
    SEQUENTIAL,
    UNSCANNED_IMAGE,
    STALE,
    PATH_FILTER,
    NO_TIMEOUT,
    NO_CACHE,
    SILENT,
    UNMEASURED,
)

RULES: dict[str, Rule] = {rule.id: rule for rule in _ALL}
"""By id, in the order of the tiers."""
