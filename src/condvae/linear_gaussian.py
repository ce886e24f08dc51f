"""Linear-Gaussian models, of which everything is known exactly: the truth that the rest is held to.

    p(z | c)    = Normal(A c + a, S)
    p(x | z, c) = Normal(B z + D c + b, R)
    q(z | x, c) = Normal(E x + F c + g, T)

for any sizes of z, x and c, and without c. All three modules are `AffineGaussian`, and the model is an
ordinary `CVAE`: train it, score it, save it as any other, and compare. The note's Gaussian-unknown-mean
example is the case with one dimension each, B = 1, D = 0, b = 0.

The exact functions work in the precision of the model: enable float64 in JAX for an oracle.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.conditionals import AffineGaussian
from condvae.model import CVAE

LOG_2PI = float(np.log(2.0 * np.pi))


class Moments(NamedTuple):
    """The first two moments of the pair (x, c): all that a linear-Gaussian model's ELBO depends on.

    Attributes:
        mean: of (x, c) on end, shape (x_size + c_size,).
        covariance: of (x, c) on end.
        x_size: how many of the entries are x.
    """

    mean: Float[Array, " joint"]
    covariance: Float[Array, "joint joint"]
    x_size: int

    @classmethod
    def of_data(cls, x: Array, c: Array | None = None) -> "Moments":
        """The empirical moments of n rows: the average over the rows is then the expectation."""
        joint = jnp.asarray(x) if c is None else jnp.concatenate([jnp.asarray(x), jnp.asarray(c)], axis=1)
        centred = joint - joint.mean(axis=0)
        return cls(joint.mean(axis=0), centred.T @ centred / len(joint), jnp.shape(x)[1])


class Truth(NamedTuple):
    """A true distribution of data: c ~ Normal(c_mean, c_covariance), x | c ~ `conditional`.

    Attributes:
        conditional: p(x | c), an `AffineGaussian` of (c,); its weight is None where there is no c.
        c_mean: (c_size,), or None.
        c_covariance: (c_size, c_size), or None.
    """

    conditional: AffineGaussian
    c_mean: Float[Array, " c"] | None = None
    c_covariance: Float[Array, "c c"] | None = None

    def moments(self) -> Moments:
        """The moments of (x, c)."""
        (weight,), noise = self.conditional.weights, self.conditional.covariance
        if weight is None or self.c_mean is None or self.c_covariance is None:
            return Moments(self.conditional.bias, noise, len(noise))
        cross = weight @ self.c_covariance
        top = jnp.concatenate([cross @ weight.T + noise, cross], axis=1)
        bottom = jnp.concatenate([cross.T, self.c_covariance], axis=1)
        mean = jnp.concatenate([self.conditional.mean(self.c_mean), self.c_mean])
        return Moments(mean, jnp.concatenate([top, bottom]), len(noise))

    def sample(self, key: PRNGKeyArray) -> tuple[Array, Array | None]:
        """One pair (x, c)."""
        c_key, x_key = jax.random.split(key)
        c = None
        if self.c_mean is not None and self.c_covariance is not None:
            c = jax.random.multivariate_normal(c_key, self.c_mean, self.c_covariance)
        return self.conditional(c).sample(x_key), c

    def log_prob(self, x: Array, c: Array | None = None) -> Array:
        """log p(x | c) of one pair, nats."""
        return self.conditional(c).log_prob(x)


def linear_gaussian(
    prior: AffineGaussian, likelihood: AffineGaussian, posterior: AffineGaussian | None = None
) -> CVAE:
    """A linear-Gaussian CVAE; without a posterior it gets the exact one.

    Args:
        prior: `AffineGaussian` of (c,).
        likelihood: `AffineGaussian` of (z, c).
        posterior: `AffineGaussian` of (x, c), or None.
    """
    if posterior is None:
        posterior = _exact_posterior(prior, likelihood)
    return CVAE(prior, likelihood, posterior)


@eqx.filter_jit
def random_linear_gaussian(
    key: PRNGKeyArray, *, x_size: int, z_size: int, c_size: int = 0, exact: bool = False
) -> CVAE:
    """A linear-Gaussian CVAE with random parameters, its posterior exact or random too.

    Example:
        >>> import jax
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> random_linear_gaussian(jax.random.key(0), x_size=2, z_size=1).prior.bias.shape
        (1,)
    """
    keys = jax.random.split(key, 3)
    sizes = ((z_size, (c_size,)), (x_size, (z_size, c_size)), (z_size, (x_size, c_size)))
    modules = [_random_affine(k, size, inputs) for k, (size, inputs) in zip(keys, sizes, strict=True)]
    return linear_gaussian(modules[0], modules[1], None if exact else modules[2])


def _random_affine(key: PRNGKeyArray, size: int, inputs: tuple[int, ...]) -> AffineGaussian:
    bias_key, factor_key, *keys = jax.random.split(key, 2 + len(inputs))
    weights = [
        jax.random.normal(k, (size, n)) / np.sqrt(n) if n else None
        for k, n in zip(keys, inputs, strict=True)
    ]
    factor = jax.random.normal(factor_key, (size, size)) / np.sqrt(size)
    covariance = 0.5 * factor @ factor.T + 0.3 * jnp.eye(size)
    return AffineGaussian(weights, jax.random.normal(bias_key, (size,)), covariance)


@eqx.filter_jit
def exact_posterior(model: CVAE) -> AffineGaussian:
    """p_θ(z | x, c), as a module that can take the place of the model's posterior.

        Σ = (S⁻¹ + Bᵀ R⁻¹ B)⁻¹,   mean = Σ (Bᵀ R⁻¹ (x − D c − b) + S⁻¹ (A c + a))

    Raises:
        TypeError: if the model is not linear-Gaussian.
    """
    prior, likelihood, _ = _parts(model)
    return _exact_posterior(prior, likelihood)


def _exact_posterior(prior: AffineGaussian, likelihood: AffineGaussian) -> AffineGaussian:
    emission, shift = likelihood.weights
    assert emission is not None
    noise_precision = jnp.linalg.inv(likelihood.covariance)
    prior_precision = jnp.linalg.inv(prior.covariance)
    covariance = jnp.linalg.inv(prior_precision + emission.T @ noise_precision @ emission)
    gain = covariance @ emission.T @ noise_precision
    bias = covariance @ prior_precision @ prior.bias - gain @ likelihood.bias
    of_c = None
    if prior.weights[0] is not None:
        of_c = covariance @ prior_precision @ prior.weights[0]
    if shift is not None:
        of_c = -gain @ shift if of_c is None else of_c - gain @ shift
    return AffineGaussian((gain, of_c), bias, (covariance + covariance.T) / 2)


@eqx.filter_jit
def exact_conditional(model: CVAE) -> AffineGaussian:
    """p_θ(x | c) = Normal(B (A c + a) + D c + b, B S Bᵀ + R), as a module of (c,).

    Raises:
        TypeError: if the model is not linear-Gaussian.
    """
    prior, likelihood, _ = _parts(model)
    emission, shift = likelihood.weights
    assert emission is not None
    of_c = None if prior.weights[0] is None else emission @ prior.weights[0]
    if shift is not None:
        of_c = shift if of_c is None else of_c + shift
    covariance = emission @ prior.covariance @ emission.T + likelihood.covariance
    return AffineGaussian((of_c,), emission @ prior.bias + likelihood.bias, covariance)


@eqx.filter_jit
def exact_log_prob(model: CVAE, x: Array, c: Array | None = None) -> Float[Array, " n"]:
    """log p_θ(x | c) of n rows, nats.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.linear_gaussian import exact_log_prob, random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=2, z_size=1)
        >>> exact_log_prob(model, jnp.zeros((3, 2))).shape
        (3,)
    """
    conditional = exact_conditional(model)
    x = jnp.asarray(x)
    if c is None:
        return jax.vmap(lambda x: conditional(None).log_prob(x))(x)
    return jax.vmap(lambda x, c: conditional(c).log_prob(x))(x, jnp.asarray(c))


@eqx.filter_jit
def exact_elbo(model: CVAE, x: Array, c: Array | None = None) -> Float[Array, " n"]:
    """ELBO(x | c) = log p_θ(x | c) − KL(q_φ(z | x, c) || p_θ(z | x, c)) of n rows, nats, exactly."""
    _, _, posterior = _parts(model)
    truth = exact_posterior(model)

    def gap(x: Array, c: Array | None) -> Array:
        divergence = posterior(x, c).kl(truth(x, c))
        assert divergence is not None
        return divergence

    gaps = jax.vmap(lambda x: gap(x, None))(x) if c is None else jax.vmap(gap)(x, c)
    return exact_log_prob(model, x, c) - gaps


@eqx.filter_jit
def expected_elbo(model: CVAE, moments: Moments) -> Array:
    """E[ELBO(x | c)] over any distribution of (x, c) with these moments, nats, exactly.

        E log p(x | z, c) + E log p(z | c) − E log q(z | x, c),   each the expectation of a quadratic form

    With `Moments.of_data` it is the average ELBO of the rows, without Monte Carlo. Differentiable in all
    parameters of the model.
    """
    prior, likelihood, posterior = _parts(model)
    x_size = moments.x_size
    c_size = len(moments.mean) - x_size
    eye = jnp.eye(len(moments.mean))
    of_x, of_c = eye[:x_size], eye[x_size:]
    # z = M (x, c) + g + noise: every residual below is linear in (x, c) and that noise.
    encode = _matrix(posterior, 0, x_size) @ of_x + _matrix(posterior, 1, c_size) @ of_c
    noise = posterior.covariance
    emission = likelihood.weights[0]
    assert emission is not None

    def term(module: AffineGaussian, residual: Array, bias: Array, of_noise: Array | None) -> Array:
        """E log Normal(residual | 0, module's covariance)."""
        mean = residual @ moments.mean + bias
        second = residual @ moments.covariance @ residual.T + jnp.outer(mean, mean)
        if of_noise is not None:
            second = second + of_noise @ noise @ of_noise.T
        return _gaussian_term(module, second)

    x_residual = of_x - emission @ encode - _matrix(likelihood, 1, c_size) @ of_c
    z_residual = encode - _matrix(prior, 0, c_size) @ of_c
    log_likelihood = term(likelihood, x_residual, -emission @ posterior.bias - likelihood.bias, emission)
    log_prior = term(prior, z_residual, posterior.bias - prior.bias, jnp.eye(len(noise)))
    return log_likelihood + log_prior - _gaussian_term(posterior, noise)


@eqx.filter_jit
def expected_log_prob(conditional: AffineGaussian, moments: Moments) -> Array:
    """E[log Normal(x | W c + b, V)] over (x, c) with these moments, nats, exactly."""
    x_size = moments.x_size
    c_size = len(moments.mean) - x_size
    eye = jnp.eye(len(moments.mean))
    residual = eye[:x_size] - _matrix(conditional, 0, c_size) @ eye[x_size:]
    mean = residual @ moments.mean - conditional.bias
    second = residual @ moments.covariance @ residual.T + jnp.outer(mean, mean)
    return _gaussian_term(conditional, second)


def maximum_likelihood(x: Array, c: Array | None = None, *, latent_size: int) -> CVAE:
    """The exact maximum-likelihood model with p(z | c) = Normal(0, I) and noise R = σ² I.

    x given c is Normal(D c + b, B Bᵀ + σ² I), so D and b are least squares, and B and σ² probabilistic
    principal components of the residuals: with eigenvalues λ_1 ≥ λ_2 ≥ ... and eigenvectors u_i of
    their covariance, σ² is the mean of those left out and B = [u_i (λ_i − σ²)^½]. With as many latents as
    dimensions the residual covariance itself is reached, and σ² is the smallest eigenvalue. The
    posterior is the exact one, so that E[ELBO] at these parameters is the largest there is.

    Args:
        x: n rows, (n, x_size).
        c: (n, c_size), or None.
        latent_size: the length of z, at least 1.

    Raises:
        ValueError: if the residuals are singular, so that the likelihood has no maximum.

    Source:
        Tipping and Bishop 1999.

    Example:
        >>> import jax
        >>> from condvae.linear_gaussian import exact_log_prob, maximum_likelihood
        >>> x = jax.random.normal(jax.random.key(0), (500, 3))
        >>> one, two = (maximum_likelihood(x, latent_size=k) for k in (1, 2))
        >>> bool(exact_log_prob(two, x).mean() >= exact_log_prob(one, x).mean())
        True
    """
    x = jnp.asarray(x)
    n, x_size = x.shape
    design = jnp.ones((n, 1), x.dtype)
    if c is not None:
        design = jnp.concatenate([design, jnp.asarray(c)], axis=1)
    coefficients = jnp.linalg.lstsq(design, x)[0]
    residual = x - design @ coefficients
    values, vectors = jnp.linalg.eigh(residual.T @ residual / n)
    values, vectors = values[::-1], vectors[:, ::-1]  # largest first
    left_out = values[latent_size:] if latent_size < x_size else values[-1:]
    variance = jnp.mean(left_out)
    if not variance > jnp.finfo(x.dtype).eps * values[0]:
        raise ValueError(
            "the residuals of x given c are singular, so the likelihood has no maximum: use fewer latents, "
            "more rows, or drop columns that the others determine"
        )
    kept = min(latent_size, x_size)
    emission = jnp.zeros((x_size, latent_size), x.dtype)
    loadings = vectors[:, :kept] * jnp.sqrt(jnp.maximum(values[:kept] - variance, 0.0))
    emission = emission.at[:, :kept].set(loadings)
    shift = None if c is None else coefficients[1:].T
    identity = jnp.eye(latent_size, dtype=x.dtype)
    prior = AffineGaussian((None,), jnp.zeros(latent_size, x.dtype), identity)
    noise = variance * jnp.eye(x_size, dtype=x.dtype)
    return linear_gaussian(prior, AffineGaussian((emission, shift), coefficients[0], noise))


def _matrix(module: AffineGaussian, i: int, size: int) -> Array:
    weight = module.weights[i]
    return jnp.zeros((len(module.bias), size)) if weight is None else weight


def _gaussian_term(module: AffineGaussian, second_moment: Array) -> Array:
    """E log Normal(r | 0, L Lᵀ) for a residual r with this second moment."""
    half = jax.scipy.linalg.solve_triangular(module.scale_tril, second_moment, lower=True)
    quadratic = jnp.trace(jax.scipy.linalg.solve_triangular(module.scale_tril, half.T, lower=True))
    return -0.5 * (quadratic + len(second_moment) * LOG_2PI) - jnp.sum(module.log_diagonal)


def _parts(model: CVAE) -> tuple[AffineGaussian, AffineGaussian, AffineGaussian]:
    parts = (model.prior, model.likelihood, model.posterior)
    for name, part in zip(("prior", "likelihood", "posterior"), parts, strict=True):
        if not isinstance(part, AffineGaussian):
            raise TypeError(
                f"the {name} is {type(part).__name__}, expected AffineGaussian: exact results are for "
                "linear-Gaussian models"
            )
    return parts  # pyright: ignore[reportReturnType]


class _Emission(eqx.Module):
    """Normal(W z, noise²) in every cell."""

    weight: Array
    noise: float

    def __call__(self, z: Array, c: PyTree) -> npd.Distribution:
        return npd.Normal(self.weight @ z, self.noise)


class _MeanField(eqx.Module):
    """The best diagonal Gaussian for a known posterior: its mean, and its precision's diagonal."""

    exact: AffineGaussian

    def __call__(self, x: Array, c: PyTree, prior: PyTree = None) -> npd.Distribution:
        precision = jnp.diag(jnp.linalg.inv(self.exact.covariance))
        return npd.Normal(self.exact.mean(x, c), precision**-0.5)


class _Unit(eqx.Module):
    """Normal(0, I)."""

    size: int

    def __call__(self, c: PyTree) -> npd.Distribution:
        return npd.Normal(jnp.zeros(self.size), 1.0)


def mean_field_oracle(z_size: int, noise: float, x_size: int) -> tuple[CVAE, CVAE]:
    """A model whose q factorises, as well as such a q can, and whose log p is known all the same.

        z ~ Normal(0, I),  x | z ~ Normal(W z, noise² I)

    with W drawn from a seed of its own, `z_size`.

    Returns:
        The model, of distributions that factorise over cells; and the same one for the exact functions.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.linear_gaussian import exact_log_prob, mean_field_oracle
        >>> model, exact = mean_field_oracle(z_size=2, noise=0.1, x_size=3)
        >>> exact_log_prob(exact, jnp.zeros((5, 3))).shape
        (5,)
    """
    weight = jax.random.normal(jax.random.key(z_size), (x_size, z_size)) / np.sqrt(z_size)
    prior = AffineGaussian((None,), jnp.zeros(z_size), jnp.eye(z_size))
    likelihood = AffineGaussian((weight, None), jnp.zeros(x_size), noise**2 * jnp.eye(x_size))
    exact = linear_gaussian(prior, likelihood)
    return CVAE(_Unit(z_size), _Emission(weight, noise), _MeanField(exact_posterior(exact))), exact
