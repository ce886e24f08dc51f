"""A latent that is not used: because it is not needed, or because training gave it up.

Both look alike from the model: no rate, no active units. They are told apart by fitting again. Without z:
if held-out rows are scored no worse, and a classifier cannot tell its samples from data, z is *not needed*.
With free bits: if held-out rows are scored better, z is *ignored*, and training is to blame.

A latent that is not needed may look used: one that takes over a part of a target's own noise costs
nothing, and x tells of it. So scores decide; what x tells of z only keeps the chance of training from being
credited to z. The thresholds were set on fixtures of `benchmarks/collapse.py --dev`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.calibration import TwoSample, paired_difference, two_sample
from condvae.diagnosis.findings import SURE, Finding
from condvae.diagnosis.latent import LatentUse, latent_use
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.sampling import sample
from condvae.scoring import log_prob
from condvae.vectorise import num_rows

LITTLE = 0.05
"""Below so many nats that x and z share, z is called unused."""

SLIGHT = 0.02
"""Nats by which two fits of one recipe may differ by the chance of training alone.

The paired error is over rows, and knows nothing of it.
"""

PART = 0.5
"""z is ignored where free bits gain more than this part of what z is worth to the model already.

Models that are well trained are seldom the best that there are: free bits improve many, by a little.
"""

TOLD = 0.01
"""The p-value of a classifier two-sample test below which sets of rows are called different.

