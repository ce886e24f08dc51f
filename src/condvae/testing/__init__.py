"""The tests that the library's own distributions pass, for a module of your own.

`check_conditional` takes any module that maps its inputs to a distribution, a prior, a likelihood or a
posterior, and holds it to what every objective, score and diagnosis relies on.
"""

from condvae.testing.conditional import check_conditional

__all__ = ["check_conditional"]
