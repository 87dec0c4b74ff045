"""The demo's story, and what has to be true at its end: a first release, then a second commit, good or broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from demo.act import Act, Event
from demo.described import check_again, move_by
from demo.engines import ENVIRONMENTS, Engine
from demo.picture import Picture
from demo.plan import jobs
from demo.records import KEY, Records
from demo.tools import SetupError, compile_packages
from demo.traffic import clients
from demo.view import Screen, seconds, short, watch
from demo.workspace import WORKFLOW, Workspace, answer

FIRST = "The first release"


@dataclass(frozen=True)
class Expected:
    """A second commit: the example's change to make, and what the pipeline has to do with it.

    `red` are the jobs that must fail, `reached` the ones that must have passed, `never` those that must not even have started.
    `taken_back` are the environments that were rolled back to the first release, `refused` those in which the roll-out
    failed by itself and left what ran before. `postgres` says that the lane that migrates needs a PostgreSQL. `strategy` moves
    the second release, and `stages` says what became of the release that stood beside the old one, by environment.
    """

    change: str
    message: str
    promise: str
    released: tuple[str, ...]
    red: tuple[str, ...] = ()
    reached: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    failed_steps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    taken_back: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    verdicts: Mapping[str, str] = field(default_factory=dict)
    postgres: bool = False
    strategy: str = ""
    stages: Mapping[str, str] = field(default_factory=dict)


API, WEB, CHECK = "verify / lane", "verify / client", "verify / check"
LANES = ("verify / plan", "verify / spec", API, WEB, CHECK)
BUILD = ("release / build",)
STAGING, PRODUCTION = DEPLOY = ("environment 1 / deploy", "environment 2 / deploy")

GOOD = Expected(
    change="feature",
    message="Add a feature, with its expand migration",
    promise="A small feature with an expand migration goes through both environments.",
    released=ENVIRONMENTS,
    reached=(*LANES, *BUILD, *DEPLOY),
    verdicts={"staging": "pass", "production": "pass"},
)
BROKEN = {
    "health": Expected(
        change="health",
        message="Ship a release that never becomes ready",
        promise="A release that is alive but never ready stops at staging's gate and is taken back; production is not touched.",
        released=(),
        red=(STAGING,),
        reached=(*LANES, *BUILD),
        never=(PRODUCTION,),
        failed_steps={STAGING: ("Gate",)},
        verdicts={"staging": "fail"},
        taken_back=("staging",),
    ),
    "contract": Expected(
        change="contract",
        message="Change an endpoint and forget the client",
        promise="A changed endpoint without a new client turns the web lane red; the api lane stays green; nothing is built.",
        released=(),
        red=(WEB, CHECK),
        reached=("verify / plan", "verify / spec", API),
        never=(*BUILD, *DEPLOY),
        failed_steps={WEB: ("The committed client is the generated one",)},
    ),
    "contract-migration": Expected(
        change="contract-migration",
        message="Drop a column that the running release reads",
        promise="A migration that drops a column which the running release reads turns the api lane red; nothing is built.",
        released=(),
        red=(API, CHECK),
        reached=("verify / plan", "verify / spec", WEB),
        never=(*BUILD, *DEPLOY),
        failed_steps={API: ("The running release works with the new migrations",)},
        postgres=True,
    ),
    "migration": Expected(
        change="migration",
        message="Ship a migration that fails",
        promise="A migration that fails stops the deployment before anything is rolled out.",
        released=(),
        red=(STAGING,),
        reached=(*LANES, *BUILD),
        never=(PRODUCTION,),
        failed_steps={STAGING: ("Migrate",)},
    ),
    "errors": Expected(
        change="errors",
        message="Ship a release that answers some requests with errors",
        promise="A release that passes every test, and answers a share of its requests with errors, is found out beside the old"
        " one and abandoned in staging; production is not touched.",
        released=(),
        red=(STAGING,),
        reached=(*LANES, *BUILD),
        never=(PRODUCTION,),
        failed_steps={STAGING: ("Roll out",)},
        refused=("staging",),
        stages={"staging": "abandoned"},
    ),
}


def expected(engine: str, strategy: str, broken: str | None) -> Expected:
    """Returns what the second commit must lead to; `broken` is one of BROKEN, or nothing for a good one. Raises SetupError."""
    if strategy and engine != "swarm":
        raise SetupError(
            "A strategy needs two releases beside each other, behind a proxy that divides the traffic. The demo has that on a"
            f" Swarm: make demo ENGINE=swarm STRATEGY={strategy}"
        )
    if broken == "errors" and not strategy:
        raise SetupError(
            "Only the comparison with the old release finds errors in a share of the requests:"
            " make demo ENGINE=swarm STRATEGY=canary BREAK=errors"
        )
    found = _expected(engine, broken)
    if not strategy:
        return found
    stages = found.stages or dict.fromkeys(found.released, "promoted") or dict.fromkeys(found.refused, "abandoned")
    return replace(found, strategy=strategy, stages=stages)


def _expected(engine: str, broken: str | None) -> Expected:
    if engine == "swarm" and broken == "health":
        # Swarm asks the image's health check of every replica: it does not come to a gate.
        return replace(
            BROKEN["health"],
            promise="A release that is alive but never ready does not get past staging's roll-out: Swarm ends it and keeps the"
            " release before it; production is not touched.",
            failed_steps={STAGING: ("Roll out",)},
            verdicts={},
            taken_back=(),
            refused=("staging",),
        )
    return BROKEN[broken] if broken else GOOD


@dataclass
class Chapter:
    """One commit and its run."""

    title: str
    sha: str
    picture: Picture
    log: Path
    took: float


class Story:
    def __init__(
        self,
        workspace: Workspace,
        engine: Engine,
        screen: Screen,
        expected: Expected,
        clock: Callable[[], float],
        records: Records,
        notify_urls: str,
    ) -> None:
        self.workspace = workspace
        self.engine = engine
        self.records = records
        self.notify_urls = notify_urls
        self.screen = screen
        self.expected = expected
        self.clock = clock
        self.began = clock()
        self.chapters: list[Chapter] = []
        self.wrong: list[str] = []

    def tell(self) -> bool:
        """Run both commits; whether everything was as the story says. Raises SetupError when it could not even begin."""
        workspace = self.workspace
        workspace.create()
        self.engine.set_up(workspace)
        # release.yml has room for four environments and their approvals; the example uses two, without.
        self.planned = [job for job in jobs(workspace.app / WORKFLOW, workspace.actions) if job in GOOD.reached]
        first = self.chapter(FIRST, workspace.commit("The example"), before="0" * 40)
        self.expect_released(first, ENVIRONMENTS)
        self.expect_jobs(first, GOOD)
        if self.wrong:
            self.screen.say("The first release did not arrive, so there is nothing to go on from.")
            return False
        workspace.change(self.expected.change)
        if self.expected.strategy:
            move_by(workspace.app, self.expected.strategy)
        if workspace.quick == "first":
            check_again(workspace.app, workspace.example)
        second = self.chapter(self.expected.message, workspace.commit(self.expected.message), before=first.sha)
        self.expect_jobs(second, self.expected)
        self.expect_released(second, self.expected.released)
        self.expect_released(first, tuple(name for name in ENVIRONMENTS if name not in self.expected.released))
        return not self.wrong

    def chapter(self, title: str, sha: str, before: str) -> Chapter:
        workspace = self.workspace
        number = len(self.chapters) + 1
        self.screen.title(f"{title} ({sha[:12]})")
        compile_packages(workspace.environment)
        picture, started = Picture(self.clock), self.clock()
        log = workspace.logs / f"run-{number}.json"
        act = Act(workspace.tools.act, workspace.folder / "act", workspace.repositories(), workspace.environment)
        event = {
            "ref": "refs/heads/main",
            "before": before,
            "after": sha,
            "repository": {
                "default_branch": "main",
                "full_name": "org/two-lane",
                "name": "two-lane",
                "owner": {"login": "org"},
            },
        }
        surroundings = {
            "LOCAL_ARTIFACTS": str(workspace.folder / "artifacts" / str(number)),
            "GITHUB_API_URL": self.records.url,
            "GITHUB_RUN_ID": str(number),
        }
        with act.start(
            workspace.app,
            WORKFLOW,
            "push",
            event,
            log=log,
            secrets={"GITHUB_TOKEN": self.records.token, "RECORD_KEY": KEY, "NOTIFY_URLS": self.notify_urls},
            step_environment=surroundings,
        ) as run:
            # The first release has nothing to stand beside.
            asked = self.expected.strategy and self.chapters
            watch(self.with_clients(run) if asked else run, picture, self.planned, self.screen)
            picture.exit_code = run.exit_code
        chapter = Chapter(title, sha, picture, log, self.clock() - started)
        self.chapters.append(chapter)
        (workspace.logs / f"run-{number}.log").write_text(readable(picture), encoding="utf-8")
        self.explain(chapter)
        return chapter

    def with_clients(self, run: Iterable[Event]) -> Iterator[Event]:
        return clients(
            run, lambda job: self.engine.urls(environment_of(job)), lambda job: short(job) in DEPLOY, self.screen.say
        )

    def explain(self, chapter: Chapter) -> None:
        """What the failed jobs said last, so that a reader sees the cause first."""
        for name, job in chapter.picture.jobs.items():
            if job.result != "failure":
                continue
            failed = [step.name for step in job.steps.values() if step.result == "failure"][:1]
            lines = (line for line in chapter.picture.lines if line.job == name and line.step in failed)
            said = [line.text for line in lines if line.printed and line.text.strip()]
            self.screen.say()
            self.screen.say(f"{short(name)}: {', '.join(failed)}")
            for line in said[-16:]:
                self.screen.say(f"    {line}"[:240])

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.wrong.append(otherwise)

    def expect_jobs(self, chapter: Chapter, expected: Expected) -> None:
        results = {short(name): result for name, result in chapter.picture.results().items()}
        for job in expected.reached:
            self.expect(results.get(job) == "success", f"{job} should have passed, it is: {results.get(job) or 'not run'}")
        for job in expected.red:
            self.expect(results.get(job) == "failure", f"{job} should have failed, it is: {results.get(job) or 'not run'}")
        for job in expected.never:
            self.expect(job not in results, f"{job} should not have run, it is: {results.get(job)}")
        for job, steps in expected.failed_steps.items():
            found = {
                step.name: step.result
                for name, one in chapter.picture.jobs.items()
                if short(name) == job
                for step in one.steps.values()
            }
            for step in steps:
                self.expect(
                    found.get(step) == "failure", f"{job}: the step '{step}' should have failed, it is: {found.get(step)}"
                )
        for environment, verdict in expected.verdicts.items():
            found_verdict = verdicts(chapter.picture).get(environment)
            self.expect(
                found_verdict == verdict, f"{environment}: the gate should have said {verdict}, it said: {found_verdict}"
            )
        back = taken_back(chapter.picture)
        for environment in ENVIRONMENTS:
            verdict = back.get(environment, {}).get("verdict", "")
            self.expect(
                (verdict == "pass") == (environment in expected.taken_back),
                f"{environment} should {'' if environment in expected.taken_back else 'not '}have been rolled back",
            )
            self.expect(
                (environment in refused(chapter.picture)) == (environment in expected.refused),
                f"{environment}: the roll-out should {'' if environment in expected.refused else 'not '}have failed",
            )
        found_stages = stages(chapter.picture)
        self.expect(
            found_stages == expected.stages, f"the stages should have been {dict(expected.stages)}, they were {found_stages}"
        )
        self.expect((chapter.picture.exit_code == 0) == (not expected.red), f"act ended with {chapter.picture.exit_code}")

    def expect_released(self, chapter: Chapter, environments: tuple[str, ...]) -> None:
        """That commit is what runs, as the engine says and as the services themselves answer; the same digests everywhere."""
        seen = {}
        for environment in environments:
            running = self.engine.running(environment)
            seen[environment] = {service: now["digest"] for service, now in running.items()}
            for service in ("api", "web"):
                sha = running.get(service, {}).get("sha", "nothing")
                self.expect(
                    sha == chapter.sha, f"{environment}: the {service} should run {chapter.sha[:12]}, it runs {sha[:12]}"
                )
            for service, sha in answers(self.engine, environment).items():
                self.expect(
                    sha == chapter.sha, f"{environment}: the {service} should answer as {chapter.sha[:12]}, not {sha[:12]}"
                )
        self.expect(len({json.dumps(one, sort_keys=True) for one in seen.values()}) <= 1, f"the digests differ: {seen}")


def answers(engine: Engine, environment: str) -> dict[str, str]:
    """The commit that each service says it is, or what it answers instead."""
    urls = engine.urls(environment)
    status, body, _ = answer(f"{urls['api']}/health/ready")
    api = json.loads(body)["version"] if status == 200 else f"status {status}"
    status, _, headers = answer(f"{urls['web']}/")
    return {"api": api, "web": headers.get("x-version", "") if status == 200 else f"status {status}"}


def environment_of(job: str) -> str:
    """The environment that a deploy job is for: release.yml numbers them."""
    return ENVIRONMENTS[DEPLOY.index(short(job))]


def verdicts(picture: Picture) -> dict[str, str]:
    """Verdict of the gate by environment, where it came to one."""
    found = {}
    for name, job in picture.jobs.items():
        if short(name) in DEPLOY and "verdict" in job.outputs.get("gate", {}):
            found[environment_of(name)] = job.outputs["gate"]["verdict"]
    return found


def taken_back(picture: Picture) -> dict[str, dict[str, str]]:
    """What each rollback reported, by environment."""
    return {
        environment_of(name): dict(job.outputs["roll-back"])
        for name, job in picture.jobs.items()
        if job.outputs.get("roll-back", {}).get("to-sha")
    }


def refused(picture: Picture) -> dict[str, str]:
    """What the roll-out said, by environment, where it failed."""
    return {
        environment_of(name): job.outputs["roll-out"]["reason"]
        for name, job in picture.jobs.items()
        if job.outputs.get("roll-out", {}).get("rolled-out") == "false"
    }


def stages(picture: Picture) -> dict[str, str]:
    """What became of the release that stood beside the old one, by environment, where there was one."""
    return {
        environment_of(name): job.outputs["roll-out"]["stage"]
        for name, job in picture.jobs.items()
        if job.outputs.get("roll-out", {}).get("stage")
    }


def readable(picture: Picture) -> str:
    """Everything the steps printed, job by job."""
    parts = []
    for name in picture.jobs:
        parts.append(f"===== {name} =====")
        step = ""
        for line in picture.lines:
            if line.job == name:
                if line.step != step:
                    step = line.step
                    parts.append(f"--- {step}")
                parts.append(line.text)
    return "\n".join(parts) + "\n"


def duration(job_started: float, job_ended: float | None) -> str:
    return seconds(job_ended - job_started) if job_ended is not None else ""
