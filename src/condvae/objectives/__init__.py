"""Objectives: functions over `Draws`, to be maximised.

Each takes the draws of one example and returns a scalar in nats, a reduction of the log importance
weights log w_k = log p_θ(z_k | c) + log p_θ(x | z_k, c) − log q_φ(z_k | x, c). A user's own objective is
one more such function; `takes` declares that it takes draws of another kind, or of several
(`condvae.objectives.draws` has the kinds).

Those that differentiate through the draws need a z that is reparameterised, or enumerated (then every
expectation is a sum, and exact), or has a discrete part that is summed over while the rest is
reparameterised. They refuse anything else, in a sentence; `vimco` and `wake_sleep` take any z.
"""

from condvae.objectives.bounds import elbo, gaussian_stochastic_network, hybrid, iwae, renyi
from condvae.objectives.declaration import takes
from condvae.objectives.gradients import (
    doubly_reparameterised,
    generalised_doubly_reparameterised,
    sticking_the_landing,
    vimco,
)
from condvae.objectives.information import info_vae
from condvae.objectives.registry import OBJECTIVES, objective
from condvae.objectives.wake_sleep import defensive_wake_wake, wake_sleep, wake_wake

__all__ = [
    "OBJECTIVES",
    "defensive_wake_wake",
    "doubly_reparameterised",
    "elbo",
    "gaussian_stochastic_network",
    "generalised_doubly_reparameterised",
    "hybrid",
    "info_vae",
    "iwae",
    "objective",
    "renyi",
    "sticking_the_landing",
    "takes",
    "vimco",
    "wake_sleep",
    "wake_wake",
]
