"""What a roll-out on a real Docker Engine keeps, refuses and leaves alone."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from cicd_actions.engines import left_behind
from cicd_actions.engines.docker_engine import DockerEngine
from cicd_actions.engines.protocol import ChangedMeanwhile, RollOutFailed, Target
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.action import Step
from tests.harness.load import Load
from tests.harness.newer_engine import NewerEngine
from tests.harness.ports import free_port
from tests.harness.stack import Built, Images, await_text

pytestmark = pytest.mark.docker

COMPOSE = "com.docker.compose."


class Host:
    """Containers of one test, all named after it, on a network with its own addresses."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client
        self.mark = f"t{secrets.token_hex(4)}"
        self.subnet = f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}"
        pool = docker.types.IPAMPool(subnet=f"{self.subnet}.0/24")
        self.network = client.networks.create(self.mark, driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
        self.volumes: set[str] = set()

    def name(self, name: str) -> str:
        return f"{self.mark}-{name}"

    def run(self, name: str, image: str, **more: Any) -> Any:
        made = self.client.containers.run(image, name=self.name(name), detach=True, **{"network": self.mark, **more})
        made.reload()
        self.volumes |= {mount["Name"] for mount in made.attrs["Mounts"] if mount["Type"] == "volume"}
        return made

    def replica(self, number: int, image: str) -> Any:
        """One container of the Compose service `web` in the project named after the test, reachable as `web`."""
        labels = {f"{COMPOSE}project": self.mark, f"{COMPOSE}service": "web", f"{COMPOSE}container-number": str(number)}
        made = self.client.api.create_container(
            image,
            name=self.name(f"web-{number}"),
            labels=labels,
            networking_config=self.client.api.create_networking_config(
                {self.mark: self.client.api.create_endpoint_config(aliases=["web"])}
            ),
            host_config=self.client.api.create_host_config(network_mode=self.mark),
        )
        self.client.api.start(made["Id"])
        return self.client.containers.get(made["Id"])

    def get(self, name: str) -> Any:
        return self.client.containers.get(self.name(name))

    def images(self) -> dict[str, str]:
        """The image of each container that is there, by name."""
        found = self.client.containers.list(all=True, filters={"name": self.mark})
        return {each.name.removeprefix(f"{self.mark}-"): each.attrs["Config"]["Image"] for each in found}

    def close(self) -> None:
        for each in self.client.containers.list(all=True, filters={"name": self.mark}):
            each.remove(force=True, v=True)
        for name in self.volumes & {each.name for each in self.client.volumes.list()}:
            self.client.volumes.get(name).remove()
        self.network.remove()


@pytest.fixture
def host(docker_client: docker.DockerClient) -> Iterator[Host]:
    made = Host(docker_client)
    yield made
    made.close()


@pytest.fixture(scope="module")
def built(images: Images) -> tuple[Built, Built]:
    """Two releases, of which the newer one declares a volume in its image."""
    return images.app(), images.app()


@pytest.fixture
def engine(make_runtime: Callable[..., Runtime]) -> Iterator[DockerEngine]:
    made = DockerEngine(make_runtime(), monitor=0.5)
    yield made
    made.close()


def roll_out(engine: DockerEngine, service: str, release: Built) -> tuple[str, ...]:
    before = engine.running([service], Deadline(30))[service]
    return engine.roll_out(target(engine, service, release), before, Deadline(90)).notes


def target(engine: DockerEngine, service: str, release: Built) -> Target:
    return Target(service, engine.resolve(release.pinned, Deadline(30)), release.sha)


def inputs(service: str, release: Built, **more: str) -> dict[str, str]:
    return {"engine": "docker", "services": f"{service}={release.pinned}", "sha": release.sha, "monitor": "500ms", **more}


def test_roll_out_hands_unnamed_volumes_on_also_after_a_failure_and_a_revert(
    host: Host, images: Images, built: tuple[Built, Built], engine: DockerEngine
) -> None:
    old, new = built
    crash = images.app(CRASH="1")
    service = host.name("db")
    host.run("db", old.pinned, volumes=["/data"])
    assert host.get("db").exec_run(["sh", "-c", "echo precious > /data/x"]).exit_code == 0
    before = engine.running([service], Deadline(30))[service]
    with pytest.raises(RollOutFailed) as failed:
        roll_out(engine, service, crash)
    assert failed.value.reverted is True
    (note,) = roll_out(engine, service, new)
    assert "only one container can hold the volume at /data" in note
    assert host.get("db").exec_run(["cat", "/data/x"]).output == b"precious\n"
    engine.revert(target(engine, service, new), before, Deadline(60))
    assert host.get("db").exec_run(["cat", "/data/x"]).output == b"precious\n"
    for release in (new, old):
        roll_out(engine, service, release)
    assert host.get("db").exec_run(["cat", "/data/x"]).output == b"precious\n"
    assert {mount["Name"] for mount in host.get("db").attrs["Mounts"]} == host.volumes, "no second volume was made"


def test_roll_out_keeps_addresses_links_and_names(host: Host, built: tuple[Built, Built], engine: DockerEngine) -> None:
    old, new = built
    service, address, mac = host.name("api"), f"{host.subnet}.77", "02:42:0a:63:00:4d"
    host.run("db", old.pinned, network="bridge")
    host.run("api", old.pinned, network="bridge", links={host.name("db"): "database"}, mac_address=mac)
    host.network.connect(host.name("api"), aliases=["inside"], ipv4_address=address)
    notes = roll_out(engine, service, new)
    assert f"only one container can hold the address {address} on {host.mark}, the MAC address {mac}." in notes[0]
    attributes = host.get("api").attrs
    assert attributes["Config"]["Image"] == new.pinned
    there = attributes["NetworkSettings"]["Networks"]
    assert (there[host.mark]["IPAddress"], there["bridge"]["MacAddress"]) == (address, mac)
    assert {"inside", service} <= set(there[host.mark]["Aliases"])
    assert attributes["HostConfig"]["Links"] == [f"/{host.name('db')}:/{service}/database"]


def test_roll_out_on_an_engine_with_addresses_per_endpoint_keeps_the_mac_address(
    host: Host, built: tuple[Built, Built], make_runtime: Callable[..., Runtime]
) -> None:
    old, new = built
    mac = "02:42:0a:63:00:4e"
    host.run("api", old.pinned, mac_address=mac)
    with NewerEngine() as newer:
        engine = DockerEngine(make_runtime(DOCKER_HOST=newer.host), monitor=0.5)
        try:
            roll_out(engine, host.name("api"), new)
        finally:
            engine.close()
        endpoints = [each.get("NetworkingConfig", {}).get("EndpointsConfig", {}) for each in newer.created]
    assert [each.get(host.mark, {}).get("MacAddress") for each in endpoints] == [None, None, mac], (
        "the lock, a trial, the successor"
    )
    attributes = host.get("api").attrs
    assert attributes["Config"]["Image"] == new.pinned
    assert attributes["NetworkSettings"]["Networks"][host.mark]["MacAddress"] == mac


def test_roll_out_on_the_hosts_network_stops_the_old_first_and_rolls_back(
    host: Host, images: Images, built: tuple[Built, Built], engine: DockerEngine
) -> None:
    old, new = built
    service, port = host.name("api"), free_port()
    url = f"http://127.0.0.1:{port}/"
    host.run("api", old.pinned, network="host", environment={"PORT": str(port)})
    await_text(url, old.sha)
    before = engine.running([service], Deadline(30))[service]
    (note,) = roll_out(engine, service, new)
    assert "because only one container can hold the host's network." in note
    await_text(url, new.sha)
    assert host.get("api").attrs["HostConfig"]["NetworkMode"] == "host"
    crash = images.app(CRASH="1")
    with pytest.raises(RollOutFailed) as failed:
        roll_out(engine, service, crash)
    assert failed.value.reverted is True
    await_text(url, new.sha)
    engine.revert(target(engine, service, new), before, Deadline(60))
    await_text(url, old.sha)


def test_roll_out_refused_at_the_second_replica_takes_the_first_one_back(
    host: Host, images: Images, built: tuple[Built, Built]
) -> None:
    old, new = built[0], images.app()
    for number in (1, 2):
        host.replica(number, old.pinned)
    step = Step("roll-out", {**inputs("web", new), "stack": host.mark})
    step.await_log("a new container started beside the old one")
    host.client.api.remove_image(new.pinned, force=True)
    ended = step.end()
    assert (ended.code, ended.outputs["rolled-out"]) == (1, "false"), ended.log
    assert "Cannot create a new container of web: No such image" in ended.outputs["reason"]
    assert ended.outputs["reason"].endswith("What ran before runs again (web).")
    assert host.images() == dict.fromkeys(("web-1", "web-2"), old.pinned)


def test_labels_of_an_image_never_claim_a_service(
    host: Host, images: Images, built: tuple[Built, Built], make_runtime: Callable[..., Runtime]
) -> None:
    old, new = built
    host.replica(1, old.pinned)
    labels = f'LABEL {COMPOSE}project={host.mark} {COMPOSE}service=web org.cicd-actions.service="{host.mark}/web"'
    decoy = f"{images.registry}/decoy-{host.mark}:1"
    images.build("app", decoy, {"SHA": old.sha}, [labels])
    host.run("decoy", decoy)
    host.run("web-1.candidate-abcdef", decoy)
    engine = DockerEngine(make_runtime(), project=host.mark, monitor=0.5)
    assert engine.running(["web"], Deadline(10))["web"].wanted == 1
    roll_out(engine, "web", new)
    assert host.images() == {
        "web-1": new.pinned,
        "web-1.before": old.pinned,
        "decoy": decoy,
        "web-1.candidate-abcdef": decoy,
    }
    engine.close()


def test_a_scaled_service_moves_whole_and_comes_back_whole(
    host: Host, images: Images, built: tuple[Built, Built], make_runtime: Callable[..., Runtime]
) -> None:
    old, new = built
    for number in (1, 2):
        host.replica(number, old.pinned)
    port = free_port()
    host.run("proxy", images.proxy(), environment={"UPSTREAM": "web"}, ports={"80/tcp": port})
    await_text(f"http://127.0.0.1:{port}/", old.sha)
    # The proxy takes a server out after two failed checks of a second each.
    engine = DockerEngine(make_runtime(), project=host.mark, monitor=3.0)
    before = engine.running(["web"], Deadline(10))["web"]
    with Load(f"http://127.0.0.1:{port}/") as load:
        assert roll_out(engine, "web", new) == ()
        now = engine.running(["web"], Deadline(10))["web"]
        assert (now.digest, now.ready, now.wanted, now.unfinished) == (new.digest, 2, 2, False)
        engine.revert(target(engine, "web", new), before, Deadline(90))
    assert not load.failures, load.failures
    now = engine.running(["web"], Deadline(10))["web"]
    assert (now.digest, now.wanted) == (old.digest, 2)
    assert set(host.images()) == {"web-1", "web-2", "proxy"}
    engine.close()


@pytest.mark.parametrize("beside", ["none", "network", "link"])
def test_what_would_be_lost_is_refused_before_anything_moves(host: Host, built: tuple[Built, Built], beside: str) -> None:
    old, new = built
    network = "bridge" if beside == "link" else host.mark
    first = host.run("api", old.pinned, network=network, auto_remove=beside == "none")
    if beside == "network":
        host.run("beside", old.pinned, network=f"container:{first.id}", command=["sleep", "600"])
    elif beside == "link":
        host.run("beside", old.pinned, network="bridge", links={host.name("api"): "api"})
    there = host.images()
    ended = Step("roll-out", inputs(host.name("api"), new)).end()
    assert (ended.code, ended.outputs["rolled-out"]) == (1, ""), ended.log
    expected = {"none": "--rm", "network": "shares its network namespace", "link": "is linked to it"}
    assert expected[beside] in ended.log
    assert host.images() == there
    first.reload()
    assert first.status == "running"


def test_a_container_that_somebody_replaces_meanwhile_is_left(host: Host, images: Images, built: tuple[Built, Built]) -> None:
    old, new = built
    newer = images.app()
    host.run("api", old.pinned)
    step = Step("roll-out", inputs(host.name("api"), new, monitor="5s"))
    step.await_log("a new container started beside the old one")
    host.get("api").remove(force=True)
    host.run("api", newer.pinned)
    ended = step.end()
    assert (ended.code, ended.outputs["verdict"]) == (3, "inconclusive"), ended.log
    assert "was changed by something else" in ended.outputs["reason"]
    assert [finding["rule"] for finding in ended.findings] == ["roll-out/changed-by-something-else"], ended.log
    assert host.images() == {"api": newer.pinned}


def test_two_roll_outs_at_once_come_one_after_the_other(host: Host, images: Images, built: tuple[Built, Built]) -> None:
    old, first = built
    second = images.app()
    service = host.name("api")
    host.run("api", old.pinned)
    steps = [Step("roll-out", inputs(service, release)) for release in (first, second)]
    ended = [step.end() for step in steps]
    assert 0 in {each.code for each in ended}
    assert all(each.code == 0 or each.outputs["verdict"] == "inconclusive" for each in ended), [each.log for each in ended]
    now = host.images()
    assert set(now) == {"api", "api.before"}
    assert now["api"] in {release.pinned for release, each in zip((first, second), ended, strict=True) if each.code == 0}
    assert host.get("api").status == "running"


def test_roll_out_waits_for_another_run_and_ends_one_that_is_gone(
    host: Host, built: tuple[Built, Built], make_runtime: Callable[..., Runtime], log: io.StringIO
) -> None:
    old, new = built
    service = host.name("api")
    host.run("api", old.pinned)
    engine = DockerEngine(make_runtime(), monitor=0.1)
    before = engine.running([service], Deadline(30))[service]
    with engine._containers.held(service, host.get("api").attrs):
        assert not engine.running([service], Deadline(30))[service].settled
        for call in (engine.roll_out, engine.revert):
            with pytest.raises(ChangedMeanwhile, match="Another run works on"):
                call(target(engine, service, new), before, Deadline(30))
        assert host.images() == {"api": old.pinned, "api.rolling": host.get("api").attrs["Image"]}
    host.client.containers.create(old.pinned, name=f"{service}.rolling", labels={left_behind.UNTIL: "1"})
    assert engine.running([service], Deadline(30))[service].settled, "the time of its run is up"
    roll_out(engine, service, new)
    assert set(host.images()) == {"api", "api.before"}
    with pytest.raises(ChangedMeanwhile, match="its containers are not those that ran before"):
        engine.roll_out(target(engine, service, old), before, Deadline(30))
    engine.close()


def test_roll_out_of_a_container_that_has_ended_starts_the_new_one(
    host: Host, images: Images, built: tuple[Built, Built], engine: DockerEngine
) -> None:
    crashed, service = images.app(CRASH="1"), host.name("api")
    host.run("api", crashed.pinned).wait()
    roll_out(engine, service, built[1])
    assert host.images() == {"api": built[1].pinned, "api.before": crashed.pinned}


def test_what_a_killed_run_left_is_ended_by_the_next(host: Host, built: tuple[Built, Built], engine: DockerEngine) -> None:
    old, new = built
    service = host.name("api")
    host.run("api", old.pinned, restart_policy={"Name": "always"})
    step = Step("roll-out", inputs(service, new, monitor="60s"))
    step.await_log("a new container started beside the old one")
    step._process.kill()
    step.end()
    now = engine.running([service], Deadline(10))[service]
    assert (now.digest, now.unfinished) == (old.digest, True)
    ended = Step("roll-out", inputs(service, old)).end()
    assert ended.code == 0, ended.log
    assert "a killed run left 1 container(s)" in ended.log
    assert host.images() == {"api": old.pinned, "api.before": old.pinned}, "the run's own release does not hide it"


@pytest.mark.parametrize("renamed", [True, False])
def test_a_run_killed_after_it_stopped_the_old_container_is_finished(
    host: Host, built: tuple[Built, Built], engine: DockerEngine, renamed: bool
) -> None:
    old, new = built
    service = host.name("api")
    first = host.run("api", old.pinned)
    containers = engine._containers
    engine._api.deadline = Deadline(60)
    candidate = containers.candidate(first.attrs, target(engine, service, new))
    engine._api.client.start(candidate)
    containers.give_names(candidate, first.attrs)
    if renamed:
        containers.keep(first.attrs)
    else:
        containers.stop(first.attrs)
    now = engine.running([service], Deadline(10))[service]
    assert (now.digest, now.unfinished) == (new.digest, True), "what took over is what runs"
    roll_out(engine, service, old)
    assert host.images() == {"api": old.pinned, "api.before": new.pinned}
    assert engine.running([service], Deadline(10))[service].unfinished is False


@pytest.mark.parametrize(
    ("options", "said"),
    [({"tty": True}, "listening"), ({"log_config": {"type": "none"}}, "does not support reading")],
    ids=["terminal", "unreadable log"],
)
def test_roll_out_that_fails_says_so_whatever_its_log_is_like(
    host: Host, images: Images, built: tuple[Built, Built], engine: DockerEngine, options: dict[str, Any], said: str
) -> None:
    old, _ = built
    service = host.name("api")
    host.run("api", old.pinned, **options)
    with pytest.raises(RollOutFailed) as failed:
        roll_out(engine, service, images.app(HEALTH="bad"))
    assert failed.value.reverted is True
    assert said in failed.value.evidence.log
    assert host.images() == {"api": old.pinned}
