"""A fitted model of a table: arrays in standardised units inside, the user's units outside.

What a table's model can do, on encoded blocks. The estimator above turns frames into blocks and results
into frames.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae import sampling, scoring, tables
from condvae.baselines import Baseline, Neighbours, design_matrix
from condvae.baselines.region import Support
from condvae.calibration import mean_stderr
from condvae.conditionals import ConditionalInTurn
from condvae.distributions import Distribution, Numpyro, Product
from condvae.mixture import Mixture
from condvae.sampling import expect
from condvae.scoring import LogProb
from condvae.sentences import InputError
from condvae.text import quote
from condvae.vectorise import content_seeds, num_rows

Method = Literal["is", "ais"]
"""How log-densities are found: importance sampling, or annealed importance sampling."""

DRAWS, CHAINS, TEMPERATURES = 1000, 16, 1000
"""Unless others are asked for: draws of a row; chains of a row, and steps of each, where it is annealed."""

IN_TURN_SHARE = 4
"""One in so many of the draws are taken where they are of rows decoded in turn."""

CELLS_AT_ONCE = 2**24
"""Draws held at once, over rows and columns, where they are only summarised."""

TAIL_SAMPLES, DOUBLINGS, BISECTIONS = 1000, 40, 20
"""For quantiles beyond the draws: of z for each row, steps outwards, and steps back."""


@dataclass
class TableModel:
    """A mixture of CVAEs, and what belongs to the table that it was fitted to.

    Attributes:
        schema: the columns.
        mixture: the members.
        best: the member that did best on its held-out rows.
        support: the training conditions; None where there are none.
        linear: regression of each target on the conditions and the targets before it.
        marginal: likewise, without the conditions.
        training_rows: a hash of each training row, sorted; of very many, the million smallest; None of a
            table that was streamed.
        calibration: of the calibration rows, by target, shape (m, 2): P(x_j < observed | c) and
            P(x_j ≤ observed | c) of a numeric one ((m,), the second, in models of before); shape (m,): of a
            categorical one the probability of all levels that are more probable than the one observed.
        neighbours: the targets' density by the nearest training rows; None where there are no conditions.
        independent: regression of each target on the conditions alone; None where there is one target.
        progress: whether to show progress bars.
    """

    schema: tables.Schema
    mixture: Mixture
    best: int
    support: Support | None
    linear: Baseline
    marginal: Baseline
    training_rows: np.ndarray | None
    calibration: dict[str, np.ndarray] = field(default_factory=dict)
    neighbours: Neighbours | None = None
    independent: Baseline | None = None
    progress: bool = False

    @property
    def numeric(self) -> list[tables.Column]:
        """The numeric targets."""
        return [column for column in self.schema.target if column.kind == "numeric"]

    @property
    def categorical(self) -> list[tables.Column]:
        """The categorical targets."""
        return [column for column in self.schema.target if column.kind == "categorical"]

    def log_prob(
        self,
        x: Any,
        c: Any,
        *,
        key: PRNGKeyArray,
        num_samples: int | None = None,
        budget: int | None = None,
        method: Method = "is",
    ) -> LogProb:
        """log p(x | c) in nats and the user's units; exactly 0 where nothing of x is observed."""
        if method == "ais":
            return self.annealed(x, c, key=key, num_chains=num_samples, num_temperatures=budget)[0]
        if method != "is":
            raise InputError(
                "{argument} is {method!r}, expected is or ais", argument="method", method=method
            )
        num_samples = DRAWS if num_samples is None else num_samples
        options: dict[str, Any] = {"key": key, "seeds": content_seeds((x, c)), "progress": self.progress}
        score = scoring.log_prob(self.mixture, x, c, num_samples=num_samples, budget=budget, **options)
        return self._score_in_units(score, x)

    def annealed(
        self,
        x: Any,
        c: Any,
        *,
        key: PRNGKeyArray,
        num_temperatures: int | None = None,
        num_chains: int | None = None,
    ) -> tuple[LogProb, LogProb]:
        """log p(x | c) by annealing, from below and an estimate from above, likewise."""
        options: dict[str, Any] = {"key": key, "seeds": content_seeds((x, c)), "progress": self.progress}
        chains = num_chains or CHAINS
        temperatures = num_temperatures or TEMPERATURES
        annealed = scoring.anneal(
            self.mixture, x, c, num_temperatures=temperatures, num_chains=chains, **options
        )
        return self._score_in_units(annealed.lower, x), self._score_in_units(annealed.upper_estimate, x)

    def sandwich(
        self,
        x: Any,
        c: Any,
        *,
        key: PRNGKeyArray,
        num_temperatures: int | None = None,
        num_chains: int | None = None,
    ) -> dict[str, Any]:
        """log p of rows simulated from the members, a share of the rows each, from below and from above."""
        n, size = num_rows(x=x), self.mixture.num_members
        temperatures, chains = num_temperatures or TEMPERATURES, num_chains or CHAINS
        lower, upper = [], []
        for k, (member, member_key) in enumerate(
            zip(self.mixture, jax.random.split(key, size), strict=True)
        ):
            rows = slice(k * n // size, (k + 1) * n // size)
            if rows.start == rows.stop:
                continue
            bounds = scoring.sandwich(
                member,
                _part(c, rows),
                like=_part(x, rows),
                key=member_key,
                num_temperatures=temperatures,
                num_chains=chains,
                progress=self.progress,
            )
            lower.append(self.in_column_units(bounds.lower.value, bounds.x))
            upper.append(self.in_column_units(bounds.upper.value, bounds.x))
        below, above = np.concatenate(lower), np.concatenate(upper)
        width, stderr = mean_stderr(above - below)
        return {
            "rows": n,
            "lower": float(below.mean()),
            "upper": float(above.mean()),
            "width": width,
            "width_stderr": stderr if np.isfinite(stderr) else None,
            "temperatures": temperatures,
            "chains": chains,
        }

    def _score_in_units(self, score: LogProb, x: Any) -> LogProb:
        seen = observed_rows(x)
        return score._replace(
            value=self.in_column_units(score.value, x),
            stderr=np.where(seen, score.stderr, 0.0),
            pareto_k=np.where(seen, score.pareto_k, -np.inf),
        )

    def elbo(self, x: Any, c: Any, *, key: PRNGKeyArray, num_samples: int = 100) -> np.ndarray:
        """The ELBO of each row, in nats and the user's units."""
        seeds = content_seeds((x, c))
        value = scoring.bound(
            self.mixture, x, c, key=key, num_samples=num_samples, seeds=seeds, progress=self.progress
        )
        return self.in_column_units(value, x)

    def in_column_units(self, value: np.ndarray, x: Any) -> np.ndarray:
        """Log-densities of standardised rows as those of the user's own."""
        shift = tables.log_scale(self.schema.target, x["numeric"]) if "numeric" in x else 0.0
        return np.where(observed_rows(x), value - shift, 0.0)

    @property
    def in_turn(self) -> bool:
        """Whether targets are decoded one after another."""
        return isinstance(self.mixture.member(self.best).likelihood, ConditionalInTurn)

    def baselines(self, x: Any, c: Any) -> dict[str, np.ndarray]:
        """log p of each row under each baseline, in the units of the columns."""
        scores, ends, log_factor = scored(self.schema, x)
        log_p = {
            "marginal": self.marginal.log_prob(scores, None, ends),
            "linear": self.linear.log_prob(scores, c, ends),
        }
        if self.neighbours is not None and self.support is not None:
            log_p["neighbours"] = self.neighbours.log_prob(self.support, self.features(c), scores, ends)
        if self.independent is not None:
            log_p["independent"] = self.independent.log_prob(scores, c, ends)
        return {name: self.in_column_units(value + log_factor, x) for name, value in log_p.items()}

    def summaries(
        self, c: Any, num_samples: int, key: PRNGKeyArray, seeds: np.ndarray | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Draws of the numeric targets, [rows, num_samples, d] in the user's units, chunk by chunk.

        Rows of equal conditions get equal draws, unless there are `seeds` for the rows.
        """
        n = 1 if c is None else num_rows(c=c)
        seeds = content_seeds(c) if seeds is None and c is not None else seeds
        size = self.mixture.num_members
        num_samples = -(-num_samples // size) * size  # as many of each member
        step = max(1, CELLS_AT_ONCE // (num_samples * max(1, len(self.numeric))))
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            part = _part(c, rows)
            drawn = sampling.sample(
                self.mixture,
                part,
                key=key,
                num_samples=num_samples,
                seeds=None if seeds is None else seeds[rows],
                progress=self.progress and step >= n,
            )
            block = drawn["numeric"] if c is not None else drawn["numeric"][None]
            yield rows, self.to_units(block)

    def to_units(self, standard: np.ndarray) -> np.ndarray:
        """Standardised numbers [..., d] in the user's units, as the columns record them."""
        values = np.asarray(standard, np.float64)
        values = values * [column.sd for column in self.numeric] + [column.mean for column in self.numeric]
        for j, column in enumerate(self.numeric):
            if column.discrete:
                values[..., j] = tables.recorded(column, values[..., j])
        return values

    def quantiles(self, c: Any, q: np.ndarray, num_samples: int, key: PRNGKeyArray) -> np.ndarray:
        """Quantiles of each numeric target, [n, d, len(q)]; q is [len(q)], or [d, len(q)]."""
        q = np.broadcast_to(q, (len(self.numeric), np.shape(q)[-1]))
        quantiles = [np.zeros((0, *q.shape))]  # so that no rows have quantiles too
        for rows, draws in self.summaries(c, num_samples, key):
            quantiles.append(self.quantiles_of(draws, _part(c, rows), q, key))
        return np.concatenate(quantiles)

    def quantiles_of(self, draws: np.ndarray, c: Any, q: np.ndarray, key: PRNGKeyArray) -> np.ndarray:
        """Quantiles q [d, len(q)] of draws [n, S, d] of the rows c: [n, d, len(q)].

        Where q is further out than any draw, the distribution function is inverted: the extreme draws would
        make every interval too short.
        """
        ordered = np.sort(draws, axis=1)
        result = np.empty((len(draws), *q.shape))
        for j, column in enumerate(self.numeric):
            result[:, j] = _quantile(ordered[:, :, j], q[j], single=column.discrete)
            for i in np.flatnonzero(np.minimum(q[j], 1 - q[j]) < 0.5 / draws.shape[1]):
                if 0 < q[j, i] < 1:
                    ends = ordered[:, 0, j], ordered[:, -1, j]
                    tail = tables.recorded(column, self._tail(c, j, q[j, i], *ends, key))
                    result[:, j, i] = np.clip(tail, *column.ends)
                else:
                    result[:, j, i] = column.ends[int(q[j, i])]
        return result

    def _tail(
        self, c: Any, j: int, q: float, low: np.ndarray, high: np.ndarray, key: PRNGKeyArray
    ) -> np.ndarray:
        """Where P(x_j ≤ value | c) is q, beyond the draws, by bisection."""
        sign = -1.0 if q < 0.5 else 1.0
        if not len(low):
            return low

        def beyond(value: np.ndarray) -> np.ndarray:
            values = np.full((len(low), len(self.numeric)), np.nan)
            values[:, j] = value
            return sign * (self.cdf(c, values, TAIL_SAMPLES, key)[:, j] - q) >= 0

        inner = low if q < 0.5 else high
        width = high - low + self.numeric[j].sd
        outer = inner + sign * width
        for _ in range(DOUBLINGS):
            if (out := beyond(outer)).all():
                break
            width = 2 * width
            outer = np.where(out, outer, inner + sign * width)
        for _ in range(BISECTIONS):
            middle = 0.5 * (inner + outer)
            out = beyond(middle)
            inner, outer = np.where(out, inner, middle), np.where(out, middle, outer)
        return outer

    def centre(
        self, c: Any, num_samples: int, key: PRNGKeyArray, seeds: np.ndarray | None = None
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Means of the numeric targets, [n, d] in the user's units, and probabilities [n, k, levels].

        Rows of equal conditions get equal draws of z, unless there are `seeds` for the rows.
        """
        seeds = content_seeds(c) if seeds is None and c is not None else seeds
        draws = self._draws_of_rows(num_samples)
        centres = expect(
            _centre, self.mixture, c, key=key, num_samples=draws, seeds=seeds, progress=self.progress
        )
        mean = centres.get("numeric")
        if mean is not None:
            sd, shift = ([getattr(column, name) for column in self.numeric] for name in ("sd", "mean"))
            mean = mean.astype(np.float64) * sd + shift
        return mean, centres.get("categorical")

    def cdf(self, c: Any, value: np.ndarray, num_samples: int, key: PRNGKeyArray) -> np.ndarray:
        """P(x_j ≤ value_j | c) for values [n, d], or several a row [n, k, d], in the user's units.

        Of the values' shape; NaN where a value is.
        """
        seeds = None if c is None else content_seeds(c)
        sd, shift = ([getattr(column, name) for column in self.numeric] for name in ("sd", "mean"))
        standard = np.clip((np.asarray(value, np.float64) - shift) / sd, -1e30, 1e30)
        missing = np.isnan(standard)
        below = expect(
            _below,
            self.mixture,
            c,
            np.where(missing, 0.0, standard).astype(np.float32),
            key=key,
            num_samples=self._draws_of_rows(num_samples),
            seeds=seeds,
            progress=self.progress,
        )
        return np.where(missing, np.nan, below.astype(np.float64))

    def _draws_of_rows(self, num_samples: int) -> int:
        """The draws behind an expectation: fewer of whole rows, which cost more than those of z."""
        return -(-num_samples // IN_TURN_SHARE) if self.in_turn else num_samples

    def probabilities(self, c: Any, num_samples: int, key: PRNGKeyArray) -> list[np.ndarray]:
        """The probability of each outcome, [n, outcomes], of each target that has a few, in their order."""
        probabilities: dict[Any, np.ndarray] = {}
        if self.categorical:
            shares = self.centre(c, num_samples, key)[1]
            assert shares is not None
            for k, column in enumerate(self.categorical):
                probabilities[column.name] = shares[:, k, : len(column.levels)]
        few = [(j, column) for j, column in enumerate(self.numeric) if column.points]
        if few:
            n = 1 if c is None else num_rows(c=c)
            values = np.full((n, max(len(column.points) for _, column in few), len(self.numeric)), np.nan)
            for j, column in few:  # up to between a point and the next
                between = np.array(column.points[1:]) - 0.5 * np.diff(column.points)
                values[:, : len(between), j] = between
            below = self.cdf(c, values, num_samples, key)
            for j, column in few:
                inner = below[:, : len(column.points) - 1, j]
                probabilities[column.name] = np.diff(inner, axis=1, prepend=0.0, append=1.0)
        return [probabilities[column.name] for column in self.schema.target if column.outcomes]

    def latents(self, x: Any, c: Any) -> np.ndarray:
        """The mean of the best member's latent: its posterior's by q, or without x its prior's."""
        member = self.mixture.member(self.best)
        if x is None and c is None:
            return np.asarray(member.p_z().mean())[None]
        return np.asarray(sampling.encode(member, x, c, progress=self.progress))

    def refined_latents(self, x: Any, c: Any, key: PRNGKeyArray) -> scoring.PosteriorMean:
        """The mean of the best member's posterior p(z | x, c), whatever its q is."""
        return scoring.posterior_mean(self.mixture.member(self.best), x, c, key=key)

    def features(self, c: Any) -> np.ndarray:
        """The conditions as the support and the regression see them."""
        return design_matrix(c, tables.levels(self.schema.given), num_rows(c=c))

    def arrays(self) -> dict[str, np.ndarray]:
        """What is kept beside the weights, by name."""
        parts = {"linear": self.linear.to_arrays(), "marginal": self.marginal.to_arrays()}
        if self.support is not None:
            parts["support"] = self.support.to_arrays()
        if self.neighbours is not None:
            parts["neighbours"] = self.neighbours.to_arrays()
        if self.independent is not None:
            parts["independent"] = self.independent.to_arrays()
        parts["calibration"] = dict(self.calibration)
        named = {
            f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()
        }
        return named if self.training_rows is None else named | {"training_rows": self.training_rows}

    @classmethod
    def from_arrays(
        cls, schema: tables.Schema, mixture: Mixture, best: int, arrays: Mapping[str, np.ndarray]
    ) -> "TableModel":
        """The inverse of `arrays`.

        Raises:
            ValueError: for arrays that are missing, or not of the schema's columns.
        """
        targets = [column for column in schema.target if column.kind == "categorical"]
        sizes = {
            "d": len(schema.target) - len(targets),
            "k": len(targets),
            "levels": sum(len(column.levels) for column in targets),
        }

        def part(name: str) -> dict[str, np.ndarray]:
            return {
                key.split(".", 1)[1]: array for key, array in arrays.items() if key.startswith(f"{name}.")
            }

        neighbours, independent = part("neighbours"), part("independent")
        model = cls(
            schema,
            mixture,
            best,
            Support.from_arrays(part("support")) if part("support") else None,
            Baseline.from_arrays(part("linear"), **sizes),
            Baseline.from_arrays(part("marginal"), **sizes),
            arrays.get("training_rows"),
            part("calibration"),
            Neighbours.from_arrays(neighbours, **sizes) if neighbours else None,
            Baseline.from_arrays(independent, **sizes) if independent else None,
        )
        if odd := sorted(set(arrays) - set(model.arrays())):
            raise ValueError(f"the array {quote(odd[0])} belongs to no part of the model")
        return model


def scored(schema: tables.Schema, x: Any) -> tuple[Any, Any, np.ndarray]:
    """Targets as baselines take them: see `condvae.tables.scored`."""
    if "numeric" not in x:
        return x, None, np.zeros(num_rows(x=x))
    recorded = tables.scored(schema.target, x["numeric"])
    return {**x, "numeric": recorded.block}, recorded.intervals, recorded.log_factor


def _part(c: Any, rows: slice) -> Any:
    return None if c is None else jax.tree.map(lambda leaf: leaf[rows], c)


def observed_rows(x: Mapping[str, Any]) -> np.ndarray:
    """Which rows have an observed cell, shape (n,)."""
    masks = np.concatenate([block.mask for block in x.values()], axis=1)
    return np.asarray(masks.any(axis=1))


def _quantile(ordered: np.ndarray, q: np.ndarray, single: bool) -> np.ndarray:
    """Of sorted draws [n, S]: [n, len(q)], between two draws where q falls between; or a `single` draw."""
    place = np.clip(np.asarray(q) * ordered.shape[1] - 0.5, 0, ordered.shape[1] - 1)
    if single:  # the least draw that at least a part q of them does not exceed
        return ordered[:, np.clip(np.ceil(np.asarray(q) * ordered.shape[1]) - 1, 0, None).astype(int)]
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, ordered.shape[1] - 1)
    share = place - low
    return ordered[:, low] * (1 - share) + ordered[:, high] * share


def _centre(likelihood: Distribution, _: PyTree) -> dict[str, jax.Array]:
    assert isinstance(likelihood, Product)
    centres = {}
    for name, block in likelihood.blocks.items():
        if name == "categorical" and isinstance(block, Numpyro):
            centres[name] = jax.nn.softmax(jnp.asarray(block.base.logits), axis=-1)  # pyright: ignore
        else:
            centres[name] = block.location()
    return centres


def _below(likelihood: Distribution, value: jax.Array) -> jax.Array:
    assert isinstance(likelihood, Product)
    return jnp.asarray(likelihood.blocks["numeric"].cdf(value))
