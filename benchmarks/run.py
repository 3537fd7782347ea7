"""Run the benchmarks and write their results as a small table that names the machine.

    python benchmarks/run.py [ridge tuning features deform …] [--quick] [--out RESULTS.md]

Each benchmark is a module beside this one whose `main(arguments)` returns rows with `benchmark`,
`what`, `target`, `measured`, `unit`, `reached` (None where nothing is aimed at) and `detail`, and
runs in a process of its own, so that none inherits another's threads or memory. `--quick` takes
tiny sizes: it shows that everything runs, and its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.core.run import provenance

HERE = Path(__file__).resolve().parent
NAMES = ("ridge", "pls", "tuning", "features", "deform", "growth", "filters", "import_time")
QUICK: Mapping[str, Sequence[str]] = {
    "ridge": ("--units", "60", "--repeats", "1"),
    "pls": ("--sizes", "400x20", "--repeats", "1"),
    "tuning": ("--size", "64", "--batch", "8", "--steps", "2", "--repeats", "1"),
    "features": ("--images", "16", "--batch", "8", "--repeats", "1"),
    "deform": ("--batch", "8", "--photographs", "8", "--repeats", "1"),
    "growth": (
        *("--batch", "8", "--steps", "1", "--repeats", "1", "--photographs", "12"),
        *("--memory-steps", "100", "--memory-batch", "4"),
    ),
    "filters": ("--kernels", "4", "--repeats", "1"),
    "import_time": ("--repeats", "1"),
}


def run(name: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmark {name} failed with exit status {done.returncode}")
    return json.loads(done.stdout)


def table(rows: Sequence[Mapping[str, Any]], *, quick: bool) -> str:
    """Render the rows and the machine they were measured on as Markdown."""
    facts = provenance("")
    machine, versions = facts["machine"], facts["versions"]
    gpus = f", {', '.join(machine['gpus'])}" if machine["gpus"] else ", no GPU"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    lines = [
        "# Speed",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB{gpus}. "
        f"Python {versions['python']}, torch {versions['torch']}, numpy {versions['numpy']}, "
        f"scikit-learn {versions['scikit-learn']}. {time.strftime('%Y-%m-%d', time.gmtime())}; "
        f"load average at the end {load}. Written by `python benchmarks/run.py`.",
        "",
    ]
    if quick:
        lines += ["**Tiny sizes (`--quick`): these numbers mean nothing.**", ""]
    lines += ["| benchmark | what | target | measured | reached | detail |", "|" + "---|" * 6]
    for row in rows:
        sign = "<=" if row["unit"] == "s" else ">="
        target = "" if row["target"] is None else f"{sign} {row['target']:g}"
        reached = {None: "", True: "yes", False: "**no**"}[row["reached"]]
        measured = f"{row['measured']:g} {row['unit']}"
        cells = (row["benchmark"], row["what"], target, measured, reached, row["detail"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; default all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown benchmark {min(unknown)!r}; known: {', '.join(NAMES)}")
    rows = []
    for name in options.names or NAMES:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += run(name, QUICK[name] if options.quick else ())
        # after each, as the whole takes a quarter of an hour and may be stopped
        options.out.write_text(table(rows, quick=options.quick), encoding="utf-8")
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
