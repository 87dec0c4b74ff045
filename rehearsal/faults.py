"""The faults of a rehearsal, as data: what is injected, which verdict is right, and which release has to answer afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PASS, FAIL, INCONCLUSIVE, CANCELLED = "pass", "fail", "inconclusive", "cancelled"


@dataclass(frozen=True)
class At:
    """Injects something this number of seconds after a step of the job has begun; `what` is one of `injections.INJECTIONS`."""

    step: str
    after: float
    what: str


@dataclass(frozen=True)
class Fault:
    """One fault.

    - `variables`: those of the release's image, which make it misbehave; `{old}` is the commit that ran before.
    - `migration`: one of `releases.MIGRATIONS`; `None` for a release without one. `phase` is what it declares.
    - `release`: keys of the pipeline file's `release`. `health`: keys of the service's target.
    - `before`: what is injected before the deploy; `at`: what is injected during it.
    - `right`: the verdicts that are right. Red is red for a plain pipeline, which has no other word.
    - `served`: what has to answer in the end: `old`, `new`, or `one` of the two and not a mixture.
    - `plain`: the fault means something to a plain pipeline.
    - `clients`: how many ask at a time. `canary` faults need a thousand requests.
    """

    name: str
    what: str
    right: tuple[str, ...]
    served: str
    variables: Mapping[str, str] = field(default_factory=dict)
    migration: str | None = None
    phase: str | None = None
    release: Mapping[str, object] = field(default_factory=dict)
    health: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    at: tuple[At, ...] = ()
    plain: bool = True
    clients: int = 2


STAGE_TARGETS = """\
- name: api
  url: "http://{SERVICE.address}:8000/health/ready"
  expect-json: '$.status == "ok"'
  expect-version: "{sha}"
  version-from: json:$.version
  timeout: 10s
