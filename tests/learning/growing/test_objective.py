"""The objective against plain formulas, and the measures of collapse on features one knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.core.errors import InputError
from striate.learning.growing.collapse import collapsed, dead_share, effective_rank
from striate.learning.growing.objective import cross_correlation, decorrelated_similarity


def pair(rows: int = 40, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(rows, width, generator=draw, dtype=torch.float64) * 3 + 5
    return first, first + torch.randn(rows, width, generator=draw, dtype=torch.float64)


def test_equals_numpy() -> None:
    first, second = pair()
    expected = np.corrcoef(first.T.numpy(), second.T.numpy())[:6, 6:]
    np.testing.assert_allclose(cross_correlation(first, second), expected, atol=1e-4)


def test_parts_of_the_loss() -> None:
    first, second = pair()
    c = cross_correlation(first, second)
    parts = decorrelated_similarity(first, second, weight=0.25)
    off = c[~torch.eye(6, dtype=torch.bool)]
    torch.testing.assert_close(parts.similarity, (1 - c.diagonal()).square().sum())
    torch.testing.assert_close(parts.redundancy, off.square().sum())
    torch.testing.assert_close(parts.loss, parts.similarity + 0.25 * parts.redundancy)


def test_gradient() -> None:
    first, second = (x[:9, :3].requires_grad_() for x in pair())
    torch.autograd.gradcheck(lambda a, b: decorrelated_similarity(a, b).loss, (first, second))


def test_scale_and_offset_of_a_feature_do_not_matter() -> None:
    first, second = pair()
    changed = cross_correlation(first * 7 - 3, second / 2)
    torch.testing.assert_close(changed, cross_correlation(first, second), atol=1e-4, rtol=0)


def test_a_constant_feature_correlates_with_nothing() -> None:
    first, second = pair()
    first[:, 2] = second[:, 2] = 4.0
    c = cross_correlation(first, second)
    assert torch.isfinite(c).all() and not c[2].any() and not c[:, 2].any()


def test_one_row_is_finite_and_says_nothing() -> None:
    first, second = pair(rows=1)
    assert not cross_correlation(first, second).any()


def test_half_precision_is_computed_in_single() -> None:
    first, second = (x.bfloat16() for x in pair())
    with torch.autocast("cpu", torch.bfloat16):
        correlations = cross_correlation(first, second)
    assert correlations.dtype == torch.float32
    torch.testing.assert_close(correlations, cross_correlation(first.float(), second.float()))


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"one shape \(B, K\), found \(40, 6\) and \(39, 6\)"):
        cross_correlation(pair()[0], pair()[1][1:])


def test_effective_rank_of_known_features() -> None:
    draw = torch.Generator().manual_seed(1)
    q, _ = torch.linalg.qr(torch.randn(50, 8, generator=draw))
    q, _ = torch.linalg.qr(q - q.mean(0))
    assert effective_rank(q + 3) == pytest.approx(8, rel=1e-4)
    assert effective_rank(q[:, :1] @ torch.ones(1, 20)) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.full((50, 8), 2.5)) == 0


def test_dead_channels_and_collapse() -> None:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(30, 8, generator=draw)
    x[:, [1, 5]] = torch.tensor([0.0, 7.0])
    assert dead_share(x) == 0.25
    assert dead_share(torch.zeros(30, 8)) == 1
    assert not collapsed(6.0, 0.25, 8)
    assert collapsed(1.5, 0.0, 8) and collapsed(6.0, 0.6, 8) and collapsed(2.5, 0.0, 200)
