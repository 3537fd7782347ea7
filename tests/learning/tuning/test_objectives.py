"""InfoNCE, MSE and the scores, against the formula written out and against limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.errors import InputError
from striate.learning.tuning.objectives import info_nce, mean_unit_r, mse, retrieval_top1


def written_out(image: np.ndarray, brain: np.ndarray, t: float) -> float:
    """docs/papers/contrastive-tuning.md 2.1, image anchored: for each j, a sum over responses i."""
    total = 0.0
    for j in range(len(image)):
        terms = []
        for i in range(len(brain)):
            cosine = brain[i] @ image[j] / np.linalg.norm(brain[i]) / np.linalg.norm(image[j])
            terms.append(math.exp(cosine / t))
        total -= math.log(terms[j] / sum(terms))
    return total / len(image)


@pytest.mark.parametrize("t", [0.07, 0.3, 2.0])
def test_info_nce_is_the_papers_formula(t: float, rng: np.random.Generator) -> None:
    image, brain = rng.normal(size=(2, 7, 5))
    a, b = torch.from_numpy(image), torch.from_numpy(brain)
    forward, backward = written_out(image, brain, t), written_out(brain, image, t)
    assert forward != pytest.approx(backward, rel=1e-3)
    assert info_nce(a, b, t).item() == pytest.approx(forward, rel=1e-12)
    assert info_nce(a, b, t, "brain_to_image").item() == pytest.approx(backward, rel=1e-12)
    both = info_nce(a, b, t, "symmetric").item()
    assert both == pytest.approx((forward + backward) / 2, rel=1e-12)


def test_info_nce_gradient(rng: np.random.Generator) -> None:
    a, b = (torch.from_numpy(x).requires_grad_() for x in rng.normal(size=(2, 4, 3)))
    t = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    for direction in ("image_to_brain", "brain_to_image", "symmetric"):
        assert torch.autograd.gradcheck(lambda *x, d=direction: info_nce(*x, d), (a, b, t))


def test_info_nce_is_safe_at_its_limits() -> None:
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert info_nce(z[:1], -z[:1]).item() == 0  # one pair has no rival
    for temperature in (1e-6, 1e6):
        assert torch.isfinite(info_nce(z, -z, temperature))
    assert info_nce(z, z[:1].expand(6, 4)).item() == pytest.approx(math.log(6))
    zeros = torch.zeros(6, 4, requires_grad=True)
    info_nce(zeros, z).backward()
    assert zeros.grad is not None
    assert torch.isfinite(zeros.grad).all()
    assert info_nce(z.bfloat16(), z.bfloat16()).dtype == torch.float32


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.floats(0.05, 5), st.integers(0, 1000))
def test_info_nce_properties(n: int, t: float, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    a = torch.randn(n, 4, generator=draws, dtype=torch.float64)
    b = torch.randn(n, 4, generator=draws, dtype=torch.float64)
    loss = info_nce(a, b, t)
    assert 0 <= loss <= math.log(n) + 2 / t + 1e-9
    order = torch.randperm(n, generator=draws)
    torch.testing.assert_close(info_nce(a[order], b[order], t), loss)
    torch.testing.assert_close(info_nce(3 * a, b / 7, t), loss)


def test_bad_arguments_are_named() -> None:
    z = torch.randn(3, 2)
    with pytest.raises(InputError, match=r"found \(3, 2\) and \(2, 2\)"):
        info_nce(z, z[:2])
    with pytest.raises(InputError, match="B > 0"):
        info_nce(z[:0], z[:0])
    with pytest.raises(InputError, match="both_ways"):
        info_nce(z, z, 0.3, "both_ways")
    with pytest.raises(InputError, match=r"mse: shapes \(3, 2\) and \(3, 1\)"):
        mse(z, z[:, :1])


def test_retrieval() -> None:
    z = torch.eye(4)
    assert retrieval_top1(z, z) == 1
    assert retrieval_top1(z, z[[1, 0, 2, 3]]) == 0.5
    assert retrieval_top1(z, torch.ones(4, 4)) == 0  # collapsed: ties are misses


def test_mean_r(rng: np.random.Generator) -> None:
    p, o = rng.normal(size=(2, 30, 3))
    p[:, 2] = 5
    expected = (np.corrcoef(p[:, 0], o[:, 0])[0, 1] + np.corrcoef(p[:, 1], o[:, 1])[0, 1]) / 3
    assert mean_unit_r(torch.from_numpy(p), torch.from_numpy(o)).item() == pytest.approx(expected)
