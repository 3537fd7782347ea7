"""Units are known again by how they rank images, whatever they and their folder are called."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.responses.unit_identity import SAMPLE, match_units, record_units

HASHES = [f"{i:03d}" for i in np.random.default_rng(1).permutation(60)]
IDS = [f"u{i}" for i in range(12)]


def values(seed: int = 0, units: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(60, units)).astype(np.float32)


def noted() -> dict[str, object]:
    return json.loads(json.dumps(record_units(HASHES, values(), IDS, np.arange(40))))


def test_what_is_noted_is_small_and_of_the_images_given() -> None:
    record = noted()
    assert record["images"] == sorted(HASHES[:40])[:SAMPLE]
    assert record["unit_ids"] == IDS
    assert [len(text) for text in record["ranks"]] == [SAMPLE] * 12


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.floats(0.01, 1e4), st.floats(-100, 100), st.booleans(),
    st.integers(1, 12),
)  # fmt: skip
def test_order_scale_ids_and_subsets_make_no_difference(
    seed: int, gain: float, shift: float, positive: bool, n_units: int
) -> None:
    draw = np.random.default_rng(seed)
    images, units = draw.permutation(60), draw.permutation(12)[:n_units]
    changed = (values().astype(np.float64) * gain + shift)[images][:, units]
    changed = np.round(changed / gain, 5) if positive else changed
    match = match_units(noted(), [HASHES[i] for i in images], changed, [f"x{u}" for u in units])
    assert match.same.all() and match.known.all() and not match.named.any()
    assert match.shared == SAMPLE and match.noted == 12


def test_other_units_and_too_few_images_are_not_known() -> None:
    other = match_units(noted(), HASHES, values(seed=9), IDS)
    assert other.known.all() and not other.same.any() and other.named.all()
    assert abs(other.agreement) < 0.2
    noisy = values() + np.random.default_rng(3).normal(size=(60, 12))
    measured = match_units(noted(), HASHES, noisy, IDS)
    assert not measured.same.any() and measured.agreement > 0.4
    few = [h if h in noted()["images"][:7] else f"other {h}" for h in HASHES]
    match = match_units(noted(), few, values(), IDS)
    assert match.shared == 7 and not match.known.any() and not match.same.any()
    assert np.isnan(match.agreement)
    half = [h if h in noted()["images"][:12] else f"other {h}" for h in HASHES]
    assert match_units(noted(), half, values(), IDS).same.all()


def test_units_that_hardly_respond_tell_nothing() -> None:
    silent = values()
    silent[:, 0], silent[:, 1], silent[5, 2] = 0, silent[:, 1] > 1, np.nan
    record = record_units(HASHES, silent, IDS, np.arange(60))
    match = match_units(record, HASHES, silent, IDS)
    has_sixth = HASHES[5] in record["images"]
    assert match.known.tolist() == [False, False, not has_sixth] + [True] * 9
    assert match.same[3:].all() and not match.same[:2].any()


@pytest.mark.parametrize("units", [0, 1])
def test_hardly_any_units(units: int) -> None:
    record = record_units(HASHES, values()[:, :units], IDS[:units], np.arange(40))
    assert match_units(record, HASHES, values(), IDS).same.sum() == units
