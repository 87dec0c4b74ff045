"""From inputs to targets: keys, defaults, mistakes."""

from __future__ import annotations

import io
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_actions.health_gate import reading
from cicd_actions.health_gate.inputs import OF_TARGETS, Inputs
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.inputs import declarations, load
from cicd_actions.toolkit.manual import cell
from cicd_actions.toolkit.redaction import SHORTEST, Redactor
from cicd_actions.toolkit.runtime import Runtime


def targets(folder: Path = Path(), variables: dict[str, str] | None = None, **inputs: str) -> list[Target]:
    runtime = Runtime(variables or {}, io.StringIO())
    values = {name.replace("_", "-"): text for name, text in inputs.items()}
    return reading.targets(load(Inputs, values, runtime.redactor), runtime.environment, folder)


def written(error: UnusableInput) -> dict[str, str]:
    """Returns the inputs that the error's YAML sets."""
    root = yaml12.read(textwrap.dedent(error.fix.partition("\n\n")[2])).root
    assert isinstance(root, yaml12.Mapping)
    under = root.get("with")
    assert isinstance(under, yaml12.Mapping)
    return {key.text: value.text for key, value in under.merged() if isinstance(value, yaml12.Scalar)}


def test_urls_are_lines_with_or_without_names() -> None:
    found = targets(url="https://a.example/ready?x=1\nweb=http://b.example:8080\n\n  admin ui = http://c.example/")
    assert [each.name for each in found] == ["a.example/ready", "web", "admin ui"]
    assert [each.place for each in found] == ["https://a.example/ready?x=1", "http://b.example:8080/", "http://c.example/"]


def test_equal_urls_get_names_of_their_own() -> None:
    assert [each.name for each in targets(url="http://a/\nhttp://a/")] == ["a", "a (2)"]


def test_keys_of_a_target_win_over_the_inputs() -> None:
    text = """
    - name: api
      url: http://a/
      expect-status: [200, 204]
      expect-json:
        - $.a == 1
        - $.b == 2
      headers: {X-A: 1}
      expect-header:
        Content-Type: text/plain
      stable-for: 1s
      critical: false
    - http://b/
    """
    api, other = targets(targets=text, stable_for="10s", headers="X-B: 2", expect_status="2xx")
    assert api.rules.stable_for == 1
    assert other.rules.stable_for == 10
    assert api.request is not None
    assert api.request.headers == (("X-A", "1"),)
    assert other.request is not None
    assert other.request.headers == (("X-B", "2"),)
    assert 204 in api.expectations.status  # type: ignore[operator]
    assert 206 in other.expectations.status  # type: ignore[operator]
    assert [rule.path for rule in api.expectations.json_rules] == ["$.a", "$.b"]
    assert api.expectations.header_rules[0].operator == "=="
    assert not api.critical


def test_targets_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "gate.yml").write_text("- url: http://a/\n")
    assert [each.name for each in targets(tmp_path, targets="gate.yml")] == ["a"]


def test_a_version_is_read_from_json_when_nothing_else_is_said() -> None:
    assert targets(url="http://a/", expect_version="1")[0].expectations.version_from is not None
    assert targets(url="http://a/")[0].expectations.version_from is None


def test_a_metric_of_a_target_follows_that_target_and_one_of_the_inputs_all_of_them() -> None:
    text = "- {name: a, url: 'http://a/', metric-url: 'http://m/', metric-max: 1}\n- {name: b, url: 'http://b/'}"
    found = targets(targets=text, metric_url="http://prom/", metric_query="up", metric_max="0.5", headers="X-A: b")
    assert [(each.name, each.after) for each in found] == [
        ("a", ()), ("b", ()), ("a metric", ("a",)), ("metric", ("a", "b")),
    ]  # fmt: skip
    metric = found[3].request
    assert metric is not None
    assert str(metric.url) == "http://prom/api/v1/query?query=up"
    assert metric.headers == ()


