"""Find settings of tuning by the `select` part alone; no test score is read.

    python studies/macaque_v4/explore.py BASE.yaml VARIANTS.yaml OUT [key=value …]

BASE is a config of `striate compare`; VARIANTS maps names to lists of `key=value` overrides, and
each variant is compared in OUT/NAME (kept and gone on with when called again). The table
OUT/explore.csv gets, for each variant and method, the mean over sessions of the score by which
taps were chosen: mean r over folds of `select`, apart for tuned and for held-out sessions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import yaml

from striate.core.allocator import keep_freed_memory
from striate.core.cache import Cache
from striate.evaluate import CompareConfig, Options, compare


def select_scores(folder: Path) -> pd.DataFrame:
    """Mean over sessions of each method's best select score: columns new images, new subjects."""
    taps = pd.read_parquet(folder / "tables" / "taps.parquet")
    best = taps[taps["chosen"]]
    return best.pivot_table(index="model", columns="generalization", values="score")


def main() -> None:
    keep_freed_memory()
    base, variants, out = (Path(a) for a in sys.argv[1:4])
    shared = sys.argv[4:]
    rows = []
    for name, overrides in yaml.safe_load(variants.read_text(encoding="utf-8")).items():
        config = CompareConfig.load(base, [*shared, *overrides])
        options = Options(progress=False, cache=Cache(out / "cache"), say=lambda text: None)
        compare(config, out / name, options)
        table = select_scores(out / name)
        gain = table - table.loc["untuned"]
        for method in table.index:
            values = {c: round(float(table.loc[method, c]), 4) for c in table.columns}
            gains = {f"gain, {c}": round(float(gain.loc[method, c]), 4) for c in table.columns}
            rows.append({"variant": name, "method": method, **values, **gains})
            if method != "untuned" or len(rows) == 1:
                print(rows[-1], flush=True)
        pd.DataFrame(rows).to_csv(out / "explore.csv", index=False)


if __name__ == "__main__":
    main()
