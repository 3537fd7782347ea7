"""Put a grown model into the package, as what `striate.models.load("lcl_v2")` returns.

    python studies/lcl_v2/release.py RUNS/matched-0

Weights and config (with the hashes of all photographs that the model has seen) are copied as they
are; the card gets the names of the photographs' sets and of the settings' file.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import yaml

from striate.core.files import write_text
from striate.models import load, registry

LARGEST = 2_000_000
"""Bytes that the released folder may have."""
SETS = {
    "bsds500": "the 500 photographs of BSDS500 (Arbeláez et al. 2011; non-commercial research)",
    "imagenet_sample_1000": "one photograph of each class of ImageNet "
    "(github.com/EliSchwartz/imagenet-sample-images; research only)",
}
"""What the folders of photographs are, by their names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    source, target = run / "model", Path(registry.__file__).with_name("released") / "lcl_v2"
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    sets = "\n".join(f"- {SETS[Path(folder).name]}" for folder in config["photographs"])
    card = (source / "card.md").read_text(encoding="utf-8")
    card = card.replace('models.load("PATH/OF/THIS/FOLDER")', 'models.load("lcl_v2")')
    card += f"""
## These weights

`striate grow --config studies/lcl_v2/matched.yaml photographs=[…]` on nine tenths, by content, of

{sets}

The photographs themselves are not part of Striate. What the units are like and how well they
predict neurons: `docs/results/lcl-v2.md`, where this is one of three seeds.
"""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("network.safetensors", "config.json"):
        shutil.copy(source / name, target / name)
    write_text(target / "card.md", card)
    size = sum(file.stat().st_size for file in target.iterdir())
    if size > LARGEST:
        raise SystemExit(f"{target} has {size:,} bytes, more than the {LARGEST:,} that may ship.")
    assert load("lcl_v2").fingerprint() == load(source).fingerprint()
    print(f"{target}: {size:,} bytes")


if __name__ == "__main__":
    main()
