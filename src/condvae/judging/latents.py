"""Whether z is used, its prior draws what rows have, and q is the posterior: of the best member."""

from dataclasses import dataclass
from typing import Any

import jax

from condvae.calibration import FEWEST_PAIRS, mean_stderr
from condvae.diagnosis import LatentUse, PriorMatch, Ranks, latent_use, posterior_ranks, prior_match
from condvae.diagnosis.collapse import latent_finding
from condvae.diagnosis.findings import SURE, Finding
from condvae.judging import results
from condvae.judging.calibration import CHANCE
from condvae.judging.rows import Rows

RANKED = 1000
"""Rows that are simulated to see whether q is the posterior, at most."""

LITTLE = 0.05
"""Nats a row between prior and posterior that are worth a word, and no alarm."""


@dataclass(frozen=True)
class Latents:
    """What was found of z.

    Attributes:
        use: rate, distortion, and what x and z share.
        prior: prior against posterior; None where rows are too few.
        posterior: whether q is the posterior.
    """

    use: LatentUse
    prior: PriorMatch | None
    posterior: Ranks

    def findings(self, told: bool = False) -> list[Finding]:
        """A verdict on each; on whether z is used only if that was not `told` by fitting again."""
        said = [] if told else [latent_finding(self.use)]
        said.append(_posterior(self.posterior))
        return said if self.prior is None else [*said, _prior(self.prior)]

    def summary(self) -> results.Latents:
        """What is said of it, nats per row."""
        use, prior, posterior = self.use, self.prior, self.posterior
        rate, rate_stderr = mean_stderr(use.rate)
        information, information_stderr = use.mutual_information
        kl = {
            label: results.Nats(nats, stderr)
            for label, nats, stderr in zip(use.labels, use.kl, use.kl_stderr, strict=True)
        }
        shapes: dict[str, Any] = {
            name: "right" if one.inside else one.shape for name, one in posterior.uniformity.items()
        }
        cells = {
            name: results.CellRanks(one.p_value, shapes[name]) for name, one in posterior.uniformity.items()
        }
        return results.Latents(
            rate=rate,
            rate_stderr=rate_stderr,
            distortion=mean_stderr(use.distortion)[0],
            information=information,
            information_stderr=information_stderr,
            active=use.active,
            activity=use.activity.tolist(),
            kl=kl,
            prior=None if prior is None else prior.latents,
            reconstructions=None if prior is None else prior.samples,
            posterior=results.PosteriorRanks(posterior.p_value, cells),
        )


def look(rows: Rows, key: jax.Array) -> Latents | None:
    """What there is to find of z; None where the model has none."""
    model, x, c = rows.model, rows.x, rows.c
    member, progress = model.mixture.member(model.best), model.progress
    if not _latent_size(member, c):
        return None
    keys = jax.random.split(key, 3)
    prior = None
    use = latent_use(member, x, c, key=keys[0], progress=progress)
    few = rows.take(rows.evenly(RANKED))
    posterior = posterior_ranks(member, few.c, key=keys[1], like=few.x, progress=progress)
    if len(rows) >= FEWEST_PAIRS:
        prior = prior_match(member, x, c, key=keys[2], progress=progress)
    return Latents(use, prior, posterior)


def _latent_size(member: Any, c: Any) -> int:
    first = None if c is None else jax.tree.map(lambda leaf: leaf[0], c)
    return sum(
        leaf.size
        for leaf in jax.tree.leaves(jax.eval_shape(lambda: member.p_z(first).sample(jax.random.key(0))))
    )


def _prior(match: PriorMatch) -> Finding:
    if match.latents.p_value >= CHANCE:
        what = "latents of these rows cannot be told from the prior's draws"
        return Finding("prior-matches", "good", what, p_value=match.latents.p_value)
    nats, stderr = match.latents.nats, match.latents.nats_stderr
    what = (
        f"latents of these rows can be told from the prior's draws, in {match.latents.share:.0%} of pairs"
    )
    if nats <= SURE * stderr:
        return Finding("prior-off", "note", what, p_value=match.latents.p_value)
    return Finding(
        "prior-off",
        "problem" if nats > LITTLE else "note",
        f"{what}; samples lose by it, at the least",
        nats,
        stderr,
        match.latents.p_value,
        advice="train longer, or with a larger latent" if nats > LITTLE else None,
    )


def _posterior(ranks: Ranks) -> Finding:
    if ranks.p_value >= CHANCE:
        what = "q is the posterior, as far as ranks tell"
        return Finding("q-calibrated", "good", what, p_value=ranks.p_value)
    name, worst = min(ranks.uniformity.items(), key=lambda item: item[1].p_value)
    off = {"narrow": "too narrow", "wide": "too wide", "low": "too low", "high": "too high", "off": "off"}
    return Finding(
        "q-off",
        "note",
        f"q is not quite the posterior, {off[worst.shape]} in {name}; log-densities and samples do not "
        "suffer from it, latents do",
        p_value=ranks.p_value,
    )
