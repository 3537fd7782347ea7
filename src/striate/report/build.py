"""`build`: from a run folder to one self-contained `report.html`. No science is computed here."""

from __future__ import annotations

from pathlib import Path

from striate.core.errors import InputError
from striate.report.html.run import assert_finished
from striate.verbs import VERBS, Verb, resolve, verb_of


def build(run: str | Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Args:
        run: a folder that a verb with a page wrote (`striate.verbs`): `striate compare`, `encode`,
            `predict`, `demo`, `grow`, `train`, `probe` or `behave`.

    Raises:
        InputError: no run there, one that does not tell its verb, one of a verb without a page, or
            one that was stopped before its end.
    """
    run = Path(run)
    if not (run / "config.yaml").exists():
        raise InputError(f"{run} is no run folder: it has no config.yaml.")
    verb = verb_of(run)
    if verb.page is None:
        raise _refuse_page(run, verb)
    if verb.finished is not None:
        assert_finished(run, verb.finished)
    path: Path = resolve(verb.page)(run)
    return path


def _refuse_page(run: Path, verb: Verb) -> InputError:
    """Say what the run holds, and which verbs write what a page shows."""
    names = [word for other in VERBS.values() if other.page for word in (other.name, *other.also)]
    return InputError(
        f"{run} holds no run that has a page: striate {verb.name} writes {verb.makes}, and only "
        f"{', '.join(names[:-1])} and {names[-1]} write what a page shows."
    )
