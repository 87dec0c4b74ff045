"""A Python whose libraries are imported already: each run of `python3 -c …` is a fork of one process that waits for it.

Most of a short run of Alembic is the import of SQLAlchemy. `WarmPython.folder` stands in front of PATH and has a `python3`
that hands its arguments, environment, folder and streams over, passes signals on, and ends as the fork ends. Every other use
of it starts the real interpreter.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ALEMBIC = (
    *("alembic.config", "alembic.runtime.environment", "alembic.ddl.postgresql", "alembic.autogenerate"),
    *("sqlalchemy.ext.asyncio", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.postgresql.psycopg2"),
    *("sqlalchemy.dialects.postgresql.asyncpg", "asyncpg", "psycopg", "psycopg2", "sqlalchemy.dialects.sqlite.pysqlite"),
)
"""What a run of Alembic imports: for `alembic_project.NEWEST`."""

_CLIENT = """#!{python} -IS
import array, json, os, signal, socket, sys
if sys.argv[1:2] != ["-c"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
at = socket.socket(socket.AF_UNIX)
at.connect({address!r})
# Held back until the fork exists: it takes them itself.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
body = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
at.sendmsg([len(body).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
at.sendall(body)
heard = at.makefile("r")
pid = int(heard.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT])
for stream in range(3):
    os.close(stream)  # or the reader of our output would wait for us
status = heard.readline()
code = os.waitstatus_to_exitcode(int(status or 9))
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""

_SERVER = """
import array, importlib, json, os, selectors, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind({address!r})
for name in {modules!r}:
    importlib.import_module(name)
modules = set(sys.modules)
server.listen(64)
print("ready", flush=True)

def asked(client):
    # The streams, and the arguments, environment and folder. Raises EOFError when the client was killed meanwhile.
    size, control, _, _ = client.recvmsg(8, 1024)
    if not control:
        raise EOFError
    streams, data = array.array("i", control[0][2]), b""
    while len(data) < int.from_bytes(size, "big"):
        piece = client.recv(int.from_bytes(size, "big") - len(data))
        if not piece:
            for stream in streams:
                os.close(stream)
            raise EOFError
        data += piece
    return streams, json.loads(data)

def fork_of(client, streams, words, environment, folder):
    for to, stream in enumerate(streams):
        os.dup2(stream, to)
    os.closerange(3, 256)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv, sys.orig_argv = ["-c", *words[2:]], [sys.executable, *words]
    sys.path[:0] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    exec(compile(words[1], "<string>", "exec"), main.__dict__)

sys.path[:] = [entry for entry in sys.path if entry != ""]
waiting = selectors.DefaultSelector()
waiting.register(server, selectors.EVENT_READ)
waiting.register(0, selectors.EVENT_READ)
while True:
    for key, _ in waiting.select():
        if key.fileobj == 0:
            sys.exit()  # the tests are over
        if key.fileobj is server:
            client, _ = server.accept()
            try:
                streams, request = asked(client)
            except (EOFError, OSError):
                client.close()
                continue
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    fork_of(client, streams, *request)
                    code = 0
                except SystemExit as ended:
                    code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
            for stream in streams:
                os.close(stream)
            try:
                client.sendall(b"%d\\n" % pid)
            except OSError:
                pass  # the client was killed: its end is seen below
            process = os.pidfd_open(pid)
            waiting.register(process, selectors.EVENT_READ, (pid, client))
            waiting.register(client, selectors.EVENT_READ, (pid, process))
            continue
        if key.fileobj not in waiting.get_map():
            continue  # both ended at once
        pid, other = key.data
        process, client = (other, key.fileobj) if isinstance(other, int) else (key.fileobj, other)
        waiting.unregister(process)
        waiting.unregister(client)
        if client is key.fileobj:  # the client was killed
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(process)
        try:
            client.sendall(b"%d\\n" % status)
        except OSError:
            pass
        client.close()
"""


class WarmPython:
    """`real` is the folder `bin` of an environment, `modules` what is imported in advance."""

    def __init__(self, folder: Path, real: Path, modules: Sequence[str]) -> None:
        self.folder = folder
        address = str(folder / "at")
        words = [str(real / "python3"), "-c", _SERVER.format(address=address, modules=list(modules))]
        self._server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"
        for name in ("python3", "python"):
            (folder / name).write_text(_CLIENT.format(python=str(real / "python3"), address=address))
            (folder / name).chmod(0o755)

    def end(self) -> None:
        """Ends the process, and with it every fork that is left."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with contextlib.suppress(OSError):
            self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()


@contextlib.contextmanager
def warmed(real: Path, modules: Sequence[str] = ALEMBIC) -> Iterator[Path]:
    """Yields the folder to put in front of PATH."""
    # A socket's path is short, and pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        made = WarmPython(Path(folder), real, modules)
        try:
            yield made.folder
        finally:
            made.end()
