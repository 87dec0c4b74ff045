"""Finds the dependencies and hands over to `cicd_actions`. Kept in words that any Python 3 understands."""

import os
import sys

if sys.version_info < (3, 10):  # noqa: UP036 - the one place that meets an older one
    sys.stderr.write(
        "cicd-actions needs Python 3.10 or newer; %s is %d.%d: run actions/setup-python before this step.\n"  # noqa: UP031
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )
    sys.exit(2)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib costs start-up time
LIB = os.path.join(ROOT, "lib")  # noqa: PTH118

if os.path.isdir(LIB):  # noqa: PTH112 - a release carries everything
    sys.path.insert(0, LIB)
else:
    sys.path.insert(0, os.path.join(ROOT, "bin"))  # noqa: PTH118
    import prepare

    sys.path[0:1] = [os.path.join(ROOT, "src"), prepare.environment(ROOT)]  # noqa: PTH118

from cicd_actions.__main__ import main  # noqa: E402 - the path had to be set first

main()
