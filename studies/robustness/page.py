"""Write docs/robustness.md: every kind of fault, what is done about it, and the tests that hold it.

    python studies/robustness/page.py

The kinds are in kinds.yaml beside this file. Their tests are run first, and values are computed by
the functions in cases.py: no page is written where a test fails, is skipped or does not exist.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import cases
import yaml

from striate import __version__
from striate.core.files import write_text
from striate.report.markdown import fill, markdown

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OUT = ROOT / "docs" / "robustness.md"


def run_tests(names: list[str]) -> dict[str, Counter[str]]:
    """Run tests by `path::name`; returns how many cases of each passed, failed and were skipped."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "tests.xml"
        files = sorted({name.split("::")[0] for name in names})
        wanted = " or ".join(sorted({name.split("::")[1] for name in names}))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", wanted]
        command += ["-n", "2", "--dist", "loadfile", f"--junitxml={log}", *files]
        subprocess.run(command, cwd=ROOT, check=False)
        outcomes: dict[str, Counter[str]] = {name: Counter() for name in names}
        for case in ET.parse(log).iter("testcase"):
            path = case.get("classname", "").replace(".", "/") + ".py"
            name = f"{path}::{case.get('name', '').split('[')[0]}"
            bad = {"failure", "error", "skipped"} & {part.tag for part in case}
            if name in outcomes:
                outcomes[name][next(iter(bad), "passed")] += 1
    return outcomes


def check(outcomes: dict[str, Counter[str]]) -> None:
    """Stop where a test is missing, failed or was skipped."""
    wrong = [
        f"{n}: {dict(c) or 'no such test'}" for n, c in outcomes.items() if set(c) != {"passed"}
    ]
    if wrong:
        sys.exit("no page is written:\n" + "\n".join(wrong))


def row(kind: dict[str, Any], outcomes: dict[str, Counter[str]]) -> list[str]:
    """One row of the table."""
    tests = [f"`{name}` ({outcomes[name]['passed']})" for name in kind["tests"]]
    value = getattr(cases, kind["case"])() if "case" in kind else ""
    return [kind["kind"], kind["was"], kind["now"], value, "<br>".join(tests)]


def main() -> None:
    sections = yaml.safe_load((HERE / "kinds.yaml").read_text(encoding="utf-8"))
    names = [n for kinds in sections.values() for kind in kinds for n in kind["tests"]]
    outcomes = run_tests(list(dict.fromkeys(names)))
    check(outcomes)
    head = ["kind", "what was wrong", "what is done now", "the case now", "held by (cases passed)"]
    parts = []
    for title, kinds in sections.items():
        parts += [f"## {title}", "", markdown(head, [row(k, outcomes) for k in kinds]), ""]
    facts = {
        "tables": "\n".join(parts),
        "tests": f"{len(outcomes)} tests, {sum(c['passed'] for c in outcomes.values())} cases",
        "version": __version__,
    }
    text = (HERE / "notes.md").read_text(encoding="utf-8")
    write_text(OUT, fill(text, facts))
    print(OUT)


if __name__ == "__main__":
    main()
