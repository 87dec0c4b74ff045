"""Reads shell scripts as simple commands with their lines: which programs run, where, and whether their failure counts.

It follows `sh -c`, `ssh host …`, here-documents, and wrappers such as `sudo`, `uv run` and `docker compose exec`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from cicd_actions.pipeline_audit import workspaces

LONGEST = 256 * 1024
"""Characters of one script that are read."""

DEEPEST = 4
"""Levels of commands within commands."""


WORKSPACE = "workspace"
"""Stands for the program that starts a command in a member of a workspace."""


@dataclass(unsafe_hash=True)
class Command:
    """One simple command: its words without quotes, and the line in the script, from 0.

    `tolerated` says that its failure does not fail the script (`|| true`), `remote` that another machine runs it, and
    `wrapper` which program starts it (`docker run`, `kubectl exec`).
    """

    words: tuple[str, ...]
    line: int = field(compare=False)
    tolerated: bool = False
    remote: bool = False
    after_failure: bool = False
    wrapper: str = ""

    text: str = field(init=False, compare=False)
    program: str = field(init=False, compare=False)
    """The name of the program without its folder."""

    def __post_init__(self) -> None:
        self.text = " ".join(self.words)
        self.program = self.words[0].rpartition("/")[2] if self.words else ""

    def option(self, *names: str) -> str | None:
        """Returns the value of an option (`--tag x`, `--tag=x`, `-t x`), or `""` for one without a value."""
        for index, word in enumerate(self.words):
            name, equals, value = word.partition("=")
            if name in names:
                following = self.words[index + 1] if index + 1 < len(self.words) else ""
                return value if equals else "" if following.startswith("-") else following
        return None

    def has(self, *words: str) -> bool:
        """Tells whether one of the words stands in it, also as `word=value` that is not `false`."""
        return any(
            word in words or ("=" in word and word.partition("=")[0] in words and not word.endswith("=false"))
            for word in self.words
        )


_TOKEN = re.compile(
    r"""
    (?P<continued>\\\r?\n)
    |(?P<space>[ \t\r]+)
    |(?P<newline>\n)
    |(?P<comment>(?:(?<=\s)|^)\#[^\n]*)
    |(?P<heredoc><<-?\s*(?P<mark>\\?[A-Za-z_]\w*|'[^'\n]*'|"[^"\n]*"))
    |(?P<redirect>[0-9]*(?:>>|>\||>&|<<<|<&|&>|>|<))
    |(?P<operator>&&|\|\||;;|\|&|[;|&(){}](?![^\s;|&(){}]*\}\})|[;|&()])
    |(?P<word>(?:
        [^\s;|&()<>"'`\\$]+|\$\{\{.*?\}\}|\$\{[^}\n]*\}|\$\([^()\n]*\)|'[^']*'|"(?:\\.|[^"\\])*"|`[^`]*`|\\.|[$"'`]
    )+)[ \t]*
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_PLAIN_LINE = re.compile(r"""([^'"`\\(){}<>|&;\#\n]*)(?:\n|\Z)""")
"""A line without anything that a shell would take apart but its words. Most lines are such."""
_QUOTED = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=", re.ASCII)
_KEYWORDS = frozenset("if then elif else fi while until do done ! time { } function in esac".split())
_FINE = frozenset({"true", ":", "echo", "printf"})


def commands(script: str) -> list[Command]:
    """Returns the commands of a script, those within other commands included, in the order of the text."""
    return list(_commands(script[:LONGEST]))


_TEXT = re.compile(r"""^[ \t]*(?:export )?([A-Za-z_]\w*)=(["'])""", re.MULTILINE)
_TEXT_ENDS = {'"': re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL), "'": re.compile(r"[^']*")}


def _texts(script: str) -> Iterator[tuple[str, str]]:
    """Yields the scripts that variables hold, by name, for a command that starts one: `ssh host "$SCRIPT"`."""
    for found in _TEXT.finditer(script):
        match = _TEXT_ENDS[found[2]].match(script, found.end())
        if match and "\n" in match[0]:
            yield found[1], match[0].replace('\\"', '"').replace("\\$", "$")


@lru_cache(maxsize=4096)
def _commands(script: str) -> tuple[Command, ...]:
    """The same scripts stand in many workflows: each is read once."""
    found: list[Command] = []
    texts = dict(_texts(script))
    for command, stdin in _simple(script):
        if command.program in _STARTERS or command.program.startswith("python"):
            last = texts.get(command.words[-1].strip("${}")) if texts and command.words[-1].startswith("$") else None
            whole = replace(command, words=(*command.words[:-1], last)) if last else command
            found += _unfolded(whole, stdin, 0)
        else:
            found.append(command)
    return tuple(found)


def _simple(script: str) -> Iterator[tuple[Command, str]]:
    """The simple commands, each with the text of its here-document."""
    return iter(_Splitter(script).split())


