"""How long `import striate` takes in a fresh process, the interpreter's own start not counted.

    python benchmarks/import_time.py [--repeats 5]

The median counts. The command line's module is measured too, if there is one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

TARGET = 0.5
"""Seconds."""
CODE = """
import time
started = time.perf_counter()
import {module}
print(time.perf_counter() - started)
"""


def once(module: str) -> float:
    command = [sys.executable, "-c", CODE.format(module=module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    rows = []
    for module in ("striate", "striate.cli"):
        if importlib.util.find_spec(module) is None:
            continue
        times = [once(module) for _ in range(options.repeats)]
        median = statistics.median(times)
        rows.append(
            {
                "benchmark": "import",
                "what": f"import {module}",
                "target": TARGET,
                "measured": round(median, 3),
                "unit": "s",
                "reached": median <= TARGET,
                "detail": f"{min(times):.3f} to {max(times):.3f} s in {len(times)} runs",
            }
        )
    return rows


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
