"""Keeps the real AWS command line loaded, and runs one call in a fork of it: starting it costs most of a second.

`aws_server.py SOCKET` runs where awscli is installed. `client` writes the program `aws` that hands its calls over.
"""

# mypy: ignore-errors

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys
from pathlib import Path

_CLIENT = """#!{python} -IS
import array, json, os, socket, sys, time
end = time.monotonic() + 120
while not os.path.exists({address!r}):
    time.sleep(0.05)
    if time.monotonic() > end:
        sys.exit("the server of the tests' aws does not start")
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    server.sendmsg([len(call).to_bytes(4, "big")], files)
    server.sendall(call)
    sys.exit(server.recv(1)[0])
"""


def client(folder: Path, address: str) -> None:
    """Writes the program `aws` into a folder."""
    program = folder / "aws"
    program.write_text(_CLIENT.format(python=sys.executable, address=address))
    program.chmod(0o755)


def run(connection, clidriver):
    """Reads a call, and runs it in this process with the client's own streams."""
    size, files, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(12))
    for target, given in enumerate(array.array("i", files[0][2])):
        os.dup2(given, target)
    text = b""
    while len(text) < int.from_bytes(size, "big"):
        text += connection.recv(1 << 16)
    words, variables, folder = json.loads(text)
    data = os.environ["AWS_DATA_PATH"]  # set when it was loaded
    os.environ.clear()
    os.environ.update({**variables, "AWS_DATA_PATH": data})
    os.chdir(folder)
    code = clidriver.create_clidriver().main(words)
    sys.stdout.flush()
    return code


def serve(address):
    from awscli import clidriver  # noqa: PLC0415 - only the environment that runs it has it

    # What every call loads: the parsers, and the descriptions of the services.
    for service in ("ecs", "logs"):
        clidriver.create_clidriver().session.create_client(
            service, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.new")
        server.listen()
        Path(f"{address}.new").rename(address)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                try:
                    code = run(connection, clidriver)
                except SystemExit as error:
                    code = error.code or 0
                except Exception as error:  # noqa: BLE001 - the call fails, and the server stays
                    sys.stderr.write(f"{error!r}\n")
                    code = 255
                sys.stderr.flush()
                connection.send(bytes([code]))
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    serve(sys.argv[1])
