"""Masks what a program prints when that program outlives the action: a separate process reads it and writes the log."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, cast

from cicd_actions.toolkit.lines import Lines
from cicd_actions.toolkit.redaction import Redactor

_PROGRAM = """
import json, sys
sys.path[:0] = json.loads(sys.stdin.buffer.readline())
from cicd_actions.toolkit import masked_log
masked_log.main()
"""


def started(output: IO[bytes], redactor: Redactor, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts the process: what a program writes to its `stdin` is masked and goes to `output`. Raises `OSError`.

    The secrets go through the pipe as well: every user of the machine can read the arguments of a process.
    """
    words = [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL, env=dict(env), start_new_session=True
    )
    pipe = cast("IO[bytes]", process.stdin)
    for given in (sys.path, sorted(redactor.values)):
        pipe.write(json.dumps(given).encode() + b"\n")
    pipe.flush()
    return process


def main() -> None:
    """Writes standard input to standard output, masked and within the bounds of `Lines`, and reads it to its end.

    A program whose reader is gone is killed by its next word, so it reads on whatever happens to the log.
    """
    source = cast("io.BufferedReader", sys.stdin.buffer)
    redactor = Redactor()
    try:
        for secret in json.loads(source.readline()):
            redactor.add(secret)
        lines = Lines("stdout", lambda _stream, line: _write(redactor(line)), redactor)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while piece := source.read1(65536):
            lines.feed(decoder.decode(piece))
        lines.close()
    finally:
        while source.read1(65536):
            pass


def _write(line: str) -> None:
    with contextlib.suppress(OSError):  # the disk may be full
        os.write(sys.stdout.fileno(), f"{line}\n".encode("utf-8", "replace"))
