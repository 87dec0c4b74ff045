"""Makes the project's own Python environment, once: `python3 tools/bootstrap.py FOLDER REQUIREMENTS`.

It runs on a machine's bare python3 (3.10 or newer). Debian and Ubuntu ship python3 without the part that makes
environments, so that is installed first where it may be.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if sys.platform != "win32":
    import fcntl

if sys.version_info < (3, 10):  # noqa: UP036 - the one place that meets an older one
    sys.exit("This needs Python 3.10 or newer; name one with `make PYTHON=python3.12 …`.")


def main(folder: Path, requirements: Path) -> None:
    """Create the environment and install the locked requirements into it; leave nothing half-made behind."""
    if folder.is_symlink():
        # `venv --clear` would empty what the link points at, while others run on it.
        sys.exit(
            f"Cannot prepare {folder}: it is a link to {folder.readlink()}, which another checkout may use.\n"
            f"Remove the link, and this checkout gets its own environment: rm {folder}\n"
            f"Or keep sharing, if the packages there are those in {requirements}: touch {folder / 'ready'}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Held until this process ends: another one would remove what this one installs, and take that for a missing package.
    lock = folder.with_name(f"{folder.name}.lock").open("w")
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process that prepares {folder} …", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / "ready").exists():
                return
    if not _make(folder):
        _install_debian_venv()
        if not _make(folder):
            sys.exit("python3 cannot make a virtual environment. On Debian or Ubuntu: sudo apt-get install python3-venv")
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if not (_by_uv(programs, requirements) or _by_pip(programs, requirements)):
        sys.exit(f"The packages in {requirements} could not be installed: the lines above say why.")
    # The stamp that make compares: written last, so that an interrupted installation is begun again.
    (folder / "ready").touch()


LOCKED = ["--require-hashes", "--no-deps", "--requirement"]


def _by_uv(programs: Path, requirements: Path) -> bool:
    """Installs them with uv, which is one of them: a tenth of pip's time. False where uv is not, or finds no package index."""
    locked = re.search(r"^uv==(?:.*\\\n)*.*", requirements.read_text("utf-8"), re.MULTILINE)
    if not locked:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        alone = Path(scratch, "uv.txt")
        alone.write_text(locked[0] + "\n", "utf-8")
        uv = [programs / "uv", "pip", "install", "--quiet", "--python", programs / "python"]
        return _by_pip(programs, alone) and _succeeds(*uv, *LOCKED, requirements)


def _by_pip(programs: Path, requirements: Path) -> bool:
    pip = [programs / "python", "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    return _succeeds(*pip, *LOCKED, requirements)


def _succeeds(*words: object) -> bool:
    return subprocess.run([str(word) for word in words], check=False).returncode == 0


def _make(folder: Path) -> bool:
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], capture_output=True, check=False)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
    return done.returncode == 0


def _install_debian_venv() -> None:
    if not shutil.which("apt-get"):
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    print("python3 cannot make virtual environments yet: installing python3-venv …", file=sys.stderr)
    for words in (["update", "-qq"], ["install", "-y", "-qq", "python3-venv", f"python{version}-venv"]):
        done = subprocess.run([*root, "apt-get", *words], stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
