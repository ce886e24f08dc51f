"""A fitted estimator before its judges: its rows encoded, its keys, and how it is fitted once more."""

from typing import Any

import numpy as np
from sklearn.base import clone

from condvae import judging
from condvae.estimator.fitted import FittedTable, fitted_table
from condvae.judging import Diagnosis, Keys, Rows
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
            "{argument} fits again to the rows trained on",
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


def evaluate(estimator: Any, X: Any, y: Any, *, diagnosis: bool = True, **options: Any) -> dict[str, Any]:
    """How well a fitted estimator predicts the rows of a table, and whether it is right, in JSON's types.

    Everything is a mean over rows (or, of a target, over its observed cells), in the user's own units;
    rows without an observed target are left out. Whole-number targets are judged by rounded draws.

    Args:
        estimator: a fitted `ConditionalVAE`.
        X: conditions, or None where it was fitted without.
        y: targets.
        diagnosis: whether to look at whether the model is right; else it is only measured.
        **options: of `ConditionalVAE.diagnose`; without a diagnosis, those of measuring alone.

    Returns:
        A dictionary of JSON's types, in which None stands for what cannot be told:

        - `rows`; `rows_scored`, those with an observed target; `cells`, by target, those observed;
        - `outside`: rows whose conditions lie outside of what was trained on; `training_rows`: rows that
          training rows are equal to, None where the model was fitted to a table that was streamed, whose
          rows are not remembered; `equal_by_chance`: how many of them may be so by chance, as training rows
          are equal to each other: more were trained on;
        - `impossible`: rows of density 0; `unforeseen`: rows with a level or a number outside of what the
          targets were seen to hold; `log_prob`, in nats per row, and how it was found: `method`,
          `draws`, `log_prob_stderr`, `log_prob_noise`, `ess` and `untrusted`, as in
          `condvae.scoring.Totals.summary`; `elbo`;
        - where it was annealed, `upper_estimate`, no bound (see `condvae.scoring.Annealed`), and
          `sandwich`: of `rows` simulated from the model, given conditions of the table, the mean log p from
          below and from above, `lower` and `upper`, and the mean `width` with its `width_stderr`;
        - `baseline`: for `linear` (linear and multinomial regression of each target on the conditions and
          the targets before it), `marginal` (likewise, without the conditions), `independent` (without the
          targets before) and `neighbours` (the nearest training rows) its `log_prob`, the model's `gain`
          over it and the paired `gain_stderr`; with `deep`, on the rows looked at, `without z` and the
          other packages that are installed;
        - `sides`: `train`, `validation` and `test`, the mean log p of rows trained on, of rows held out at
          fitting, and of these, each with its `rows` and `stderr`; `how`: the first two are of the
          "members", each by itself, or of the mixture on rows kept to "test";
        - `looked_at`: by how many rows the rest is judged: 3,000 at most, at even distances in the table;
        - `crps` by numeric target, in its units: lower is better; of a point forecast it is the absolute
          error;
        - `coverage`: by numeric target, the share of cells in the central 50%, 80%, 90% and 95% intervals,
          and `coverage_stderr`; `conformal_coverage`: likewise for adjusted intervals, where there are
          calibration rows, else None;
        - `scores`: `energy` and `variogram`, of the numeric targets together, in standard deviations of the
          rows trained on;
        - `accuracy` by categorical target: how often the most probable level was the one;
        - `latents`: of the best member `rate`, `distortion`, `information` (what x and z share under it),
          `kl` and `activity` by latent, how many are `active`; whether a classifier tells `prior` from
          posterior, and `reconstructions` from samples; ranks of q, `posterior`. None without z;
        - `conditions`: the nats that are lost when `all` are permuted, and each of `columns`;
        - `calibration` by target: the `p_value` of its transforms being uniform, the `shape` of what is
          predicted ("right", or too "narrow", "wide", "low", "high", or "off"), and by how much its
          distribution function is `off_by` at most; `slices`: likewise by group of each condition;
        - `reliability` by categorical target and level;
        - `dependence`, of several targets: nats per row that they share given the conditions, under the
          `model` and under a `chain` of regressions, and what the former is `lacking`; where z carries it,
          what is `carried`: by target, what z tells of it from the others; `pairs`, of targets,
          with their mutual `information` and rank `correlation` in rows, and as `information_drawn` and
          `correlation_drawn` in samples;
        - `samples`: whether a classifier tells rows from samples; `copies`: whether samples copy rows of
          `train`;
        - `worst`: the rows of the lowest log p: `row`, counting from 0; the `target` that is furthest out
          (None where none is by itself), what was `observed`, what `expected`, the central 90% `interval`
          and the `chance` of being so far out; whether the row's conditions are `outside`, which columns,
          and its `distance`, the share of training rows that are nearer to others;
        - `refits`: with `deep`, what `free_bits` bring, and the `gaps` of inference;
        - `findings`: the verdicts, what must be looked at first, as
          `condvae.diagnosis.findings.Finding.to_json`.

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
        >>> evaluation["rows"], evaluation["training_rows"], 0.5 < evaluation["crps"]["response"] < 0.7
        (100, 0, True)
    """
    if diagnosis:
        return diagnose(estimator, X, y, **options).to_json()
    table = fitted_table(estimator)
    everything, keys = _rows(table, X, y), _keys(table, None)
    return judging.measure(everything, keys, validation=estimator.validation_, **options).summary


def _rows(table: FittedTable, X: Any, y: Any, told: bool = False) -> Rows:
    """The rows of a table, encoded; with their support, unless it was `told` which of them are outside."""
    model, c, x, unforeseen = table.scored(X, y, told=told)
    support = None if told else outside.support(model, c, as_frame(X, "c"))
    return Rows(model, x, c, np.arange(len(unforeseen)), unforeseen, support)


def _keys(table: FittedTable, random_state: int | None) -> Keys:
    log_prob, elbo, probabilities, predictions = (table.key(None, purpose) for purpose in (2, 3, 4, 5))
    return Keys(log_prob, elbo, probabilities, predictions, table.key(random_state, 8))
