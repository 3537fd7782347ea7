"""Copies of an image become one stimulus; stimuli without a response are left out."""

from __future__ import annotations

import numpy as np

from striate.data import Dataset, Recording, Responses, StimulusSet, tidy
from striate.data.responses.noise_ceilings import noise_ceiling


def dataset(values, pictures):
    ids = [f"s{i}" for i in range(len(pictures))]
    images = [np.full((4, 4, 3), p, dtype=np.uint8) for p in pictures]
    responses = Responses.build(np.asarray(values, dtype=float), ids, subject="ann")
    return Dataset("folder", {"ann": Recording("ann", StimulusSet(ids, images), responses)})


def test_nothing_to_do_changes_nothing():
    data = dataset([[1, 2], [3, 4]], [7, 8])
    same, notes = tidy(data)
    assert notes == [] and same["ann"] is data["ann"]


def test_copies_are_averaged_and_keep_the_first_id():
    data, notes = tidy(dataset([[1, 2], [3, 4], [5, np.nan], [np.nan, np.nan]], [7, 8, 7, 7]))
    assert data["ann"].stimuli.ids == ("s0", "s1")
    np.testing.assert_array_equal(data["ann"].responses.mean(), [[3, 2], [3, 4]])
    assert notes == [
        "ann: 1 stimuli without any response were left out (first: s3).",
        "ann: 1 images have several stimulus ids; each became one stimulus with the mean of its "
        "responses (3 stimuli before, 2 after). If these rows are repeats of one stimulus, put "
        "them into the dim `repeat`: then there is a noise ceiling.",
    ]


def test_trials_of_copies_are_put_side_by_side():
    trials = np.arange(12, dtype=float).reshape(3, 2, 2)
    data, _ = tidy(dataset(trials, [7, 8, 7]))
    got = data["ann"].responses.data
    assert got.shape == (2, 4, 2)
    np.testing.assert_array_equal(got.values[0], trials[[0, 2]].reshape(4, 2))
    np.testing.assert_array_equal(got.values[1, :2], trials[1])
    assert np.isnan(got.values[1, 2:]).all()
    np.testing.assert_array_equal(
        data["ann"].responses.mean(), [trials[[0, 2]].reshape(4, 2).mean(0), trials[1].mean(0)]
    )


def test_ceilings_of_joined_trials_are_computed_again(rng):
    signal = rng.normal(size=(300, 1, 4))
    trials = np.concatenate([signal, signal]) + 0.9 * rng.normal(size=(600, 2, 4))
    pictures = [i % 250 for i in range(250)]
    data = big(trials[np.r_[:250, 300:550]], pictures + pictures, noise_ceiling(trials))
    joined, notes = tidy(data)
    got = joined["ann"].responses
    np.testing.assert_allclose(got.noise_ceiling, noise_ceiling(got.data.values))
    assert (got.noise_ceiling > data["ann"].responses.noise_ceiling).all()
    assert notes[0].endswith("Noise ceilings are of the joined trials.")


def test_given_ceilings_of_joined_rows_are_raised(rng):
    signal = rng.normal(size=(250, 3))
    rows = np.concatenate([signal, signal]) + 0.9 * rng.normal(size=(500, 3))
    rows[250:, 2] = np.nan  # a unit that was lost: no second row to average
    given = np.full(3, np.sqrt(1 / 1.81))
    pictures = list(range(250))
    joined, notes = tidy(big(rows, pictures + pictures, given))
    got = joined["ann"].responses.noise_ceiling
    np.testing.assert_allclose(got[:2], np.sqrt(1 / (1 + 0.81 / 2)))
    np.testing.assert_allclose(got[2], given[2])
    reached = [
        np.corrcoef(joined["ann"].responses.mean()[:, i], signal[:, i])[0, 1] for i in (0, 1)
    ]
    np.testing.assert_allclose(reached, got[:2], atol=0.03)
    assert notes[0].endswith("given for single rows are raised for the averaging.")


def big(values, pictures, ceiling):
    ids = [f"s{i:04d}" for i in range(len(pictures))]
    images = [np.full((4, 4, 3), p, dtype=np.uint8) for p in pictures]
    responses = Responses.build(values, ids, subject="ann", noise_ceiling=ceiling)
    return Dataset("folder", {"ann": Recording("ann", StimulusSet(ids, images), responses)})


def test_copies_are_averaged_in_double_precision():
    values = np.array([[16777216], [5], [16777218], [16777218]], dtype=np.float32)
    ids = list("abcd")
    images = [np.full((4, 4, 3), p, dtype=np.uint8) for p in (7, 8, 7, 7)]
    responses = Responses.build(values, ids, subject="ann")
    data = Dataset("folder", {"ann": Recording("ann", StimulusSet(ids, images), responses)})
    got = tidy(data)[0]["ann"].responses.mean()
    assert got.tolist() == [[np.float32(16777217 + 1 / 3)], [5]]
