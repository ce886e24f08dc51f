"""A fitted estimator before its judges: its rows encoded, its keys, and how it is fitted once more."""

from typing import Any

import numpy as np
from sklearn.base import clone

from condvae import judging
from condvae.estimator.fitted import FittedTable, fitted_table
from condvae.judging import Diagnosis, Evaluation, Keys, Rows
from condvae.sentences import Argument, InputError
from condvae.table_models import outside
from condvae.table_models.model import observed_rows
from condvae.tables.native import as_frame


def diagnose(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    train: tuple[Any, Any] | None = None,
    deep: bool = False,
    random_state: int | None = None,
    **options: Any,
) -> Diagnosis:
    """See `ConditionalVAE.diagnose`; `options` are those of `condvae.judging.measure`."""
    if deep and train is None:
        raise InputError(
            "{argument} fits again to the training rows",
            remedy="give them as {train}",
            argument="deep",
            train=Argument("train"),
        )

    def again(**change: Any) -> Rows:
        model: Any = clone(estimator)
        model.set_params(**change, objective="elbo", progress=False, random_state=estimator.seed_)
        model.fit(*(train or ()))
        return _rows(fitted_table(model), X, y, told=True)

    table = fitted_table(estimator)
    everything = _rows(table, X, y)
    training = None
    if train is not None:
        training = _rows(table, *train, told=True)
        training = training.take(np.flatnonzero(observed_rows(training.x)))
    return judging.diagnose(
        everything,
        _keys(table, random_state),
        training=training,
        refit=again if deep else None,
        validation=estimator.validation_,
        **options,
    )


def evaluate(estimator: Any, X: Any, y: Any, *, diagnosis: bool = True, **options: Any) -> Evaluation:
    """How well a fitted estimator predicts the rows of a table, and whether it is right.

    Args:
        estimator: a fitted `ConditionalVAE`.
        X: conditions, or None where it was fitted without.
        y: targets; rows without an observed one are left out.
        diagnosis: whether to look at whether the model is right; else it is only measured.
        **options: of `ConditionalVAE.diagnose`; without a diagnosis, those of measuring alone.

    Returns:
        `condvae.judging.Evaluation`, which describes its fields. `.to_json()` is what
        `condvae evaluate --json` prints, as docs/evaluation.schema.json describes it.

    Raises:
        TableError: for columns or cells that do not fit the model, or where no target is observed.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from condvae import ConditionalVAE
        >>> from condvae.estimator import evaluate
        >>> rng = np.random.default_rng(0)
        >>> X = pd.DataFrame({"dose": rng.uniform(0, 1, 300)})
        >>> y = pd.DataFrame({"response": 10 * X["dose"] + rng.normal(0, 1, 300)})
        >>> small = {"num_members": 1, "num_steps": 300, "width": 16, "depth": 1}
        >>> model = ConditionalVAE(**small).fit(X[:200], y[:200])
        >>> evaluation = evaluate(model, X[200:], y[200:], diagnosis=False, num_samples=100)
        >>> evaluation.rows, evaluation.training_rows, 0.5 < evaluation.crps["response"] < 0.7
        (100, 0, True)
    """
    if diagnosis:
        return diagnose(estimator, X, y, **options).evaluation
    table = fitted_table(estimator)
    everything, keys = _rows(table, X, y), _keys(table, None)
    return judging.measure(everything, keys, validation=estimator.validation_, **options).evaluation


def _rows(table: FittedTable, X: Any, y: Any, told: bool = False) -> Rows:
    """The rows of a table, encoded; with their support, unless it was `told` which of them are outside."""
    model, c, x, unforeseen = table.scored(X, y, told=told)
    support = None if told else outside.support(model, c, as_frame(X, "c"))
    return Rows(model, x, c, np.arange(len(unforeseen)), unforeseen, support)


def _keys(table: FittedTable, random_state: int | None) -> Keys:
    log_prob, elbo, probabilities, predictions = (table.key(None, purpose) for purpose in (2, 3, 4, 5))
    return Keys(log_prob, elbo, probabilities, predictions, table.key(random_state, 8))
