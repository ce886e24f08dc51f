import numpy as np

from condvae.calibration import TwoSample
from condvae.diagnosis import LatentUse, PriorMatch, Ranks
from condvae.judging.latents import Latents

ALIKE = TwoSample(0.5, 0.02, 0.4, 0.0, 0.02, 500)
RNG = np.random.default_rng(0)


def latents(prior=ALIKE, ranks=None, information=1.0):
    noise = RNG.normal(size=500)
    shared = information + 0.1 * noise
    use = LatentUse(
        shared, 2 + shared, np.array([1.0, 0.0]), np.zeros(2), ["z[0]", "z[1]"], np.array([0.8, 0]), shared
    )
    u = RNG.random(500) if ranks is None else ranks
    return Latents(use, None if prior is None else PriorMatch(prior, prior), Ranks({"z[0]": u}))


def said(measured, **told):
    return {one.code: one for one in measured.findings(**told)}


def test_a_latent_that_is_right():
    verdicts = said(latents())
    assert {code: one.level for code, one in verdicts.items()} == {
        "z-used": "good",
        "q-calibrated": "good",
        "prior-matches": "good",
    }
    assert set(said(latents(), told=True)) == {"q-calibrated", "prior-matches"}
    assert set(said(latents(prior=None))) == {"z-used", "q-calibrated"}


def test_a_prior_that_does_not_draw_what_rows_have():
    off = TwoSample(0.7, 0.02, 1e-9, 0.3, 0.03, 500)
    levels = {
        share: said(latents(prior=off._replace(nats=share)))["prior-off"].level
        for share in (0.3, 0.04, 0.01)
    }
    assert levels == {0.3: "problem", 0.04: "note", 0.01: "note"}
    assert "70% of pairs" in said(latents(prior=off))["prior-off"].what


def test_a_q_that_is_too_narrow_is_said_to_be():
    one = said(latents(ranks=np.abs(np.round(RNG.random(500)) - 0.1 * RNG.random(500))))["q-off"]
    assert "too narrow in z[0]" in one.what
    assert one.level == "note"


def test_what_is_said_of_z():
    said = latents().summary()
    assert said.active == 1
    assert set(said.kl) == {"z[0]", "z[1]"}
    assert said.posterior.cells["z[0]"].shape == "right"
    assert said.prior == said.reconstructions == ALIKE
    assert latents(prior=None).summary().prior is None
