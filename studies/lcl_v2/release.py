"""Put a grown model into the package, as what `striate.models.load("lcl_v2")` returns.

    python studies/lcl_v2/release.py RUNS/matched-0

The folder is copied as it is: weights, the config with the hashes of all photographs that the
model has seen, and the card.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from striate.models import load, registry

LARGEST = 2_000_000
"""Bytes that the released folder may have."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    source = parser.parse_args().run / "model"
    files = [source / name for name in ("network.safetensors", "config.json", "card.md")]
    size = sum(file.stat().st_size for file in files)
    if size > LARGEST:
        raise SystemExit(f"{source} has {size:,} bytes, more than the {LARGEST:,} that may ship.")
    target = Path(registry.__file__).with_name("released") / "lcl_v2"
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, target / file.name)
    assert load("lcl_v2").fingerprint() == load(source).fingerprint()
    print(f"{target}: {size:,} bytes")


if __name__ == "__main__":
    main()
