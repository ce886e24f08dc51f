"""Conditionals: modules that map inputs to a distribution. Here networks meet heads.

Prior, likelihood and posterior are all of this one kind: `module(*inputs)` for some of c, (z, c) and
(x, c); a posterior is also given `prior=`, the prior's distribution, which it may use or ignore. A
prior whose attribute `needs_posterior` is true is given `posterior=`, the posterior's module; a posterior
that cannot do without the prior declares `needs_prior`.
"""

from condvae.conditionals.affine import AffineGaussian
from condvae.conditionals.corrections import PriorCorrection
from condvae.conditionals.flows import FlowConditional
from condvae.conditionals.hierarchies import Hierarchy, LadderPosterior
from condvae.conditionals.in_turn import ConditionalInTurn, Limit
from condvae.conditionals.plain import Conditional, SameAsPrior, StandardNormal
from condvae.conditionals.relaxed import OneHotInput
from condvae.conditionals.vamp import VampPrior

__all__ = [
    "AffineGaussian",
    "Conditional",
    "ConditionalInTurn",
    "FlowConditional",
    "Hierarchy",
    "LadderPosterior",
    "Limit",
    "OneHotInput",
    "PriorCorrection",
    "SameAsPrior",
    "StandardNormal",
    "VampPrior",
]