class _Splitter:
    """Goes through a script once, token by token."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._ready: list[tuple[Command, str]] = []
        self._words: list[str] = []
        self._inner: list[Command] = []
        self._marks: list[str] = []
        self._bodies: list[str] = []
        self._line = 0
        self._first = 0
        self._operator = ""
        self._skip = False

    def split(self) -> list[tuple[Command, str]]:
        at = 0
        while at < len(self._script):
            plain = _PLAIN_LINE.match(self._script, at) if not self._words and not self._skip and not self._marks else None
            if plain is not None:
                self._first = self._line
                self._words = plain[1].split()
                self._end("")
                self._line += 1
                at = plain.end()
                continue
            match = _TOKEN.match(self._script, at)
            if match is None:
                at += 1
                continue
            at = match.end()
            kind = match.lastgroup
            if kind == "word":
                self._word(match["word"])
            elif kind in {"mark", "heredoc"}:
                self._marks.append((match["mark"] or "").strip("'\"\\"))
            elif kind == "redirect":
                self._skip = True
            elif kind == "newline":
                at = self._past_bodies(at)
                self._end("")
                self._bodies = []
            elif kind == "operator":
                self._end(match[0])
            self._line += match[0].count("\n")
        self._end("")
        return self._ready

    def _word(self, text: str) -> None:
        if not self._words:
            self._first = self._line
        if self._skip:
            self._skip = False
            return
        self._words.append(_unquoted(text))
        if "$(" in text or "`" in text:
            self._inner += [Command(one.words, self._line + one.line) for one in _substituted(text)]

    def _past_bodies(self, at: int) -> int:
        """Takes the here-documents that begin in the next line; returns where they end."""
        for mark in self._marks:
            end = re.compile(rf"^[ \t]*{re.escape(mark)}[ \t]*\r?$", re.MULTILINE).search(self._script, at)
            stop = end.start() if end else len(self._script)
            self._bodies.append("\n" * (self._line + 1) + self._script[at:stop])
            self._line += self._script.count("\n", at, end.end() if end else stop)
            at = end.end() if end else stop
        self._marks = []
        return at

    def _end(self, operator: str) -> None:
        """Ends a command; `operator` is what follows it."""
        kept = _without_keywords(self._words)
        self._words = []
        self._ready += [(one, "") for one in self._inner]
        self._inner = []
        if kept:
            failed = self._operator == "||"
            if failed and self._ready and kept[0] in _FINE:
                last, body = self._ready[-1]
                self._ready[-1] = (replace(last, tolerated=True), body)
            self._ready.append((Command(tuple(kept), self._first, after_failure=failed), "\n".join(self._bodies)))
        self._operator = operator
        self._skip = False


_SUBSTITUTION = re.compile(r"\$\(((?:[^()]|\([^()]*\))*)\)|(?<!\\)`([^`]*)`")


def _substituted(word: str) -> Iterator[Command]:
    """The commands whose output becomes a part of the word."""
    for match in _SUBSTITUTION.finditer(word):
        inner = match[1] or match[2] or ""
        if len(inner) < len(word):
            for command, _ in _simple(inner):
                yield replace(command, line=word.count("\n", 0, match.start()) + command.line)


def _without_keywords(words: list[str]) -> list[str]:
    start = 0
    while start < len(words) and (words[start] in _KEYWORDS or _ASSIGNMENT.match(words[start])):
        start += 1
    if start < len(words) and words[start] in {"for", "case", "select"}:
        return []
    return words[start:]


def _unquoted(word: str) -> str:
    if "'" not in word and '"' not in word and "\\" not in word:
        return word
    if word.startswith("${{") and word.endswith("}}") and word.count("${{") == 1:
        return word
    return _QUOTED.sub(lambda match: match[1] if match[1] is not None else match[2] or match[3] or "", word)


_PREFIXES = {
    "sudo": 0,
    "env": 0,
    "exec": 0,
    "command": 0,
    "nohup": 0,
    "time": 0,
    "nice": 0,
    "eval": 0,
    "xargs": 0,
    "retry": 0,
    "timeout": 1,
    "dotenv": 0,
    "gosu": 1,
    "su-exec": 1,
    "tini": 0,
    "dumb-init": 0,
    "doppler": 1,
    "infisical": 1,
}
"""Programs that start the command after them, with the number of words that they take themselves."""

_RUNNERS = re.compile(
    r"(uv|poetry|pipenv|pdm|hatch|rye|conda|mamba|devbox) run |(npx|bunx|pnpx) |(pnpm|yarn|npm|bun) (exec|dlx|x) |bun |"
    r"bundle exec |python[0-9.]* -m |mise (exec|x) |(nix|devenv) .*? -- |op run "
)
_TAKES_VALUE = frozenset({"-u", "-g", "-h", "-C", "-D", "-s", "-k", "-n", "-I", "-E", "-p", "-i", "-o", "-l", "-J", "-F"})


_STARTERS = _PREFIXES.keys() | frozenset(
    "uv poetry pipenv pdm hatch rye conda mamba devbox npx bunx pnpx pnpm yarn npm bun bundle mise nix devenv op"
    " ssh sshpass autossh bash sh zsh dash ash docker podman docker-compose nerdctl kubectl az aws fly flyctl kamal heroku"
    " cf railway".split()
)
"""Programs that can start another command; nearly all others cannot."""


def _unfolded(command: Command, stdin: str, depth: int) -> Iterator[Command]:
    """The command itself, and those that it starts."""
    yield command
    if depth >= DEEPEST:
        return
    for inner in _inner(command, stdin):
        yield from _unfolded(inner, "", depth + 1)


def _inner(command: Command, stdin: str) -> Iterator[Command]:
    words, program = command.words, command.program
    if program in _PREFIXES:
        rest = [word for word in words[1:] if not _ASSIGNMENT.match(word)]
        rest = _past_options(rest)[_PREFIXES[program] :]
        rest = rest[1:] if rest[:1] == ["--"] else rest
        yield from _again(command, rest)
        return
    member = workspaces.member(words).words if program in workspaces.MANAGERS else words
    if member != words[: len(member)]:
        yield from _again(command, list(member), wrapper=WORKSPACE)
        return
    yield from _again(command, list(workspaces.program(words)))
    runner = _RUNNERS.match(command.text + " ")
    if runner:
        yield from _again(command, _past_options(list(words[command.text.count(" ", 0, runner.end()) :])))
    elif program in {"ssh", "sshpass", "autossh"}:
        rest = _past_options(list(words[1:]))
        script = " ".join(rest[1:]) if program != "sshpass" else " ".join(rest)
        remote = program != "sshpass"
        yield from _script(script or stdin, command, remote=remote, own_lines=not script and bool(stdin))
    elif program in {"bash", "sh", "zsh", "dash", "ash"}:
        at = next((index for index, word in enumerate(words) if re.fullmatch(r"-[a-z]*c", word)), None)
        script = words[at + 1] if at is not None and at + 1 < len(words) else ""
        yield from _script(script or stdin, command, own_lines=not script and bool(stdin))
    elif program in {"docker", "podman", "docker-compose", "nerdctl"}:
        yield from _contained(command)
    elif program == "kubectl" and "exec" in words and "--" in words:
        yield from _again(command, list(words[words.index("--") + 1 :]), wrapper="kubectl exec")
    elif program == "az" and "run-command" in words:
        yield from _script(command.option("--scripts") or "", command, remote=True)
    elif program == "aws" and "send-command" in words:
        yield from _script(_ssm(command.option("--parameters") or ""), command, remote=True)
    elif (program in {"fly", "flyctl"} and "console" in words) or (program == "cf" and "run-task" in words):
        yield from _script(command.option("-C", "-c", "--command") or "", command, remote=True)
    elif (program == "kamal" and "exec" in words) or (program in {"heroku", "railway"} and "run" in words):
        # The last word is the command in quotes; without quotes, the words after the options are.
        at = words.index("exec" if program == "kamal" else "run") + 1
        script = words[-1] if " " in words[-1] else " ".join(_past_options(list(words[at:])))
        yield from _script(script, command, remote=True)


def _ssm(parameters: str) -> str:
    """The commands that AWS Systems Manager is given: `commands=["a","b"]`, or JSON."""
    found = re.findall(r'"((?:\\.|[^"\\])*)"', parameters.partition("[")[2])
    return "\n".join(found) or parameters.partition("=")[2]


def _again(command: Command, words: list[str], wrapper: str = "") -> Iterator[Command]:
    if words and words[0]:
        yield replace(command, words=tuple(words), wrapper=wrapper or command.wrapper)


def _script(script: str, command: Command, *, remote: bool = False, own_lines: bool = False) -> Iterator[Command]:
    for inner, _ in _simple(script):
        yield replace(
            inner,
            line=inner.line if own_lines else command.line + inner.line,
            tolerated=inner.tolerated or command.tolerated,
            after_failure=inner.after_failure or command.after_failure,
            remote=remote or command.remote,
            wrapper=command.wrapper,
        )


_CONTAINED = re.compile(r"(?:docker|podman|nerdctl|docker-compose)(?: compose)? .*?\b(run|exec)\b")


def _contained(command: Command) -> Iterator[Command]:
    """What `docker run IMAGE …` or `docker compose exec SERVICE …` starts."""
    if not _CONTAINED.match(command.text):
        return
    at = next((index for index, word in enumerate(command.words) if word in {"run", "exec"}), None)
    if at is None:
        return
    rest = list(command.words[at + 1 :])
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        flag = "=" in option or option in {
            "--rm",
            "-d",
            "-t",
            "-i",
            "-it",
            "-T",
            "--no-deps",
            "--detach",
            "--init",
            "--build",
            "-ti",
        }
        if not flag and rest and not option.startswith("--no-"):
            rest.pop(0)
    yield from _again(command, rest[1:], wrapper=f"{command.program} {command.words[at]}")


def _past_options(words: list[str]) -> list[str]:
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        option = rest.pop(0)
        if option in _TAKES_VALUE and rest:
            rest.pop(0)
    return rest
