"""Reads secrets from environment variables that inputs name or refer to, and redacts them from then on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from cicd_actions.toolkit import dotenv
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.redaction import Redactor

_REFERENCE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


_DATABASE = r"(?i)(?:postgres|mysql|mariadb|mssql|oracle|mongodb|redis|cockroach)[a-z0-9+_]{0,30}://[^/\s:@]*:[^\s@]+@"

_OWN = {"INPUTS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"}


class Environment(Mapping[str, str]):
    """The variables of the step; what is fetched with `secret`, `expand` or `add_file` is masked from then on."""

    def __init__(self, variables: Mapping[str, str], redactor: Redactor) -> None:
        self._variables = dict(variables)
        self._redactor = redactor
        self._fetched: set[str] = set()
        self._withheld: set[str] = set()

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def mask(self, value: str) -> None:
        """Redacts a value that came another way, such as the password in a URL."""
        self._redactor.add(value)

    def withhold(self, name: str) -> None:
        """Keeps a variable from the programs that the action starts: none of them needs it."""
        self._withheld.add(name)

    def for_programs(self, *, secrets: bool = True) -> dict[str, str]:
        """Returns the variables for a program that the action starts: without what was given to the action alone.

        INPUTS may hold a token, and what is written to the command files speaks for the action. Empty ones are left out: a
        secret that is not set arrives as an empty string, which a program would take for a value, and a workflow has no
        other way to say "none". Without `secrets` (for a program that only answers a question) the variables that inputs
        name as secrets are left out too, and databases' addresses with a password.
        """
        return {
            name: value
            for name, value in self._variables.items()
            if value
            and name not in _OWN | self._withheld
            and (secrets or not (name in self._fetched or database_password(value)))
        }

    def secret(self, name: str, *, input: str) -> str:
        """Returns the value of the variable that the input `input` names. Raises `UnusableInput` when it is not set."""
        value = self._variables.get(name, "")
        if not value:
            state = "is empty" if name in self._variables else "is not set"
            raise UnusableInput(
                f"The input `{input}` refers to the environment variable {name}, which {state}.",
                cause="A secret that does not exist, or that is not visible here (a pull request from a fork, a job without"
                " its `environment:`), is an empty string for GitHub Actions.",
                fix=f"Hand it to the step:\n\n    env:\n      {name}: ${{{{ secrets.{name} }}}}",
            )
        self._redactor.add(value)
        self._fetched.add(name)
        return value

    def expand(self, text: str, *, input: str, form: Callable[[str], str] = str) -> str:
        """Returns `text` with `$NAME` and `${NAME}` replaced by the variable's value in a form; `$$` is a dollar sign.

        Raises `UnusableInput` when a variable is not set.
        """

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            return form(self.secret(name, input=input)) if name else "$"

        return _REFERENCE.sub(value, text)

    def file(self, name: str, *, input: str) -> dict[str, str]:
        """Returns the variables of the dotenv file that the variable `name` holds. Raises `UnusableInput`."""
        text = self.secret(name, input=input)

        try:
            found = dotenv.parse(text)
        except dotenv.NotDotenv as error:
            raise UnusableInput(
                f"The variable {name}, which the input `{input}` names, does not hold a dotenv file: {error}.",
                fix="One NAME=value a line; values with spaces, quotes or several lines in double quotes.",
            ) from None
        for value in found.values():
            self._redactor.add(value)
        return found


def database_password(value: str) -> bool:
    """Tells whether a value is a database's address with a password in it."""
    return re.match(_DATABASE, value) is not None
