"""Holds our reading of expressions, and where secrets may stand, to GitHub's own packages from npm."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.workflows.expressions import CONTEXTS, FUNCTIONS, NotAnExpression, parse
from cicd_actions.workflows.inspection import secrets_allowed
from cicd_actions.workflows.syntax import Access, Call, Comparison, Context, Literal, Logical, Node, Not
from cicd_actions.workflows.templates import expressions
from rehearsal.evaluation import filled
from rehearsal.job import ROOT
from tests.harness.installing import fetched

pytestmark = [pytest.mark.network, pytest.mark.node]

_PACKAGES = ("@actions/expressions@0.3.61", "@actions/workflow-parser@0.3.61")

# Reads a list of texts; gives the shape of each tree, null where GitHub's parser refuses the text, and "unknown" where it
# does so because of a name or a number of arguments, which does not concern the grammar.
_PROGRAM = """
import {Lexer, Parser} from "@actions/expressions";
import {readFileSync} from "node:fs";
const [texts, contexts, functions] = JSON.parse(readFileSync(0, "utf8"));
const more = functions.map(name => ({name, minArgs: 0, maxArgs: 999, call: () => null}));
function shape(node) {
  const kind = node.constructor.name;
  if (kind === "Grouping") return shape(node.group);
  if (kind === "Literal") {
    const value = node.literal.value;
    return ["literal", typeof value === "number" ? String(value) : value === undefined ? null : value];
  }
  if (kind === "ContextAccess") return ["context", node.name.lexeme];
  if (kind === "FunctionCall") return ["call", node.functionName.lexeme, ...node.args.map(shape)];
  const index = () => node.index.constructor.name === "Star" ? "*" : shape(node.index);
  if (kind === "IndexAccess") return ["access", shape(node.expr), index()];
  if (kind === "Unary") return ["not", shape(node.expr)];
  if (kind === "Binary") return [node.operator.lexeme, shape(node.left), shape(node.right)];
  if (kind === "Logical") return [node.operator.lexeme, ...node.args.map(shape)];
  throw new Error(kind);
}
console.log(JSON.stringify(texts.map(text => {
  try {
    const tree = new Parser(new Lexer(text).lex().tokens, contexts, more).parse();
    return tree === undefined ? null : shape(tree);
  } catch (error) { return /Unrecognized|parameters/.test(error.message) ? "unknown" : null; }
})));
"""

# Reads a list of expressions, each with its contexts and the job's status; gives the text that each becomes.
_EVALUATION = """
import {Lexer, Parser, Evaluator, data} from "@actions/expressions";
import {readFileSync} from "node:fs";
const status = {now: ""};
const more = ["always", "cancelled", "failure", "success"].map(name => ({
  name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(name === "always" || name === status.now)}));
const known = new Map(more.map(each => [each.name, each]));
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(([text, contexts, now]) => {
  status.now = now;
  const found = JSON.parse(JSON.stringify(contexts), data.reviver);
  const tree = new Parser(new Lexer(text).lex().tokens, Object.keys(contexts), more).parse();
  return new Evaluator(tree, found, known).evaluate().coerceString();
})));
"""


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with GitHub's packages."""
    folder = tmp_path_factory.mktemp("parsers")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", *_PACKAGES]
    fetched(*command, cwd=folder)
    (folder / "shape.js").write_text(_PROGRAM)
    (folder / "evaluate.js").write_text(_EVALUATION)
    return folder


def _shape(node: Node) -> list[Any]:
    if isinstance(node, Literal):
        value: Any = node.value
        if isinstance(value, float):
            value = "NaN" if value != value else _as_javascript(value)  # noqa: PLR0124 - only NaN differs from itself
        return ["literal", value]
    if isinstance(node, Context):
        return ["context", node.name]
    if isinstance(node, Call):
        return ["call", node.name, *map(_shape, node.arguments)]
    if isinstance(node, Access):
        return ["access", _shape(node.of), "*" if node.key is None else _shape(node.key)]
    if isinstance(node, Not):
        return ["not", _shape(node.operand)]
    if isinstance(node, Comparison):
        return [node.operator, _shape(node.left), _shape(node.right)]
    assert isinstance(node, Logical)
    return [node.operator, *map(_shape, node.operands)]


