"""The example's halves and its baseline; and what it prints and draws."""

import numpy as np
import pytest

from scripts import printed, script

OPTIMISED = True  # it trains for long

example = script("complete_the_digit")
IMAGES = np.random.default_rng(0).integers(0, example.LEVELS, (50, 8, 8)).astype(np.float32)


def test_what_is_wanted_is_what_is_not_given():
    given, wanted = example.half(IMAGES, example.UPPER), example.half(IMAGES, ~example.UPPER)
    assert (given.mask ^ wanted.mask).all()
    np.testing.assert_array_equal(given.value + wanted.value, IMAGES)


def test_the_histograms_are_probabilities_of_the_lower_half():
    """Of one pixel over all its levels they add up to 1, the others being as they are."""
    every = np.repeat(IMAGES[:1], example.LEVELS, 0)
    every[:, 5, 3] = np.arange(example.LEVELS)
    log_p = example.by_histograms(IMAGES, every)
    rest = np.delete(IMAGES[:, ~example.UPPER], 8 + 3, axis=1)
    counts = (rest == rest[0]).sum(0)
    others = np.log((counts + 1 / example.LEVELS) / (len(IMAGES) + 1)).sum()
    assert np.exp(log_p - others).sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.slow
def test_whole_lower_halves_are_better_than_pixels_one_by_one(capsys, tmp_path):
    example.main(["--plot", str(tmp_path / "digits.png")])
    scores = printed(capsys.readouterr().out)
    for other in ("without z", "histogram of each pixel"):
        _, gap, stderr = scores[other]
        assert gap > 5 * stderr > 0
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
