"""`ConditionalVAE`: the front door for people who have tables.

Here data frames meet the model: `condvae.tables` turns a frame into arrays of standardised numbers and
codes of categories, the core trains, samples and scores, and what comes back is a frame of the user's kind
in the user's units.
"""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import jax
import narwhals as nw
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from condvae import bundle, tables
from condvae import sample as sample_model
from condvae.architectures import mlp_cvae
from condvae.holdout import held_out
from condvae.rows import num_rows
from condvae.scoring import LogProb, log_prob
from condvae.training import History, fit

FRAMES = ("pandas", "polars", "pyarrow")


class ConditionalVAE(BaseEstimator):
    """p(y | X) by a conditional variational autoencoder: X holds the conditions c, y the targets x.

    (scikit-learn's X is what the rest of the library, and the literature, call c, "given"; its y is
    their x, "target".) Columns of any names, numeric or categorical; cells may be missing in either. A
    missing target is left out of the likelihood exactly. A missing condition is a value of its own: the
    model is of p(x | what is observed of c). Numbers are standardised and categories one-hot encoded
    inside; every log-density is in the user's own units, in nats.

    The model: perceptrons for prior p(z | c), likelihood p(x | z, c) and posterior q(z | x, c), z
    Gaussian; numeric targets are Student-t with a learned number of degrees of freedom, categorical ones
    categorical, independent given (z, c).

    Args:
        latent_size: the length of z.
        width: of every hidden layer.
        depth: hidden layers in each network.
        num_steps: optimiser steps at most; the best parameters on the held-out rows are kept.
        batch_size: rows in a step.
        learning_rate: the peak of a cosine schedule.
        weight_decay: decoupled, on weight matrices.
        validation_fraction: of the rows, held out to choose the parameters that are kept.
        patience: stop after so many steps without a better value on the held-out rows; None never.
        random_state: the seed; the same seed gives the same model on the same machine.
        progress: whether to show progress bars.

    Attributes:
        model_: the trained `CVAE`, in standardised units.
        schema_: the columns, their kinds, means, scales and levels.
        history_: the `History` of training, in standardised units.
        validation_: what the held-out rows scored: `rows`, `log_prob` and `stderr`, in nats a row and
            the user's units.
        notes_: sentences about the data that their user should know.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from condvae import ConditionalVAE
        >>> rng = np.random.default_rng(0)
        >>> X = pd.DataFrame({"dose": rng.uniform(0, 1, 300)})
        >>> y = pd.DataFrame({"response": 10 * X["dose"] + rng.normal(0, 1, 300)})
        >>> model = ConditionalVAE(num_steps=300).fit(X, y)
        >>> model.sample(X.head(2), 3).shape
        (6, 1)
        >>> model.log_prob(X, y).value.shape
        (300,)
    """

    def __init__(
        self,
        *,
        latent_size: int = 2,
        width: int = 64,
        depth: int = 2,
        num_steps: int = 3000,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.05,
        validation_fraction: float = 0.1,
        patience: int | None = 1000,
        random_state: int = 0,
        progress: bool = False,
    ):
        self.latent_size = latent_size
        self.width = width
        self.depth = depth
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> Self:
        """Learn p(y | X).

        Args:
            X: the conditions: a pandas, polars or pyarrow table, or a 2-d array; None for none, the
                plain VAE of y.
            y: the targets: likewise, or a series or 1-d array for a single one.
            sample_weight: a non-negative weight for each row.

        Raises:
            TableError: in one sentence, for columns or cells that cannot serve, before any training.
        """
        given, target = as_frame(X, "c"), _target_frame(y)
        self.schema_ = tables.Schema.infer_pair(given, target)
        self.kind_ = _kind(X if X is not None else y)
        c, x = self._encode_given(given), tables.encode(self.schema_.target, target)
        assert x is not None
        seen = _observed_rows(x)
        weight = _row_weights(sample_weight, len(seen))
        keep = np.flatnonzero(seen)
        if len(keep) < 2:
            raise tables.TableError(
                f"only {len(keep)} of {len(seen)} rows have an observed target; give at least two"
            )
        x, c = _take((x, c), keep)
        split_key, model_key, fit_key, score_key = jax.random.split(jax.random.key(self.random_state), 4)
        held = held_out(len(keep), self.validation_fraction, key=split_key)
        model = mlp_cvae(
            x,
            c,
            latent_size=self.latent_size,
            width=self.width,
            depth=self.depth,
            likelihood="student_t",
            x_levels=tables.levels(self.schema_.target),
            c_levels=tables.levels(self.schema_.given),
            key=model_key,
        )
        self.model_, self.history_ = fit(
            model,
            x,
            c,
            key=fit_key,
            num_steps=self.num_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            sample_weight=None if weight is None else weight[keep],
            validation=held,
            patience=self.patience,
            progress=self.progress,
        )
        self.num_rows_ = len(keep)
        self.num_parameters_ = _num_parameters(self.model_)
        self.provenance_ = _provenance()
        self.notes_ = _notes(self.schema_, len(seen), len(keep))
        self.validation_ = None
        if held.any():
            score = self._score(*_take((x, c), np.flatnonzero(held)), key=score_key, num_samples=1000)
            self.validation_ = {"rows": int(held.sum()), **_mean(score.value)}
        return self

    def sample(self, X: Any = None, n: int = 1, *, random_state: int | None = None) -> Any:
        """Draws of the targets given each row of X.

        Args:
            X: conditions; None where the model was fitted without.
            n: draws for each row (in all, without conditions).
            random_state: another seed than the estimator's.

        Returns:
            The targets' columns, n rows for each row of X: a pandas frame with index (row, draw), where
            `row` is X's own index; a polars or pyarrow table with columns `row` and `draw`, counting
            from 0; or an array of shape (rows, n, targets) for arrays.
        """
        check_is_fitted(self, "model_")
        if n < 1:
            raise ValueError(f"n is {n}, expected at least 1 draw")
        key = self._key(random_state, 1)
        given = as_frame(X, "c")
        c = self._require_given(given)
        blocks = sample_model(self.model_, c, key=key, num_samples=n, progress=self.progress)
        rows = 1 if c is None else num_rows(c=c)
        flat = {name: np.reshape(block, (rows * n, block.shape[-1])) for name, block in blocks.items()}
        return self._sampled(flat, X, rows, n)

    def _sampled(self, flat: Mapping[str, np.ndarray], X: Any, rows: int, n: int) -> Any:
        kind = self.kind_ if X is None else _kind(X)
        frame = tables.decode(self.schema_.target, flat, kind if kind in FRAMES else "pandas")
        row, draw = np.repeat(np.arange(rows), n), np.tile(np.arange(n), rows)
        if kind == "pandas":
            import pandas as pd

            frame.columns = [column.name for column in self.schema_.target]  # which may be no strings
            label = row if X is None else X.index[row]
            frame.index = pd.MultiIndex.from_arrays([label, draw], names=["row", "draw"])
            return frame
        if kind == "numpy":
            return frame.to_numpy().reshape(rows, n, -1)
        own: Any = kind
        index = nw.from_dict({"row": row, "draw": draw}, backend=own)
        return nw.concat([index, nw.from_native(frame, eager_only=True)], how="horizontal").to_native()

    def log_prob(
        self, X: Any, y: Any, *, num_samples: int = 1000, random_state: int | None = None
    ) -> LogProb:
        """log p(y | X) of each row in nats and the user's own units, with its standard error.

        By importance sampling with a defensive proposal. Missing targets are summed out: a row's
        log-density is that of the cells it has (0 where it has none).

        Args:
            X: conditions, or None where the model was fitted without.
            y: targets.
            num_samples: draws for each row.
            random_state: another seed than the estimator's.

        Returns:
            `LogProb(value, stderr, ess)`, arrays of shape (n,).
        """
        check_is_fitted(self, "model_")
        target = _target_frame(y)
        c = self._require_given(as_frame(X, "c"))
        return self._score(
            tables.encode(self.schema_.target, target),
            c,
            key=self._key(random_state, 2),
            num_samples=num_samples,
        )

    def score(self, X: Any, y: Any) -> float:
        """The mean of log p(y | X) over the rows that have an observed target: higher is better.

        Raises:
            TableError: if no row has one.
        """
        seen = self.observed_rows(y)
        if not seen.any():
            raise tables.TableError("no row has an observed target, so there is nothing to score")
        return float(np.mean(self.log_prob(X, y).value[seen]))

    def observed_rows(self, y: Any) -> np.ndarray:
        """Which rows have at least one observed target, shape (n,); the others' log-density is 0."""
        check_is_fitted(self, "model_")
        return _observed_rows(tables.encode(self.schema_.target, _target_frame(y)))

    def save(self, path: str | Path) -> None:
        """Save to the folder `path`, atomically; loading it executes nothing."""
        check_is_fitted(self, "model_")
        manifest = {
            "kind": "table",
            "schema": self.schema_.to_json(),
            "parameters": {name: _plain(value) for name, value in self.get_params().items()},
            "frame": self.kind_,
            "rows": self.num_rows_,
            "notes": self.notes_,
            "validation": self.validation_,
            "history": {
                "records": self.history_.records,
                "best_step": self.history_.best_step,
                "notes": self.history_.notes,
            },
            "provenance": self.provenance_,
        }
        bundle.save(path, self.model_, manifest=manifest)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load what `save` saved.

        Raises:
            StorageError: if there is no intact model there.
            BundleError: if it is a model, but not of a table.
        """
        model, manifest = bundle.load_with_manifest(path)
        if manifest.get("kind") != "table":
            raise bundle.BundleError(f"{path} holds a model that is not of a table: use condvae.load")
        try:
            self = cls(**manifest["parameters"])
            self.model_, self.schema_ = model, tables.Schema.from_json(manifest["schema"])
            self.num_parameters_ = _num_parameters(model)
            self.kind_, self.num_rows_ = manifest["frame"], manifest["rows"]
            self.notes_, self.validation_ = manifest["notes"], manifest["validation"]
            self.provenance_ = manifest["provenance"]
            self.history_ = History()
            self.history_.records = manifest["history"]["records"]
            self.history_.best_step = manifest["history"]["best_step"]
            self.history_.notes = manifest["history"]["notes"]
        except (KeyError, TypeError) as error:
            raise bundle.BundleError(
                f"{path} was saved by another version of condvae ({error}): load it with the one that "
                "saved it"
            ) from error
        return self

    def _key(self, random_state: int | None, purpose: int) -> jax.Array:
        seed = self.random_state if random_state is None else random_state
        return jax.random.fold_in(jax.random.key(seed), purpose)

    def _require_given(self, given: Any) -> Any:
        if given is None and self.schema_.given:
            names = ", ".join(column.name for column in self.schema_.given)
            raise tables.TableError(f"the model is of targets given {names}; pass them as X")
        return self._encode_given(given)

    def _encode_given(self, given: Any) -> Any:
        return None if given is None else tables.encode(self.schema_.given, given)

    def _score(self, x: Any, c: Any, *, key: jax.Array, num_samples: int) -> LogProb:
        score = log_prob(self.model_, x, c, key=key, num_samples=num_samples, progress=self.progress)
        shift = 0.0
        if "numeric" in x:
            shift = tables.log_scale(self.schema_.target, x["numeric"].mask)
        # Of nothing observed the log-density is 0 exactly, not a Monte Carlo estimate of it.
        seen = _observed_rows(x)
        value, stderr = np.where(seen, score.value - shift, 0.0), np.where(seen, score.stderr, 0.0)
        return score._replace(value=value, stderr=stderr)


def as_frame(data: Any, prefix: str) -> Any:
    """Arrays as frames with columns c0, c1, ... (x0, ...); series as frames of one column."""
    if data is None:
        return None
    if isinstance(data, np.ndarray | list | tuple):
        array = np.asarray(data)
        if array.ndim not in (1, 2):
            raise tables.TableError(
                f"expected an array of rows and columns, got one of shape {array.shape}; reshape it to "
                "(rows, columns)"
            )
        array = array[:, None] if array.ndim == 1 else array
        columns = {f"{prefix}{i}": array[:, i] for i in range(array.shape[1])}
        try:
            return nw.from_dict(columns, backend="pyarrow").to_native()
        except (ValueError, TypeError) as error:  # cells of several types in one column
            raise tables.TableError(
                f"a column of the array cannot be read ({error}); make each all numbers or all text"
            ) from error
    native = nw.from_native(data, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series):
        return native.alias(native.name or f"{prefix}0").to_frame().to_native()
    return data


def _target_frame(y: Any) -> Any:
    if y is None:
        raise tables.TableError("y is None, and it holds the targets; the conditions are X")
    return as_frame(y, "x")


def _row_weights(sample_weight: Any, rows: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight)
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight has shape {weight.shape}, expected ({rows},), one for each row")
    return weight


def _plain(value: Any) -> Any:
    """NumPy's scalars, which parameter searches hand out, as Python's, which JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _kind(data: Any) -> str:
    if isinstance(data, np.ndarray | list | tuple):
        return "numpy"
    native = nw.from_native(data, allow_series=True)
    return str(native.implementation.name).lower()


def _observed_rows(x: Any) -> np.ndarray:
    masks = np.concatenate([block.mask for block in x.values()], axis=1)
    return np.asarray(masks.any(axis=1))


def _take(tree: Any, index: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def _num_parameters(model: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array))


def _mean(values: np.ndarray) -> dict[str, float | None]:
    stderr = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return {"log_prob": float(np.mean(values)), "stderr": stderr}


def _notes(schema: tables.Schema, rows: int, kept: int) -> list[str]:
    notes = []
    if kept < rows:
        notes.append(f"{rows - kept} of {rows} rows have no observed target and were left out")
    for column in schema.given:
        if column.kind == "numeric" and column.minimum == column.maximum:
            notes.append(f"condition {column.name!r} is constant and tells the model nothing")
    if kept < 100:
        notes.append(f"{kept} rows are few: expect a rough model")
    return notes


def _provenance() -> dict[str, str]:
    from condvae import __version__

    return {
        "condvae": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
