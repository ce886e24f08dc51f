"""A latent that is not used: because it is not needed, or because training gave it up.

Both look alike from the model: no rate, no active units. They are told apart by fitting again. Without z:
if held-out rows are scored no worse, and a classifier cannot tell its samples from data, z is *not needed*.
With free bits: if held-out rows are scored better, z is *ignored*, and training is to blame.
"""

import numpy as np

from condvae.calibration import TwoSample, paired_difference
from condvae.diagnosis.findings import SURE, Finding
from condvae.diagnosis.latent import LatentUse

LITTLE = 0.05
"""Below so many nats that x and z share, z is called unused."""

TOLD = 0.05
"""The p-value of a classifier two-sample test below which sets of rows are called different."""


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
        advice="whether it is not needed or ignored is told by fitting again, without z and with free bits",
    )


def collapse_finding(
    use: LatentUse,
    own: np.ndarray,
    without: np.ndarray,
    freed: np.ndarray,
    without_told: TwoSample,
) -> Finding:
    """Whether z is used, not needed or ignored: by what refits score on the same held-out rows.

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
    gain, gain_error = paired_difference(own, without)
    lost, lost_error = paired_difference(freed, own)
    if lost > SURE * lost_error and (unused(use) or gain < lost):
        return Finding(
            "z-ignored",
            "problem",
            "z is ignored: the same model fitted with free bits is better on held-out rows",
            lost,
            lost_error,
            advice="fit with free_bits, or with a slower warm-up of the KL term",
        )
    if gain > SURE * gain_error:
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
            advice="latent_size=0 is as good, and simpler",
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
