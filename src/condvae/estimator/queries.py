"""What a fitted table answers: draws, densities, latents, what people ask, and how far to trust it."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from condvae import sampling, scoring, tables
from condvae.estimator import prepare
from condvae.estimator.fitted import FittedTable
from condvae.estimator.predicting import require_draws
from condvae.scoring import LogProb
from condvae.sentences import Argument
from condvae.table_models import outside
from condvae.table_models.model import Method, observed_rows
from condvae.table_models.streaming import by_part, in_memory, one_scan
from condvae.tables.native import as_frame, build, rows_of
from condvae.text import count
from condvae.vectorise import num_rows


class RoughWarning(UserWarning):
    """Too few draws agree with the observed cells of some rows, so the result for these rows is rough.

    Args:
        rows: the number of rough rows.
        seen: the number of all rows.
        what: what was drawn.
    """

    def __init__(self, rows: int, seen: int, what: str = "missing cells"):
        super().__init__(
            f"{what} of {rows:,} of {count(seen, 'row')} are rough: few draws agree with what is "
            "observed there, so that they vary too little"
        )
        self.rows, self.seen, self.what = rows, seen, what


@dataclass(frozen=True)
class Queries:
    """The questions about the whole distribution: draws, densities, latents, missing cells, support.

    Attributes:
        table: what was fitted.
    """

    table: FittedTable

    def sample(self, X: Any = None, n: int = 1, *, random_state: int | None = None, part: int = 0) -> Any:
        """Draws of the targets given each row of X.

        Args:
            X: conditions; None if the model was fitted without.
            n: draws for each row (in total, without conditions).
            random_state: a seed instead of the estimator's.
            part: the number of the part, if X is one part of a longer table; each part has other noise.

        Returns:
            The target columns, n rows for each row of X: a pandas frame with index (row, draw), where
            `row` is the index of X; a polars or pyarrow table with columns `row` and `draw`, counted from
            0 (`row_` or `draw_` if a target has that name); or, for arrays, an array of shape (rows, n,
            targets). For a `Scan` that is too long for memory, an iterator of such tables, one for each of
            its groups.
        """
        X = in_memory(X)
        if isinstance(X, tables.Scan):
            return by_part(
                X, X, X, lambda i, part, _: self.sample(part, n, random_state=random_state, part=i)
            )
        model, c = self.table.given(X)
        require_draws(n)
        key = self.table.key(random_state, 1, part)
        blocks = sampling.sample(model.mixture, c, key=key, num_samples=n, progress=self.table.progress)
        return self.table.drawn(blocks, X, 1 if c is None else num_rows(c=c), n)

    def log_prob(
        self,
        X: Any,
        y: Any,
        *,
        num_samples: int | None = None,
        budget: int | None = None,
        method: Method = "is",
        random_state: int | None = None,
    ) -> LogProb:
        """log p(y | X) of each row in nats, in the units of the table, with its standard error.

        Computed by importance sampling with a defensive proposal, or by annealing, which is slower and
        works better if q is far from the posterior. Missing targets are marginalised: the log-density of a
        row is that of its observed cells (0 if it has none). A target level that no training row has, or a
        number outside the support that the training cells show, counts as one in n + 1 of the n training
        rows (`tables.log_unforeseen`), with a warning that names it. A number that a likelihood named by
        you cannot give has a log p of −inf.

        Args:
            X: conditions, or None if the model was fitted without.
            y: targets.
            num_samples: draws for each row (1000), or annealed chains (16), divided among the members.
            budget: the most draws for a row that needs more of them (16 times as many), or the number of
                temperatures of each chain (1000).
            method: "is", importance sampling; or "ais", annealed.
            random_state: a seed instead of the estimator's.

        Returns:
            `LogProb`, arrays of shape (n,): `value`, `stderr`, diagnostics, and `.trusted`.
        """
        if (both := one_scan(X, y)) is not None:
            options: dict[str, Any] = {"num_samples": num_samples, "budget": budget, "method": method}
            options["random_state"] = random_state
            scores = by_part(both, X, y, lambda _, given, target: self.log_prob(given, target, **options))
            return LogProb.joined(list(scores))
        model, c, x, unforeseen = self.table.scored(X, y)
        key = self.table.key(random_state, 2)
        score = model.log_prob(x, c, key=key, num_samples=num_samples, budget=budget, method=method)
        return score.plus(unforeseen)

    def elbo(self, X: Any, y: Any, *, num_samples: int = 100) -> np.ndarray:
        """The ELBO of each row, a lower bound of its log p in expectation, (n,): `scoring.bound`."""
        model, c, x, unforeseen = self.table.scored(X, y)
        return model.elbo(x, c, key=self.table.key(None, 3), num_samples=num_samples) + unforeseen

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean of log p(y | X) over the rows that have an observed target: higher is better.

        Raises:
            TableError: if no row has one.
        """
        seen = self.observed_rows(y)
        if not seen.any():
            raise tables.TableError("no row has an observed target, so there is nothing to score")
        weight = None if sample_weight is None else np.asarray(sample_weight, float)[seen]
        return float(np.average(self.log_prob(X, y).value[seen], weights=weight))

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(y | X) of each row, shape (n,); without y, how typical each row of X is.

        Without y there is no density: the result is minus the distance of the row to the training rows,
        as `support` measures it. In both cases, higher means more typical.
        """
        if y is not None:
            return self.log_prob(X, y).value
        model, c = self.table.given(X, unseen="missing", told=True)
        if model.support is None:
            return np.zeros(1)
        return 0.0 - model.support.distance(model.features(c))

    def observed_rows(self, y: Any) -> np.ndarray:
        """Which rows have at least one observed target, shape (n,); the others' log-density is 0."""
        if isinstance(y, tables.Scan):
            return np.concatenate([self.observed_rows(part) for part in y.parts()])
        frame = prepare.target_frame(y)
        seen = observed_rows(tables.encode(self.table.schema.target, frame, unseen="missing") or {})
        for values in tables.impossible(self.table.schema.target, frame).values():
            seen[np.concatenate(list(values.values()))] = True
        return seen

    def transform(
        self, X: Any, y: Any = None, *, refine: bool = False, random_state: int | None = None
    ) -> Any:
        """Latents, columns z0, z1, ...: the posterior's mean given (X, y); without y the prior's given X.

        The latents are those of the member that is best on its validation rows; latents of different
        members are not comparable.

        Args:
            X: conditions, or None if the model was fitted without.
            y: targets; missing cells are allowed.
            refine: whether to return the mean of p(z | y, X), by importance sampling, instead of the mean
                of q(z | y, X): slower, and correct where q is not. A `RoughWarning` counts the rows with
                too few effective draws.
            random_state: a seed instead of the estimator's, for `refine`.
        """
        self._require_latent()
        model, c, x = (*self.table.given(X), None) if y is None else self.table.pair(X, y)
        if refine and x is not None:
            mean = model.refined_latents(x, c, self.table.key(random_state, 9))
            if (rough := int((~mean.trusted).sum())) > 0:
                warnings.warn(RoughWarning(rough, len(mean.ess), "latents"), stacklevel=3)
            latents = np.asarray(mean.value, np.float64)
        else:
            latents = model.latents(x, c).astype(np.float64)
        source = X if X is not None else y
        of = self.table.kind_of(source)
        if of == "numpy":
            return latents
        return build(
            {f"z{i}": latents[:, i] for i in range(latents.shape[1])},
            of,
            None if source is None else rows_of(source),
        )

    def _require_latent(self) -> None:
        if self.table.settings.in_turn and not self.table.settings.latent_size:
            raise tables.TableError(
                "the model has no latent, as it decodes its targets in turn",
                remedy="fit with {joint} for one",
                joint=Argument("joint", "latent"),
            )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the latents, as `transform` gives them."""
        return np.array([f"z{i}" for i in range(self.table.settings.latent_size)], dtype=object)

    def counterfactual(
        self,
        X: Any,
        y: Any,
        X_new: Any,
        n: int = 1,
        *,
        refine: bool = False,
        random_state: int | None = None,
    ) -> Any:
        """What y would have been under other conditions: encoded under X, decoded under X_new.

        z ~ q(z | y, X), then draws of p(y | z, X_new), so that the information in z about the row is kept.
        Each member encodes and decodes separately, and contributes draws in proportion to its probability
        given the row, p_k(y | X) / Σ_j p_j(y | X). The result is causal only if z and c are the causes of
        y.

        Args:
            X: the actual conditions.
            y: the actual targets; missing cells are allowed.
            X_new: the new conditions, one row for each row of X.
            n: draws for each row.
            refine: whether to draw z from p(z | y, X), by importance sampling, instead of from q: slower,
                and correct where q is not.
            random_state: a seed instead of the estimator's.

        Returns:
            Draws, as `sample` gives them.
        """
        self._require_latent()
        with outside.told_once():
            model, c, x = self.table.pair(X, y)
            if c is None:
                raise tables.TableError(
                    "the model was fitted without conditions, so there are none to change",
                    remedy="use sample or impute",
                )
            c_new = self.table.given(X_new)[1]
        require_draws(n)
        prepare.require_rows(c, c_new)
        blocks = scoring.reconstruct(
            model.mixture,
            x,
            c,
            key=self.table.key(random_state, 7),
            num_samples=n,
            new_c=c_new,
            refine=refine,
        )
        return self.table.drawn(blocks, X, num_rows(c=c), n)

    def impute(
        self, X: Any, y: Any, n: int | None = None, *, random_state: int | None = None, part: int = 0
    ) -> Any:
        """The targets with their missing cells drawn from p(missing | observed, X).

        Drawn by importance resampling, so that the cells of a draw are consistent with each other and with
        the observed cells, which stay as they are. A `RoughWarning` counts the rows for which too few draws
        agree with the observed cells.

        Args:
            X: conditions, or None if the model was fitted without.
            y: targets with missing cells.
            n: draws for each row; None for one draw, as a table with the rows of y.
            random_state: a seed instead of the estimator's.
            part: the number of the part, if these rows are one part of a longer table; each part has other
                noise.

        Returns:
            Without n, y with its missing cells filled in and its index; otherwise draws, as `sample`
            returns them. For a `Scan` that is too long for memory, an iterator of such tables, one for each
            of its groups.
        """
        X, y = in_memory(X), in_memory(y)
        if (both := one_scan(X, y)) is not None:
            return by_part(
                both,
                X,
                y,
                lambda i, given, target: self.impute(given, target, n, random_state=random_state, part=i),
            )
        model, c, x = self.table.pair(X, y)
        require_draws(1 if n is None else n)
        imputed = scoring.imputed(
            model.mixture,
            x,
            c,
            key=self.table.key(random_state, 8, part),
            num_samples=n or 1,
            progress=self.table.progress,
        )
        blocks, cells = imputed.value, np.concatenate([block.mask for block in x.values()], axis=1)
        partly = cells.any(axis=1) & ~cells.all(axis=1)
        if (rough := int((partly & ~imputed.trusted).sum())) > 0:
            warnings.warn(RoughWarning(rough, len(cells)), stacklevel=3)
        rows, target = num_rows(x=x), prepare.target_frame(y)
        if n is not None:
            observed = tables.take(target, np.repeat(np.arange(rows), n))
            return self.table.drawn(blocks, X if X is not None else y, rows, n, observed)
        frame = self.table.decoded(blocks, rows, self.table.kind_of(y), target)
        if self.table.kind_of(y) == "numpy":
            return frame.reshape(np.shape(y))
        if self.table.kind_of(y) == "pandas":
            frame.index = y.index
        return frame

    def support(self, X: Any = None) -> Any:
        """How far each row of X lies outside the training data.

        Returns:
            `outside`: whether the prediction for the row is an extrapolation, because a cell is outside the
            range of its column, a category is new, or the whole row is further from the training rows than
            99% of these are from each other; `columns`: the names of the columns that are outside;
            `percentile`: the fraction of training rows that are closer to other training rows than this row
            is. A frame of the kind of X; for arrays, a dictionary of arrays.
        """
        model, c = self.table.given(X, unseen="missing", told=True)
        support = outside.support(model, c, as_frame(X, "c"))
        return support if self.table.kind_of(X) == "numpy" else self.table.frame(support, X)
