"""The house: warnings are errors in the processes that tests start, too; what is cited exists."""

from __future__ import annotations

import ast
import importlib
import io
import multiprocessing
import re
import subprocess
import sys
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.limits import HANG


def warn() -> None:
    warnings.warn("something is off", RuntimeWarning, stacklevel=1)


def test_a_warning_fails_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import warnings; warnings.warn('something is off')"],
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 1
    assert "UserWarning: something is off" in done.stderr


@pytest.mark.parametrize("way", ["spawn", "forkserver"])
def test_a_warning_fails_a_worker(way: str) -> None:
    with multiprocessing.get_context(way).Pool(1) as pool:
        with pytest.raises(RuntimeWarning, match="something is off"):
            pool.apply_async(warn).get(timeout=HANG)
        pool.close()
        pool.join()


ROOT = Path(__file__).parents[1]
PAPERS = ROOT / "docs" / "papers"
FOLDERS = ("src", "tests", "docs", "studies", "benchmarks")
PATH = re.compile(r"(?<![\w./-])(?:docs|studies|papers|benchmarks|tests|src)/[\w./-]*")
LINK = re.compile(r"\]\(([^)#\s]+)")
SECTION = r"\d+(?:\.\d+)?"
CITATION = re.compile(rf"docs/papers/([\w-]+)\.md ({SECTION}(?:(?:, | and ){SECTION})*)(?![\w%])")
HEADING = re.compile(rf"^#+ ({SECTION})\.? ", re.MULTILINE)


def written_files() -> list[Path]:
    """Modules, pages and settings of the repository that cite something, or could."""
    files = [ROOT / "README.md"]
    for folder in FOLDERS:
        files += (f for s in ("py", "md", "yaml") for f in (ROOT / folder).rglob(f"*.{s}"))
    return sorted(files)


def read_prose(path: Path) -> str:
    """What a file tells its reader: a page whole; of a module docstrings and comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        return "\n".join(line.partition("#")[2] for line in text.splitlines())
    if path.suffix != ".py":
        return text
    docs = [
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    notes = (t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT)
    return "\n".join((*docs, " ".join(notes)))


def missing_paths(prose: str, home: Path) -> Iterator[str]:
    """Paths in a text that do not exist; `home` is the folder that its links start from."""
    for found in PATH.findall(prose):
        path = found.rstrip(".-")
        if not (ROOT / path).exists():
            yield path
    for link in LINK.findall(prose):
        if "://" not in link and not (home / link).exists():
            yield link


def missing_sections(prose: str) -> Iterator[str]:
    """Sections of `docs/papers` that a text cites and that are not there."""
    for paper, numbers in CITATION.findall(" ".join(prose.split())):
        page = PAPERS / f"{paper}.md"
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        sections = HEADING.findall(text)
        for number in re.findall(SECTION, numbers):
            if number not in sections:
                yield f"{paper} {number}"


def links_home(path: Path) -> Path:
    """The folder that links start from; notes become pages of docs/results."""
    is_notes = path.name == "notes.md" and path.is_relative_to(ROOT / "studies")
    return ROOT / "docs" / "results" if is_notes else path.parent


def test_what_is_cited_exists() -> None:
    files = written_files()
    assert len(files) > 300
    missing = {}
    for path in files:
        prose = read_prose(path)
        wrong = [*missing_paths(prose, links_home(path)), *missing_sections(prose)]
        if wrong:
            missing[str(path.relative_to(ROOT))] = wrong
    assert not missing, f"cited and not there: {missing}"


def test_papers_are_cited_by_sections_that_say_where_they_are() -> None:
    for page in PAPERS.glob("*.md"):
        sections = HEADING.findall(page.read_text(encoding="utf-8"))
        assert len(sections) > 5
        assert sections == sorted(set(sections), key=lambda s: [int(n) for n in s.split(".")])


def test_a_citation_of_nothing_is_found() -> None:
    fold, away = "docs" + "/", "papers" + "/"
    text = f"see {away}lcl-v2 5.1, {fold}none.md, {fold}papers/lcl-v2.md. [a](no.md) [b](lcl-v2.md)"
    assert list(missing_paths(text, PAPERS)) == [f"{away}lcl-v2", f"{fold}none.md", "no.md"]
    text = f"{fold}papers/lcl-v2.md 5.1, 99.9 and 7\n({fold}papers/none.md\n3.1)"
    assert list(missing_sections(text)) == ["lcl-v2 99.9", "none 3.1"]


def test_prose_is_docstrings_and_comments(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""One."""\nname = "two"  # three\n"""Four."""\n', encoding="utf-8")
    assert read_prose(module) == "One.\nFour.\nthree"


@pytest.mark.parametrize(
    "script",
    [p for folder in ("benchmarks", "studies") for p in sorted((ROOT / folder).rglob("*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_what_scripts_import_from_striate_is_there(script: Path) -> None:
    for statement in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not isinstance(statement, ast.ImportFrom) or not statement.module:
            continue
        if statement.module.split(".")[0] != "striate":
            continue
        module = importlib.import_module(statement.module)
        for name in (alias.name for alias in statement.names):
            if not hasattr(module, name):
                importlib.import_module(f"{statement.module}.{name}")