def test_a_metric_on_its_own_gets_its_own_headers() -> None:
    text = "- url: http://a/\n- {name: errors, metric-url: 'http://m/', metric-max: 1, headers: {Authorization: 'Bearer $T'}}"
    found = targets(variables={"T": "secret-token"}, targets=text)
    assert found[1].after == ("a",)
    assert found[1].request is not None
    assert found[1].request.headers == (("Authorization", "Bearer secret-token"),)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "nothing to probe"),
        ({"url": "localhost:8080/health"}, "http://localhost:8080/health"),
        ({"url": "ftp://a/"}, "only http, https and tcp"),
        ({"url": "http:///x"}, "does not name a host"),
        ({"url": "http://a:99999/"}, "from 1 to 65535"),
        ({"url": "http://a b/"}, "white space"),
        ({"url": "http://a/", "timeout": "5s", "stable_for": "10s"}, "could never pass"),
        ({"url": "http://a/", "metric_url": "http://m/"}, "metric-max"),
        ({"url": "http://a/", "metric_max": "1"}, "metric-url"),
        ({"url": "http://a/", "headers": "X: $NOPE"}, "NOPE, which is not set"),
        ({"url": "http://a/", "headers": "no colon"}, "Name: value"),
        ({"url": "http://a/", "headers": "Host: x"}, "key `host`"),
        ({"url": "http://a/", "interval": "1ms"}, "too short"),
        ({"url": "http://a/", "interval": "1"}, "no unit"),
        ({"targets": "- {url: 'http://a/', expect-statuss: 200}"}, "Did you mean `expect-status`?"),
        ({"targets": "- {name: x}"}, "neither `url` nor `command`"),
        ({"targets": "- {url: 'http://a/', command: x}"}, "both"),
        ({"targets": "- {url: 'http://a/', url: 'http://b/'}"}, "Could not read"),
        ({"targets": "- {url: 'http://a/', headers: [[x]]}"}, "neither text nor a list"),
        ({"targets": "url: http://a/\nname: x"}, "does not hold a list"),
        ({"targets": "- {name: a, url: 'http://a/'}\n- {name: a, url: 'http://b/'}"}, "two targets"),
        ({"targets": "missing.yml"}, "Could not read"),
        ({"targets": "- {url: 'http://a/', connect-to: 'a'}"}, "host and a port"),
        ({"targets": "- {url: 'http://a/', client-key: k.pem}"}, "client-cert"),
        ({"targets": "- {url: 'http://a/', method: 'GET IT'}"}, "method"),
        ({"targets": "- {command: 'a && b'}"}, "shell"),
    ],
)
def test_a_mistake_is_explained_before_the_first_probe(inputs: dict[str, str], said: str) -> None:
    with pytest.raises(UnusableInput) as caught:
        targets(Path(), None, **inputs)
    assert said in str(caught.value)


def test_a_secret_cannot_become_a_second_header() -> None:
    with pytest.raises(UnusableInput, match="line's end"):
        targets(variables={"T": "a\r\nX-Evil: b"}, url="http://a/", headers="X: $T")


def test_a_password_in_a_url_is_masked_and_not_part_of_the_name() -> None:
    runtime = Runtime({}, io.StringIO())
    found = reading.targets(load(Inputs, {"url": "http://u:opensesame@a/"}, runtime.redactor), runtime.environment, Path())
    assert found[0].name == "a"
    assert found[0].place == "http://a/"
    assert runtime.redactor("opensesame") == "***"


@given(
    st.text("XYZ0189@:/?#%-", min_size=8, max_size=24), st.sampled_from(["$PW", "a=$PW", "b://u:$PW", "b://b/$PW", "b://$PW/"])
)
@example("X1@Y:2/Z#3%418", "b://u:$PW")
@example("00@00000", "$PW")
@example("https://XY:443/Z0189?X#Y", "$PW")
def test_url_with_a_variable_shows_no_part_of_it_however_it_is_cut(value: str, template: str) -> None:
    runtime = Runtime({"PW": value}, io.StringIO())
    try:
        inputs = load(Inputs, {"url": template.replace("b:", "http:")}, runtime.redactor)
        shown = [text for each in reading.targets(inputs, runtime.environment, Path()) for text in (each.name, each.place)]
    except UnusableInput as error:
        shown = [str(error)]
    seen = runtime.redactor("\n".join(shown)).lower()
    parts = (value[at : at + SHORTEST].lower() for at in range(len(value) - SHORTEST + 1))
    assert [part for part in parts if part in seen and not {*part} <= {*"htps:/"}] == []


@given(st.text(max_size=200))
def test_any_targets_are_read_or_explained(text: str) -> None:
    try:
        found = targets(targets=text, url="http://a/")
    except UnusableInput:
        return
    assert found


