"""The in-image program's redaction: no spelling of a secret that this environment has comes through."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicd_actions.run_migrations_oneshot.in_image.redaction import MASK, Redaction, found_in

_passwords = st.text(st.characters(min_codepoint=33, max_codepoint=382, exclude_characters="/:\"'<>"), min_size=8, max_size=20)


@settings(max_examples=4 * settings().max_examples)
@given(_passwords, st.sampled_from(["DATABASE_URL", "OTHER"]), st.text("abc %'\"", max_size=5))
def test_password_of_a_url_is_hidden_in_every_spelling(password: str, name: str, around: str) -> None:
    url = f"postgresql+asyncpg://app:{quote(password, safe='')}@db.example:5432/shop"
    redaction = Redaction(found_in({name: url}, "DATABASE_URL", folder="/nowhere"))
    spelled = [
        *(password, quote(password, safe=""), quote_plus(password), quote(password, safe="").replace("%", "%%")),
        *(repr(password)[1:-1], json.dumps(password)[1:-1], base64.b64encode(password.encode()).decode()),
        url,
    ]
    for one in spelled:
        assert one not in redaction(around + one + around)


def test_url_that_nobody_named_is_hidden_too() -> None:
    assert Redaction()("at amqp://u:p4ss@mq/x and http://localhost:8000/users/a@b") == (
        f"at amqp://u:{MASK}@mq/x and http://localhost:8000/users/a@b"
    )


def test_pydantic_input_is_stripped() -> None:
    text = "  Field required [type=missing, input_value={'DATABASE_URL': 'postgre...@127.0.0.1/app'}, input_type=dict]"
    assert Redaction()(text) == "  Field required [type=missing]"


def test_secret_files_are_hidden(tmp_path: Path) -> None:
    (tmp_path / "db_password").write_text("from-a-mount\n")
    (tmp_path / "dotenv").write_text("export STRIPE='sk_live_1234'\nDEBUG=1\n")
    (tmp_path / "folder").mkdir()
    named = tmp_path / "folder/elsewhere"
    named.write_text("from-a-variable")
    redaction = Redaction(found_in({"TOKEN_FILE": str(named)}, "DATABASE_URL", folder=str(tmp_path)))

    assert redaction("from-a-mount sk_live_1234 from-a-variable DEBUG") == f"{MASK} {MASK} {MASK} DEBUG"


def test_variable_named_after_a_secret_is_hidden_and_short_values_are_not() -> None:
    redaction = Redaction(found_in({"STRIPE_SECRET": "sk_test_42", "TOKEN_TTL": "3600", "MODE": "production"}, "DATABASE_URL"))
    assert redaction("sk_test_42 3600 production") == f"{MASK} 3600 production"


_PRINTS = """
import os, subprocess, sys
from cicd_actions.run_migrations_oneshot.in_image.output import Output
from cicd_actions.run_migrations_oneshot.in_image.redaction import Redaction
output = Output("nonce", Redaction(["first-secret"]))
print("out first-secret", flush=True)
sys.stderr.write("err first-secret\\n")
subprocess.run(["sh", "-c", "echo child first-secret; printf begun-"], check=True)
output.hide("later-secret")
print("later-secret", flush=True)
os.write(1, b"x" * 200000 + b" first-secret")
output.drain(5)
os.write(output.real, b"\\nlast word\\n")
{end}
"""


@pytest.mark.parametrize("end", ["os._exit(7)", "print('first-secret', end='', flush=True); os.kill(os.getpid(), 9)"])
def test_output_of_a_process_and_its_children_is_filtered_to_its_last_word(end: str) -> None:
    words = [sys.executable, "-c", _PRINTS.replace("{end}", end)]
    root = str(Path(__file__).parents[3] / "src")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root})

    assert "secret" not in done.stdout + done.stderr
    lines = done.stdout.replace("x" * 1000, "").splitlines()
    assert lines[:4] == [f"out {MASK}", f"err {MASK}", f"child {MASK}", f"begun-{MASK}"]
    assert lines[4].lstrip("x") == f" {MASK}"
    assert lines[5] == "last word"
    assert done.returncode in {7, -9}


def test_secret_of_bytes_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "keystore").write_bytes(b"\xfe\xed\xfe\xed keystore \xff")
    redaction = Redaction(found_in({"APP_PASSWORD": "pass\udcffword"}, "DATABASE_URL", folder=str(tmp_path)))
    assert redaction("a pass\udcffword and pass%FFword") == f"a {MASK} and {MASK}"
    assert redaction(b"\xfe\xed\xfe\xed keystore \xff".decode("utf-8", "surrogateescape")) == MASK
