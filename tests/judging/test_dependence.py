from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from condvae.baselines import fit_baseline
from condvae.judging import dependence
from condvae.judging.dependence import Dependence
from judging.stand_in import rows_of

N, RHO = 4000, 0.8
INFORMATION = -0.5 * np.log(1 - RHO**2)


def gaussians(seed, rho, n=N):
    a, noise = np.random.default_rng(seed).normal(size=(2, n))
    return pd.DataFrame({"a": a, "b": rho * a + np.sqrt(1 - rho**2) * noise})


def judged(y, rho):
    """Rows before a model that takes a and b for standard Gaussians of correlation rho."""
    rows = rows_of(None, y)
    model = rows.model
    mean, sd = ([getattr(column, part) for column in model.numeric] for part in ("mean", "sd"))

    def log_prob(x, c, key, num_samples):
        value, mask = np.asarray(x["numeric"].value) * sd + mean, x["numeric"].mask
        value = np.where(mask, value, 0.0)
        alone = np.where(mask, -0.5 * value**2 - 0.5 * np.log(2 * np.pi), 0.0).sum(axis=1)
        joint = multivariate_normal(np.zeros(2), [[1.0, rho], [rho, 1.0]]).logpdf(value)
        return SimpleNamespace(value=np.where(mask.all(axis=1), joint, alone))

    named = {"x_levels": (), "c_levels": ()}
    fitted = {
        name: fit_baseline(rows.x, None, independent=name == "independent", **named)
        for name in ("linear", "independent")
    }
    model.independent, model.log_prob = fitted["independent"], log_prob
    model.baselines = lambda x, c: {name: one.log_prob(x, c) for name, one in fitted.items()}
    return rows, log_prob(rows.x, None, None, 1).value


def measured(rho, model_rho, **options):
    rows, value = judged(gaussians(0, rho), model_rho)
    made = rows_of(None, gaussians(1, model_rho)).x
    return dependence.dependence(
        rows,
        value,
        {name: block.value for name, block in made.items()},
        jax.random.key(0),
        **options,
    )


def test_gaussians_share_what_their_correlation_says():
    shared = measured(RHO, RHO)
    for nats, stderr in (shared.model, shared.chain):
        assert stderr < 0.03
        assert abs(nats - INFORMATION) < 4 * stderr
    (pair,) = shared.pairs
    assert pair.targets == ("a", "b")
    assert pair.rows == N
    # Groups of values share less than the values.
    assert 0.8 * INFORMATION < pair.information < INFORMATION
    assert pair.information_drawn == pytest.approx(pair.information, abs=0.05)
    assert pair.correlation == pytest.approx(6 / np.pi * np.arcsin(RHO / 2), abs=0.02)
    (said,) = dependence.findings(shared, in_turn=True)
    assert (said.code, said.level) == ("dependence-learned", "good")


def test_what_a_latent_carries_is_told_by_target():
    shared = measured(RHO, RHO, by_latent=True)
    for nats, stderr in shared.carried.values():  # of two targets, all that they share
        assert abs(nats - INFORMATION) < 4 * stderr
    (said,) = dependence.findings(shared, in_turn=False)
    named = ", ".join(f"{name} ({nats:.2f})" for name, (nats, _) in shared.carried.items())
    assert said.what.endswith(f"carried by z: it tells {named}")
    assert measured(0.0, 0.0, by_latent=True).carried.keys() == {"a", "b"}
    assert measured(RHO, RHO).carried == {}


def test_a_model_that_takes_targets_for_independent_is_told():
    shared = measured(RHO, 0.0)
    assert shared.model == pytest.approx((0.0, 0.0), abs=1e-9)
    assert shared.pairs[0].information_drawn < 0.02
    (said,) = dependence.findings(shared, in_turn=False)
    assert (said.code, said.level) == ("dependence-missed", "problem")
    assert f"0.00 of the {shared.chain[0]:.2f} nats" in said.what
    assert "--joint" in said.advice
    assert said.nats == pytest.approx(shared.chain[0])


def test_independent_targets_are_no_problem():
    (said,) = dependence.findings(measured(0.0, 0.0), in_turn=True)
    assert said.code == "targets-independent"


def test_a_better_model_may_share_less():
    shared = Dependence((0.2, 0.01), (0.9, 0.01), (0.7, 0.02), 0.5, [], {})
    (said,) = dependence.findings(shared, in_turn=True)
    assert (said.code, said.level) == ("dependence-less", "note")


def test_one_target_depends_on_none():
    rows = rows_of(None, gaussians(0, RHO)[["a"]])
    rows.model.independent = None
    assert dependence.dependence(rows, np.zeros(N), {}, jax.random.key(0)) is None
    assert dependence.findings(None, in_turn=False) == []


def test_pairs_of_numbers_and_categories():
    rng = np.random.default_rng(0)
    y = gaussians(0, RHO).assign(
        kind=rng.choice(["u", "v", "w"], N), pays=lambda f: np.where(f.a > 0, "x", "y")
    )
    y.loc[rng.random(N) < 0.3, "a"] = np.nan
    rows = rows_of(None, y)
    pairs = {pair.targets: pair for pair in dependence.pairs(rows, {k: b.value for k, b in rows.x.items()})}
    assert len(pairs) == 6
    half = pairs["a", "pays"]
    assert half.correlation is None
    assert half.rows == rows.x["numeric"].mask[:, 0].sum()
    # All but for the group of values in which the sign of a changes.
    assert half.information == pytest.approx(np.log(2), abs=0.07)
    assert pairs["kind", "pays"].information < 0.01
    assert all(pair.information == pair.information_drawn for pair in pairs.values())


def test_a_target_that_does_not_vary_shares_nothing():
    same = np.zeros(100, int)
    assert dependence.information(same, np.arange(100) % 2) == 0.0
    rows = rows_of(None, gaussians(0, RHO, 100).assign(b=np.repeat([0.0, 1.0], [60, 40])))
    some = rows.take(np.arange(60))
    (pair,) = dependence.pairs(some, {name: block.value for name, block in some.x.items()})
    assert pair.correlation is None
    assert pair.information == 0.0