@pytest.mark.parametrize(
    ("url", "said", "example"),
    [
        ("grpc://a.example:50/x", "no gRPC", "tcp://a.example:50"),
        ("ws://a.example/chat", "no WebSocket", "http://a.example/chat"),
        ("wss://a.example/chat", "no WebSocket", "https://a.example/chat"),
        ("socks5://proxy:1080", "no SOCKS proxy", ""),
        ("redis://cache:6379/0", "only http, https and tcp", "tcp://cache:6379"),
        ("redis://cache", "only http, https and tcp", ""),
        ("tcp://db.example", "a host and a port", "tcp://db.example.com:5432"),
        ("http://a b/", "white space", ""),
        ("grpc://user:1/secret@a:1", "no gRPC", "tcp://db.example.com:5432"),
        ("postgres://app:secret@db:5432/app", "only http, https and tcp", "tcp://db.example.com:5432"),
        ("wss://user:secret@a.example/chat", "no WebSocket", ""),
        ("http://user:se#cret/secret@a.example/", "a variable", "https://user:$PASSWORD@example.com/health"),
    ],
)
def test_url_of_another_protocol_gets_advice_that_the_gate_accepts(url: str, said: str, example: str) -> None:
    with pytest.raises(UnusableInput, match=said) as caught:
        targets(Path(), None, url=url)
    assert "secret" not in str(caught.value)
    shown = caught.value.fix.rpartition("url: ")[2]
    if example:
        assert shown == example
    if shown:
        assert targets(Path(), {"PASSWORD": "x/#?@"}, url=shown)


def test_url_a_name_with_a_colon_gets_the_line_with_an_equals_sign() -> None:
    with pytest.raises(UnusableInput) as caught:
        load(Inputs, {"url": "api: http://a.example/"}, Redactor())
    assert "`api: http://a.example/`" in caught.value.what
    assert "api=http://a.example/" in caught.value.fix


def test_target_tcp_has_host_and_port_and_refuses_what_only_an_answer_tells() -> None:
    (made,) = targets(Path(), None, url="tcp://[::1]:5432")
    assert (made.name, made.tcp, made.place) == ("[::1]:5432", ("::1", 5432), "tcp://[::1]:5432")
    with pytest.raises(UnusableInput, match="only connects"):
        targets(Path(), None, url="tcp://db:5432", expect_version="abc")
    plain, db = targets(Path(), None, targets='- http://a/\n- {url: "tcp://db:1", expect-version: ""}', expect_version="abc")
    assert plain.expectations.version == "abc"
    assert db.tcp == ("db", 1)


@pytest.mark.parametrize(("key", "text"), [("expect-body", "ok"), ("expect-json", "$.a == 1"), ("expect-version", "abc")])
def test_tcp_target_below_an_expectation_gets_a_target_that_the_gate_accepts(key: str, text: str) -> None:
    inputs = {"url": "tcp://db:5432", key.replace("-", "_"): text}
    with pytest.raises(UnusableInput, match="only connects") as caught:
        targets(Path(), None, **inputs)
    (made,) = targets(Path(), None, **{**inputs, "url": "", **written(caught.value)})
    assert made.tcp == ("db", 5432)


def test_target_connect_to_takes_a_unix_socket() -> None:
    (made,) = targets(Path(), None, targets="- {url: 'http://app/', connect-to: 'unix:/run/app.sock'}")
    assert made.request is not None
    assert made.request.connect_to == ("/run/app.sock", 0)
    with pytest.raises(UnusableInput, match="absolute path"):
        targets(Path(), None, targets="- {url: 'http://app/', connect-to: 'unix:app.sock'}")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("unix:/run/app.sock", "/run/app.sock"), ("unix:///run/app.sock", "/run/app.sock"),
        ("http+unix://%2Frun%2Fapp.sock/health", "/run/app.sock"), ("http://unix:/run/app.sock:/health", "/run/app.sock"),
        ("unix:relative.sock", "/relative.sock"),
    ],
)  # fmt: skip
def test_url_of_a_unix_socket_gets_yaml_that_the_gate_accepts(url: str, path: str) -> None:
    with pytest.raises(UnusableInput, match="`connect-to`") as caught:
        targets(url=url)
    (shown,) = targets(Path(), None, **{key.replace("-", "_"): text for key, text in written(caught.value).items()})
    assert shown.request is not None
    assert shown.request.connect_to == (path, 0)


