"""The defaults are the paper's, and a setting that makes no sense is refused."""

from __future__ import annotations

import pytest

from striate.core.errors import InputError
from striate.learning import TuneConfig


def test_contrastive_defaults_are_the_papers() -> None:
    """Mulrooney & Brockmeier 2024; docs/papers/contrastive-tuning.md 2.1."""
    c = TuneConfig()
    assert (c.objective, c.epochs, c.batch_size, c.learning_rate) == ("contrastive", 30, 1024, 1e-4)
    assert (c.temperature, c.learn_temperature, c.direction) == (0.3, False, "image_to_brain")
    assert (c.h_ratio, c.z_ratio, c.pooled_z_ratio) == (0.8, 0.2, 0.25)
    assert (c.tap, c.freeze, c.head_epochs, c.order) == (None, (), 0, "sequential")
    assert (c.weight_decay, c.schedule, c.warmup_epochs) == (0, "constant", 0)
    assert c.head_learning_rate is None
    assert c.early_stopping is None
    assert not c.augment.on
    assert c.responses == "as_given"


def test_regression_defaults_are_the_papers() -> None:
    """Mulrooney & Brockmeier 2024; docs/papers/contrastive-tuning.md 2.2."""
    c = TuneConfig.regression()
    assert (c.learning_rate, c.epochs, c.batch_size) == (2.5e-5, 75, 1024)
    assert c == TuneConfig(objective="regression")
    assert TuneConfig.regression(epochs=3).epochs == 3
    assert TuneConfig.from_dict(c.to_dict()) == c


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 1}, "batch_size.*greater than or equal to 2"),
        ({"temperature": 0}, "temperature"),
        ({"epocs": 3}, "Did you mean epochs"),
        ({"tap_grid": 3}, "tap_grid needs a tap"),
        ({"head_epochs": 30}, "head_epochs must be less than epochs"),
        ({"augment": {"shfit": 3}}, "Did you mean shift"),
        ({"direction": "both"}, "direction"),
        ({"z": 1}, "z.*greater than or equal to 2"),
    ],
)
def test_bad_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TuneConfig.from_dict(values)


def test_what_may_change_between_stop_and_resume() -> None:
    a, b = TuneConfig(), TuneConfig(checkpoint_every=5, keep_checkpoints=True, tensorboard=True)
    assert a.identity() == b.identity()
    assert a.identity() != TuneConfig(seed=1).identity()
