"""What is no RDM is refused at every door, with what would make it one."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from striate.core.errors import InputError
from striate.data import Rdms, StimulusSet
from striate.data.responses.rdm_checks import check_rdms
from striate.encoding import compare_rdms, noise_ceiling_rdms, rdm_correlation, rdm_crossnobis
from striate.evaluate.neurons.rsa_tables import _check_model
from striate.evaluate.similarity.measure import rsa
from striate.evaluate.similarity.models import rsa_table, shuffled_similarity


def rdm(n=9, seed=0):
    return squareform(pdist(np.random.default_rng(seed).normal(size=(n, 5)), "sqeuclidean"))


def half_nan(matrix):
    return np.where(np.tri(len(matrix), dtype=bool), matrix, np.nan)


def with_entry(place, value):
    out = rdm()
    out[place] = value
    return out


CORRELATION = np.corrcoef(np.random.default_rng(1).normal(size=(9, 30)))
WRONG = {
    "lower half": (np.tril(rdm()), "only the lower half of an RDM. Use rdm + rdm.T."),
    "upper half": (np.triu(rdm()), "only the upper half of an RDM. Use rdm + rdm.T."),
    "half of NaN": (half_nan(rdm()), "only the lower half of an RDM. Use rdm = np.nan_to_num(rdm)"),
    "similarity": (CORRELATION, "It seems to hold similarities, largest on the diagonal. Use 1 - "),
    "scaled similarity": (3 * CORRELATION, "hold similarities, .* Use 3 - similarity"),
    "covariance": (np.cov(np.eye(9) + rdm()), "from itself, expected 0. If larger numbers mean"),
    "diagonal of repeats": (rdm() + 0.3 * np.diag(np.arange(9)), "np.fill_diagonal(rdm, 0)"),
    "sign turned": (-rdm(), "all entries are negative.* Use -rdm"),
    "not symmetric": (with_entry((2, 5), 9.0), "stimuli 2 and 5 are 9 and .* apart.*(rdm + rdm.T)"),
    "NaN once": (with_entry((2, 5), np.nan), "stimuli 2 and 5 is NaN in one half"),
    "infinite": (with_entry((2, 5), np.inf), "infinite entries"),
    "rows in another order": (rdm()[[1, 0, *range(2, 9)]], "from itself, expected 0"),
    "vector": (pdist(np.eye(9)), "a vector of 36 numbers.*squareform(vector)"),
    "not square": (rdm()[:, :8], "RDMs must be .*found shape (9, 8)"),
    "texts": (rdm().astype(str), "no array of real numbers"),
    "complex": (rdm() + 0j, "no array of real numbers"),
    "sizes that differ": ([rdm(9), rdm(8)], "Several RDMs must be of the same stimuli"),
}
DOORS = {
    "check_rdms": check_rdms,
    "compare_rdms, first": lambda wrong: compare_rdms(wrong, rdm()),
    "compare_rdms, second": lambda wrong: compare_rdms(rdm(), wrong),
    "rsa, model": lambda wrong: rsa({"mine": wrong}, rdm(), samples=5),
    "rsa, data": lambda wrong: rsa({"mine": rdm()}, wrong, samples=5),
    "rsa_table": lambda wrong: rsa_table({"mine": wrong}, rdm(), samples=5, permutations=5),
    "shuffled_similarity": lambda wrong: shuffled_similarity(wrong, rdm(), permutations=5),
}


@pytest.mark.parametrize("door", list(DOORS))
@pytest.mark.parametrize("what", list(WRONG))
def test_no_rdm(door, what):
    wrong, message = WRONG[what]
    with pytest.raises(InputError, match=".*".join(map(re.escape, message.split(".*")))):
        DOORS[door](wrong)


def test_a_stack_names_the_one(rng):
    stack = np.array([rdm(seed=1), rdm(seed=2), np.tril(rdm())])
    for door in (noise_ceiling_rdms, lambda x: rsa({"mine": rdm()}, x), check_rdms):
        with pytest.raises(InputError, match="number 2 is only the lower half"):
            door(stack)
    with pytest.raises(InputError, match=re.escape("gabor/rdms.npz: v1 is only the lower half")):
        _check_model(stack[2], stack, "gabor/rdms.npz: v1")
    with pytest.raises(InputError, match=r"v1 has shape \(8, 8\).*Score the model again"):
        _check_model(rdm(8), stack, "gabor/rdms.npz: v1")
    pictures = StimulusSet([f"s{i}" for i in range(9)], [np.zeros((2, 2, 3), np.uint8)] * 9)
    with pytest.raises(InputError, match="RDMs a, b, c, number 2 is only the lower half"):
        Rdms(("a", "b", "c"), stack, pictures, {})
    with pytest.raises(InputError, match=r"shape \(2, 9, 9\) with names a, a"):
        Rdms(("a", "a"), stack[:2], pictures, {})


def test_the_case_of_a_lower_triangle_and_a_similarity(rng):
    code = rng.normal(size=(20, 30))
    first, second = (
        squareform(pdist(code + 0.1 * rng.normal(size=code.shape), "correlation")) for _ in "ab"
    )
    whole = float(compare_rdms(first, second, "spearman"))
    assert whole > 0.9
    for wrong, mend in (
        (np.tril(first), lambda x: x + x.T),
        (1 - first, lambda x: 1 - x),
    ):
        with pytest.raises(InputError):
            compare_rdms(wrong, second, "spearman")
        assert float(compare_rdms(mend(wrong), second, "spearman")) == pytest.approx(whole)


def test_tables_name_their_stimuli():
    names = list("abcdefghi")
    table = pd.DataFrame(rdm(), names, names)
    np.testing.assert_array_equal(check_rdms(table), rdm())
    np.testing.assert_array_equal(check_rdms(pd.DataFrame(rdm(), columns=names)), rdm())
    with pytest.raises(InputError, match="same stimuli in different orders"):
        check_rdms(table[names[::-1]])
    with pytest.raises(InputError, match="name different stimuli"):
        check_rdms(table.set_axis(list("abcdefghx"), axis=1))


@given(
    n=st.integers(2, 9),
    seed=st.integers(0, 10**6),
    scale=st.integers(-30, 30),
    single=st.booleans(),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_rdms_pass_with_rounding_and_undefined_pairs(n, seed, scale, single):
    rng = np.random.default_rng(seed)
    whole = rdm(n, seed) * 10.0**scale
    torn = whole * (1 + 1e-7 * rng.normal(size=whole.shape))
    given_ = torn.astype(np.float32) if single else torn
    np.testing.assert_allclose(check_rdms(given_), whole, rtol=1e-6)
    whole[0] = whole[:, 0] = np.nan
    np.testing.assert_array_equal(check_rdms(whole), whole)
    np.testing.assert_array_equal(check_rdms(whole > 0), (whole > 0).astype(float))


def test_crossnobis_may_be_negative(rng):
    distances = rdm_crossnobis(rng.normal(size=(12, 3, 5)))
    assert (distances < 0).any()
    np.testing.assert_array_equal(check_rdms(distances), distances)
    with pytest.raises(InputError, match=r"negative entries .*1 - similarity"):
        check_rdms(distances, negative=False)
    np.testing.assert_array_equal(check_rdms(np.zeros((4, 4))), 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_a_mask_hides_is_not_defined(dtype):
    """numpy's masked arrays lost their mask, and what was hidden counted."""
    whole, other = rdm().astype(dtype), rdm(seed=1)
    far = np.median(whole)
    hidden, undefined = np.ma.masked_greater(whole, far), np.where(whole > far, np.nan, whole)
    np.testing.assert_array_equal(check_rdms(hidden), undefined)
    assert (
        compare_rdms(hidden, other) == compare_rdms(undefined, other) != compare_rdms(whole, other)
    )
    a, b = (shuffled_similarity(values, other, permutations=3) for values in (hidden, undefined))
    np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="not finite"):
        rdm_correlation(hidden)