@pytest.mark.parametrize("blank", [" ", "\n", "\r\n \n"])
@pytest.mark.parametrize("name", ["expect-body", "expect-json", "expect-version"])
def test_expectation_of_blank_lines_only_is_refused_with_one_that_the_gate_accepts(name: str, blank: str) -> None:
    with pytest.raises(UnusableInput, match="only blank lines") as caught:
        targets(Path(), None, url="http://a/", **{name.replace("-", "_"): blank})
    text = written(caught.value)[name]
    assert targets(Path(), None, url="http://a/", **{name.replace("-", "_"): text})
    with pytest.raises(UnusableInput, match="only blank lines"):
        targets(targets=f"- url: http://a/\n  {name}: {json.dumps(blank)}")


def test_suggestion_for_an_input_stands_under_with_and_for_a_key_of_a_target_alone() -> None:
    with pytest.raises(UnusableInput) as caught:
        targets(url="a:8080/ready")
    assert written(caught.value) == {"url": "http://a:8080/ready"}
    with pytest.raises(UnusableInput, match="    url: http://a:8080/ready"):
        targets(targets="- url: a:8080/ready")


def test_target_expect_body_takes_a_list_whose_patterns_must_all_match() -> None:
    (made,) = targets(Path(), None, targets="- {url: 'http://a/', expect-body: ['ok', 'v[0-9]']}")
    assert [each.pattern for each in made.expectations.body] == ["ok", "v[0-9]"]


def test_replicas_that_the_deadline_cannot_meet_are_refused() -> None:
    with pytest.raises(UnusableInput, match="6905 connections, which need at least 138") as caught:
        targets(Path(), None, url="http://a/", replicas="1000", timeout="60s")
    assert caught.value.fix.endswith("timeout: 336s")
    assert targets(Path(), None, url="http://a/", replicas="10")[0].rules.replicas == 10


def test_keys_of_targets_alone_are_no_inputs() -> None:
    assert set(OF_TARGETS) & {name.replace("_", "-") for name in declarations(Inputs)} == {"url"}  # one URL, or a line for each


def test_every_key_of_a_target_stands_in_the_readme() -> None:
    readme = (Path(__file__).resolve().parents[3] / "actions" / "health-gate" / "README.md").read_text("utf-8")
    for name, each in OF_TARGETS.items():
        assert f"| `{name}` | {f'`{each.default}`' if each.default else ''} | {cell(each.help)} |" in readme


def test_targets_with_wrong_version_for_and_no_version_are_unusable() -> None:
    text = "- {url: 'http://a/', wrong-version-for: 5s}"
    with pytest.raises(UnusableInput, match="needs `expect-version`") as caught:
        targets(targets=text)
    assert targets(targets=written(caught.value)["targets"])
    assert targets(targets=text, expect_version="new")


@pytest.mark.parametrize(
    ("header", "secret", "plain"),
    [
        ("Authorization: Bearer abcdefgh12", "abcdefgh12", "Bearer"),
        ("proxy-authorization: Basic YWJjZGVmZ2g=", "YWJjZGVmZ2g=", "Basic"),
        ("Cookie: session=abcdefgh12; theme=dark", "abcdefgh12", "dark"),
        ("X-Api-Key: abcdefgh12", "abcdefgh12", "X-Api-Key"),
        ("X-Auth-Token: abcdefgh12", "abcdefgh12", "X-Auth-Token"),
        ("X-Client-Secret: abcdefgh12", "abcdefgh12", "X-Client-Secret"),
        ("X-Trace: nothing-secret", "***", "nothing-secret"),
        ("X-Api-Key: short", "***", "short"),
    ],
)
def test_targets_with_a_literal_secret_in_a_header_mask_it(header: str, secret: str, plain: str) -> None:
    runtime = Runtime({}, io.StringIO())
    reading.targets(load(Inputs, {"url": "http://a/", "headers": header}, runtime.redactor), runtime.environment, Path())
    said = runtime.redactor(f"it answered {header.rpartition(': ')[2].replace(secret, f'<{secret}>')} {secret} to {plain}")
    assert "abcdefgh" not in said
    assert said.endswith(plain)
