"""Latents in layers, from the top down: z = (z_1, ..., z_L), z_1 at the top."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Array, PyTree

from condvae.conditionals.corrections import corrected
from condvae.distributions import Chain, Distribution, as_distribution
from condvae.networks import Encoder, Features, affine


class Hierarchy(eqx.Module):
    """Layers, each given those above it: p(z_1 | c) p(z_2 | z_1, c) ... p(z_L | z_1 ... z_{L−1}, c).

    As a prior it is called with c, as a posterior (one that does not look at the prior) with (x, c). A z is
    the tuple of its layers, and what follows sees them all (`Features` flattens them). A layer may be
    of any kind: categories above Gaussians make a latent with a discrete part, which is summed over.

    Args:
        layers: modules, each from its inputs to a distribution: the first is called as `layer(c)`, the
            others as `layer(above, c)`, with the tuple of the layers above.

    Raises:
        ValueError: if there is no layer.

    Source: Rezende, Mohamed and Wierstra 2014; Sønderby et al. 2016.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.conditionals import Conditional, Hierarchy, StandardNormal
        >>> from condvae.heads import GaussianHead
        >>> from condvae.networks import MLP, Features
        >>> k1, k2 = jax.random.split(jax.random.key(0))
        >>> body = MLP(2 + 1, width=8, depth=1, key=k1)
        >>> lower = Conditional(Features(), body, GaussianHead(8, (3,), key=k2))
        >>> prior = Hierarchy((StandardNormal((2,)), lower))
        >>> [z.shape for z in prior(jnp.zeros(1)).sample(jax.random.key(1))]
        [(2,), (3,)]
    """

    layers: tuple[Callable, ...]

    def __init__(self, layers: Sequence[Callable]):
        if not layers:
            raise ValueError("a hierarchy needs at least one layer: give some modules")
        self.layers = tuple(layers)

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        first, *rest = self.layers

        def below(layer: Callable) -> Callable[[tuple], Any]:
            return lambda above: layer(above, *inputs)

        return Chain(first(*inputs), tuple(below(layer) for layer in rest))


class LadderPosterior(eqx.Module):
    """The posterior of a hierarchy that shares the prior's way down: each layer of it, corrected.

    The evidence is gathered once, from the bottom up, d_L = f_L(x, c) and d_l = f_l(d_{l+1}). Then, from
    the top down, layer l of the posterior is that of the prior *given the same z above*,
    Normal(μ_l, σ_l²), multiplied by a pseudo-observation m_l with precision λ_l in each cell, linear in
    g_l(d_l, z_1 ... z_{l−1}):

        1/s_l² = 1/σ_l² + λ_l,        mean_l = s_l² (μ_l/σ_l² + λ_l m_l).

    The evidence of a layer sees the layers above, since what they explain of x is no more evidence (without
    that it is the ladder as it was published). One layer is `PriorCorrection`.

    Args:
        features: flattens (x, c).
        encoders: f_1 ... f_L, vectors to vectors, the top's first.
        joins: g_2 ... g_L, vectors to vectors, one for each layer but the top.
        linears: one for each layer, to m_l and log √(1/λ_l), hence twice the size of z_l.

    Raises:
        TypeError: if a layer of the prior is not a diagonal Gaussian.
        ValueError: if there are not as many layers of each, or not as many as the prior has.

    Source:
        Sønderby et al. 2016 (ladder variational autoencoders); Vahdat and Kautz 2020 (evidence that sees
        the layers above).
    """

    features: Encoder
    encoders: tuple[Callable[[Array], Array], ...]
    joins: tuple[Callable[[Array], Array], ...]
    linears: tuple[eqx.nn.Linear, ...]

    needs_prior = True

    def __check_init__(self):
        if not len(self.encoders) == len(self.linears) == 1 + len(self.joins):
            raise ValueError(
                f"{len(self.encoders)} encoders, {len(self.joins)} joins and {len(self.linears)} linears: "
                "give an encoder and a linear for each layer, and a join for each but the top"
            )

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        depth = prior.num_layers if isinstance(prior, Chain) else 1
        if depth != len(self.encoders):
            raise ValueError(
                f"LadderPosterior has {len(self.encoders)} layers and the prior {depth}: give both as many"
            )
        evidence, flat = [], self.features(inputs)
        for encoder in reversed(self.encoders):
            flat = encoder(flat)
            evidence.insert(0, flat)
        top = affine(self.linears[0], evidence[0])
        if not isinstance(prior, Chain):
            return corrected(prior, top, "LadderPosterior")

        def below(place: int) -> Callable[[tuple], Distribution]:
            def layer(above: tuple) -> Distribution:
                joined = self.joins[place - 1](Features()((evidence[place], above)))
                out = affine(self.linears[place], joined)
                return corrected(prior.layer(place, above), out, "LadderPosterior")

            return layer

        first = corrected(as_distribution(prior.first), top, "LadderPosterior")
        return Chain(first, tuple(below(place) for place in range(1, depth)))
