"""Estimators of which every answer is known: two members put in the place of trained ones.

    z | c ~ Normal(h c, 1),  x_j | z, c ~ Normal(l_j z + d_j c + b_j, s_j²),  g | z, c ~ softmax A(z, c, 1)

in standardised units, with one numeric condition c. Given c a numeric target is Normal by member; what
involves the category is an integral over z, done by Gauss-Hermite quadrature in NumPy.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pandas as pd
from scipy.special import log_softmax
from scipy.stats import norm

from condvae import CVAE, ConditionalVAE, Mixture
from condvae.distributions import Numpyro, Product

LEVELS = ["low", "mid", "top"]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
LOG_WEIGHTS = np.log(WEIGHTS / WEIGHTS.sum())
QUERY_ROWS = 8


def _condition(c: Any) -> Any:
    return jnp.zeros(1) if c is None else c["numeric"].value


class Prior(eqx.Module):
    of_c: jax.Array

    def __call__(self, c: Any) -> Any:
        return Numpyro(npd.Normal(self.of_c * _condition(c), 1.0))


class Likelihood(eqx.Module):
    of_z: jax.Array
    of_c: jax.Array
    bias: jax.Array
    scale: jax.Array
    logits: jax.Array | None

    def __call__(self, z: Any, c: Any) -> Any:
        condition = _condition(c)
        loc = self.of_z * z + self.of_c * condition + self.bias
        blocks: dict[str, Any] = {"numeric": Numpyro(npd.Normal(loc, self.scale))}
        if self.logits is not None:
            logits = self.logits @ jnp.concatenate([z, condition, jnp.ones(1)])
            blocks["categorical"] = Numpyro(npd.CategoricalLogits(logits[None]))
        return Product(blocks)


class Posterior(eqx.Module):
    """Not the exact one."""

    of_x: jax.Array
    of_c: jax.Array

    def __call__(self, x: Any, c: Any, prior: Any) -> Any:
        value, mask = x["numeric"]
        total = jnp.sum(jnp.where(mask, value, 0.0), keepdims=True)
        return Numpyro(npd.Normal(self.of_x * total + self.of_c * _condition(c), 0.9))


def known_members(categorical: bool = True, **_: Any) -> Mixture:
    """Two members that are far apart."""

    def member(seed: int, shift: float) -> CVAE:
        rng = np.random.default_rng(seed)

        def draw(*shape: int) -> jax.Array:
            return jnp.asarray(rng.normal(size=shape), jnp.float32)

        likelihood = Likelihood(
            0.7 * draw(2),
            0.5 * draw(2),
            0.3 * draw(2) + shift,
            jnp.asarray([0.5, 0.8]),
            draw(len(LEVELS), 3) if categorical else None,
        )
        return CVAE(Prior(0.5 * draw(1)), likelihood, Posterior(0.3 * draw(1), 0.3 * draw(1)))

    return Mixture.of([member(1, -0.8), member(2, 0.8)])


@dataclass
class Known:
    """A fitted estimator, rows to ask about, and the truth of them.

    Rows are kept in pandas; `asked` and `answered` are what the estimator is called with.
    """

    estimator: ConditionalVAE
    mixture: Mixture
    u: np.ndarray | None
    y: pd.DataFrame
    frames: bool

    @classmethod
    def fit(
        cls, mixture: Mixture, *, frames: bool = True, categorical: bool = True, conditions: bool = True
    ) -> "Known":
        rng = np.random.default_rng(0)
        n = 60
        u = rng.normal(3.0, 2.0, n)
        y = pd.DataFrame({"x0": rng.normal(10.0, 4.0, n), "x1": rng.normal(-2.0, 0.1, n)})
        if categorical:
            y["g"] = np.array(LEVELS)[rng.integers(0, 3, n)]
        X: Any = pd.DataFrame({"u": u}) if frames else u[:, None]
        estimator = ConditionalVAE(num_members=2, latent_size=1, likelihood="gaussian")
        estimator.fit(X if conditions else None, y if frames else y.to_numpy())
        rows = slice(0, QUERY_ROWS)
        return cls(estimator, mixture, u[rows] if conditions else None, y[rows], frames)

    @property
    def asked(self) -> Any:
        if self.u is None:
            return None
        return pd.DataFrame({"u": self.u}) if self.frames else self.u[:, None]

    @property
    def answered(self) -> Any:
        return self.y if self.frames else self.y.to_numpy()

    @property
    def c(self) -> np.ndarray:
        """The condition, standardised; a single 0 where there is none."""
        if self.u is None:
            return np.zeros(1)
        column = self.estimator.schema_.given[0]
        return (self.u - column.mean) / column.sd

    @property
    def scales(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of the numeric targets."""
        columns = self.estimator.schema_.target[:2]
        return np.array([c.mean for c in columns]), np.array([c.sd for c in columns])

    def normals(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and sds of each member's numeric targets given c, [members, rows, 2], in users' units."""
        shift, sd = self.scales
        means, sds = [], []
        for member in self.mixture:
            p = member.likelihood
            slope = np.asarray(p.of_z * member.prior.of_c + p.of_c)
            means.append((self.c[:, None] * slope + np.asarray(p.bias)) * sd + shift)
            sds.append(np.sqrt(np.asarray(p.of_z) ** 2 + np.asarray(p.scale) ** 2) * sd + 0 * means[-1])
        return np.array(means), np.array(sds)

    def cdf(self, value: Any) -> np.ndarray:
        """P(x_j ≤ value), [rows, 2]."""
        return norm.cdf(value, *self.normals()).mean(axis=0)

    def density(self, value: Any) -> np.ndarray:
        """p(x_j = value), [rows, 2]."""
        return norm.pdf(value, *self.normals()).mean(axis=0)

    def at_nodes(self, y: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By member, row and node of z: log share + log p(observed cells of y | z, c) in users' units;
        the nodes' z; and the levels' log-probabilities there.
        """
        shift, sd = self.scales
        c = np.broadcast_to(self.c, len(y))[:, None]
        log_joint, nodes, log_levels = [], [], []
        for member in self.mixture:
            p = member.likelihood
            z = np.asarray(member.prior.of_c) * c + NODES
            loc = z[..., None] * np.asarray(p.of_z) + c[..., None] * np.asarray(p.of_c) + np.asarray(p.bias)
            cells = norm.logpdf(y[["x0", "x1"]].to_numpy()[:, None], loc * sd + shift, p.scale * sd)
            total = LOG_WEIGHTS + np.nansum(cells, axis=-1)
            if p.logits is not None:
                inputs = np.stack([z, c + 0 * z, np.ones_like(z)], axis=-1)
                levels = log_softmax(inputs @ np.asarray(p.logits).T, axis=-1)
                for i, level in enumerate(LEVELS):
                    total = total + np.where((y["g"] == level).to_numpy()[:, None], levels[..., i], 0.0)
                log_levels.append(levels)
            log_joint.append(total)
            nodes.append(z)
        return np.array(log_joint), np.array(nodes), np.array(log_levels)

    def log_prob(self, y: pd.DataFrame) -> np.ndarray:
        by_member = np.logaddexp.reduce(self.at_nodes(y)[0], axis=-1)
        return np.logaddexp.reduce(by_member, axis=0) - np.log(self.mixture.num_members)

    def probabilities(self) -> np.ndarray:
        """Of each level, [rows, levels]."""
        nothing = pd.DataFrame({"x0": np.nan, "x1": np.nan, "g": [None] * len(self.c)})
        log_share, _, log_levels = self.at_nodes(nothing)
        return (np.exp(log_share)[..., None] * np.exp(log_levels)).sum(axis=2).mean(axis=0)
