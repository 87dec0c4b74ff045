"""Finds the dependencies and hands over to `cicd_actions`. Kept in words that any Python 3 understands."""

import os
import sys
from importlib import machinery

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself costs start-up time
    from types import CodeType

    from _typeshed.importlib import PathEntryFinderProtocol

if sys.version_info < (3, 10):  # noqa: UP036 - the one place that meets an older one
    sys.stderr.write(
        "cicd-actions needs Python 3.10 or newer; %s is %d.%d: run actions/setup-python before this step.\n"  # noqa: UP031
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )
    sys.exit(2)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIB = os.path.join(ROOT, "lib")


def byte_code_folder() -> "str | None":
    """Where compiled files are kept, or nothing.

    It lives as long as the job; a shared folder such as /tmp would let another user of the machine plant some.
    """
    if os.environ.get("RUNNER_TEMP"):
        return os.path.join(os.environ["RUNNER_TEMP"], "cicd-actions-pycache")
    if os.path.isdir(os.path.join(ROOT, "src")) and os.access(ROOT, os.W_OK):
        return os.path.join(ROOT, ".cache", "pycache")
    return None


class Loader(machinery.SourceFileLoader):
    """Keeps the byte code of our own files apart.

    `-X pycache_prefix` would do it for every module: the standard library, which is compiled already where it stands,
    would be compiled again in each job, and that takes longer than all the rest.
    """

    folder = byte_code_folder()

    def get_code(self, fullname: str) -> "CodeType | None":
        sys.pycache_prefix, sys.dont_write_bytecode = self.folder, self.folder is None
        try:
            return super().get_code(fullname)
        finally:
            sys.pycache_prefix, sys.dont_write_bytecode = None, True


FINDER = machinery.FileFinder.path_hook(
    (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES), (Loader, machinery.SOURCE_SUFFIXES)
)


def ours(path: str) -> "PathEntryFinderProtocol":
    """A hook of the import system for the folders below ROOT."""
    if not path.startswith(ROOT + os.sep):
        raise ImportError
    return FINDER(path)


sys.path_hooks.insert(0, ours)
sys.path_importer_cache.clear()

if os.path.isdir(LIB):  # a release carries everything
    sys.path.insert(0, LIB)
else:
    sys.path.insert(0, os.path.join(ROOT, "bin"))
    import prepare

    sys.path[0:1] = [os.path.join(ROOT, "src"), prepare.environment(ROOT)]

from cicd_actions.__main__ import main  # noqa: E402 - the path had to be set first

main()
