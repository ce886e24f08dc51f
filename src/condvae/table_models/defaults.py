"""Settings that are sized from the data, in one place.

| rows | members | width | batch | steps | patience | rate |
| --- | --- | --- | --- | --- | --- | --- |
| up to 5,000 | 8 | 64 | 64 | 8,000 | 1,000 | 0.005 |
| up to 20,000 | 8 | 64 | 128 | 8,000 | 1,000 | 0.005 |
| up to 200,000 | 4 | 128 | 256 | 20 epochs, at least 6,000 | a quarter | 0.005 |
| more | 2 | 256 | 1,024 | 10 epochs, at least 15,000 | a quarter | 0.003 |

At a rate of 0.015 a few hundred rows are overfitted before they are learned. Where there is a latent, it
has as many dimensions as there are target columns, from 2 to 16. Targets decoded in turn have none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

FEW, SMALL, LARGE = 5_000, 20_000, 200_000
MAX_STEPS = 50_000

MOST_IN_TURN = 32
"""Targets that are decoded in turn by default, at most."""

IMPORTANCE_SAMPLES = 16
"""Draws of z for each row in each step, where all that targets have in common is left to z."""

AVERAGING = 0.99
"""Decay of the moving average of the parameters: the average is judged on held-out rows, and kept."""


class Settings(NamedTuple):
    """What the estimator trains with."""

    latent_size: int
    width: int
    num_members: int
    num_steps: int
    batch_size: int
    learning_rate: float
    patience: int
    in_turn: bool = False


def defaults(num_rows: int, num_targets: int, in_turn: bool = False) -> Settings:
    """The settings for a table of so many rows and target columns.

    Example:
        >>> from condvae.table_models.defaults import defaults
        >>> settings = defaults(num_rows=500, num_targets=1)
        >>> settings.num_members, settings.width, settings.num_steps, settings.patience
        (8, 64, 8000, 1000)
    """
    if num_rows <= SMALL:
        width, members, steps, batch, rate = 64, 8, 8_000, 64 if num_rows <= FEW else 128, 5e-3
    elif num_rows <= LARGE:
        steps = min(max(6_000, 20 * num_rows // 256), MAX_STEPS)
        width, members, batch, rate = 128, 4, 256, 5e-3
    else:
        steps = min(max(15_000, 10 * num_rows // 1024), MAX_STEPS)
        width, members, batch, rate = 256, 2, 1024, 3e-3
    return Settings(
        latent_size=0 if in_turn else min(max(2, num_targets), 16),
        width=width,
        num_members=members,
        num_steps=steps,
        batch_size=batch,
        learning_rate=rate,
        patience=steps // 8 if num_rows <= SMALL else steps // 4,
        in_turn=in_turn,
    )


def decoded_in_turn(estimator: Any, num_targets: int) -> bool:
    """Whether targets are decoded one after another: by default they are, unless a latent is asked for.

    A latent is asked for by its size, or by how it is trained. Very many targets have one by default: the
    cost of a step in turn grows with the square of their number.
    """
    if estimator.joint != "auto":
        return estimator.joint == "in_turn"
    about_latents = (
        estimator.latent_size is not None
        or estimator.objective not in (None, "elbo")
        or estimator.free_bits > 0
        or estimator.kl_warmup > 0
    )
    return num_targets <= MOST_IN_TURN and not about_latents


def trained_by(parameters: Mapping[str, Any]) -> tuple[Any, int]:
    """The objective and the draws of z for each row in each step, where the estimator leaves them open.

    A latent that all dependence between targets is left to, by `joint="latent"`, is trained by an
    importance-weighted bound: under the ELBO of few rows it is hardly used.

    Example:
        >>> from condvae import ConditionalVAE
        >>> trained_by(ConditionalVAE(joint="latent").get_params())
        ('iwae', 16)
    """
    objective, draws = parameters["objective"], parameters["num_samples"]
    weighted = (
        objective is None
        and parameters["joint"] == "latent"
        and parameters["latent_size"] != 0
        and not (parameters["free_bits"] or parameters["kl_warmup"])
    )
    objective = ("iwae" if weighted else "elbo") if objective is None else objective
    return objective, int((IMPORTANCE_SAMPLES if weighted else 1) if draws is None else draws)
