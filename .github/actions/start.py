"""Runs `cicd_actions.pipeline.<name>`, from the sources of a checkout or from a release's `lib`."""

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ("lib" if (ROOT / "lib").is_dir() else "src")))
importlib.import_module(f"cicd_actions.pipeline.{sys.argv[1]}").main()