def _as_javascript(value: float) -> str:
    if value in {float("inf"), float("-inf")}:
        return "Infinity" if value > 0 else "-Infinity"
    return str(int(value)) if value.is_integer() else repr(value)


_WORDS = """
a b secrets vars toJSON( f( ( ) [ ] , . .* [*] ! != == = < <= > >= && || & | * 'x' 'it''s' 1 -1.5 .5 0xff 0o7 1e3 true false
null NaN Infinity + - @ " ' a-b _c
"""


def _texts() -> list[str]:
    """Random rows of words and signs (most of them wrong), and random right ones, the same at every run."""
    chance = random.Random(20261121)  # noqa: S311 - the same at every run
    words = _WORDS.split()
    rows = ["".join(chance.choice(words) + chance.choice(["", " "]) for _ in range(chance.randint(1, 9))) for _ in range(4000)]

    def right(depth: int) -> str:
        if depth == 0 or chance.random() < 0.2:
            return chance.choice(["a", "b.c", "secrets.X", "'x'", "1.5", "true", "null", "a['b']", "a.*", "f()"])
        inner = [right(depth - 1) for _ in range(3)]
        forms = [
            "({0})",
            "!{0}",
            "{0} == {1}",
            "{0} < {1}",
            "{0} && {1}",
            "{0} || {1}",
            "f({0}, {1})",
            "a[{0}]",
            "({0}).b",
            "{0}||{1}||{2}",
        ]
        return chance.choice(forms).format(*inner)

    return rows + [right(4) for _ in range(2000)]


def _known_difference(text: str) -> bool:
    """Where the package differs from GitHub's runner, which is what counts: a comma before a closing bracket (the runner
    refuses it), and two doubled quotes in one text (the package undoes only the first)."""
    return ",)" in text.replace(" ", "") or text.count("''") > 1


def test_both_read_the_same(packages: Path) -> None:
    texts = [text for text in _texts() if not _known_difference(text)]
    # The packages know functions by name, ours reads any.
    told = json.dumps([texts, ["a", "b", "secrets", "vars", "a-b", "_c"], ["f"]])
    done = subprocess.run(
        ["node", "shape.js"], cwd=packages, input=told, capture_output=True, text=True, check=True, timeout=120
    )
    theirs = json.loads(done.stdout)
    different, read = [], 0
    for text, expected in zip(texts, theirs, strict=True):
        try:
            ours = _shape(parse(text))
        except NotAnExpression:
            ours = None
        if expected == "unknown":
            continue
        read += expected is not None
        if ours != expected:
            different.append((text, ours, expected))
    assert different == []
    assert read > 1500


def test_the_names_of_contexts_and_functions(packages: Path) -> None:
    folder = packages / "node_modules" / "@actions" / "workflow-parser" / "dist"
    contexts: set[str] = set()
    functions: set[str] = set()
    for name in ("workflow-v1.0.min.json", "action-v1.0.min.json"):
        for definition in json.loads((folder / name).read_text())["definitions"].values():
            for word in definition.get("context", []):
                (functions if "(" in word else contexts).add(word.partition("(")[0].lower())
    assert contexts <= CONTEXTS
    assert functions <= FUNCTIONS


def test_where_secrets_may_stand(packages: Path) -> None:
    schema = json.loads((packages / "node_modules/@actions/workflow-parser/dist/workflow-v1.0.min.json").read_text())[
        "definitions"
    ]
    allowed = dict(_places(schema, "workflow-root-strict", (), frozenset(), 0))
    wrong = {path: expected for path, expected in allowed.items() if path and secrets_allowed(path) != expected}
    assert wrong == {}
    assert sum(allowed.values()) > 15
    assert len(allowed) > 40


