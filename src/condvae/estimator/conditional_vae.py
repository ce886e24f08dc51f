"""`ConditionalVAE`: the front door for people who have tables.

Here data frames meet the model: `condvae.tables` turns a frame into arrays of standardised numbers and
codes of categories, the core trains, samples and scores, and what comes back is a frame of the user's kind
in the user's units.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from jax.sharding import Mesh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from condvae.estimator import arguments, persistence, prepare
from condvae.estimator.evaluation import diagnose
from condvae.estimator.fitted import answered_by, draw_key
from condvae.estimator.predicting import Predictions
from condvae.estimator.queries import Queries
from condvae.judging import Diagnosis
from condvae.runtime import require_runtime
from condvae.table_models.defaults import trained_by
from condvae.table_models.fitting import Fitted, Options, fit_table
from condvae.table_models.model import Method
from condvae.training import Checkpoints
from condvae.training.devices import Devices


def _has_categories(estimator: Any) -> bool:
    return any(column.kind == "categorical" for column in estimator.schema_.target)


def _has_outcomes(estimator: Any) -> bool:
    return any(column.outcomes for column in estimator.schema_.target)


class ConditionalVAE(TransformerMixin, BaseEstimator):
    """p(y | X) by conditional variational autoencoders: X holds the conditions c, y the targets x.

    Conditions come first, as in scikit-learn; the core takes x first ("The order of c and x" in
    docs/architecture.md). Columns may be numbers, booleans, text or categories; conditions may also be
    dates. Cells may be missing. A missing target is marginalised exactly. A missing condition is a
    separate value: the model is of p(y | the observed part of X). Columns are encoded inside the model;
    all log-densities are in nats, in the units of the table.

    The model is an ensemble of conditional VAEs. Each member has its own initial weights and validation
    rows; all are trained in one compiled program, and the prediction is their mixture. In each member,
    perceptrons give the prior p(z | c), the likelihood p(x | z, c) and the posterior q(z | x, c); z is
    Gaussian. The likelihood of each target is chosen from its cells; `schema_` says which one and why.
    By default targets are decoded in turn, p(x | c) = Π_i p(x_i | x_before, c), in another order in each
    member, and there is no z. With `joint="latent"` they are independent given (z, c). Parameters that
    are None are chosen from the data: see `condvae.table_models.defaults`.

    Without conditions, `fit(None, y)`, the model is the plain VAE of y, and X is None in all methods:
    `sample(n=5)` draws rows, `log_prob(None, y)` scores them, `transform(None, y)` encodes them,
    `predict()` gives one row of means and modes, and `impute(None, y)` fills missing cells.

    Args:
        joint: how the dependence between targets given X is modelled: "in_turn", each target is decoded
            given those before it (and z, if there is one); "latent", z carries all of it; "auto",
            "in_turn" with at most 32 targets and no option of z (latent_size, objective, free_bits or
            kl_warmup). `transform` and `counterfactual` need a z.
        latent_size: the length of z; 0 for none. Default: 0 if targets are decoded in turn, else chosen
            by the number of targets.
        width: the width of every hidden layer.
        depth: the number of hidden layers in each network.
        likelihood: the likelihood of all numeric targets: "auto", the universal one, which suits columns
            of any kind (see `condvae.distributions.universal`); "student_t"; or "gaussian".
        likelihoods: the likelihood of single columns, such as {"claims": "negative_binomial"}: one of
            `condvae.tables.NUMERIC`, with limits if it has any ("censored_gaussian(high=50)"); for
            categories "categorical" or "ordinal".
        num_members: the number of models in the ensemble.
        num_steps: the maximum number of optimiser steps; the parameters that are best on the validation
            rows are kept.
        batch_size: the number of rows in a step.
        learning_rate: the peak of a cosine schedule.
        weight_decay: decoupled weight decay of weight matrices.
        free_bits: nats per row that z may carry at no cost, against a z that is ignored; 0 is the ELBO.
        objective: what training maximises: a name in `condvae.objectives.OBJECTIVES`, with its options
            in brackets, such as "iwae" or "renyi(alpha=0.25)"; or a function of `Draws` (a saved model
            keeps only its name). Default: "iwae" with `joint="latent"`, where z has to carry the
            dependence between targets, unless free bits or a warm-up are set; otherwise "elbo".
        num_samples: draws of z for each row in each step, such as the K of `iwae`. Default: 16 if the
            objective is "iwae" by default, else 1.
        kl_warmup: the number of steps over which the weight β of the KL term rises from 0 to 1.
        kl_cycles: the number of evenly spaced warm-up cycles.
        validation_fraction: the fraction of rows that each member holds out for early stopping.
        test_fraction: the fraction of rows held out from all members as a test set, on which the fitted
            model is measured.
        calibration_fraction: the fraction of rows held out from all members to calibrate intervals.
        patience: stop a member after this many steps without an improvement on its validation rows.
        unknown: how a level of a condition that was not in the training rows is treated: "other", as a
            level that is learned from the rare levels, with a warning; or "error".
        read: how to read single columns, instead of the reading recognised from their cells:
            {"hp": "number", "zip": "text", "day": "date(%d.%m.%Y)"}; also "number(decimal=comma)",
            "time" (of day), "duration". `notes_` names text that was recognised as numbers, dates or times.
        missing: texts that stand for a missing cell, besides the usual ones: ("?", "-", "-999").
        random_state: the seed. The same seed gives the same model on the same machine, for any order of
            the rows.
        progress: whether to show progress bars.

    Attributes:
        model_: the trained `Mixture`, in standardised units.
        schema_: the columns with their kinds, means, scales and levels.
        history_: the `History` of training, in standardised units.
        validation_: measurements at the end of `fit`, on test rows (`how` is "test") or, member by
            member, on its validation rows ("members"): `rows`, `log_prob`, `stderr`; `train`, the same
            for as many training rows; and `baseline`: `marginal` and `linear`, each with its `log_prob`,
            the model's `gain` over it and the paired `gain_stderr`.
        notes_: sentences about the data that you should know.
        n_features_in_, feature_names_in_: the conditions, as scikit-learn counts them.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from condvae import ConditionalVAE
        >>> rng = np.random.default_rng(0)
        >>> X = pd.DataFrame({"dose": rng.uniform(0, 1, 300)})
        >>> y = pd.DataFrame({"response": 10 * X["dose"] + rng.normal(0, 1, 300)})
        >>> model = ConditionalVAE(num_members=2, num_steps=300).fit(X, y)
        >>> model.sample(X.head(2), 3).shape
        (6, 1)
        >>> model.interval(X.head(2), 0.9).columns.tolist()
        ['response_low', 'response_high']
        >>> model.log_prob(X, y).value.shape
        (300,)
    """

    def __init__(
        self,
        *,
        latent_size: int | None = None,
        width: int | None = None,
        depth: int = 2,
        joint: str = "auto",
        likelihood: str = "auto",
        likelihoods: dict[Any, str] | None = None,
        num_members: int | None = None,
        num_steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float = 0.05,
        free_bits: float = 0.0,
        objective: Any = None,
        num_samples: int | None = None,
        kl_warmup: int = 0,
        kl_cycles: int = 1,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.0,
        calibration_fraction: float = 0.0,
        patience: int | None = None,
        unknown: str = "other",
        read: dict[Any, str] | None = None,
        missing: Sequence[str] = (),
        random_state: Any = 0,
        progress: bool = False,
    ):
        self.latent_size = latent_size
        self.width = width
        self.depth = depth
        self.joint = joint
        self.likelihood = likelihood
        self.likelihoods = likelihoods
        self.num_members = num_members
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.free_bits = free_bits
        self.objective = objective
        self.num_samples = num_samples
        self.kl_warmup = kl_warmup
        self.kl_cycles = kl_cycles
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.calibration_fraction = calibration_fraction
        self.patience = patience
        self.unknown = unknown
        self.read = read
        self.missing = missing
        self.random_state = random_state
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.non_deterministic = False
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        time: Any = None,
        checkpoint: str | Path | Checkpoints | None = None,
        resume: bool = False,
        mesh: Mesh | None = None,
    ) -> Self:
        """Learn p(y | X).

        Args:
            X: the conditions: a pandas, polars or pyarrow table, or a 2-d array; None for the plain VAE of
                y. Or columns of a `condvae.tables.scan` of Parquet files; above 1,048,576 rows these are
                read in parts during training.
            y: the targets: of the same kinds, or a series or 1-d array for a single target.
            sample_weight: a non-negative weight for each row. Whole-number weights are equivalent to
                copies of the row; of other weights only the ratios matter.
            groups: the group of each row: each group is held out as a whole.
            time: a sortable time for each row: the latest rows are held out.
            checkpoint: a folder in which the state of training is saved, every minute and when Ctrl-C,
                SIGTERM or SIGHUP interrupts it.
            resume: whether to continue from the state in that folder, if there is one. The model is
                bit-identical to that of an uninterrupted run.
            mesh: devices, of one process or of several, over which training divides the rows of a batch;
                see `condvae.fit`.

        Raises:
            TableError: if a column or a cell cannot be used; before any training, in one sentence.
            ValueError: if an argument cannot be used.
            TrainingError: if training repeatedly gives numbers that are not finite; names row and column.
            StorageError: if the checkpoints cannot be written, or belong to other data or settings.
            Interrupted: if Ctrl-C, SIGTERM or SIGHUP interrupts training and there is a `checkpoint`.
        """
        require_runtime()
        arguments.check_arguments(self.get_params())
        self.seed_ = int(Devices(mesh).of_first(np.array(arguments.seed(self.random_state), np.uint32)))
        table = prepare.training_table(
            X,
            y,
            sample_weight,
            groups,
            time,
            unknown=self.unknown,
            read=self.read,
            missing=tuple(self.missing),
            likelihood=self.likelihood,
            likelihoods=self.likelihoods,
            seed=self.seed_,
            progress=self.progress,
        )
        self.schema_, self.notes_, self.kind_ = table.schema, table.notes, table.kind
        prepare.remember_features(self, X, table.schema)
        self.settings_ = prepare.settings(self, table.rows, table.schema)
        self._finish(self._train(table, checkpoint=checkpoint, resume=resume, mesh=mesh))
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Continue training on more rows; the first call is `fit`.

        Only these rows are trained on: pass old rows with the new ones, or the model will forget the old
        ones. Columns, scales and levels stay those of the first fit. Training takes a tenth of the steps
        of `fit`, at a tenth of its learning rate.

        Args:
            X: conditions, as in `fit`.
            y: targets, as in `fit`.
            sample_weight: as in `fit`.
        """
        if not hasattr(self, "table_"):
            return self.fit(X, y, sample_weight)
        if X is not None:
            prepare.require_features(len(self.schema_.given), X, prepare.as_frame(X, "c"))
        more = {"schema": self.schema_, "seed": self.seed_, "progress": self.progress}
        table = prepare.training_table(X, y, sample_weight, None, None, **more)
        self._finish(self._train(table, start=self.model_))
        return self

    def _train(self, table: prepare.TrainingTable, start: Any = None, **kept: Any) -> Fitted:
        settings = self.settings_
        if start is not None:
            settings = settings._replace(
                num_steps=max(1, settings.num_steps // 10), learning_rate=settings.learning_rate / 10
            )
        options = Options(
            self.depth,
            self.weight_decay,
            arguments.chosen_objective(self.get_params()),
            trained_by(self.get_params())[1],
            int(self.kl_warmup),
            int(self.kl_cycles),
            self.validation_fraction,
            self.test_fraction,
            self.calibration_fraction,
            self.progress,
            settings.in_turn,
        )
        key = draw_key(self.seed_, 0)
        return fit_table(table, settings=settings, options=options, key=key, start=start, **kept)

    def _finish(self, fitted: Fitted) -> None:
        self.table_, self.model_, self.history_ = fitted.model, fitted.model.mixture, fitted.history
        self.validation_, self.num_rows_ = fitted.validation, fitted.num_rows
        self.num_parameters_ = persistence.num_parameters(self.model_)
        self.provenance_ = persistence.provenance()

    # --- the whole distribution

    sample = answered_by(Queries, Queries.sample)
    log_prob = answered_by(Queries, Queries.log_prob)
    elbo = answered_by(Queries, Queries.elbo)
    score = answered_by(Queries, Queries.score)
    score_samples = answered_by(Queries, Queries.score_samples)
    observed_rows = answered_by(Queries, Queries.observed_rows)
    impute = answered_by(Queries, Queries.impute)
    support = answered_by(Queries, Queries.support)

    # --- the latent

    # scikit-learn wraps `transform` where it is defined, for `set_output`, and wants X by name or place.
    transform = answered_by(Queries, Queries.transform)
    get_feature_names_out = answered_by(Queries, Queries.get_feature_names_out)
    counterfactual = answered_by(Queries, Queries.counterfactual)

    # --- one row of answers for each row of conditions

    predict = answered_by(Predictions, Predictions.predict)
    quantile = answered_by(Predictions, Predictions.quantile)
    interval = answered_by(Predictions, Predictions.interval)
    level_set = available_if(_has_categories)(answered_by(Predictions, Predictions.level_set))
    cdf = answered_by(Predictions, Predictions.cdf)
    exceedance = answered_by(Predictions, Predictions.exceedance)
    predict_proba = available_if(_has_outcomes)(answered_by(Predictions, Predictions.predict_proba))

    # --- whether it is right

    def diagnose(
        self,
        X: Any,
        y: Any,
        *,
        train: tuple[Any, Any] | None = None,
        deep: bool = False,
        num_samples: int | None = None,
        budget: int | None = None,
        method: Method = "is",
        interval_samples: int | None = None,
        random_state: int | None = None,
    ) -> Diagnosis:
        """Judge the model on rows that it was not trained on.

        Is it better than baselines? Are z and each column of c used? Do latents of these rows look like
        draws of the prior, and is q the posterior? Is every target calibrated, overall and by group of
        each condition? Can a classifier distinguish rows from samples? At most 3,000 rows are used for
        questions other than log p. `docs/diagnosis.md` explains each verdict.

        Args:
            X: conditions, or None where the model was fitted without.
            y: targets.
            train: the (X, y) that the model was fitted to, to check whether samples copy training rows.
            deep: whether to refit to `train`, without z and with free bits, to distinguish a latent that is
                not needed from one that is ignored; and to fit boosted trees, NGBoost, Treeffuser and a
                flow, if they are installed. This takes several times as long as `fit`.
            num_samples: draws of z for the log-density of each row (1000; 250 above 2,000 rows), or
                annealed chains (16).
            budget: the most draws for a row that needs more of them (16 times as many), or the number of
                temperatures (1000).
            method: how log-densities are computed: "is", importance sampling; or "ais", annealed.
            interval_samples: draws of the targets of each row, for CRPS and intervals (1000; 500 above
                2,000 rows).
            random_state: a seed for the diagnosis instead of the estimator's.

        Returns:
            `condvae.judging.Diagnosis`: the verdicts `.findings`, most important first; `.words()`, the
            same as text; and the numbers `.evaluation`, as `condvae.estimator.evaluate` returns them.

        Raises:
            TableError: if columns or cells do not fit the model, or there are too few rows.
            ValueError: if `deep` is set without `train`.
        """
        return diagnose(
            self,
            X,
            y,
            train=train,
            deep=deep,
            num_samples=num_samples,
            budget=budget,
            method=method,
            interval_samples=interval_samples,
            random_state=random_state,
        )

    # --- kept

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Save to the folder `path`, atomically; loading executes no code from it.

        Args:
            path: the folder. It must be new or empty, or hold a saved model, which is then kept beside it
                as `path.1` (or the next number that is free), with a warning.
            overwrite: whether an older saved model is removed instead of kept.

        Raises:
            StorageError: if the folder cannot be written, or holds other things than a saved model.
        """
        check_is_fitted(self, "table_")
        persistence.save(self, path, overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a model that `save` wrote.

        Raises:
            StorageError: if `path` does not hold an intact model.
            BundleError: if it holds a model, but not of a table.
        """
        return persistence.load(cls, path)
