"""What people ask of a fitted table: means, quantiles, intervals, sets of levels, probabilities."""

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np

from condvae import tables
from condvae.estimator import prepare
from condvae.estimator.fitted import FittedTable
from condvae.sentences import Argument, InputError
from condvae.table_models.adjusting import covering, half_widths, level_sets
from condvae.table_models.model import TableModel
from condvae.tables.native import FRAMES, kind
from condvae.vectorise import num_rows


@dataclass(frozen=True)
class Predictions:
    """The questions whose answer is a row for each row of conditions.

    Attributes:
        table: what was fitted.
    """

    table: FittedTable

    def predict(self, X: Any = None, *, num_samples: int = 1000, with_support: bool = False) -> Any:
        """The mean of each numeric target given each row of X, the most probable level of each other.

        Args:
            X: conditions.
            num_samples: draws of z for each row; the mean given z is exact.
            with_support: add the columns of `support` (frames only).

        Returns:
            The targets' columns; for arrays shape (n,) of one target, (n, targets) of several.
        """
        model, c = self.table.given(X)
        mean, probability = model.centre(c, num_samples, self.table.key(None, 4))
        columns: dict[Any, Any] = {}
        for j, column in enumerate(model.numeric):
            assert mean is not None
            columns[column.name] = mean[:, j]
        if probability is not None:
            modes = {"categorical": np.argmax(probability, axis=-1)}
            columns |= prepare.native_columns(model.categorical, modes, self.table.kind_of(X))
        return self.table.frame(
            {c.name: columns[c.name] for c in self.table.schema.target}, X, with_support
        )

    def quantile(self, X: Any = None, q: Any = 0.5, *, num_samples: int = 2000) -> Any:
        """Quantiles of each numeric target given each row of X.

        Args:
            X: conditions.
            q: a number in [0, 1], or several; 0 and 1 are the ends of what the target can be.
            num_samples: draws for each row, of which these are the quantiles.

        Returns:
            For one q the numeric targets' columns, for several `name_q0.05`, ...; for arrays shape
            (n, targets) or (n, targets, len(q)), without the axis of targets where there is one.
        """
        model, c = self.table.given(X)
        levels = np.atleast_1d(np.asarray(q, float))
        if levels.ndim != 1 or not ((levels >= 0) & (levels <= 1)).all():
            raise InputError("{argument} is {q}, expected numbers between 0 and 1", argument="q", q=q)
        if len(np.unique(levels)) < len(levels):
            raise InputError(
                "{argument} is {q}, in which a number comes twice",
                remedy="give each once",
                argument="q",
                q=q,
            )
        _require_numeric(model, "quantile")
        require_draws(num_samples, "num_samples")
        quantiles = model.quantiles(c, levels, num_samples, self.table.key(None, 5))
        if self.table.kind_of(X) == "numpy":
            quantiles = quantiles[:, 0] if quantiles.shape[1] == 1 else quantiles
            return quantiles[..., 0] if np.ndim(q) == 0 else quantiles
        names = [""] if np.ndim(q) == 0 else [f"_q{level:g}" for level in levels]
        columns = {
            (column.name if not name else f"{column.name}{name}"): quantiles[:, j, i]
            for j, column in enumerate(model.numeric)
            for i, name in enumerate(names)
        }
        return self.table.frame(columns, X)

    def interval(
        self,
        X: Any = None,
        coverage: float = 0.9,
        *,
        conformal: bool | None = None,
        num_samples: int = 2000,
        with_support: bool = False,
    ) -> Any:
        """A central interval of each numeric target: `coverage` of the probability lies in it.

        With calibration rows (`calibration_fraction` at fitting, trained on by no member) the interval is
        widened or narrowed so that it covers at least `coverage` of new rows like those, on average,
        whether or not the model is right (split-conformal, on the scale of the distribution function).
        It covers more only where it cannot be narrower: where the median alone, of 0 and 1 say, is right
        more often, or many rows share one discrete distribution. Its ends are values that the target can
        have: whole numbers from 0 of a count, levels of a scale. With too few calibration rows (fewer than
        9 for 0.9, 19 for 0.95) it is all that there can be.

        Args:
            X: conditions.
            coverage: between 0 and 1.
            conformal: whether to adjust it; None does so where there are calibration rows.
            num_samples: draws for each row.
            with_support: add the columns of `support` (frames only).

        Returns:
            Columns `name_low` and `name_high`; for arrays shape (n, 2) of one target, (n, targets, 2).

        Source:
            Chernozhukov, Wüthrich and Zhu 2021.
        """
        model, c = self.table.given(X)
        _require_numeric(model, "interval")
        require_draws(num_samples, "num_samples")
        _require_coverage(coverage)
        conformal = self._adjusted(model, model.numeric, conformal)
        half = np.full((len(model.numeric), 1), coverage / 2)
        if conformal:
            half = half_widths(model, [coverage])
        q = np.hstack([0.5 - half, 0.5 + half])
        ends = model.quantiles(c, q, num_samples, self.table.key(None, 5))
        if conformal:
            ends = covering(model, c, ends[:, :, None], half)[:, :, 0]
        if self.table.kind_of(X) == "numpy":
            return ends[:, 0] if ends.shape[1] == 1 else ends
        columns = {
            f"{column.name}_{side}": ends[:, j, i]
            for j, column in enumerate(model.numeric)
            for i, side in enumerate(("low", "high"))
        }
        return self.table.frame(columns, X, with_support)

    def level_set(self, X: Any = None, coverage: float = 0.9, *, conformal: bool | None = None) -> Any:
        """The smallest set of levels of each categorical target that has `coverage` of the probability.

        With calibration rows (`calibration_fraction` at fitting) it has so many levels that it covers at
        least `coverage` of new rows like those, on average, whether or not the model is right; more only
        where the most probable level alone is right more often, as no set is empty. With too few
        calibration rows (fewer than 9 for 0.9) it is all levels.

        Args:
            X: conditions.
            coverage: between 0 and 1.
            conformal: whether to adjust it; None does so where there are calibration rows.

        Returns:
            Columns `name_set`, of lists of levels, the most probable first; for arrays whether each level
            is in the set, bool of shape (n, levels) as those of `predict_proba`, or a list of them.

        Source:
            Romano, Sesia and Candès 2020.
        """
        model, c = self.table.given(X)
        _require_coverage(coverage)
        conformal = self._adjusted(model, model.categorical, conformal)
        sets = level_sets(model, c, coverage, conformal)
        if self.table.kind_of(X) == "numpy":
            return [inside for inside, _ in sets] if len(sets) > 1 else sets[0][0]
        columns = {}
        for column, (inside, order) in zip(model.categorical, sets, strict=True):
            sets = np.empty(len(inside), object)
            sets[:] = [
                [column.levels[level] for level in places if members[level]]
                for members, places in zip(inside, order, strict=True)
            ]
            columns[f"{column.name}_set"] = sets
        return self.table.frame(columns, X)

    def _adjusted(self, model: Any, columns: list[tables.Column], conformal: bool | None) -> bool:
        """Whether to adjust by calibration rows."""
        can = all(str(column.name) in model.calibration for column in columns)
        if conformal and not can:
            raise InputError(
                "there are no calibration rows",
                remedy="fit with {fraction}, or so",
                argument=Argument("conformal", conformal),
                fraction=Argument("calibration_fraction", 0.1),
            )
        return can if conformal is None else conformal

    def cdf(self, X: Any, y: Any, *, num_samples: int = 1000) -> Any:
        """P(target ≤ y | X) of each numeric target and row.

        Args:
            X: conditions.
            y: one number for all; a dictionary of target names and numbers, for those targets alone; or
                targets, a row for each of X (without conditions, as many rows as there are).
            num_samples: draws of z for each row; given z it is exact.

        Returns:
            The numeric targets' columns (NaN where y is missing); for arrays shape (n,) or (n, targets).
        """
        model, c = self.table.given(X)
        _require_numeric(model, "cdf")
        columns, values = prepare.thresholds(model, y, None if c is None else num_rows(c=c))
        below = model.cdf(c, values, num_samples, self.table.key(None, 6))
        names = [column.name for column in model.numeric]
        chosen = {column.name: below[:, names.index(column.name)] for column in columns}
        return self.table.frame(chosen, y if X is None and kind(y) in FRAMES else X)

    def exceedance(self, X: Any, y: Any, *, num_samples: int = 1000) -> Any:
        """P(target > y | X) of each numeric target and row; arguments and result as those of `cdf`."""
        below = self.cdf(X, y, num_samples=num_samples)
        if isinstance(below, np.ndarray):
            return 1 - below
        if kind(below) == "pandas":
            return 1 - below
        frame = nw.from_native(below, eager_only=True)
        return frame.select((1 - nw.col(name)).alias(name) for name in frame.columns).to_native()

    def predict_proba(self, X: Any = None, *, num_samples: int = 1000) -> Any:
        """The probability of each level of each target that has levels, given each row of X.

        These are categories, and numbers of which there are a few: 0 and 1, or the levels of a scale.

        Returns:
            Columns named by the levels, or `name=level` where there are several such targets
            (`"name"=level` of a name with an equals sign); for arrays shape (n, levels), or a list of them.
        """
        model, c = self.table.given(X)
        probabilities = model.probabilities(c, num_samples, self.table.key(None, 4))
        if self.table.kind_of(X) == "numpy":
            return probabilities if len(probabilities) > 1 else probabilities[0]
        columns = [column for column in self.table.schema.target if column.outcomes]
        name = tables.level_name if len(columns) > 1 else lambda _, level: tables.level_text(level)
        named = {
            name(column.name, level): part[:, i]
            for column, part in zip(columns, probabilities, strict=True)
            for i, level in enumerate(column.outcomes)
        }
        return self.table.frame(named, X)


def _require_numeric(model: TableModel, what: str) -> None:
    if not model.numeric:
        raise tables.TableError(
            "no target is numeric, so there is no {what}", remedy="use predict_proba", what=what
        )


def _require_coverage(coverage: float) -> None:
    if not 0 < coverage < 1:
        said = "{argument} is {coverage}, expected a number between 0 and 1, such as 0.9"
        raise InputError(said, argument="coverage", coverage=coverage)


def require_draws(n: int, name: str = "n") -> None:
    """Refuse numbers of draws that there cannot be."""
    if int(n) != n or n < 1:
        said = "{argument} is {n}, expected at least 1 draw, and a whole number of them"
        raise InputError(said, argument=name, n=n)
