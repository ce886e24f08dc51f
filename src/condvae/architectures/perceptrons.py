"""Models of perceptrons, for rows of any shape."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.architectures.latents import Posterior, Prior, latent_pair, latent_row
from condvae.conditionals import Conditional, ConditionalInTurn, Limit, SameAsPrior, StandardNormal
from condvae.heads import (
    FAMILIES,
    BernoulliHead,
    CategoricalHead,
    Cell,
    CodesHead,
    ColumnsHead,
    FamilyHead,
    FlowKind,
    GaussianHead,
    Head,
    ProductHead,
    Scale,
    StudentTHead,
    cellwise,
)
from condvae.heads.families import family_support
from condvae.model import CVAE
from condvae.networks import (
    MLP,
    Activation,
    ByPart,
    CellwiseMLP,
    Encoder,
    Features,
    PiecewiseLinear,
    ResidualMLP,
)
from condvae.observed import Observed


def mlp_cvae(
    x: PyTree,
    c: PyTree = None,
    *,
    latent_size: int,
    width: int = 64,
    depth: int = 2,
    activation: Activation = "silu",
    residual: bool = False,
    likelihood: str | Sequence[Cell] = "gaussian",
    scale: Scale = "input",
    prior: Prior = "learned",
    posterior: Posterior = "network",
    flow: FlowKind = "spline",
    num_components: int = 10,
    num_layers: int = 2,
    x_levels: Sequence[int] = (),
    x_ordinal: Sequence[bool] = (),
    c_levels: Sequence[int] = (),
    x_knots: Sequence[Sequence[float]] = (),
    c_knots: Sequence[Sequence[float]] = (),
    in_turn: bool = False,
    limits: Sequence[Limit] = (),
    key: PRNGKeyArray,
) -> CVAE:
    """A CVAE of three perceptrons, for x and c of any shape.

    Floating-point parts of x get the likelihood `likelihood`, integer parts are categorical, with
    `x_levels`; without it they get a likelihood of whole numbers, such as "bernoulli" or "poisson". A
    dictionary of parts gets the product of theirs. Without c the prior is Normal(0, 1).

    Args:
        x: rows, for their shapes alone; with prior="vamp" also for the first of them.
        c: their conditions, or None.
        latent_size: the length of z; at 0 there is none, and x is independent over cells given c.
        width: of every hidden layer.
        depth: hidden layers in each of the three networks.
        activation: by name.
        residual: residual blocks instead of plain layers.
        likelihood: of floating-point parts: "gaussian", "student_t", "bernoulli", or any other of
            `condvae.heads.FAMILIES` that needs no options; or a `Cell` for each of their cells.
        scale: of a Gaussian or Student-t: "input", "shared" or a number.
        prior: "learned", p_θ(z | c) a diagonal Gaussian, by a network of c; "fixed", Normal(0, 1);
            "mixture" of Gaussians; "flow"; or "vamp", the mixture of posteriors of learned rows, which
            begin as the first rows of x. All but "fixed" depend on c, if there is one.
        posterior: "network", a diagonal Gaussian; "full", a Gaussian of full covariance; "flow";
            "correction", a precision-weighted correction of the prior, which is to be a diagonal
            Gaussian; or "ladder", a hierarchy from the top down, of which prior and posterior share the
            way: z is then a tuple of layers.
        flow: of a prior or posterior that is "flow", "spline" or "coupling": see `condvae.heads.FlowHead`.
        num_components: of a prior that is "mixture" or "vamp".
        num_layers: of a "ladder", each of latent_size.
        x_levels: the number of categories of each integer cell of x, in the order of the pytree.
        x_ordinal: which of these are in an order; () for none.
        c_levels: likewise for c.
        x_knots: of each floating-point cell of x, for the `condvae.networks.PiecewiseLinear` encoding of
            it that the posterior gets; () for none.
        c_knots: likewise for c, for all networks.
        in_turn: whether the cells of x are decoded one after another, each given those before it (see
            `condvae.conditionals.ConditionalInTurn`), in an order drawn by `key`, which draws as well
            whether training begins with a linear decoder: of several members some do. Else cells are
            independent given (z, c).
        limits: cells of x that are never below or above others of (x, c), with `in_turn`.
        key: for the initial weights.

    Raises:
        ValueError: for a prior, posterior, flow or likelihood that there is not, or a pair that cannot be.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import sample
        >>> from condvae.architectures import mlp_cvae
        >>> model = mlp_cvae(jnp.zeros((1, 4)), jnp.zeros((1, 2)), latent_size=3, key=jax.random.key(0))
        >>> sample(model, jnp.zeros((5, 2)), key=jax.random.key(1), num_samples=7).shape
        (5, 7, 4)
    """
    row_x, row_c = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape[1:], leaf.dtype)), (x, c))
    latent = latent_row(latent_size, posterior, num_layers)
    keys = iter(jax.random.split(key, 8))
    network_type = ResidualMLP if residual else MLP

    def network(in_size: int, key: PRNGKeyArray) -> MLP | ResidualMLP:
        return network_type(in_size, width=width, depth=depth, activation=activation, key=key)

    codes = None if _of_whole_numbers(likelihood) and not x_levels else _codes(x_levels, x_ordinal)
    levels = None if codes is None else tuple(x_levels)
    encoders = _encoder(levels, x_knots), _encoder(tuple(c_levels), c_knots)
    decode = ByPart((Features(), encoders[1]))
    in_size, decoder_key, head_key = decode.size((latent, row_c)), next(keys), next(keys)
    if in_turn:
        order_key, linear_key, decoder_key = jax.random.split(decoder_key, 3)
        blank = jax.tree.map(lambda leaf: Observed(leaf, np.zeros(leaf.shape, bool)), _values(row_x))
        cells = sum(leaf.size for leaf in jax.tree.leaves(_values(row_x)))
        sizes = cells, in_size, encoders[0].size(blank)
        # Values, levels and masks come first among the features of either; pieces of values after them.
        plain = ByPart((Features(), Features(tuple(c_levels)))), Features(levels)
        direct = plain[0].size((latent, row_c)), plain[1].size(blank)
        options: dict[str, Any] = {"width": width, "depth": max(depth, 1), "activation": activation}
        networks = CellwiseMLP(*sizes, **options, direct=direct, key=decoder_key)
        head = cellwise(_head(row_x, width, likelihood, scale, codes, head_key), cells, sum(direct))
        order, fields = jax.random.permutation(order_key, cells), tuple(map(tuple, limits))
        linear_first = jax.random.bernoulli(linear_key).astype(int)
        likelihood_module = ConditionalInTurn(
            decode, encoders[0], networks, head, order, linear_first, fields
        )
    else:
        decoder = network(in_size, decoder_key)
        head = _head(row_x, decoder.out_size, likelihood, scale, codes, head_key)
        likelihood_module = Conditional(decode, decoder, head)
    if latent_size == 0:
        return CVAE(StandardNormal((0,)), likelihood_module, SameAsPrior())
    prior_module, posterior_module = latent_pair(
        prior,
        posterior,
        x,
        row_x,
        row_c,
        size=latent_size,
        network=network,
        encoders=encoders,
        flow=flow,
        num_components=num_components,
        num_layers=num_layers,
        keys=keys,
    )
    return CVAE(prior_module, likelihood_module, posterior_module)


def _values(row: PyTree) -> PyTree:
    """The row without masks."""
    return jax.tree.map(
        lambda leaf: leaf.value if isinstance(leaf, Observed) else leaf,
        row,
        is_leaf=lambda leaf: isinstance(leaf, Observed),
    )


def _of_whole_numbers(likelihood: str | Sequence[Cell]) -> bool:
    if not isinstance(likelihood, str) or likelihood not in FAMILIES or FAMILIES[likelihood].options:
        return False
    support = family_support(likelihood)
    return support is not None and support.step == 1.0


def _encoder(levels: tuple[int, ...] | None, knots: Sequence[Sequence[float]]) -> Encoder:
    features = Features(levels)
    return PiecewiseLinear(features, knots) if any(knots) else features


def _head(
    row: PyTree,
    size: int,
    family: str | Sequence[Cell],
    scale: Scale,
    codes: Sequence[tuple[int, bool]] | None,
    key: PRNGKeyArray,
) -> Head:
    """A head for one part of x, or the product of heads for a dictionary of parts.

    Without `codes` integers are numbers.
    """
    if isinstance(row, Observed):
        row = row.value
    if isinstance(row, dict):
        keys = dict(zip(sorted(row), jax.random.split(key, len(row)), strict=True))
        left = list(codes or ())
        heads = {}
        for name in sorted(row):  # the order of a pytree, hence that of `levels`
            part = row[name].value if isinstance(row[name], Observed) else row[name]
            cells = part.size if _is_integer(part) else 0
            part_codes, left = left[:cells], left[cells:]
            part_codes = None if codes is None else part_codes
            heads[name] = _head(part, size, family, scale, part_codes, keys[name])
        return ProductHead(heads)
    if codes is not None and _is_integer(row):
        if len(codes) != row.size:
            raise ValueError(
                f"x_levels has {len(codes)} entries for {row.size} integer cells: give the number of "
                "categories of each; or, for numbers, a likelihood of whole numbers such as 'bernoulli' or "
                "'poisson', or floating-point x"
            )
        levels = [count for count, _ in codes]
        ordinal = [ordered for _, ordered in codes]
        if any(ordinal):
            return CodesHead(size, levels, ordinal=ordinal, key=key)
        return CategoricalHead(size, levels, key=key)
    if not isinstance(family, str):
        if row.shape != (len(family),):
            raise ValueError(
                f"likelihood has {len(family)} cells for floating-point parts of shape {row.shape}: give "
                "one for each"
            )
        return ColumnsHead(size, family, key=key)
    if family == "bernoulli":
        return BernoulliHead(size, row.shape, key=key)
    location_scale = {"gaussian": GaussianHead, "student_t": StudentTHead}
    if family in location_scale:
        return location_scale[family](size, row.shape, scale=scale, key=key)
    if family not in FAMILIES:
        raise ValueError(f"likelihood is {family!r}, expected one of {', '.join(FAMILIES)}")
    return FamilyHead(size, row.shape, family, key=key)


def _codes(levels: Sequence[int], ordinal: Sequence[bool]) -> list[tuple[int, bool]]:
    """The levels of each integer cell, and whether they are in an order."""
    if ordinal and len(ordinal) != len(levels):
        raise ValueError(
            f"x_ordinal has {len(ordinal)} entries and x_levels {len(levels)}: give one for each"
        )
    return list(zip(levels, ordinal or [False] * len(levels), strict=True))


def _is_integer(row: jax.Array) -> bool:
    return jnp.issubdtype(row.dtype, jnp.integer)
