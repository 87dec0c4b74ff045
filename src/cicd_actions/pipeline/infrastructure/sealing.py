"""Keeps a plan between two jobs.

A plan holds secrets in clear, and everybody who can read the repository can read its artifacts. So it is encrypted, and
authenticated together with what it is for: a plan of another run, commit or environment, or one that another job of the run
left in its place, is refused. The key comes from RECORD_KEY, which only jobs of the environment have.
"""

from __future__ import annotations

import hashlib
import hmac
import shlex
import subprocess
from dataclasses import dataclass, field

from cicd_actions.toolkit.errors import Failed, UnusableInput

_MARK = b"cicd-actions sealed plan 1\n"
_TAG = hashlib.sha256().digest_size
_SECONDS = 60
SHORTEST_KEY = 16
"""Characters: 128 bits, where they are random."""


@dataclass(frozen=True)
class Seal:
    """The key, and what a plan is for: its environment, commit and run."""

    key: bytes = field(repr=False)
    purpose: str

    def close(self, content: bytes) -> bytes:
        """Returns the content encrypted and authenticated. Raises `UnusableInput` where there is no `openssl`."""
        encrypted = self._openssl(content)
        return _MARK + self._tag(encrypted) + encrypted

    def open(self, sealed: bytes) -> bytes:
        """Returns the content. Raises `Failed` for one that this key did not seal for this purpose."""
        tag, encrypted = sealed[len(_MARK) : len(_MARK) + _TAG], sealed[len(_MARK) + _TAG :]
        if not sealed.startswith(_MARK) or not hmac.compare_digest(tag, self._tag(encrypted)):
            raise Failed(
                "Refused to apply: the saved plan is not the one that this run made for this environment and commit.",
                cause="It was changed after it was saved, or RECORD_KEY was.",
                fix="Run all jobs again: that makes a new plan.",
            )
        return self._openssl(encrypted, "-d")

    def _tag(self, encrypted: bytes) -> bytes:
        return hmac.new(self._derived("authentication"), self.purpose.encode() + b"\0" + encrypted, hashlib.sha256).digest()

    def _derived(self, use: str) -> bytes:
        return hmac.new(self.key, f"cicd-actions infrastructure plan: {use}".encode(), hashlib.sha256).digest()

    def _openssl(self, content: bytes, *options: str) -> bytes:
        # The standard library has no cipher. The key goes by the environment: other users can read a program's arguments.
        words = ["openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-salt", "-pass", "env:PLAN_KEY", *options]
        try:
            done = subprocess.run(
                words,
                input=content,
                capture_output=True,
                env={"PLAN_KEY": self._derived("encryption").hex()},
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnusableInput(
                f"Could not encrypt the plan: `openssl` could not be run: {getattr(error, 'strerror', None) or error}.",
                fix="Install openssl on the runner.",
            ) from None
        if done.returncode:
            raise UnusableInput(f"Could not encrypt the plan: `openssl enc` ended with exit code {done.returncode}.")
        return done.stdout


def seal(key: str, environment: str, sha: str, run: str) -> Seal:
    """Returns the seal of a run's plan for an environment. Raises `UnusableInput` without a usable key."""
    if len(key) < SHORTEST_KEY:
        state = "is too short" if key else "is not set"
        raise UnusableInput(
            f"Could not keep the plan of {environment}: the secret RECORD_KEY {state}.",
            cause="A plan holds secrets in clear, and everybody who can read the repository can read its artifacts.",
            fix="Make a key, and set it in each environment of the pipeline:\n\n    openssl rand -hex 32 > key\n"
            f"    gh secret set RECORD_KEY --env {shlex.quote(environment)} < key",
        )
    return Seal(key.encode(), f"{environment}\n{sha}\n{run}")
