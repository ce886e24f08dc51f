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
    """Of `rows` of `seen` rows few draws agree with what is observed: what is drawn is rough.

    Args:
        rows: how many.
        seen: of how many.
        what: what is drawn.
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
            X: conditions; None where the model was fitted without.
            n: draws for each row (in all, without conditions).
            random_state: another seed than the estimator's.
            part: which part of a longer table X is; each part has other noise.

        Returns:
            The targets' columns, n rows for each row of X: a pandas frame with index (row, draw), where
            `row` is X's own index; a polars or pyarrow table with columns `row` and `draw`, counting
            from 0 (where a target has one of these names, it is followed by an underscore); or an array of
            shape (rows, n, targets) for arrays. Of a `Scan` too long for memory, an iterator of such
            tables, one for each of its groups.
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
        """log p(y | X) of each row in nats and the user's own units, with its standard error.

        By importance sampling with a defensive proposal, or by annealing, which is slower and sees more
        of a posterior that q is far from. Missing targets are summed out: a row's
        log-density is that of the cells it has (0 where it has none). A level of a target that was never
        seen, or a number outside of the support that its training cells show, counts as one in n + 1 of the
        n training rows (`tables.log_unforeseen`), with a warning that names it. A number that a likelihood
        named by the user cannot give has log p of −inf.

        Args:
            X: conditions, or None where the model was fitted without.
            y: targets.
            num_samples: draws for each row (1000), or annealed chains (16), shared out among the members.
            budget: the most draws that a row may get, where it needs them (16 times as many); or the
                temperatures that each chain goes through (1000).
            method: "is", importance sampling; or "ais", annealed.
            random_state: another seed than the estimator's.

        Returns:
            `LogProb`, arrays of shape (n,): `value`, `stderr`, and what is known of them; `.trusted`.
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
        """log p(y | X) of each row, shape (n,); without y, how ordinary each row of X is.

        Without y there is no density to give: what is returned is minus the row's distance to the
        training rows, as `support` measures it. Higher is more ordinary in both.
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

        They are those of one member, the best on its held-out rows: latents of different members do not
        compare.

        Args:
            X: conditions, or None where the model was fitted without.
            y: targets; missing cells are allowed.
            refine: whether the mean is that of p(z | y, X), by importance sampling, instead of that of
                q(z | y, X): slower, and right where q is not. Rows of which few draws count are told in a
                `RoughWarning`.
            random_state: another seed than the estimator's, for `refine`.
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

        z ~ q(z | y, X), then draws of p(y | z, X_new): what the latent tells of a row is kept. Each member
        encodes and decodes by itself, and gives as many draws as it is likely to be the row's: the part
        p_k(y | X) / Σ_j p_j(y | X). It is an answer about the world only as far as z and c are its
        causes.

        Args:
            X: the conditions that were.
            y: the targets that were; missing cells are allowed.
            X_new: the conditions instead, a row for each of X.
            n: draws for each row.
            refine: whether z is from p(z | y, X) itself, by importance sampling, instead of from q: slower,
                and right where q is not.
            random_state: another seed than the estimator's.

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
        """The targets, their missing cells drawn from p(missing | observed, X).

        By importance resampling, so that a draw's cells hang together with each other and with those
        observed. Observed cells stay as they are. Rows of which few draws agree with what is observed are
        counted in a `RoughWarning`.

        Args:
            X: conditions, or None where the model was fitted without.
            y: targets with missing cells.
            n: draws for each row; None for one, and a table of y's own rows.
            random_state: another seed than the estimator's.
            part: which part of a longer table these rows are; each part has other noise.

        Returns:
            Without n, y filled in, with its index; else draws, as `sample` gives them. Of a `Scan` too
            long for memory, an iterator of such tables, one for each of its groups.
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
        """How far each row of X lies outside of what the model was trained on.

        Returns:
            `outside`, whether a prediction for the row is a guess: a cell outside of its column's range, a
            category not seen, or the row as a whole further from training rows than 99% of these are
            from each other; `columns`, the names of the columns outside; `percentile`, the fraction of
            training rows that lie closer to others than this row does. A frame of X's kind; for arrays a
            dictionary of arrays.
        """
        model, c = self.table.given(X, unseen="missing", told=True)
        support = outside.support(model, c, as_frame(X, "c"))
        return support if self.table.kind_of(X) == "numpy" else self.table.frame(support, X)
