"""Conditional variational autoencoders: the whole distribution of x given c, and how far to trust it."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jaxlib.version import __version__ as jaxlib_version

from condvae.version import VERSION

if TYPE_CHECKING:
    from condvae.bundle import load, save
    from condvae.distributions import Distribution
    from condvae.estimator import ConditionalVAE
    from condvae.mixture import Mixture
    from condvae.model import CVAE, Draws
    from condvae.objectives import elbo, iwae, sticking_the_landing
    from condvae.observed import Observed
    from condvae.sampling import encode, sample
    from condvae.scoring import LogProb, log_prob, reconstruct
    from condvae.training import Fit, History, fit

__version__ = VERSION

_HOMES = {
    "bundle": ("load", "save"),
    "distributions": ("Distribution",),
    "estimator": ("ConditionalVAE",),
    "mixture": ("Mixture",),
    "model": ("CVAE", "Draws"),
    "objectives": ("elbo", "iwae", "sticking_the_landing"),
    "observed": ("Observed",),
    "sampling": ("encode", "sample"),
    "scoring": ("LogProb", "log_prob", "reconstruct"),
    "training": ("Fit", "History", "fit"),
}

__all__ = [
    "CVAE",
    "ConditionalVAE",
    "Distribution",
    "Draws",
    "Fit",
    "History",
    "LogProb",
    "Mixture",
    "Observed",
    "elbo",
    "encode",
    "fit",
    "iwae",
    "load",
    "log_prob",
    "reconstruct",
    "sample",
    "save",
    "sticking_the_landing",
]


_SERIAL = "--xla_cpu_enable_concurrency_optimized_scheduler"

if int(jaxlib_version.split(".")[1]) < 12 and _SERIAL not in os.environ.get("XLA_FLAGS", ""):
    # Otherwise two large batched triangular solves in one program, as in the densities of multivariate
    # normals, wait for each other for ever on a CPU of few cores. Read when JAX compiles its first program.
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_SERIAL}=false".strip()


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is: the command line's help need not wait for JAX."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"condvae.{module}"), name)
    raise AttributeError(f"module 'condvae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
