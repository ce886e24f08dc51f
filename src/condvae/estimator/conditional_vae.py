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

    (scikit-learn's X is what the rest of the library, and the literature, call c, "given"; its y is
    their x, "target".) Columns of any names: numbers, whole numbers, booleans, text, categories; dates
    among the conditions. Cells may be missing in either. A missing target is left out of the likelihood
    exactly. A missing condition is a value of its own: the model is of p(y | what is observed of X).
    Everything is encoded inside; every log-density is in the user's own units, in nats.

    The model: an ensemble of conditional VAEs, each with its own initial weights and held-out rows,
    trained in one compiled program, and taken as their mixture. In each, perceptrons for prior p(z | c),
    likelihood p(x | z, c) and posterior q(z | x, c), z Gaussian; each target has the likelihood that suits
    its cells (counts, levels, numbers above 0, rounded ones, ...; `schema_` says which, and why).
    Targets are decoded in turn, p(x | c) = Π_i p(x_i | x_before, c), in another order in each member, and
    there is no z unless one is asked for; or, with `joint="latent"`, they are independent given
    (z, c). What is None is sized from the data: see `condvae.table_models.defaults`.

    Without conditions, `fit(None, y)`, it is the plain VAE of y, and X is None everywhere: `sample(n=5)`
    draws rows, `log_prob(None, y)` scores them, `transform(None, y)` encodes them, `predict()` gives the
    one row of means and modes, `impute(None, y)` fills holes; every row is inside of the support.

    Args:
        joint: how targets depend on each other given X: "in_turn", each is decoded given those before it
            and z, if there is one; "latent", through z alone; "auto", "in_turn" where there are at most
            32 targets and nothing is asked of z (by latent_size, objective, free_bits or kl_warmup).
            `transform` and `counterfactual` need a z.
        latent_size: the length of z; 0 for none. By default none for targets in turn, else by their number.
        width: of every hidden layer.
        depth: hidden layers in each network.
        likelihood: of numeric targets: "auto", the universal one, which suits columns of any kind (see
            `condvae.distributions.universal`); or "student_t" or "gaussian", for all.
        likelihoods: by column, where it shall be another: {"claims": "negative_binomial"}; one of
            `condvae.tables.NUMERIC`, with its limits where it has them, as in "censored_gaussian(high=50)";
            of categories "categorical" or "ordinal".
        num_members: models in the ensemble.
        num_steps: optimiser steps at most; the best parameters on the held-out rows are kept.
        batch_size: rows in a step.
        learning_rate: the peak of a cosine schedule.
        weight_decay: decoupled, on weight matrices.
        free_bits: nats per row that z may tell at no cost, where the model would rather not use it; 0 is
            the ELBO.
        objective: what training maximises: a name of `condvae.objectives.OBJECTIVES`, with its numbers
            in brackets, such as "iwae" or "renyi(alpha=0.25)"; or a function of `Draws`, of which only
            the name is saved. By default "iwae" with `joint="latent"`, where z has to tell how targets
            depend on each other, unless free bits or a warm-up are asked for; else "elbo".
        num_samples: draws of z for each row in each step: K of `iwae`, say. By default 16 where the
            objective is "iwae" by default, else 1.
        kl_warmup: steps over which the weight β of the KL term rises from 0 to 1.
        kl_cycles: how often it does, at even distances.
        validation_fraction: of the rows, held out by each member to choose the parameters it keeps.
        test_fraction: of the rows, kept from all members, to measure the fitted model on.
        calibration_fraction: of the rows, kept from all members, to adjust intervals by.
        patience: stop a member after so many steps without a better value on its held-out rows.
        unknown: what a level of a condition that was not there at fitting is: "other", a level of its own,
            learned from the rare levels, and a warning; or "error".
        read: by column, what it is read as, where its cells shall not tell: {"hp": "number", "zip":
            "text", "day": "date(%d.%m.%Y)"}; also "number(decimal=comma)", "time" (of day), "duration".
            Text that is clearly numbers, dates or times is read as such, and `notes_` say so.
        missing: texts that stand for a missing cell, besides the usual ones: ("?", "-", "-999").
        random_state: the seed; the same seed gives the same model on the same machine, in whatever order
            the rows are.
        progress: whether to show progress bars.

    Attributes:
        model_: the trained `Mixture`, in standardised units.
        schema_: the columns, their kinds, means, scales and levels.
        history_: the `History` of training, in standardised units.
        validation_: what was measured at fitting, on test rows (`how` is "test"), or by each member on the
            rows that it held out ("members"): `rows`, `log_prob`, `stderr`; `train`, the same of as many
            rows that were learned from; and `baseline`: `marginal` and `linear`, each with its `log_prob`,
            the model's `gain` over it and the paired `gain_stderr`.
        notes_: sentences about the data that their user should know.
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
            X: the conditions: a pandas, polars or pyarrow table, or a 2-d array; None for none, the
                plain VAE of y. Or columns of a `condvae.tables.scan` of Parquet files, which are read as
                they are needed where there are more than 1,048,576 rows.
            y: the targets: likewise, or a series or 1-d array for a single one.
            sample_weight: a non-negative weight for each row. Whole numbers are the same as so many copies
                of the row; of other numbers only the ratios matter.
            groups: the group of each row: whole groups are held out, by members, for testing, for
                calibration.
            time: of each row, sortable: the latest rows are held out.
            checkpoint: a folder in which training is kept, every minute and when Ctrl-C or SIGTERM
                interrupts it.
            resume: whether to go on from what is in that folder, if there is something. The model is that
                of an uninterrupted run to the bit.
            mesh: devices, of one process or of several, over which training divides the rows of a batch;
                see `condvae.fit`.

        Raises:
            TableError: in one sentence, for columns or cells that cannot serve, before any training.
            ValueError: for arguments that cannot.
            TrainingError: if training gives numbers that are not finite over and over; names row and
                column.
            StorageError: if the checkpoints cannot be written, or are of other data or settings.
            Interrupted: by Ctrl-C or SIGTERM, where there is a `checkpoint`.
        """
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
        """Train further on more rows, from where the members are; the first call is `fit`.

        These rows alone are learned from: give old ones with the new, or the model comes to be of the new
        alone. Columns, their scales and levels stay those of the first fit. A tenth of the steps and of the
        rate of `fit` are taken.

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
        """What the model is worth on rows that it was not trained on, and whether it is right.

        Whether it is better than what is simpler; whether z and c are used, column by column; whether the
        latents of these rows are what the prior draws, and q the posterior; whether every target is
        calibrated, overall and by group of each condition; whether a classifier tells the rows from
        samples. Whether it is right is looked at by at most 3,000 rows. `docs/diagnosis.md` explains each
        verdict.

        Args:
            X: conditions, or None where the model was fitted without.
            y: targets.
            train: (X, y) that the model was fitted to, to see whether samples copy them.
            deep: whether to fit again to `train`, without z and with free bits, which tells a latent that
                is not needed from one that is ignored; and to fit NGBoost, Treeffuser and a flow, where
                they are installed. It takes some times as long as fitting did.
            num_samples: draws of z for each row, for its log-density (1000; of more than 2,000 rows 250);
                annealed chains (16).
            budget: the most draws that a row may get, where it needs them (16 times as many); or
                temperatures (1000).
            method: of finding log-densities: "is", importance sampling; or "ais", annealed.
            interval_samples: draws of each row's targets, for CRPS and intervals (1000; of more than 2,000
                rows 500).
            random_state: another seed than the estimator's, for what is looked at.

        Returns:
            `condvae.judging.Diagnosis`: `.findings`, what must be looked at first, `.words()`,
            and the numbers, `.evaluation`, as `condvae.estimator.evaluate` gives them.

        Raises:
            TableError: for columns or cells that do not fit the model, or too few rows.
            ValueError: with `deep`, without `train`.
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
        """Save to the folder `path`, atomically; loading it executes nothing.

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
        """Load what `save` saved.

        Raises:
            StorageError: if there is no intact model there.
            BundleError: if it is a model, but not of a table.
        """
        return persistence.load(cls, path)
