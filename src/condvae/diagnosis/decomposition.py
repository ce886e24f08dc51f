"""The identity behind the method, term by term.

    E[ELBO(x | c)] = − E_c KL(p(x|c) || p_θ(x|c)) − E KL(q_φ(z|x,c) || p_θ(z|x,c)) + E log p(x|c)
                        how wrong the model is       how wrong the inference is      the data's own

Maximising the left side over (θ, φ) minimises the two divergences. Where the truth is known, each of the
four numbers can be computed on its own; that they add up is then a test of the code that computed them,
and not algebra.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jaxtyping import Array, PRNGKeyArray, PyTree
from numpyro.distributions.kl import kl_divergence

from condvae.conditionals import AffineGaussian
from condvae.diagnosis.quadrature import integrates, posterior_by_quadrature
from condvae.linear_gaussian import (
    Moments,
    Truth,
    exact_conditional,
    exact_elbo,
    exact_log_prob,
    exact_posterior,
    expected_elbo,
    expected_log_prob,
)
from condvae.model import CVAE
from condvae.objectives import elbo
from condvae.scoring import log_prob
from condvae.vectorise import map_rows


class TrueDistribution(Protocol):
    """What `decompose` asks of a truth: pairs (x, c), and log p(x | c) of a pair."""

    def sample(self, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        """One pair (x, c); c is None in the unconditional case."""
        ...

    def log_prob(self, x: PyTree, c: PyTree) -> Array:
        """log p(x | c) of one pair, nats."""
        ...


class Decomposition(NamedTuple):
    """The terms of E[ELBO], in nats per row.

    Attributes:
        elbo: E[ELBO(x | c)].
        kl_model: E_c KL(p(x|c) || p_θ(x|c)), how wrong the model is.
        kl_inference: E KL(q_φ(z|x,c) || p_θ(z|x,c)), how wrong the inference is; NaN where it cannot be
            computed on its own.
        data_term: E log p(x|c), minus the entropy of the data.
        residual: elbo − (−kl_model − kl_inference + data_term): 0 but for the error of computing;
            NaN where `kl_inference` is.
        stderr: the standard error of `residual`; 0 where everything is exact.
        method: "exact", "closed form", "enumeration", "quadrature" (the last three with Monte Carlo over
            the rows), or "not checkable", with the reason.
    """

    elbo: float
    kl_model: float
    kl_inference: float
    data_term: float
    residual: float
    stderr: float
    method: str

    @property
    def checkable(self) -> bool:
        """Whether the residual is a test."""
        return bool(np.isfinite(self.residual))


def decompose(
    model: CVAE, truth: Truth | TrueDistribution, *, key: PRNGKeyArray | None = None, num_rows: int = 4000
) -> Decomposition:
    """The three terms of E[ELBO] for a known truth, each computed on its own.

    Exact where the model and the truth are linear-Gaussian. Otherwise by Monte Carlo over rows, with
    *independent* draws for each of the four numbers, and KL(q || p_θ(z|x,c)) of a row in closed form (a
    linear-Gaussian model), by enumeration (a discrete latent) or by quadrature (a latent of one or two
    dimensions). With any other latent it is reported as not checkable, and `kl_model` rests on
    importance sampling.

    Args:
        model: a `CVAE`.
        truth: p(c) and p(x | c): a `Truth`, or any object with `sample(key)` and `log_prob(x, c)` of one
            pair. Without c, the identity of the plain VAE.
        key: a PRNG key; not needed in the exact case.
        num_rows: rows for each of the four numbers, in the Monte Carlo case.

    Raises:
        ValueError: if a key is needed and missing.

    Source:
        Tuan Anh Le, "Conditional Variational Autoencoders", 2018.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.conditionals import AffineGaussian
        >>> from condvae.diagnosis import decompose
        >>> from condvae.linear_gaussian import Truth, random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=2, z_size=1, c_size=1)
        >>> p_x = AffineGaussian((jnp.ones((2, 1)),), jnp.zeros(2), jnp.eye(2))
        >>> terms = decompose(model, Truth(p_x, jnp.zeros(1), jnp.eye(1)))
        >>> terms.method, abs(terms.residual) < 1e-4
        ('exact', True)
    """
    linear = all(isinstance(m, AffineGaussian) for m in (model.prior, model.likelihood, model.posterior))
    if linear and isinstance(truth, Truth):
        return _exact(model, truth)
    if key is None:
        raise ValueError("this decomposition is by Monte Carlo: pass key=")
    return _monte_carlo(model, truth, key, num_rows, linear)


def _exact(model: CVAE, truth: Truth) -> Decomposition:
    values = {name: float(value) for name, value in _exact_terms(model, truth).items()}
    residual = values["elbo"] + values["kl_model"] + values["kl_inference"] - values["data_term"]
    return Decomposition(**values, residual=residual, stderr=0.0, method="exact")


@eqx.filter_jit
def _exact_terms(model: CVAE, truth: Truth) -> dict[str, Array]:
    moments = truth.moments()
    return {
        "elbo": expected_elbo(model, moments),
        "kl_model": _expected_kl(truth.conditional, exact_conditional(model), _of_c(moments)),
        "kl_inference": _expected_kl(model.posterior, exact_posterior(model), moments),
        "data_term": expected_log_prob(truth.conditional, moments),
    }


def _of_c(moments: Moments) -> Moments:
    """The moments of c alone, as inputs."""
    keep = slice(moments.x_size, None)
    return Moments(moments.mean[keep], moments.covariance[keep, keep], 0)


def _expected_kl(p: Any, q: AffineGaussian, inputs: Moments) -> Array:
    """E KL(Normal(W_p u + b_p, V_p) || Normal(W_q u + b_q, V_q)) over inputs u with these moments."""
    size = len(q.bias)
    widths = (
        (len(inputs.mean),) if len(q.weights) == 1 else (inputs.x_size, len(inputs.mean) - inputs.x_size)
    )

    def stacked(module: AffineGaussian) -> Array:
        parts = zip(module.weights, widths, strict=True)
        return jnp.concatenate([jnp.zeros((size, n)) if w is None else w for w, n in parts], axis=1)

    weight, bias = stacked(p) - stacked(q), p.bias - q.bias
    mean = weight @ inputs.mean + bias
    second = weight @ inputs.covariance @ weight.T + jnp.outer(mean, mean)
    zero = jnp.zeros(size)
    divergence = kl_divergence(
        npd.MultivariateNormal(zero, scale_tril=p.scale_tril),
        npd.MultivariateNormal(zero, scale_tril=q.scale_tril),
    )
    return divergence + 0.5 * jnp.trace(jnp.linalg.solve(q.covariance, second))


def _monte_carlo(
    model: CVAE, truth: TrueDistribution, key: PRNGKeyArray, num_rows: int, linear: bool
) -> Decomposition:
    keys = jax.random.split(key, 8)
    rows = [_rows(truth, k, num_rows) for k in keys[:4]]
    elbos = map_rows(_elbo_row, model, rows[0], keys[4])
    known = _known_posterior(model, rows[0], linear)
    log_truth = [map_rows(_truth_row, truth, rows[i], keys[5]) for i in (1, 3)]
    if known is None:
        method = "not checkable: the latent has no closed form, enumeration or quadrature"
        scores = log_prob(model, *rows[1], key=keys[6]).value
        kl_inference = np.full(1, np.nan)
    else:
        method, evaluate = known
        scores, _, error = evaluate(rows[1], keys[6])
        _, kl_inference, more = evaluate(rows[2], keys[7])
        if (worst := float(max(np.mean(error), np.mean(more)))) > 1e-3:
            method = f"not checkable: the quadrature is only good to {worst:.1g} nats"
            kl_inference = np.full(1, np.nan)
    samples = [elbos, log_truth[0] - scores, kl_inference, log_truth[1]]
    means = [float(np.mean(s)) for s in samples]
    residual = means[0] + means[1] + means[2] - means[3]
    stderr = float(np.sqrt(sum(np.var(s) / len(s) for s in samples)))
    return Decomposition(*means, residual=residual, stderr=stderr, method=method)


@eqx.filter_jit
def _rows(truth: TrueDistribution, key: PRNGKeyArray, num_rows: int) -> tuple[PyTree, PyTree]:
    return jax.vmap(truth.sample)(jax.random.split(key, num_rows))


def _elbo_row(model: CVAE, row: PyTree, key: PRNGKeyArray) -> Array:
    return elbo(model.draws(*row, key=key))


def _truth_row(truth: Any, row: PyTree, key: PRNGKeyArray) -> Array:
    return truth.log_prob(*row)


Known = Callable[[PyTree, PRNGKeyArray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def _known_posterior(model: CVAE, rows: PyTree, linear: bool) -> tuple[str, Known] | None:
    """How log p_θ(x|c) and KL(q || p_θ(z|x,c)) can be had for rows, with the error of having them."""
    if linear:
        return "closed form", lambda rows, key: _closed_form(model, rows)
    x, c = jax.tree.map(lambda leaf: leaf[0], rows)
    prior, posterior = model.p_z(c), model.q_z(x, c)
    if prior.enumerate_support() is not None and posterior.enumerate_support() is not None:
        return "enumeration", lambda rows, key: map_rows(_enumerated_row, model, rows, key)
    if (points := integrates(posterior)) is not None:
        return "quadrature", lambda rows, key: map_rows(
            posterior_by_quadrature, model, rows, key, draws=points
        )
    return None


def _closed_form(model: CVAE, rows: PyTree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = np.asarray(exact_log_prob(model, *rows))
    return scores, scores - np.asarray(exact_elbo(model, *rows)), np.zeros_like(scores)


def _enumerated_row(model: CVAE, row: PyTree, key: PRNGKeyArray) -> tuple[Array, Array, Array]:
    draws = model.draws(*row, key=key)
    log_joint = draws.log_prior + draws.log_likelihood
    score = jax.nn.logsumexp(log_joint)
    divergence = draws.expectation(draws.log_posterior - (log_joint - score))
    return score, divergence, jnp.zeros_like(score)