So often a model is called different that is right: 0.05 would use up all that a verdict may err.
"""


def unused(use: LatentUse) -> bool:
    """Whether z is as good as unused: what x and z share under the model is little."""
    mean, stderr = use.mutual_information
    return mean < LITTLE + SURE * stderr and mean < 2 * LITTLE


def latent_finding(use: LatentUse) -> Finding:
    """Whether z is used, as far as the model alone can tell.

    Args:
        use: from `condvae.diagnosis.latent_use`.
    """
    mean, stderr = use.mutual_information
    units = f"{use.active} of {len(use.activity)} latent units are active"
    if not unused(use):
        return Finding("z-used", "good", f"z is used: {units}, and x tells of it", mean, stderr)
    return Finding(
        "z-unused",
        "note",
        f"z is hardly used: {units}, and x hardly tells of it",
        mean,
        stderr,
        advice="refit with deep=True (--deep) to tell whether it is not needed or was ignored",
    )


def collapse_finding(
    use: LatentUse,
    score: np.ndarray,
    without: np.ndarray,
    freed: np.ndarray,
    without_told: TwoSample,
) -> Finding:
    """Whether z is used, not needed or ignored: by what refits score on the same held-out rows.

    The rule is in `collapse`, which measures all of this.

    Args:
        use: of the model.
        own: log p of each row under the model, [n].
        without: under the same model fitted without z, [n].
        freed: under the same model fitted with free bits, [n].
        without_told: a classifier two-sample test of held-out rows against samples of the model without z.

    Returns:
        A finding whose code is "z-used", "z-not-needed", "z-ignored" or "z-unclear".

    Raises:
        ValueError: if the scores are not of the same rows.
    """
    gain, gain_error = paired_difference(score, without)
    lost, lost_error = paired_difference(freed, score)
    # Free bits may also mend what a worse fit than that without z has lost by chance: z has no part in it.
    freed_helps = _better(lost, lost_error) and _better(*paired_difference(freed, without))
    if freed_helps and (unused(use) or lost > PART * gain):
        return Finding(
            "z-ignored",
            "problem",
            "z is ignored: the same model fitted with free bits is better on held-out rows",
            lost,
            lost_error,
            advice="fit with free bits, or with a slower warm-up of the KL term",
        )
    # Where x tells nothing of z, what is gained is not gained by z.
    if _better(gain, gain_error) and not unused(use):
        return Finding(
            "z-used", "good", "z is used: without it held-out rows are scored worse", gain, gain_error
        )
    if without_told.p_value >= TOLD:
        return Finding(
            "z-not-needed",
            "note",
            "z is not needed: without it held-out rows are scored no worse, and a classifier cannot tell "
            "its samples from data",
            gain,
            gain_error,
            advice="a model without a latent is as good, and simpler",
        )
    return Finding(
        "z-unclear",
        "note",
        "z does not help on held-out rows, but without it samples can be told from data: what is missing "
        "is not told by z either",
        gain,
        gain_error,
        advice="try a wider model, more steps, or another likelihood",
    )


def _better(mean: float, stderr: float) -> bool:
    """Whether a paired difference is both sure and more than slight."""
    return mean > max(SURE * stderr, SLIGHT)


def collapse(
    model: CVAE | Mixture,
    without: CVAE | Mixture,
    freed: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    member: int | None = None,
    num_samples: int = 200,
    told: TwoSample | None = None,
    progress: bool = False,
) -> Finding:
    """Whether z is used, not needed or ignored: a model, and two refits of it, on held-out rows.

        gain = E[log p_model(x | c) − log p_without(x | c)]
        lost = E[log p_freed(x | c) − log p_model(x | c)]

    z is *ignored* if the fit with free bits is better than both others, and either x tells nothing of z or
    `lost` is more than half of `gain`; else *used* if the model is better than the one without z, and x
    tells of z; else *not needed* if a classifier cannot tell samples of `without` from the rows (p ≥ 0.01).
    Better is what is so by more than two paired standard errors, and by more than 0.02 nats.

    All three are to be fitted to the same rows by the same recipe, but for what tells them apart. Log p is
    by importance sampling, with the same key for all; rows whose error is large get more draws.

    Args:
        model: a `CVAE`, or a `Mixture`.
        without: the same fitted without z (`latent_size=0`).
        freed: the same fitted with free bits (`objective=functools.partial(elbo, free_bits=1.0)`).
        x: n rows on the leading axis that none of the three was fitted to; of integer parts, cells are
            categories. Missing cells as `Observed`.
        c: their conditions, or None.
        key: a PRNG key.
        member: of a `Mixture`, the member whose latent is looked at, such as the best one.
        num_samples: draws of z for each row, at least 4.
        told: a test of rows like x against samples of `without`, each with the same conditions; by default
            it is made here, of (x, c), which takes 50 rows or more.
        progress: whether to show progress bars.

    Returns:
        A finding whose code is "z-used", "z-not-needed", "z-ignored" or "z-unclear".

    Raises:
        ValueError: for a mixture without `member`, if rows do not match or are too few, or there are too
            few draws.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> from condvae import sample
        >>> from condvae.diagnosis import collapse
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> right = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=1)
        >>> blind = eqx.tree_at(lambda m: m.likelihood.weights[0], right, jnp.zeros((3, 1)))
        >>> x = sample(right, key=jax.random.key(1), num_samples=200)
        >>> collapse(blind, blind, right, x, key=jax.random.key(2)).code
        'z-ignored'
    """
    if isinstance(model, Mixture) and member is None:
        raise ValueError("model is a mixture: say by member= whose latent is to be looked at, such as 0")
    latent_key, score_key, sample_key = jax.random.split(key, 3)
    single = model.member(member or 0) if isinstance(model, Mixture) else model
    use = latent_use(single, x, c, key=latent_key, progress=progress)
    options = {"key": score_key, "num_samples": num_samples, "progress": progress}
    by_model, by_without, by_freed = (
        log_prob(each, x, c, **options).value for each in (model, without, freed)
    )
    if told is None:
        told = _told(without, x, c, sample_key, progress)
    return collapse_finding(use, by_model, by_without, by_freed, told)


def _told(model: CVAE | Mixture, x: PyTree, c: PyTree, key: PRNGKeyArray, progress: bool) -> TwoSample:
    """Rows against draws given the same conditions, one for each, with the same cells missing."""
    n = num_rows(x=x, c=c)
    drawn = sample(model, c, key=key, num_samples=n if c is None else 1, progress=progress)
    parts, structure = jax.tree.flatten(x, is_leaf=_is_observed)
    given = jax.tree.leaves(c, is_leaf=_is_observed)
    real = [_columns(part, part, n) for part in parts]
    made = [
        _columns(part, made, n) for part, made in zip(parts, structure.flatten_up_to(drawn), strict=True)
    ]
    shared = [_columns(part, part, n) for part in given]
    categorical = [
        np.full(columns.shape[1], jnp.issubdtype(_value(part).dtype, jnp.integer))
        for part, columns in zip([*parts, *given], [*real, *shared], strict=True)
    ]
    return two_sample(
        np.hstack(real + shared), np.hstack(made + shared), categorical=np.concatenate(categorical)
    )


def _columns(like: PyTree, value: PyTree, n: int) -> np.ndarray:
    """A column for each cell; NaN where it is missing in `like`."""
    columns = np.asarray(_value(value), np.float64).reshape(n, -1)
    return np.where(np.reshape(like.mask, (n, -1)), columns, np.nan) if _is_observed(like) else columns


def _value(part: PyTree) -> np.ndarray:
    return np.asarray(part.value if _is_observed(part) else part)


def _is_observed(node: PyTree) -> bool:
    return isinstance(node, Observed)
