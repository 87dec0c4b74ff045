"""Copies files into a folder. As with the real action a name is taken once, and that nothing was found is told."""

import json
import os
import shutil
import sys
from pathlib import Path

inputs = json.loads(os.environ["INPUTS"])
target = Path(os.environ["LOCAL_ARTIFACTS"], inputs["name"])
found = [path for line in inputs["path"].splitlines() if (path := Path(line.strip())).exists() and line.strip()]
if not found:
    kind = inputs["if-no-files-found"]
    sys.stdout.write(f"::{'error' if kind == 'error' else 'warning'}::No files were found with the provided path\n")
    sys.exit(kind == "error")
if inputs["overwrite"] == "true":
    shutil.rmtree(target, ignore_errors=True)
try:
    target.mkdir(parents=True)
except FileExistsError:
    sys.stdout.write(f"::error::An artifact with the name {inputs['name']} exists already in this run\n")
    sys.exit(1)
for path in found:
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    else:
        shutil.copy2(path, target)
sys.stdout.write(f"{target}\n")
