"""Ready-made models, sized from the data that they are for."""

from condvae.architectures.easing import EASED, LINEAR, ease_scales
from condvae.architectures.images import image_cvae
from condvae.architectures.perceptrons import mlp_cvae

__all__ = ["EASED", "LINEAR", "ease_scales", "image_cvae", "mlp_cvae"]
