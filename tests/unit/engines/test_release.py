"""The order of a release on an engine in memory: all services arrive, or those that moved run again what ran before."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    Engine,
    EngineUnreachable,
    Image,
    NothingRuns,
    Refused,
    RolledOut,
    RollOutFailed,
    Running,
    ServiceMissing,
    Target,
)
from cicd_actions.engines.release import Progress, examine, roll_out, runs_already, settled
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Cancelled, Failed, Inconclusive
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def target(service: str, number: int = 2) -> Target:
    return Target(service, Image(f"r/{service}", digest(number)), "b" * 40)


def running(service: str, number: int = 1, *, ready: int | None = 1, wanted: int | None = 1) -> Running:
    return Running(service, f"r/{service}@{digest(number)}", digest(number), "b" * 40 if number == 2 else "", ready, wanted)


@dataclass
class Memory:
    """An engine with one image a service. `fails` has what `roll_out` raises or returns, `stuck` what `revert` raises."""

    now: dict[str, Running]
    fails: dict[str, BaseException | RolledOut] = field(default_factory=dict)
    stuck: dict[str, BaseException] = field(default_factory=dict)
    refuses: dict[str, Refused] = field(default_factory=dict)
    after: Callable[[], object] | None = None
    own_programs: bool = False
    away: bool = False
    calls: list[str] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    """The seconds that each revert was given."""
    name: str = "swarm"

    def __post_init__(self) -> None:
        self.began = dict(self.now)

    def running(self, services: Sequence[str], deadline: Deadline) -> dict[str, Running]:
        assert deadline.remaining >= 0
        if self.away:
            raise EngineUnreachable("The engine is away.")
        self.calls.append(f"look {' '.join(services)}")
        return {name: self.now[name] for name in services if name in self.now}

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None:
        assert (before.service, deadline.remaining > 0) == (target.service, True)
        self.calls.append(f"examine {target.service}")
        if target.service in self.refuses:
            raise self.refuses[target.service]

    def roll_out(self, target: Target, before: Running, deadline: Deadline) -> RolledOut:
        assert (before, deadline.remaining > 0) == (self.began[target.service], True)
        self.calls.append(f"roll out {target.service}")
        ended = self.fails.get(target.service, RolledOut(target.service, 1.25, replicas=1))
        if isinstance(ended, BaseException):
            raise ended
        self.now[target.service] = replace(before, image=target.image.pinned, digest=target.image.digest)
        if self.after is not None:
            self.after()
        return ended

    def revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        assert before == self.began[target.service]
        assert wait in (True, False)
        self.limits.append(deadline.seconds)
        self.calls.append(f"revert {target.service}{'' if wait else ', not waited for'}")
        if target.service in self.stuck:
            error = self.stuck[target.service]
            if isinstance(error, Cancelled):
                del self.stuck[target.service]  # a signal comes once
            raise error
        self.now[target.service] = before


class Release:
    """The release of several services, from image 1 to image 2."""

    def __init__(self, *services: str, at: dict[str, int] | None = None, **engine: object) -> None:
        now = {name: running(name, (at or {}).get(name, 1)) for name in services}
        self.engine = Memory(now, **engine)  # type: ignore[arg-type]
        self.progress = Progress(dict(now), [target(name) for name in services])
        self.log = io.StringIO()
        self.revert_began = 0

    def run(self, **options: bool) -> Progress:
        def revert_deadline() -> Deadline:
            self.revert_began += 1
            return Deadline(60)

        roll_out(cast("Engine", self.engine), self.progress, Deadline(60), revert_deadline, Runtime({}, self.log), **options)
        return self.progress

    @property
    def moves(self) -> list[str]:
        return [call for call in self.engine.calls if not call.startswith("look")]


def failed(service: str, *, reverted: bool = False) -> RollOutFailed:
    return RollOutFailed(service, f"{service} did not arrive.", reverted=reverted)


def test_release_services_move_in_their_order() -> None:
    release = Release("api", "web", "job")
    progress = release.run()
    assert release.moves == ["roll out api", "roll out web", "roll out job"]
    assert (progress.verdict, list(progress.arrived), progress.failure) == (Verdict.PASS, ["api", "web", "job"], None)
    assert release.log.getvalue().splitlines()[:2] == [
        f"api: rolling out r/api@{digest(2)}.", "api: arrived after 1.2 s.",
    ]  # fmt: skip
    assert release.revert_began == 0


def test_release_service_that_runs_it_already_does_not_move() -> None:
    release = Release("api", "web", at={"api": 2})
    progress = release.run()
    assert release.moves == ["roll out web"]
    assert (progress.unchanged, progress.touched) == (["api"], ["web"])
    assert f"api: runs r/api@{digest(2)} already." in release.log.getvalue()


def test_release_all_of_which_runs_already_looks_at_nothing() -> None:
    release = Release("api", at={"api": 2})
    assert release.run().verdict is Verdict.PASS
    assert release.engine.calls == []


def test_release_failure_takes_back_what_moved_the_last_one_first() -> None:
    release = Release("api", "web", "job", "late", fails={"job": failed("job")})
    progress = release.run()
    assert release.moves == ["roll out api", "roll out web", "roll out job", "revert job", "revert web", "revert api"]
    assert (progress.verdict, progress.returned, progress.stranded) == (Verdict.FAIL, ["job", "web", "api"], {})
    assert (progress.state("api"), progress.state("late")) == ("rolled back", "untouched")
    assert release.revert_began == 1
    assert f"web: rolling back to r/web@{digest(1)}." in release.log.getvalue()


def test_release_failure_that_the_engine_took_back_itself_is_not_taken_back_again() -> None:
    release = Release("api", "web", fails={"web": failed("web", reverted=True)})
    assert release.run().returned == ["web", "api"]
    assert release.moves == ["roll out api", "roll out web", "revert api"]


def test_release_failure_names_the_one_service_that_the_engine_took_back() -> None:
    release = Release("api", "web", fails={"web": failed("api", reverted=True)})
    assert release.run().returned == ["web", "api"]
    assert release.moves == ["roll out api", "roll out web", "revert web"]


def test_release_refused_before_anything_changed_leaves_that_service_alone() -> None:
    for error in (Refused("no"), ServiceMissing("gone")):
        release = Release("api", "web", fails={"web": error})
        progress = release.run()
        assert progress.touched == ["api"]
        assert release.moves == ["roll out api", "roll out web", "revert api"]
        assert progress.verdict is Verdict.INCONCLUSIVE, "it proves nothing against the release"


def test_release_service_that_cannot_be_taken_back_is_stranded_and_the_others_go_on() -> None:
    release = Release("api", "web", fails={"web": failed("web")}, stuck={"web": Failed("The node is gone.")})
    progress = release.run()
    assert (progress.stranded, progress.returned) == ({"web": "The node is gone."}, ["api"])
    assert (progress.state("web"), progress.verdict) == ("not rolled back", Verdict.FAIL)
    assert "web: The node is gone." in release.log.getvalue()


def test_release_service_that_something_else_changed_is_left_and_inconclusive() -> None:
    meanwhile = ChangedMeanwhile("web", "web runs another image.")
    during = Release("api", "web", fails={"web": meanwhile})
    assert (during.run().left, during.moves[-1]) == ({"web": "web runs another image."}, "revert api")
    assert "revert web" not in during.moves
    back = Release("api", "web", fails={"web": failed("web")}, stuck={"api": ChangedMeanwhile("api", "api was scaled.")})
    progress = back.run()
    assert (progress.left, progress.returned) == ({"api": "api was scaled."}, ["web"])
    assert (progress.verdict, progress.state("api")) == (Verdict.INCONCLUSIVE, "changed by something else, left")
    assert "api was scaled." in back.log.getvalue()


def test_release_service_changed_while_later_ones_moved_is_left_and_the_others_taken_back() -> None:
    release = Release("api", "web")

    def change() -> None:
        if "roll out web" in release.engine.calls:
            release.engine.now["api"] = running("api", 7)

    release.engine.after = change
    progress = release.run()
    what = f"api was changed by something else during the roll-out: it runs r/api@{digest(7)} now. It was left as it is."
    assert progress.left == {"api": what}
    assert isinstance(progress.failure, ChangedMeanwhile)
    assert progress.failure.fix == "Run the roll-out again if this release should replace it."
    assert release.moves == ["roll out api", "roll out web", "revert web"]
    assert "look api" in release.engine.calls


@pytest.mark.parametrize(("own_programs", "verdict"), [(False, Verdict.INCONCLUSIVE), (True, Verdict.PASS)])
def test_release_service_removed_meanwhile_is_noticed_where_the_engine_can_tell(own_programs: bool, verdict: Verdict) -> None:
    release = Release("api", "web", own_programs=own_programs)
    release.engine.after = lambda: release.engine.now.pop("api") if "roll out web" in release.engine.calls else None
    progress = release.run()
    assert progress.verdict is verdict
    assert ("somebody removed it" in progress.left.get("api", "")) is (verdict is Verdict.INCONCLUSIVE)


def test_release_reported_under_another_name_is_what_it_arrived_as() -> None:
    release = Release("api", "web", fails={"api": RolledOut("api", 1, replicas=1, runs="build-7")})

    def report() -> None:
        release.engine.now["api"] = Running("api", "build-7", "", "", 1, 1)

    release.engine.after = report
    assert release.run().verdict is Verdict.PASS


def test_release_second_look_that_gets_no_answer_proves_nothing_against_it() -> None:
    release = Release("api", "web")

    def go_away() -> None:
        release.engine.away = "roll out web" in release.engine.calls

    release.engine.after = go_away
    assert release.run().verdict is Verdict.PASS
    assert "Could not look at api again: The engine is away." in release.log.getvalue()


def test_release_that_runs_no_replica_is_inconclusive_unless_allowed() -> None:
    nothing = RolledOut("api", 1, replicas=0)
    progress = Release("api", fails={"api": nothing}).run()
    assert isinstance(progress.failure, NothingRuns)
    assert progress.failure.what == (
        "Could not prove the release: api runs no replica. It was scaled to 0 during the roll-out."
    )
    assert progress.returned == ["api"]
    allowed = Release("api", fails={"api": nothing}).run(allow_empty=True)
    assert (allowed.verdict, allowed.empty) == (Verdict.PASS, ["api"])


def test_release_whose_program_contradicts_itself_is_inconclusive() -> None:
    progress = Release("api", fails={"api": RolledOut("api", 1, unproven="it reports the release before")}).run()
    assert isinstance(progress.failure, Inconclusive)
    assert progress.failure.what == f"Could not prove that api runs r/api@{digest(2)}: it reports the release before."
    assert progress.returned == ["api"]


@pytest.mark.parametrize("at", ["roll out", "revert"])
def test_release_cancelled_hands_every_touched_service_back_once(at: str) -> None:
    fails: dict[str, BaseException] = {"web": Cancelled(2)} if at == "roll out" else {"web": failed("web")}
    release = Release("api", "web", "late", fails=fails, stuck={} if at == "roll out" else {"api": Cancelled(2)})
    with pytest.raises(Cancelled):
        release.run()
    if at == "roll out":
        assert release.moves[-2:] == ["revert web, not waited for", "revert api, not waited for"]
        assert (release.progress.handed_over, release.progress.state("web")) == (
            ["web", "api"], "rolling back, not waited for",
        )  # fmt: skip
        assert release.engine.limits == [5, 5]
        assert "api: handed back to the engine, which rolls it back without this step." in release.log.getvalue()
    else:
        assert (release.progress.returned, release.progress.handed_over) == (["web"], ["api"])
        assert release.moves[2:] == ["revert web", "revert api", "revert api, not waited for"]
        assert "api: handed back to the engine, which rolls it back without this step." in release.log.getvalue()


def test_release_cancelled_says_what_could_not_be_handed_back() -> None:
    stuck = {"web": ChangedMeanwhile("web", "changed"), "api": Failed("away")}
    release = Release("api", "web", fails={"web": Cancelled(2)}, stuck=stuck)
    with pytest.raises(Cancelled):
        release.run()
    assert (release.progress.left, release.progress.stranded) == ({"web": "changed"}, {"api": "away"})


def test_examine_looks_at_every_service_that_would_move_before_any_does() -> None:
    release = Release("api", "web", "job", at={"web": 2}, refuses={"job": Refused("Cannot replace job.")})
    with pytest.raises(Refused, match="Cannot replace job"):
        examine(cast("Engine", release.engine), release.progress, Deadline(9), allow_empty=False)
    assert release.engine.calls == ["examine api", "examine job"]


def test_examine_refuses_services_without_a_replica_unless_allowed() -> None:
    release = Release("api", "web")
    release.progress.before = {"api": running("api", ready=0, wanted=0), "web": running("web")}
    with pytest.raises(NothingRuns) as refused:
        examine(cast("Engine", release.engine), release.progress, Deadline(9), allow_empty=False)
    assert refused.value.what == "Could not prove the release: api runs no replica. Nothing was changed."
    assert refused.value.cause == (
        "The service is scaled to 0, or no node matches its placement, so no container starts from the new image."
    )
    assert "allow-empty: true" in refused.value.fix
    examine(cast("Engine", release.engine), release.progress, Deadline(9), allow_empty=True)


@pytest.mark.parametrize(
    ("before", "already"),
    [
        (running("api", 2), True),
        (running("api", 1), False),
        (replace(running("api", 2), sha="a" * 40), False),
        (replace(running("api", 2), unfinished=True), False),
        (running("api", 2, ready=0), False),
        (running("api", 2, ready=None, wanted=None), False),
    ],
)
def test_runs_already_needs_image_commit_and_every_replica(before: Running, already: bool) -> None:
    assert runs_already(target("api"), before) is already
    without = Target("api", Image("r/api"))
    assert not runs_already(without, replace(running("api"), digest=""))


def look(engine: Memory, *services: str, seconds: float = 5) -> tuple[dict[str, Running], list[float], str]:
    log, slept = io.StringIO(), []
    time = [0.0]

    def sleep(pause: float) -> None:
        slept.append(pause)
        time[0] += pause
        if len(slept) == 3:
            engine.now = {name: replace(each, settled=True) for name, each in engine.now.items()}

    runtime = Runtime({}, log, sleep=sleep, clock=lambda: time[0])
    return settled(cast("Engine", engine), services, Deadline(seconds, runtime.clock), runtime), slept, log.getvalue()


def test_settled_waits_for_an_earlier_update_and_says_so_once() -> None:
    moving = {"api": replace(running("api"), settled=False), "web": running("web")}
    found, slept, log = look(Memory(moving), "api", "web")
    assert (found["api"].settled, slept) == (True, [0.5, 0.5, 0.5])
    assert log == "Waiting for an earlier update of api to finish.\n"
    with pytest.raises(Failed, match="waiting for an earlier update of api was not finished after 1 s"):
        look(Memory({"api": replace(running("api"), settled=False)}), "api", seconds=1)


def test_settled_service_that_does_not_exist_is_missing_except_to_own_programs() -> None:
    with pytest.raises(ServiceMissing, match="Could not find the service web, job on this swarm engine") as missing:
        look(Memory({"api": running("api")}), "api", "web", "job")
    assert missing.value.cause == (
        "A roll-out changes the image of services that exist. It does not know their ports and networks."
    )
    found, _, _ = look(Memory({"api": running("api")}, own_programs=True), "api", "web")
    assert found["web"] == Running("web")


def test_release_looks_at_every_earlier_service_again() -> None:
    release = Release("api", "web", "job")
    release.engine.after = lambda: (
        release.engine.now.update(web=running("web", 7)) if "roll out job" in release.engine.calls else None
    )
    assert list(release.run().left) == ["web"]
    assert release.moves[-2:] == ["revert job", "revert api"]
    assert "look api web" in release.engine.calls


def test_release_whose_earlier_service_arrived_under_its_own_name_is_held_to_that_name() -> None:
    release = Release("api", "web", fails={"api": RolledOut("api", 1, replicas=1, runs="build-7")})
    release.engine.after = lambda: release.engine.now.update(api=Running("api", "build-8", "", "", 1, 1))
    assert list(release.run().left) == ["api"]


def test_release_says_each_state_in_words() -> None:
    release = Release("api", "web", at={"web": 2})
    progress = release.run()
    assert (progress.state("api"), progress.state("web")) == ("arrived", "ran already")
    progress.touched.append("job")
    assert progress.state("job") == "not known"


def test_release_texts_say_the_cause_and_the_fix() -> None:
    progress = Release("api", fails={"api": RolledOut("api", 1, unproven="it reports the release before")}).run()
    assert progress.failure is not None
    assert progress.failure.cause == (
        "The program that rolled it out exited with code 0, but did not change what runs, or something else took it back."
    )
    assert progress.failure.fix == (
        "Let `roll-out-command` end only when the service runs the release, and exit with 1 when it does not. Let"
        " `running-command` report what runs at that time."
    )
    with pytest.raises(ServiceMissing) as missing:
        look(Memory({}), "api", "web")
    assert missing.value.fix == (
        "Create it once (`docker stack deploy`, `docker compose up`, `kubectl apply`), or correct its name. On Swarm, its full"
        " name begins with the input `stack`."
    )
    empty = Release("api", "web")
    empty.progress.before = {name: running(name, ready=0, wanted=0) for name in ("api", "web")}
    with pytest.raises(NothingRuns) as refused:
        examine(cast("Engine", empty.engine), empty.progress, Deadline(9), allow_empty=False)
    assert refused.value.what == "Could not prove the release: api, web runs no replica. Nothing was changed."
    assert refused.value.fix == (
        "Scale the service up. If it is meant to run nothing here:\n\n    with:\n      allow-empty: true"
    )


def test_release_by_commit_is_the_same_only_under_that_commit_or_without_one() -> None:
    unlabelled = Target("api", Image("r/api", digest(2)))
    assert runs_already(unlabelled, running("api", 2))


def test_release_service_that_ran_already_and_is_changed_meanwhile_is_left() -> None:
    release = Release("api", "web", at={"api": 2})
    release.engine.after = lambda: release.engine.now.update(api=running("api", 7))
    progress = release.run()
    what = f"api was changed by something else during the roll-out: it runs r/api@{digest(7)} now. It was left as it is."
    assert (progress.left, progress.returned) == ({"api": what}, ["web"])


def test_release_service_removed_meanwhile_is_said_to_be() -> None:
    release = Release("api", "web")
    release.engine.after = lambda: release.engine.now.pop("api") if "roll out web" in release.engine.calls else None
    what = "api was changed by something else during the roll-out: somebody removed it. It was left as it is."
    assert release.run().left == {"api": what}


def test_release_log_names_each_of_two_services_and_what_ran_before() -> None:
    release = Release("api", "web", "job", fails={"job": failed("job")})
    release.progress.before = {**release.progress.before, "api": Running("api")}
    release.engine.began["api"] = Running("api")
    release.run()
    assert "api: rolling back to what ran before.\n" in release.log.getvalue()
    away = Release("api", "web", "job")

    def go_away() -> None:
        away.engine.away = "roll out job" in away.engine.calls

    away.engine.after = go_away
    away.run()
    assert "Could not look at api, web again: The engine is away." in away.log.getvalue()


def test_settled_names_each_of_two_services_that_move() -> None:
    moving = {name: replace(running(name), settled=False) for name in ("api", "web")}
    _, _, log = look(Memory(moving), "api", "web")
    assert log == "Waiting for an earlier update of api, web to finish.\n"
    with pytest.raises(Failed, match="waiting for an earlier update of api, web was not finished"):
        look(Memory(moving), "api", "web", seconds=1)


def test_release_of_own_programs_looks_behind_a_service_that_they_do_not_report() -> None:
    release = Release("api", "web", "job", own_programs=True)

    def change() -> None:
        if "roll out job" in release.engine.calls:
            release.engine.now.pop("api", None)
            release.engine.now["web"] = running("web", 7)

    release.engine.after = change
    assert list(release.run().left) == ["web"]


def test_release_service_of_which_the_engine_cannot_tell_the_digest_is_not_changed() -> None:
    release = Release("api", "web")
    release.engine.after = lambda: release.engine.now.update(api=Running("api", "r/api"))
    assert release.run().verdict is Verdict.PASS
