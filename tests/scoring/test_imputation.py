"""Missing cells drawn given the observed ones, against the exact conditional of a Gaussian."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy.stats import multivariate_normal

from condvae import CVAE, Distribution, Mixture, Observed
from condvae.conditionals import SameAsPrior, StandardNormal
from condvae.distributions import MixtureOf, Numpyro, Product
from condvae.linear_gaussian import mean_field_oracle
from condvae.scoring import impute, imputed
from helpers import C_SIZE, X_SIZE, conditions, masked

KEY = jax.random.key(0)
MASKS = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], bool)


def rows(seed=1):
    x = np.asarray(1.5 * jax.random.normal(jax.random.key(seed), MASKS.shape))
    return Observed(np.where(MASKS, x, 0.0).astype(np.float32), MASKS), np.asarray(conditions(len(MASKS)))


def joint(model, c):
    """x | c ~ Normal(D c, B Bᵀ + R), R diagonal: given z cells are independent."""
    likelihood = model.likelihood
    b = np.asarray(likelihood.loadings, float)
    covariance = b @ b.T + np.diag(np.exp(2 * np.asarray(likelihood.log_scale, float)))
    return np.asarray(likelihood.of_c, float) @ c, covariance


def conditional(mean, covariance, value, mask):
    """The mean and covariance of the missing cells given the observed ones."""
    gain = covariance[np.ix_(~mask, mask)] @ np.linalg.inv(covariance[np.ix_(mask, mask)])
    centre = mean[~mask] + gain @ (value[mask] - mean[mask])
    return centre, covariance[np.ix_(~mask, ~mask)] - gain @ covariance[np.ix_(mask, ~mask)]


def runs(model, x, c, repeats=50, **options):
    """Each row under so many keys: draws of one choose from the same proposals, and are not independent."""
    tiled = jax.tree.map(lambda leaf: np.tile(leaf, (repeats, 1)), (x, c))
    with pytest.MonkeyPatch.context() as patch:  # by proposals alone, which is what is exact in the limit
        patch.setattr("condvae.scoring.imputation.ENOUGH", 0)
        drawn = impute(model, *tiled, key=KEY, **options)
    return drawn.reshape(repeats, len(c), -1, X_SIZE)


def test_they_are_distributed_as_the_exact_conditional():
    model = masked(jax.random.key(3))
    x, c = rows()
    drawn = runs(model, x, c, num_samples=100, num_proposals=2048)
    for i, mask in enumerate(MASKS):
        if mask.all():
            continue
        centre, covariance = conditional(*joint(model, c[i]), x.value[i], mask)
        missing = drawn[:, i][..., ~mask]  # [repeats, draws, missing]
        means = missing.mean(axis=1)
        error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
        assert (np.abs(means.mean(axis=0) - centre) < 5 * error + 0.01).all()
        assert (error < 0.05).all()
        deviation = missing - centre
        products = np.einsum("rsi,rsj->rij", deviation, deviation) / missing.shape[1]
        error = products.std(axis=0, ddof=1) / np.sqrt(len(products))
        assert (np.abs(products.mean(axis=0) - covariance) < 5 * error + 0.02).all()


def test_the_cells_of_a_draw_hang_together():
    """Cells drawn each by itself would have no covariance: here it is most of what there is."""
    model = masked(jax.random.key(3))
    model = eqx.tree_at(lambda m: m.likelihood.log_scale, model, jnp.full(X_SIZE, -2.0))
    _, covariance = joint(model, np.zeros(C_SIZE))
    x = Observed(np.zeros((1, X_SIZE), np.float32), np.zeros((1, X_SIZE), bool))
    drawn = impute(model, x, np.zeros((1, C_SIZE)), key=KEY, num_samples=4000, num_proposals=4096)[0]
    scale = np.sqrt(np.diagonal(covariance))
    truth = covariance / np.outer(scale, scale)
    assert np.abs(np.corrcoef(drawn.T) - truth).max() < 5 / np.sqrt(2000)
    assert np.abs(truth[np.triu_indices(X_SIZE, 1)]).max() > 0.7


@pytest.mark.parametrize("of", ["one", "mixture"])
def test_observed_cells_stay_to_the_bit(of):
    model = masked(jax.random.key(3))
    model = model if of == "one" else Mixture.of([model, masked(jax.random.key(4))])
    x, c = rows()
    drawn = impute(model, x, c, key=KEY, num_samples=5)
    assert drawn.shape == (len(MASKS), 5, X_SIZE)
    assert (drawn == x.value[:, None])[np.broadcast_to(MASKS[:, None], drawn.shape)].all()
    missing = np.broadcast_to(~MASKS[:, None], drawn.shape)
    assert np.isfinite(drawn).all()
    assert (drawn[missing] != 0).all()
    np.testing.assert_array_equal(impute(model, x, c, key=KEY, num_samples=5), drawn)
    assert (impute(model, x, c, key=jax.random.key(1), num_samples=5)[missing] != drawn[missing]).all()


@pytest.mark.slow
def test_members_are_weighed_by_how_well_they_explain_what_is_observed():
    """p(missing | observed) of a mixture: members k with shares p_k(observed) / Σ_j p_j(observed)."""
    models = [masked(jax.random.key(k)) for k in (3, 4)]
    x, c = rows()
    drawn = runs(Mixture.of(models), x, c, num_samples=100, num_proposals=1024)
    shares = []
    for i, mask in enumerate(MASKS):
        if mask.all():
            continue
        evidence, centres = [], []
        for model in models:
            mean, covariance = joint(model, c[i])
            seen = multivariate_normal(mean[mask], covariance[np.ix_(mask, mask)]) if mask.any() else None
            evidence.append(0.0 if seen is None else seen.logpdf(x.value[i][mask]))
            centres.append(conditional(mean, covariance, x.value[i], mask)[0])
        share = np.exp(evidence - np.logaddexp.reduce(evidence))
        means = drawn[:, i][..., ~mask].mean(axis=1)
        error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
        assert (np.abs(means.mean(axis=0) - share @ np.array(centres)) < 5 * error + 0.02).all()
        shares.append(share[0])
    assert np.ptp(shares) > 0.2  # so that equal shares would not do


def test_a_member_that_explains_nothing_gives_no_draw():
    near = masked(jax.random.key(3))
    far = eqx.tree_at(lambda m: m.likelihood.of_c, near, near.likelihood.of_c + 1e4)
    x, c = rows()
    drawn = impute(Mixture.of([far, near]), x, c, key=KEY, num_samples=20)
    seen = MASKS.any(axis=1)
    assert (np.abs(drawn[seen]) < 100).all()


def test_no_rows_and_bad_arguments():
    model = masked(jax.random.key(3))
    x, c = rows()
    none = Observed(x.value[:0], x.mask[:0])
    assert impute(model, none, c[:0], key=KEY, num_samples=2).shape == (0, 2, X_SIZE)
    with pytest.raises(ValueError, match="num_samples is 0, expected at least 1"):
        impute(model, x, c, key=KEY, num_samples=0)
    with pytest.raises(ValueError, match="num_proposals is 3, expected at least 4"):
        impute(model, x, c, key=KEY, num_proposals=3)
    with pytest.raises(ValueError, match="6"):
        impute(model, x, c[:2], key=KEY)


class Whatever(eqx.Module):
    """A likelihood that says nothing of z."""

    made: object = eqx.field(static=True)

    def __call__(self, z, c):
        return self.made()


RHO = np.array([[1.0, 0.95], [0.95, 1.0]], np.float32)


@pytest.mark.parametrize(
    ("made", "mean", "sd"),
    [
        (lambda: npd.MultivariateNormal(jnp.zeros(2), jnp.array(RHO)), 1.9, np.sqrt(1 - 0.95**2)),
        (
            lambda: npd.LowRankMultivariateNormal(
                jnp.zeros(2), np.sqrt(0.95) * jnp.ones((2, 1)), jnp.full(2, 0.05)
            ),
            1.9,
            np.sqrt(1 - 0.95**2),
        ),
        (
            lambda: MixtureOf(
                jnp.zeros(2), lambda k: Numpyro(npd.Normal(jnp.array([-2.0, 2.0])[k] * jnp.ones(2), 0.3))
            ),
            2.0,
            0.3,
        ),
        (
            lambda: Product({"only": Numpyro(npd.MultivariateNormal(jnp.zeros(2), jnp.array(RHO)))}),
            1.9,
            0.31,
        ),
    ],
    ids=["full", "low rank", "mixture", "block"],
)
def test_cells_that_hang_together_given_z_are_drawn_given_those_observed(made, mean, sd):
    """x₁ = 2 is observed; of x₂ the mean and standard deviation are known."""
    model = CVAE(StandardNormal((1,)), Whatever(made), SameAsPrior())
    row = Observed(jnp.array([[2.0, 0.0]]), jnp.array([[True, False]]))
    block = isinstance(made(), Product)
    drawn = impute(model, {"only": row} if block else row, key=KEY, num_samples=4000)
    drawn = (drawn["only"] if block else drawn)[0]
    assert (drawn[:, 0] == 2.0).all()
    assert abs(drawn[:, 1].mean() - mean) < 5 * sd / np.sqrt(4000) + 0.01
    assert abs(drawn[:, 1].std() / sd - 1) < 0.08


def test_a_conditional_is_the_joint_over_the_marginal():
    whole = Numpyro(npd.MultivariateNormal(jnp.array([0.5, -1.0]), jnp.array(RHO)))
    value, mask = jnp.array([2.0, 0.3]), jnp.array([True, False])
    centre, variance = -1.0 + 0.95 * 1.5, 1 - 0.95**2
    expected = npd.Normal(centre, np.sqrt(variance)).log_prob(0.3)
    np.testing.assert_allclose(whole.conditional(value, mask).log_prob(value), expected, rtol=1e-4)


def test_what_has_no_conditional_is_refused_in_a_sentence():
    class Own(Distribution):
        reparameterised = True

        def sample(self, key):
            return jnp.zeros(2)

        def log_prob(self, value):
            return jnp.zeros(())

    model = CVAE(StandardNormal((1,)), Whatever(Own), SameAsPrior())
    row = Observed(jnp.array([[2.0, 0.0]]), jnp.array([[True, False]]))
    with pytest.raises(TypeError, match=r"Own has no exact conditional.*define conditional\(value, mask\)"):
        impute(model, row, key=KEY)


class BestMeanField(eqx.Module):
    """The best q that factorises of z given the observed cells of x = W z + noise."""

    weight: jax.Array
    noise: float

    def __call__(self, x, c, prior=None):
        of_observed = self.weight.T * x.mask / self.noise**2
        precision = jnp.eye(self.weight.shape[1]) + of_observed @ self.weight
        return npd.Normal(jnp.linalg.solve(precision, of_observed @ x.value), jnp.diag(precision) ** -0.5)


@pytest.mark.parametrize("noise", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1.0, 0.3)), 0.1])
def test_intervals_of_missing_cells_cover_however_far_q_is_from_the_posterior(noise):
    """Ten latents: of 240 cells a nominal 90% covers that, less what 128 draws leave of it."""
    of_z, _ = mean_field_oracle(10, noise, 16)
    weight = of_z.likelihood.weight
    model = CVAE(of_z.prior, of_z.likelihood, BestMeanField(weight, noise))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 10)) @ np.asarray(weight).T + noise * rng.normal(size=(60, 16))
    mask = np.broadcast_to(np.arange(16) < 12, x.shape)
    row = Observed(np.where(mask, x, 0.0).astype(np.float32), mask)
    draws = imputed(model, row, key=KEY, num_samples=128)
    low, high = np.quantile(np.asarray(draws.value)[:, :, 12:], [0.05, 0.95], axis=1)
    share = np.mean((low <= x[:, 12:]) & (x[:, 12:] <= high), axis=1)  # cells of a row are not independent
    assert abs(share.mean() - 0.9) < 0.015 + 3 * share.std() / np.sqrt(len(x))
    assert draws.trusted.mean() > 0.9
    if noise == 0.1:  # and proposals of q alone leave most of it out
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("condvae.scoring.imputation.ENOUGH", 0)
            alone = imputed(model, row, key=KEY, num_samples=128)
        assert alone.trusted.mean() < 0.7
        assert np.median(alone.ess) < np.median(draws.ess)
