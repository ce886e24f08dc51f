"""The example's truth, and that what it prints puts the models in their order."""

import numpy as np
import pandas as pd
import pytest

from scripts import printed, script

OPTIMISED = True  # it trains for long

example = script("counts")


@pytest.fixture(scope="module")
def truth():
    return example.Experiment(np.random.default_rng(0))


def test_the_truth_is_the_distribution_of_what_is_simulated(truth):
    """Summed over the counts of one gene it is 1; and E log p of draws is that of the sum."""
    rng = np.random.default_rng(1)
    c = truth.given(1, rng)
    alone = example.Experiment(np.random.default_rng(0))
    for name in ("level", "batch", "dose"):
        setattr(alone, name, getattr(truth, name)[..., :1])
    alone.dispersion = truth.dispersion[:1]
    counts = pd.DataFrame({"gene 1": np.arange(400)})
    log_p = alone.log_prob(pd.concat([c] * 400), counts)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-6)
    many = pd.concat([c] * 20_000, ignore_index=True)
    drawn = truth.counts(many, rng)["gene 1"]
    own = log_p[np.minimum(drawn, 399)]
    expected = (np.exp(log_p) * log_p).sum()
    assert abs(own.mean() - expected) < 4 * own.std() / np.sqrt(len(own))


@pytest.mark.slow
def test_the_batch_and_the_dispersion_are_worth_something(capsys, tmp_path):
    example.main(["--plot", str(tmp_path / "counts.png")])
    text = capsys.readouterr().out
    scores = printed(text)
    _, gap, stderr = scores["the truth"]
    assert -0.6 < gap < -3 * stderr
    for other in ("negative binomial, without the batch", "Poisson"):
        _, gap, stderr = scores[other]
        assert gap > 5 * stderr > 0
    assert (tmp_path / "counts.png").read_bytes().startswith(b"\x89PNG")