"""
CANARY = {"strategy": "canary", "steps": ["50% 1000 requests within 60s"], "bake": "2s"}
BLUE_GREEN = {"strategy": "blue-green", "bake": "3s", "stage-targets": STAGE_TARGETS}
BROKEN = {"DEGRADED": "1"}

FAULTS = (
    Fault("none", "nothing: a good release with an expand migration", (PASS,), "new", migration=""),
    Fault("none-canary", "nothing: a good release, by canary", (PASS,), "new", release=CANARY, clients=4),
    Fault("none-blue-green", "nothing: a good release, by blue-green", (PASS,), "new", release=BLUE_GREEN),
    Fault("slow-start", "a good release that takes 4 s to start", (PASS,), "new", {"START_DELAY": "4"}),
    Fault("never-ready", "it never becomes ready", (FAIL,), "old", {"NEVER_READY": "1"}),
    Fault("crash", "it ends when it starts", (FAIL,), "old", {"CRASH": "1"}),
    Fault("deaf", "it runs and never listens", (FAIL,), "old", {"DEAF": "1"}),
    Fault("fails-later", "it is ready, and fails after 8 s", (FAIL,), "old", {"FAIL_AFTER": "8"}),
    Fault("memory", "it takes more memory from its 5th second on, until it is killed", (FAIL,), "old", {"LEAK_AFTER": "5"}),
    Fault("old-version", "it answers as the version before", (FAIL,), "old", {"ANSWERS_AS": "{old}"}),
    Fault(
        "stale-replica",
        "one of two replicas behind rotating DNS answers as the version before",
        (FAIL,),
        "old",
        {"ANSWERS_AS": "{old}", "STALE_SLOT": "2"},
    ),
    Fault("wrong-body", "it answers 200, and its body says that it is degraded", (FAIL,), "old", BROKEN),
    Fault("wrong-body-blue-green", "the same, by blue-green", (FAIL,), "old", BROKEN, release=BLUE_GREEN),
    Fault("slow-answers", "each answer takes 1.5 s", (FAIL,), "old", {"LATENCY": "1.5"}, health={"max-latency": "1s"}),
    Fault("errors-1", "1 % of its answers are errors, by canary", (FAIL,), "old", {"ERRORS": "10"}, release=CANARY, clients=4),
    Fault(
        "errors-20", "20 % of its answers are errors, by canary", (FAIL,), "old", {"ERRORS": "200"}, release=CANARY, clients=4
    ),
    Fault("missing-image", "its image was never pushed", (FAIL,), "old", before=("image missing",)),
    Fault(
        "older-commit", "an old run is started again: its commit is behind the one that runs", (FAIL,), "old", before=("older",)
    ),
    Fault("migration-fails", "its migration fails half-way", (FAIL,), "old", migration="failing"),
    Fault(
        "migration-waits",
        "its migration waits for a table that a long report reads",
        (FAIL, INCONCLUSIVE),
        "old",
        migration="",
        before=("table read",),
    ),
    Fault(
        "migration-drops",
        "its migration drops a column that the old release reads",
        (FAIL,),
        "old",
        {"COLUMN": "id"},
        migration="dropping",
        phase="contract",
    ),
    Fault(
        "registry-down",
        "the registry is down, and the engine does not have the image",
        (INCONCLUSIVE,),
        "old",
        before=("registry down",),
    ),
    Fault("github-down", "GitHub's API is down", (INCONCLUSIVE,), "old", before=("GitHub down",), plain=False),
    Fault(
        "github-down-record",
        "GitHub's API goes down during the gate of a good release",
        (INCONCLUSIVE,),
        "new",
        at=(At("gate", 0.0, "GitHub down"),),
        plain=False,
    ),
    Fault(
        "github-down-rollback",
        "GitHub's API goes down during the gate of a release with a wrong body",
        (FAIL,),
        "old",
        BROKEN,
        at=(At("gate", 0.0, "GitHub down"),),
        plain=False,
    ),
    Fault(
        "previous-deleted",
        "the registry has deleted the previous image, and the release has a wrong body",
        (FAIL,),
        "old",
        BROKEN,
        before=("previous image deleted",),
    ),
    Fault(
        "two-deploys",
        "another deploy of a good release starts during the roll-out",
        (PASS, FAIL, INCONCLUSIVE),
        "one",
        at=(At("roll-out", 1.5, "another deploy"),),
    ),
    Fault("cancel-start", "cancelled while it starts", (CANCELLED,), "old", at=(At("start", 0.3, "cancel"),), plain=False),
    Fault(
        "cancel-migrate",
        "cancelled while it migrates",
        (CANCELLED,),
        "old",
        migration="slow",
        at=(At("migrate", 2.5, "cancel"),),
    ),
    Fault("cancel-roll-out", "cancelled while it rolls out", (CANCELLED,), "old", at=(At("roll-out", 3.5, "cancel"),)),
    Fault("cancel-gate", "cancelled during the gate", (CANCELLED,), "one", at=(At("gate", 0.8, "cancel"),)),
    Fault(
        "cancel-record",
        "cancelled while it is recorded",
        (CANCELLED,),
        "new",
        at=(At("finish", 0.3, "cancel"),),
        plain=False,
    ),
    Fault(
        "cancel-rollback",
        "cancelled while it is rolled back",
        (CANCELLED, FAIL),
        "old",
        BROKEN,
        at=(At("roll-back", 2.5, "cancel"),),
    ),
    Fault(
        "cancel-canary",
        "cancelled with half of the traffic on the new release",
        (CANCELLED,),
        "old",
        release=CANARY,
        clients=4,
        at=(At("roll-out", 8.0, "cancel"),),
        plain=False,
    ),
    Fault(
        "runner-lost", "the runner is lost while it rolls out", (INCONCLUSIVE,), "one", at=(At("roll-out", 3.5, "runner lost"),)
    ),
    Fault(
        "engine-restart",
        "the engine restarts during the roll-out of a good release",
        (PASS, INCONCLUSIVE),
        "one",
        at=(At("roll-out", 3.0, "engine restart"),),
    ),
    Fault(
        "engine-restart-broken",
        "the engine restarts during the roll-out of a release with a wrong body",
        (FAIL, INCONCLUSIVE),
        "old",
        BROKEN,
        at=(At("roll-out", 3.0, "engine restart"),),
    ),
)
BY_NAME = {each.name: each for each in FAULTS}
