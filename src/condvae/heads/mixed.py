"""Rows of numbers whose cells are of several families, and of categories with and without an order."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Cells, Distribution, Numpyro
from condvae.distributions.units import InUnits, Levels
from condvae.heads.categories import NO_LEVEL, CategoricalHead, OrdinalHead
from condvae.heads.families import FAMILIES, FamilyHead
from condvae.heads.universal import UniversalHead


class Cell(NamedTuple):
    """What one cell of a row of numbers is.

    Attributes:
        family: one of `FAMILIES`; "ordinal", whole numbers from `low` to `high`; or "universal", what a
            `UniversalCell` says.
        options: what the family takes, by name; of a universal one `cell`.
        start: its parameters at first, as many as it has that follow the features; () for those of chance.
        units: shift and scale of (x − shift) / scale, of a family that is of numbers as they are.
    """

    family: str
    options: tuple[tuple[str, Any], ...] = ()
    start: tuple[float, ...] = ()
    units: tuple[float, float] | None = None


class ColumnsHead(eqx.Module):
    """Independent cells, each of a family of its own: one head for all cells of a kind.

    Args:
        in_size: the length of the feature vector.
        cells: what each cell is; a value is a vector as long.
        key: for the initial weights.

    Raises:
        ValueError: for a family that there is not, or an option that it has not.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import Cell, ColumnsHead
        >>> cells = [Cell("student_t"), Cell("poisson", start=(1.0,), units=(3.0, 2.0)), Cell("student_t")]
        >>> head = ColumnsHead(8, cells, key=jax.random.key(0))
        >>> head(jnp.zeros(8)).log_prob(jnp.array([0.1, -1.5, 0.3])).shape  # no count at all
        ()
    """

    heads: tuple[FamilyHead | OrdinalHead | UniversalHead, ...]
    places: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    units: tuple[tuple[tuple[float, float], ...] | None, ...] = eqx.field(static=True)
    limits: tuple[tuple[tuple[float, float], ...] | None, ...] = eqx.field(static=True)

    def __init__(self, in_size: int, cells: Sequence[Cell], *, key: PRNGKeyArray):
        groups: dict[Any, list[int]] = {}
        for place, cell in enumerate(cells):
            if cell.family not in (*FAMILIES, "ordinal", "universal"):
                raise ValueError(f"cell {place} is of {cell.family!r}: choose one of {', '.join(FAMILIES)}")
            options = dict(cell.options)
            shared = {} if cell.family == "ordinal" or "width" in options else options
            if cell.family == "universal":  # those of a few values by themselves need no mixture
                shared = {"kind": options["cell"].kind}
            groups.setdefault((cell.family, cell.units is None, tuple(shared.items())), []).append(place)
        heads, units, limits = [], [], []
        for (family, plain, _), places, own_key in zip(
            groups, groups.values(), jax.random.split(key, len(groups)), strict=True
        ):
            members = [cells[place] for place in places]
            units.append(
                None
                if plain
                else tuple((float(a), float(b)) for a, b in (c.units or (0.0, 1.0) for c in members))
            )
            if family == "ordinal":
                ends = [(dict(c.options)["low"], dict(c.options)["high"]) for c in members]
                limits.append(tuple((float(low), float(high)) for low, high in ends))
                heads.append(OrdinalHead(in_size, [int(b - a) + 1 for a, b in ends], key=own_key))
                continue
            limits.append(None)
            if family == "universal":
                heads.append(
                    UniversalHead(in_size, [dict(c.options)["cell"] for c in members], key=own_key)
                )
                continue
            heads.append(_family_head(in_size, family, members, own_key))
        self.heads, self.places = tuple(heads), tuple(map(tuple, groups.values()))
        self.units, self.limits = tuple(units), tuple(limits)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        parts = []
        for head, units, limits in zip(self.heads, self.units, self.limits, strict=True):
            made: Any = head(features)
            base = made.base
            if limits is not None:
                base = Levels(base.logits, *jnp.asarray(limits, features.dtype).T)
            parts.append(base if units is None else InUnits(base, *jnp.asarray(units, features.dtype).T))
        return Cells(tuple(map(Numpyro, parts)), self.places)


def _family_head(in_size: int, family: str, cells: Sequence[Cell], key: PRNGKeyArray) -> FamilyHead:
    first = dict(cells[0].options)
    apart = [option for option in first if option in ("width", "origin")]
    options = first | {name: [dict(cell.options)[name] for cell in cells] for name in apart}
    head = FamilyHead(in_size, (len(cells),), family, key=key, **options)
    bias = jnp.asarray(head.linear.bias).reshape(-1, len(cells))
    for i, cell in enumerate(cells):
        if cell.start:
            bias = bias.at[:, i].set(jnp.asarray(cell.start, bias.dtype))
    return eqx.tree_at(lambda head: head.linear.bias, head, bias.reshape(-1))


class CodesHead(eqx.Module):
    """Independent categories, some of which are in an order: 0 < 1 < ... of an ordinal cell.

    Args:
        in_size: the length of the feature vector.
        levels: the number of categories of each cell; a value is an integer vector as long.
        ordinal: which cells are in an order.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import CodesHead
        >>> head = CodesHead(8, (2, 5), ordinal=(False, True), key=jax.random.key(0))
        >>> head(jnp.zeros(8)).log_prob(jnp.array([1, 4])).shape
        ()
    """

    heads: tuple[CategoricalHead | OrdinalHead, ...]
    places: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(self, in_size: int, levels: Sequence[int], *, ordinal: Sequence[bool], key: PRNGKeyArray):
        heads, places = [], []
        for kind, own_key in zip((CategoricalHead, OrdinalHead), jax.random.split(key), strict=True):
            alike = tuple(i for i, ordered in enumerate(ordinal) if ordered == (kind is OrdinalHead))
            if alike:
                heads.append(kind(in_size, [levels[i] for i in alike], key=own_key))
                places.append(alike)
        self.heads, self.places = tuple(heads), tuple(places)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        made: list[Any] = [head(features) for head in self.heads]
        blocks = [one.base.logits for one in made]
        widest = max(logits.shape[1] for logits in blocks)
        rows = [
            jnp.pad(logits, ((0, 0), (0, widest - logits.shape[1])), constant_values=NO_LEVEL)
            for logits in blocks
        ]
        order = [place for places in self.places for place in places]
        back = [order.index(place) for place in range(len(order))]
        levels = [size for head in self.heads for size in head.levels]
        logits = jnp.concatenate(rows)[jnp.asarray(back)]
        return Numpyro(npd.CategoricalLogits(logits), tuple(levels[place] for place in back))
