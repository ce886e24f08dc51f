"""`check_conditional`: what a module that maps its inputs to a distribution has to do."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.bundle import load, save
from condvae.distributions import Distribution
from condvae.testing.boxes import SURE, Untested, compare
from condvae.testing.subject import Subject, flattened, over_rows, scores_of_rows
from condvae.testing.totals import furthest, is_thin, log_total, summed_to

DRAWS = 100_000
"""By which density, total and distribution function are held to the draws."""

ROUNDING = 2e-3
"""Nats by which a total may be off for the sake of single precision."""

LOOSE = 0.02
"""Nats of standard error beyond which nothing is said of a total."""

APART = 2.9
"""√n times how far a distribution function may be from its draws: beyond by chance once in ten million."""

MOVE = 0.01
"""How far parameters are moved, to see whether the support goes with them."""

STEP, DIRECTIONS = 1e-5, 3
"""Of finite differences in float64: how far, and along how many random directions."""

PATHS = 20_000
"""Draws by which the two gradients of an expectation are compared."""

GRID, FAR, ROUGH = 4001, 3.0, 0.005
"""Points at which a hidden cell is summed over, how far beyond the draws, in their range; and by what part
the sum may change with half of them to be relied on."""


def check_conditional(
    module: Any,
    *inputs: PyTree,
    prior: Distribution | None = None,
    key: PRNGKeyArray | None = None,
    num_draws: int = DRAWS,
) -> dict[str, str]:
    """Check a module that maps its inputs to a distribution: a prior, a likelihood or a posterior.

    - `scores`: draws have finite log-densities, and `sample_and_log_prob` gives the same.
    - `compiled`: the same under `jit`; under `vmap` a row is what it is alone, and has noise of its own.
    - `draws`: as many draws fall into small boxes as the density says, to 5.5 standard errors.
    - `total`: the density adds up to 1: by a sum where every value can be listed, else by telling draws
      from those of a normalised density fitted to others, to 5.5 standard errors, and it says how small
      these are.
    - `cdf`: the draws follow each cell's distribution function, where it is known or can be summed.
    - `gradient`: with respect to parameters and inputs that of finite differences, in float64.
    - `path`: where draws are said to carry gradients, E ∇f(x) is E f(x) ∇ log p(x), to 5.5 standard errors.
    - `masking`: a hidden cell is summed out exactly, and not even NaN in it is seen; or all are refused.
    - `shape`: a value of another shape is refused.
    - `extreme`: inputs a thousand times as large give finite scores of draws, and finite gradients.
    - `saved`: saved and loaded it scores the same, and it has a `repr`.

    Args:
        module: the module, called as `module(*inputs)`.
        inputs: those of one example.
        prior: for a posterior that uses it, passed on as `prior=`.
        key: a PRNG key; by default a fixed one.
        num_draws: by which draws and density are compared.

    Returns:
        For each check "passed", and what was found where that is a number, or why it could not be made.

    Raises:
        AssertionError: naming the check that failed, what was expected, and what was found.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.conditionals import Conditional
        >>> from condvae.heads import FamilyHead
        >>> from condvae.networks import MLP, Features
        >>> from condvae.testing import check_conditional
        >>> k1, k2 = jax.random.split(jax.random.key(0))
        >>> body = MLP(3, width=8, depth=1, key=k1)
        >>> likelihood = Conditional(Features(), body, FamilyHead(8, (2,), "poisson", key=k2))
        >>> checked = check_conditional(likelihood, jnp.ones(2), jnp.zeros(1))
        >>> checked["draws"], checked["gradient"], checked["path"]
        ('passed', 'passed', 'not checked: draws carry no gradients')
    """
    subject = Subject(module, inputs, prior, jax.random.key(0) if key is None else key, num_draws)
    _made("called", _called, subject)
    subject.at()  # a TypeError names a module that gives no distribution
    return {name: _made(name, check, subject) for name, check in _CHECKS.items()}


def _made(name: str, check: Callable[[Subject], str | None], subject: Subject) -> str:
    where = f"{type(subject.module).__name__}, {name}"
    try:
        remark = check(subject)
    except Untested as reason:
        return f"not checked: {reason}"
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from error
    except Exception as error:
        raise AssertionError(f"{where}: {type(error).__name__} was raised: {error}") from error
    return f"passed: {remark}" if remark else "passed"


def _called(subject: Subject) -> None:
    subject.called()


def _require(condition: Any, message: str) -> None:
    if not bool(np.all(condition)):
        raise AssertionError(message)


def _close(actual: Any, expected: Any, tolerance: float, what: str) -> None:
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    apart = np.abs(actual - expected)
    ok = (apart <= tolerance * (1 + np.abs(expected))) | (actual == expected)
    where = int(np.argmin(ok.reshape(-1)))
    _require(ok, f"{what}: expected {expected.reshape(-1)[where]:.6g}, got {actual.reshape(-1)[where]:.6g}")


def _scores(subject: Subject) -> None:
    keys = jax.random.split(subject.key, 64)
    distribution = subject.at()
    values = [distribution.sample(key) for key in keys[:2]]
    _require(
        all(jnp.shape(distribution.log_prob(value)) == () for value in values),
        "log_prob has an axis: expected one number for one value",
    )

    def one(key: PRNGKeyArray) -> tuple[Array, Array]:
        distribution = subject.at()
        value, together = distribution.sample_and_log_prob(key)
        return together, distribution.log_prob(value)

    together, alone = eqx.filter_jit(jax.vmap(one))(keys)
    _require(np.isfinite(alone), f"the log-density of {_odd(alone)} of 64 draws is not finite")
    _close(together, alone, 1e-3, "sample_and_log_prob gives another log-density than log_prob of its draw")


def _odd(values: Array) -> int:
    return int((~np.isfinite(np.asarray(values))).sum())


def _compiled(subject: Subject) -> None:
    value = subject.one

    def score(value: PyTree, inputs: tuple[PyTree, ...]) -> Array:
        return subject.at(inputs=inputs).log_prob(value)

    alone = score(value, subject.inputs)
    _close(eqx.filter_jit(score)(value, subject.inputs), alone, 1e-4, "under jit log_prob changes")

    def nudged(factor: float) -> PyTree:
        return _floats(lambda leaf: leaf * jnp.asarray(factor, leaf.dtype), subject.inputs)

    rows = [(value, nudged(factor)) for factor in (1.0, 0.9, 1.1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    batched = jax.vmap(score)(*stacked)
    _close(batched, [score(*row) for row in rows], 1e-4, "under vmap a row's log_prob changes")
    drawn = subject.sample(200)
    flat = [np.asarray(leaf).reshape(200, -1) for leaf in jax.tree.leaves(drawn)]
    varied = any(len(np.unique(leaf, axis=0)) > 1 for leaf in flat)
    _require(varied, "200 draws by 200 keys are all the same: is the key used?")


def _floats(function: Callable[[Array], Array], tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: function(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def _require_volume(subject: Subject) -> None:
    if is_thin(subject.flat[0]):
        raise Untested(
            "a cell follows from the others, so that the support is not of full dimension and no box has a "
            "share of the draws"
        )


def _draws(subject: Subject) -> None:
    _require_volume(subject)
    _, far, where = compare(subject.flat[0], subject.score_of_rows, np.random.default_rng(0))
    _require(far < SURE, f"draws and density disagree by {far:.1f} standard errors: {where}")


def _total(subject: Subject) -> str | None:
    values = subject.at().enumerate_support()
    if values is not None:
        total = jnp.exp(jax.vmap(subject.at().log_prob)(values)).sum()
        return _close(total, 1.0, 1e-4, "the probabilities of all values")
    _require_volume(subject)
    log_sum, stderr = log_total(subject.flat[0], subject.score_of_rows, np.random.default_rng(1))
    words = f"log of the total is {log_sum:.4f} ± {stderr:.4f} nats"
    _require(
        abs(log_sum) <= SURE * stderr + ROUNDING, f"{words}, expected 0: a constant is wrong or missing"
    )
    if stderr > LOOSE:
        raise Untested(f"{words}, which tells too little")
    return words


def _cdf(subject: Subject) -> None:
    flat, back = subject.flat
    below = _below(subject, flat, back)
    for i, (cell, claimed) in enumerate(zip(flat.T, below.T, strict=True)):
        far = furthest(cell, claimed)
        _require(far < APART, f"cell {i}'s distribution function is off by {far / len(cell) ** 0.5:.4f}")


def _below(subject: Subject, flat: np.ndarray, back: Callable[[np.ndarray], PyTree]) -> np.ndarray:
    """P(cell ≤ value of it) of every cell of every draw."""
    values = subject.at().enumerate_support()
    if subject.at().cdf(subject.one) is not None:
        leaves = jax.tree.leaves(over_rows(lambda value: subject.at().cdf(value))(back(flat)))
        return np.concatenate([np.asarray(leaf, float).reshape(len(flat), -1) for leaf in leaves], axis=1)
    if values is None:
        raise Untested("its distribution function is not known")
    shares = np.exp(np.asarray(jax.vmap(subject.at().log_prob)(values), float))
    leaves = [np.asarray(leaf, float).reshape(len(shares), -1) for leaf in jax.tree.leaves(values)]
    columns = zip(flat.T, np.concatenate(leaves, axis=1).T, strict=True)
    return np.stack([summed_to(drawn, listed, shares) for drawn, listed in columns], axis=1)


def _doubled(tree: PyTree) -> PyTree:
    """The same in float64."""

    def double(leaf: Any) -> Any:
        return jnp.asarray(np.asarray(leaf), jnp.float64) if eqx.is_inexact_array(leaf) else leaf

    return jax.tree.map(double, tree)


def _gradient(subject: Subject) -> None:
    value = subject.one
    single = float(subject.at().log_prob(value))
    with jax.enable_x64(True):
        parts = _doubled((subject.module, subject.inputs))
        value, prior = _doubled(value), _doubled(subject.prior)
        arrays, rest = eqx.partition(parts, eqx.is_inexact_array)
        start, back = ravel_pytree(arrays)
        if not start.size:
            raise Untested("it has neither parameters nor inputs that are numbers")
        doubled = Subject(None, (), prior, subject.key, 0)

        def score(flat: Array) -> Array:
            module, inputs = eqx.combine(back(flat), rest)
            return doubled.at(module, inputs).log_prob(value)

        score = jax.jit(score)
        exact = score(start)
        _close(single, exact, 1e-3, "log_prob in float32 is not what it is in float64")
        gradient = jax.jit(jax.grad(score))(start)
        _require(np.isfinite(gradient), f"{_odd(gradient)} entries of the gradient are not finite")
        for key in jax.random.split(subject.key, DIRECTIONS):
            direction = jax.random.normal(key, start.shape, jnp.float64) / np.sqrt(start.size)
            difference = (score(start + STEP * direction) - score(start - STEP * direction)) / (2 * STEP)
            _close(gradient @ direction, difference, 1e-4, "the gradient, against finite differences")


def _path(subject: Subject) -> None:
    if not subject.at().reparameterised:
        raise Untested("draws carry no gradients")
    arrays, rest = eqx.partition((subject.module, subject.inputs), eqx.is_inexact_array)
    start, back = ravel_pytree(arrays)
    if not start.size:
        raise Untested("it has neither parameters nor inputs that are numbers")
    some = [np.asarray(leaf, float) for leaf in jax.tree.leaves(subject.sample(1000))]
    centres = [np.median(leaf, axis=0) for leaf in some]
    spreads = [np.maximum(np.std(leaf, axis=0), 1e-6) for leaf in some]

    def function(value: PyTree) -> Array:
        leaves = zip(jax.tree.leaves(value), centres, spreads, strict=True)
        parts = [jnp.sum(jnp.tanh((leaf - centre) / spread)) for leaf, centre, spread in leaves]
        return jnp.sum(jnp.stack(parts))

    direction = jax.random.normal(jax.random.fold_in(subject.key, 1), start.shape) / np.sqrt(start.size)

    def one(key: PRNGKeyArray) -> tuple[Array, Array]:
        def along(step: Array) -> Distribution:
            return subject.at(*eqx.combine(back(start + step * direction), rest))

        zero = jnp.zeros(())
        value, path = (
            function(along(zero).sample(key)),
            jax.grad(lambda s: function(along(s).sample(key)))(zero),
        )
        fixed = along(zero).sample(key)
        score = value * jax.grad(lambda s: along(s).log_prob(fixed))(zero)
        moved = along(jnp.asarray(MOVE)).log_prob(fixed) + along(jnp.asarray(-MOVE)).log_prob(fixed)
        return path - score, moved

    keys = jax.random.split(jax.random.fold_in(subject.key, 2), PATHS)
    in_parts = eqx.filter_jit(lambda keys: jax.lax.map(one, keys, batch_size=1000))
    apart, moved = (np.asarray(moments, float) for moments in in_parts(keys))
    if not np.isfinite(moved).all():
        raise Untested("its support moves with its parameters, where E f(x) ∇ log p(x) is not the gradient")
    off, stderr = abs(apart.mean()), apart.std() / np.sqrt(PATHS)
    _require(
        off <= SURE * stderr + 1e-6,
        f"draws are said to carry gradients, and theirs is off by {off / max(stderr, 1e-12):.1f} "
        "standard errors: say reparameterised = False, or mend sample",
    )


def _masking(subject: Subject) -> None:
    distribution, value = subject.at(), subject.one
    cells, mask_of = ravel_pytree(jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), value))
    try:
        distribution.marginal(mask_of(cells))
    except TypeError as refusal:
        raise Untested(f"cells cannot be missing ({refusal})") from refusal
    full = distribution.log_prob(value)
    unmasked = distribution.marginal(mask_of(cells)).log_prob(value)
    _close(unmasked, full, 1e-4, "with nothing hidden log_prob changes")
    nothing = distribution.marginal(mask_of(~cells)).log_prob(value)
    _close(nothing, 0.0, 1e-4, "with everything hidden the log-density")
    flat, back = flattened(subject, 2000)
    log_prob = scores_of_rows(subject, back)
    values = np.concatenate([np.asarray(leaf, float).reshape(-1) for leaf in jax.tree.leaves(value)])
    arrays, rest = eqx.partition(subject.module, eqx.is_inexact_array)
    for i in range(min(values.size, 3)) if values.size > 1 else ():
        mask = mask_of(cells.at[i].set(False))
        if (over := _summed_over(values, i, flat[:, i], log_prob)) is not None:
            masked = distribution.marginal(mask).log_prob(value)
            _close(masked, over, 0.02, f"with cell {i} hidden, against the sum over it")
        hidden = jax.tree.map(_spoilt, mask, value)

        def score(arrays: PyTree, hidden: PyTree = hidden, mask: PyTree = mask) -> Array:
            return subject.at(eqx.combine(arrays, rest)).marginal(mask).log_prob(hidden)

        gradient = ravel_pytree(jax.grad(score)(arrays))[0]
        _require(np.isfinite(gradient), "NaN in a hidden cell reaches the gradient")


def _spoilt(mask: Array, leaf: Array) -> Array:
    """The cells that are seen, and NaN in the others, if there is one of their kind."""
    return jnp.where(mask, leaf, jnp.nan) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf


def _summed_over(
    value: np.ndarray, i: int, drawn: np.ndarray, log_prob: Callable[[np.ndarray], np.ndarray]
) -> float | None:
    """log ∫ p(value) d(cell i); None where no sum is exact: of densities with steps, or no bound."""
    values, counts = np.unique(drawn, return_counts=True)
    whole = bool((values == np.rint(values)).all())
    if not whole and (counts > 1).any():
        return None
    width = np.ptp(values)
    low, high = values[0] - FAR * width, values[-1] + FAR * width
    at = np.arange(np.floor(low), np.ceil(high) + 1) if whole else np.linspace(low, high, GRID)
    if len(at) > 10 * GRID:
        return None
    rows = np.repeat(value[None], len(at), axis=0)
    rows[:, i] = at
    density = np.exp(log_prob(rows))
    if whole:
        return float(np.log(density.sum()))
    fine, coarse = np.trapezoid(density, at), np.trapezoid(density[::2], at[::2])
    return float(np.log(fine)) if abs(fine - coarse) < ROUGH * fine else None


def _shape(subject: Subject) -> None:
    leaves, treedef = jax.tree.flatten(subject.one)
    for i, leaf in enumerate(leaves):
        doubled = jnp.concatenate([leaf, leaf], axis=-1) if leaf.ndim else jnp.stack([leaf] * 2)
        for wrong in (leaf[None], doubled):
            try:
                subject.at().log_prob(jax.tree.unflatten(treedef, [*leaves[:i], wrong, *leaves[i + 1 :]]))
            except (TypeError, ValueError):
                continue
            raise AssertionError(
                f"a value of shape {wrong.shape} is scored where {leaf.shape} is expected: refuse it, "
                "since what is broadcast is counted twice"
            )


def _extreme(subject: Subject) -> None:
    for factor in (1e3, -1e3):
        inputs = _floats(lambda leaf, factor=factor: factor * (1.0 + leaf), subject.inputs)
        keys = jax.random.split(subject.key, 16)

        def one(key: PRNGKeyArray, inputs: tuple[PyTree, ...] = inputs) -> tuple[Array, PyTree]:
            value = jax.lax.stop_gradient(subject.at(inputs=inputs).sample(key))
            arrays, rest = eqx.partition(subject.module, eqx.is_inexact_array)

            def score(arrays: PyTree) -> Array:
                return subject.at(eqx.combine(arrays, rest), inputs).log_prob(value)

            return jax.value_and_grad(score)(arrays)

        scores, gradients = eqx.filter_jit(jax.vmap(one))(keys)
        _require(np.isfinite(scores), f"at inputs of {factor:g} {_odd(scores)} of 16 scores are not finite")
        for leaf in jax.tree.leaves(gradients):
            _require(np.isfinite(leaf), f"at inputs of {factor:g} a gradient is not finite")


def _saved(subject: Subject) -> None:
    value = subject.one
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module"
        save(path, subject.module)
        same = load(path, like=subject.module)
    _close(
        subject.at(same).log_prob(value), subject.at().log_prob(value), 0.0, "saved and loaded, log_prob"
    )
    _require(type(subject.module).__name__ in repr(subject.module), "its repr does not name it")


_CHECKS: dict[str, Callable[[Subject], str | None]] = {
    "scores": _scores,
    "compiled": _compiled,
    "draws": _draws,
    "total": _total,
    "cdf": _cdf,
    "gradient": _gradient,
    "path": _path,
    "masking": _masking,
    "shape": _shape,
    "extreme": _extreme,
    "saved": _saved,
}