def _places(schema: dict[str, Any], kind: str, path: tuple[str, ...], contexts: frozenset[str], depth: int) -> Any:
    """Every place of a workflow that holds text, with whether `secrets` is among its contexts (they are inherited)."""
    definition = schema.get(kind)
    if definition is None or depth > 14:
        return
    contexts = frozenset(definition["context"]) if "context" in definition else contexts
    if "one-of" in definition:
        for other in definition["one-of"]:
            yield from _places(schema, other, path, contexts, depth + 1)
    elif "mapping" in definition:
        for name, value in definition["mapping"].get("properties", {}).items():
            yield from _places(schema, value if isinstance(value, str) else value["type"], (*path, name), contexts, depth + 1)
        if "loose-value-type" in definition["mapping"]:
            yield from _places(schema, definition["mapping"]["loose-value-type"], (*path, "x"), contexts, depth + 1)
    elif "sequence" in definition:
        yield from _places(schema, definition["sequence"]["item-type"], (*path, "0"), contexts, depth + 1)
    elif path and path[0] != "on" and contexts:
        yield path, "secrets" in contexts


_OUTPUTS = ("", "pass", "fail", "true", "it's {0}", '[{"name": "é\\n"}]')


def _contexts(chance: random.Random) -> dict[str, Any]:
    """Contexts of a deploy's job, with outputs as they come."""
    settings = {
        **{
            name: chance.choice(_OUTPUTS)
            for name in ("approval-environment", "migrate-command", "after-migrate", "name", "app")
        },
        "smoke": [chance.choice(["", "true"])],
        "timeout-minutes": 45,
        "approval": None,
    }
    ids = (
        "release",
        "proof",
        "start",
        "migrate",
        "after-migrate",
        "roll-out",
        "gate",
        "smoke",
        "roll-back",
        "approved",
        "finish",
    )
    names = ("verdict", "reason", "stage", "stage-notes", "rolled-back", "to-sha", "services", "applied", "ended")
    steps = {
        each: {
            "outputs": {name: chance.choice(_OUTPUTS) for name in names if chance.random() < 0.7},
            "outcome": chance.choice(["success", "failure", "skipped", "cancelled"]),
        }
        for each in ids
        if chance.random() < 0.8
    }
    return {
        "inputs": {"settings": json.dumps(settings), "digests": "{}", "notify": chance.random() < 0.5},
        "steps": steps,
        "needs": {name: {"result": "skipped", "outputs": {}} for name in ("approve", "infrastructure")},
        "runner": {"temp": "/tmp"},  # noqa: S108 - a text
        "job": {"status": chance.choice(["success", "failure", "cancelled"])},
        "github": {"sha": "a" * 40, "token": "t"},
        "secrets": {"NOTIFY_URLS": chance.choice(_OUTPUTS)},
        "vars": {},
        "jobs": {"deploy": {"outputs": {"verdict": chance.choice(_OUTPUTS)}}},
    }


def test_rehearsal_evaluates_the_deploys_expressions_as_github_does(packages: Path) -> None:
    chance = random.Random(20261128)  # noqa: S311 - the same at every run
    text = (ROOT / ".github/workflows/deploy.yml").read_text("utf-8")
    sources = {found.source for found in expressions(text)} | {
        *(
            "'A' == 'a' && null == 0",
            "'x' == 0",
            "'' == 0",
            "true == '1'",
            "1.5 == '1.5'",
            "fromJSON('[1]') == fromJSON('[1]')",
        ),
        *(
            "format('{0}{{1}}{1}', 'a', 2)",
            "join(fromJSON('[1,2]'), '-')",
            "contains(fromJSON('[\"a\"]'), 'A')",
            "toJSON(null)",
        ),
        *('toJSON(fromJSON(\'{"a": [1, "x", null, 2.5], "b": {}, "c": []}\'))', "inputs.none.of.this || 'z'", "!'' && !0"),
    }
    cases = [(each, _contexts(chance), chance.choice(["success", "failure", "cancelled"])) for each in sorted(sources) * 8]
    command = ["node", "evaluate.js"]
    ran = subprocess.run(
        command, cwd=packages, input=json.dumps(cases), capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    ours = [filled(f"${{{{{source}}}}}", contexts, status) for source, contexts, status in cases]
    assert ours == json.loads(ran.stdout)
