from __future__ import annotations

import pytest

from cicd_actions.toolkit.environment import Environment
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.redaction import Redactor

VARIABLES = {"TOKEN": "s3cr3t-token", "EMPTY": "", "RELEASE_ENV": 'DATABASE_URL="postgresql://u:p4ssw0rd@db/x"\nDEBUG=1\n'}


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


@pytest.fixture
def environment(redactor: Redactor) -> Environment:
    return Environment(VARIABLES, redactor)


def test_references_are_expanded_and_masked(environment: Environment, redactor: Redactor) -> None:
    assert redactor("s3cr3t-token") == "s3cr3t-token"
    assert environment.expand("Bearer $TOKEN ${TOKEN}x $$5 $ 5", input="headers") == "Bearer s3cr3t-token s3cr3t-tokenx $5 $ 5"
    assert redactor("s3cr3t-token") == "***"


def test_a_value_is_expanded_once(redactor: Redactor) -> None:
    assert Environment({"A": "$B-value", "B": "never"}, redactor).expand("$A", input="headers") == "$B-value"


@pytest.mark.parametrize(("name", "state"), [("MISSING", "is not set"), ("EMPTY", "is empty")])
def test_what_is_not_set_is_said_with_the_yaml(environment: Environment, name: str, state: str) -> None:
    with pytest.raises(UnusableInput, match=state) as caught:
        environment.expand(f"Bearer ${name}", input="headers")
    assert f"{name}: ${{{{ secrets.{name} }}}}" in str(caught.value)


def test_every_value_of_a_dotenv_variable_is_masked(environment: Environment, redactor: Redactor) -> None:
    assert environment.file("RELEASE_ENV", input="env-file-variable")["DEBUG"] == "1"
    assert redactor("at postgresql://u:p4ssw0rd@db/x 1") == "at *** 1"


def test_a_variable_that_is_no_dotenv_is_refused_without_its_text(environment: Environment) -> None:
    with pytest.raises(UnusableInput) as caught:
        environment.file("TOKEN", input="env-file-variable")
    assert "s3cr3t" not in str(caught.value)


def test_programs_get_neither_what_is_the_action_s_own_nor_secrets_that_are_not_set() -> None:
    given = {"INPUTS": '{"github-token": "x"}', "GITHUB_OUTPUT": "/o", "DATABASE_URL": "", "PATH": "/bin"}
    assert Environment(given, Redactor()).for_programs() == {"PATH": "/bin"}


def test_for_programs_without_secrets_leaves_out_what_inputs_named_and_databases() -> None:
    given = {
        "PATH": "/bin",
        "AWS_ACCESS_KEY_ID": "needed-to-ask",
        "RELEASE_ENV": "API_KEY=k9Qw7Zt4",
        "DATABASE_URL": "postgresql+asyncpg://app:hunter22@db/prod",
    }
    environment = Environment(given, Redactor())
    environment.file("RELEASE_ENV", input="env-file-variable")
    assert environment.for_programs(secrets=False) == {"PATH": "/bin", "AWS_ACCESS_KEY_ID": "needed-to-ask"}
    assert environment.for_programs() == given
