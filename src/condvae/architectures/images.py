"""Models of images, given images, numbers and categories."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.conditionals import Conditional, SameAsPrior, StandardNormal
from condvae.heads import FAMILIES, FamilyHead, GaussianHead, Head, PixelHead
from condvae.model import CVAE
from condvae.networks import (
    MLP,
    Activation,
    ByPart,
    ConvDecoder,
    ConvEncoder,
    Encoder,
    Features,
    PatchDecoder,
    PatchEncoder,
)
from condvae.observed import Observed

Kind = Literal["conv", "patch"]


def image_cvae(
    x: Any,
    c: PyTree = None,
    *,
    latent_size: int,
    likelihood: str = "bernoulli",
    levels: int = 256,
    components: int = 5,
    kind: Kind = "conv",
    width: int = 16,
    depth: int = 2,
    patch: int = 4,
    features: int = 64,
    activation: Activation = "silu",
    prior: Literal["learned", "fixed"] = "learned",
    c_levels: Sequence[int] = (),
    key: PRNGKeyArray,
) -> CVAE:
    """A CVAE of images with a Gaussian latent, given anything.

    Parts of c are encoded by what they are: arrays with two or three axes as images, integer vectors as
    categories, others as numbers. Missing pixels and cells, of x and of c, are `Observed`; so is a part
    that may be missing altogether. The likelihood is the same function of the decoder's features at every
    pixel. The brightness of an image is brought to −1 ... 1 by the least and the greatest that is observed.

    Args:
        x: images, (n, H, W) or (n, H, W, C): their shape, and the range of their brightness.
        c: their conditions, an array or a pytree, likewise; or None.
        latent_size: the length of z; at 0 there is none, and pixels are independent given c.
        likelihood: of a pixel: "pixels", whole numbers 0 ... levels − 1 by a mixture of logistics; or any
            of `condvae.heads.FAMILIES` that needs no options: "bernoulli", "continuous_bernoulli",
            "gaussian", ...
        levels: of "pixels": 256 for 8 bits.
        components: of "pixels": logistics in the mixture.
        kind: "conv", convolutions; or "patch", self-attention between patches.
        width: of "conv", channels at full size; of "patch", 4 width numbers stand for a patch.
        depth: how often sides are halved, or how many blocks of self-attention there are.
        patch: the side of a patch, which divides those of every image.
        features: what an image is encoded into, and the width of the layer after it.
        activation: by name.
        prior: "learned", p_θ(z | c) a network of c; or "fixed", Normal(0, 1).
        c_levels: the number of categories of each integer cell of c, in the order of the pytree.
        key: for the initial weights.

    Raises:
        ValueError: for a likelihood or a kind that there is not, for what is no image, or where `c_levels`
            are not as many as integer cells.

    Example:
        >>> import jax, numpy as np
        >>> from condvae import Observed, sample
        >>> from condvae.architectures import image_cvae
        >>> x, half = np.zeros((3, 8, 8), int), np.zeros((3, 8, 8), bool)
        >>> half[:, :4] = True
        >>> c = {"top": Observed(x, half), "digit": np.zeros((3, 1), int)}
        >>> model = image_cvae(x, c, latent_size=2, likelihood="pixels", levels=17, width=4,
        ...                    c_levels=(10,), key=jax.random.key(0))
        >>> sample(model, c, key=jax.random.key(1), num_samples=4).shape
        (3, 4, 8, 8)
    """
    if kind not in ("conv", "patch"):
        raise ValueError(f"kind is {kind!r}, expected 'conv' or 'patch'")
    keys = iter(jax.random.split(key, 6 + 3 * len(jax.tree.leaves(c))))
    value = x.value if isinstance(x, Observed) else x
    if isinstance(value, Mapping | tuple) or np.ndim(value) not in (3, 4):
        got = type(value).__name__ if isinstance(value, Mapping | tuple) else f"shape {np.shape(value)}"
        raise ValueError(f"x is {got}, expected images of shape (n, H, W) or (n, H, W, C): reshape it")
    shape = np.shape(value)[1:]
    pixels = likelihood == "pixels"

    def image(rows: Any, limits: tuple[float, float]) -> Encoder:
        like = _first(rows)
        if kind == "patch":
            sizes: dict[str, Any] = {"patch": patch, "width": 4 * width}
            return PatchEncoder(
                like, depth=depth, limits=limits, activation=activation, key=next(keys), **sizes
            )
        sizes = {"width": width, "out_size": features}
        return ConvEncoder(like, depth=depth, limits=limits, activation=activation, key=next(keys), **sizes)

    def of(rows: PyTree, left: list[int]) -> Encoder:
        """An encoder for a part of c; integer cells take their levels off `left`."""
        if isinstance(rows, Mapping):
            return ByPart({name: of(rows[name], left) for name in sorted(rows)})
        if isinstance(rows, tuple) and not isinstance(rows, Observed):
            return ByPart([of(part, left) for part in rows])
        values = rows.value if isinstance(rows, Observed) else rows
        if values is not None and np.ndim(values) in (3, 4):
            return image(rows, _limits(rows))
        if values is None or not np.issubdtype(np.asarray(values).dtype, np.integer):
            return Features()
        cells = int(np.prod(np.shape(values)[1:]))
        if len(left) < cells:
            raise ValueError(
                f"c_levels has {len(c_levels)} entries, fewer than there are integer cells: give the "
                "number of categories of each"
            )
        entries = tuple(left[:cells])
        del left[:cells]
        return Features(entries)

    def given() -> Encoder:
        """Each of prior, likelihood and posterior has an encoder of c of its own."""
        left = list(c_levels)
        encoder = of(c, left)
        if left:
            raise ValueError(f"c_levels has {len(c_levels)} entries, more than there are integer cells")
        return encoder

    row_x, row_c = _first(x), _first(c)
    latent = jnp.zeros(latent_size)

    def gaussian(encoder: Encoder, *inputs: PyTree) -> Conditional:
        body = MLP(encoder.size(inputs), width=features, depth=1, activation=activation, key=next(keys))
        return Conditional(encoder, body, GaussianHead(features, (latent_size,), key=next(keys)))

    decode = ByPart((Features(), given()))
    size = decode.size((latent, row_c))
    if kind == "conv":
        network: eqx.Module = ConvDecoder(
            size, shape[:2], width=width, depth=depth, activation=activation, key=next(keys)
        )
    else:
        network = PatchDecoder(
            size,
            shape[:2],
            patch=patch,
            width=4 * width,
            out_size=width,
            depth=depth,
            activation=activation,
            key=next(keys),
        )
    if pixels:
        head: Head = PixelHead(width, shape[2:], components=components, levels=levels, key=next(keys))
    elif likelihood in FAMILIES:
        head = FamilyHead(width, shape[2:], likelihood, key=next(keys))
    else:
        raise ValueError(f"likelihood is {likelihood!r}, expected 'pixels' or one of {', '.join(FAMILIES)}")
    likelihood_module = Conditional(decode, network, head)  # pyright: ignore[reportArgumentType]
    if latent_size == 0:
        return CVAE(StandardNormal((0,)), likelihood_module, SameAsPrior())
    if prior == "learned" and c is not None:
        prior_module = gaussian(ByPart((given(),)), row_c)
    else:
        prior_module = StandardNormal((latent_size,))
    limits = (0.0, levels - 1.0) if pixels else _limits(x)
    posterior = gaussian(ByPart((image(x, limits), given())), row_x, row_c)
    return CVAE(prior_module, likelihood_module, posterior)


def _first(rows: PyTree) -> PyTree:
    """A row of zeros of the same shapes and types."""
    return jax.tree.map(lambda leaf: jnp.zeros(np.shape(leaf)[1:], jnp.asarray(leaf[:0]).dtype), rows)


def _limits(rows: Any) -> tuple[float, float]:
    """The least and the greatest brightness observed; where they are alike, what changes nothing."""
    value = np.asarray(rows.value if isinstance(rows, Observed) else rows, float)
    if isinstance(rows, Observed):
        value = value[np.broadcast_to(rows.mask, value.shape)]
    if not value.size or value.min() == value.max():
        return (-1.0, 1.0)
    return float(value.min()), float(value.max())
