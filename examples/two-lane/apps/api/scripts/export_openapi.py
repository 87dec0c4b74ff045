"""Write the OpenAPI document, without starting a server: `python scripts/export_openapi.py OUT`.

OUT is a file, or `-` for stdout. The same code always gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from two_lane_api.app import create_app
from two_lane_api.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the OpenAPI document.")
    parser.add_argument("out", metavar="OUT", help="a file, or - for stdout")
    out: str = parser.parse_args().out
    # Nothing of the environment may show in the document, or keep it from being written.
    app = create_app(Settings.model_construct())
    text = json.dumps(app.openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if out == "-":
        sys.stdout.buffer.write(text.encode())
        return
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


if __name__ == "__main__":
    main()
