"""Rows: per-example functions over any number of them, in bounded memory.

The rest of the core is written for one example. Here it is vectorised, once: rows are cut into chunks
of one fixed shape, each chunk is one call of one compiled function, and results are gathered on the
host. Chunk shapes are powers of two, so that tables of many lengths share a few compiled programs.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from threading import Lock
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree, UInt

from condvae.progress import Progress
from condvae.runtime import require_runtime

MAX_ROWS = 2**14
"""Rows in one chunk at most."""

MAX_CELLS = 2**23
"""Numbers in one intermediate array of a chunk at most, by a rough count (32 MiB in float32)."""

TYPICAL_WIDTH = 256
"""What a hidden layer is taken to be wide, in that count."""


def num_rows(**named: PyTree) -> int:
    """The common length of the leading axis of every array in the named pytrees.

    Raises:
        ValueError: if two of them differ, one is a scalar, or there is no array; names the argument.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.vectorise import num_rows
        >>> num_rows(x=jnp.zeros((3, 2)), c=None)
        3
        >>> num_rows(x=jnp.zeros((3, 2)), c=jnp.zeros(4))
        Traceback (most recent call last):
        ...
        ValueError: x has 3 rows but c has 4: give one row of each for every example
    """
    lengths: dict[str, int] = {}
    for name, tree in named.items():
        for leaf in jax.tree.leaves(tree):
            if np.ndim(leaf) == 0:
                raise ValueError(f"{name} is a scalar, expected rows on a leading axis: add one")
            lengths.setdefault(name, len(leaf))
            if len(leaf) != lengths[name]:
                raise ValueError(
                    f"the arrays in {name} have {lengths[name]} and {len(leaf)} rows: give each as many"
                )
    if not lengths:
        raise ValueError(f"no arrays in {', '.join(named)}: give at least one array with rows")
    (first, expected), *rest = lengths.items()
    for name, got in rest:
        if got != expected:
            raise ValueError(
                f"{first} has {expected} rows but {name} has {got}: give one row of each for every example"
            )
    return expected


def require_finite(**named: PyTree) -> None:
    """Refuse NaN and infinities in the named pytrees.

    Raises:
        ValueError: naming the argument and the first row (counting from 0) that has one.
    """
    for name, tree in named.items():
        for leaf in jax.tree.leaves(tree):
            array = np.asarray(leaf)
            if not np.issubdtype(array.dtype, np.inexact) or np.isfinite(array).all():
                continue
            row = int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(axis=1)))
            raise ValueError(
                f"{name} has a NaN or an infinity in row {row}: give missing cells as "
                "Observed(value, mask) with a finite value in them, and drop infinities"
            )


def _power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def content_hashes(rows: PyTree) -> np.ndarray:
    """A number for each row that depends on what is in it and on nothing else: uint64, shape (n,)."""
    n = num_rows(rows=rows)
    # FNV-1a over the words of each row, with a final mix; unsigned arithmetic wraps, as it should.
    hashes = np.full(n, 14695981039346656037, np.uint64)
    for leaf in jax.tree.leaves(rows):
        flat = np.asarray(leaf).reshape(n, int(np.prod(np.shape(leaf)[1:])))
        if flat.dtype.itemsize < 4:
            flat = flat.astype(np.float32)  # exact, also for whole numbers of so few bits
        words = np.ascontiguousarray(flat + np.zeros((), flat.dtype)).view(np.uint32)  # -0.0 is 0.0
        for column in words.T:
            hashes = (hashes ^ column) * np.uint64(1099511628211)
    for _ in range(2):
        hashes ^= hashes >> np.uint64(33)
        hashes *= np.uint64(0xFF51AFD7ED558CCD)
    return hashes ^ (hashes >> np.uint64(33))


def content_seeds(rows: PyTree) -> np.ndarray:
    """`content_hashes` as seeds, uint32 of shape (n,).

    With these a row's noise does not depend on which rows come with it, or in what order; rows that are
    alike get the same. For estimates of a row's own quantities, where that does no harm.

    Example:
        >>> import numpy as np
        >>> from condvae.vectorise import content_seeds
        >>> a, b, again = content_seeds(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]))
        >>> bool(a == again), bool(a == b)
        (True, False)
    """
    return (content_hashes(rows) >> np.uint64(32)).astype(np.uint32)


def bucket(n: int) -> int:
    """The length to which n rows are padded, so that few lengths are ever compiled for.

    A power of two, or, where that would waste much memory, a multiple of an eighth of it.

    Example:
        >>> from condvae.vectorise import bucket
        >>> bucket(455), bucket(100_000)
        (512, 106496)
    """
    power = _power_of_two(n)
    step = power if power <= MAX_ROWS else power // 16
    return -(-n // step) * step


def chunk_size(rows: int, draws: int, row: PyTree) -> int:
    """How many rows to take at once: a power of two, bounded by memory.

    Args:
        rows: how many there are.
        draws: draws of z that each row makes at once.
        row: the tree of rows, for its width.
    """
    cells = sum(int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves(row))
    affordable = MAX_CELLS // (draws * max(cells, TYPICAL_WIDTH))
    at_most = 1 << max(0, min(affordable, MAX_ROWS).bit_length() - 1)
    return min(_power_of_two(rows), at_most)


def compiled(most: int) -> Callable[[Callable], Callable]:
    """A decorator: compile a function for each model and shape, and keep the last `most` models' programs.

    What a table decides, such as knots and grids, is a constant of its programs. JAX forgets no program,
    and each takes hundreds of memory maps: a process that fits a hundred tables would run out of them.
    The function takes pytrees and returns arrays; whatever is no array in its arguments must be hashable.

    Example:
        >>> import numpy as np
        >>> from condvae.vectorise import compiled
        >>> @compiled(2)
        ... def power(x, exponent):
        ...     return x**exponent
        >>> [float(power(np.float32(3.0), exponent)) for exponent in (1, 2, 3)], len(power.kept)
        ([3.0, 9.0, 27.0], 2)
    """

    def decorate(fn: Callable) -> Callable:
        kept: OrderedDict[Any, Callable] = OrderedDict()
        lock = Lock()

        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            arrays, static = eqx.partition((args, kwargs), eqx.is_array)
            leaves, structure = jax.tree.flatten(static)
            key = (structure, tuple(leaves))

            def traced(arrays: PyTree) -> Any:
                args, kwargs = eqx.combine(arrays, static)
                return fn(*args, **kwargs)

            traced.__name__ = fn.__name__
            with lock:
                program = kept.pop(key, None) or jax.jit(traced)
                kept[key] = program
                if len(kept) > most:
                    kept.popitem(last=False)
            return program(arrays)

        call.kept = kept  # pyright: ignore[reportAttributeAccessIssue]
        return call

    return decorate


@compiled(64)
def _run_chunk(
    fn: Callable, options: tuple, model: PyTree, rows: PyTree, key: PRNGKeyArray, seeds: jax.Array
) -> PyTree:
    keys = jax.vmap(lambda seed: jax.random.fold_in(key, seed))(seeds)
    return jax.vmap(lambda row, key: fn(model, row, key, **dict(options)))(rows, keys)


def index_rows(tree: PyTree, index: Any) -> PyTree:
    """`leaf[index]` of each array: rows of arrays on the host, or of arrays in a program."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def evenly_spaced(n: int, most: int) -> np.ndarray:
    """The places of at most so many of n rows, evenly spaced.

    Example:
        >>> from condvae.vectorise import evenly_spaced
        >>> evenly_spaced(10, 4).tolist(), evenly_spaced(2, 4).tolist(), evenly_spaced(0, 4).tolist()
        ([0, 3, 6, 9], [0, 1], [])
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def take_rows(tree: PyTree, index: int | slice | np.ndarray) -> PyTree:
    """Of each array a row, or several by a slice: taken on the host, where nothing has to be compiled."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = np.asarray(jax.random.key_data(leaf))[index]
            return jax.random.wrap_key_data(jax.device_put(data), impl=jax.random.key_impl(leaf))
        return jax.device_put(np.asarray(leaf)[index]) if eqx.is_array(leaf) else leaf

    return jax.tree.map(one, tree)


def concat_rows(parts: Sequence[PyTree]) -> PyTree:
    """Arrays end to end: on the host likewise."""

    def one(*leaves: Any) -> Any:
        first = leaves[0]
        if isinstance(first, jax.Array) and jnp.issubdtype(first.dtype, jax.dtypes.prng_key):
            data = np.concatenate([jax.random.key_data(leaf) for leaf in leaves])
            return jax.random.wrap_key_data(jax.device_put(data), impl=jax.random.key_impl(first))
        return jax.device_put(np.concatenate(leaves)) if eqx.is_array(first) else first

    return jax.tree.map(one, *parts)


def map_rows(
    fn: Callable[..., PyTree],
    model: PyTree,
    rows: PyTree,
    key: PRNGKeyArray,
    *,
    seeds: UInt[np.ndarray, " n"] | None = None,
    draws: int = 1,
    chunk: int | None = None,
    progress: bool | Progress = False,
    label: str = "rows",
    **options: Any,
) -> PyTree:
    """`fn(model, row, key, **options)` for every row, compiled and in chunks.

    Args:
        fn: a module-level function of one example (a new closure would compile anew at each call).
        model: its first argument, a pytree.
        rows: arrays with n rows on the leading axis.
        key: row i gets `fold_in(key, i)`, whatever the chunks.
        seeds: row i gets `fold_in(key, seeds[i])` instead, shape (n,), unsigned integers.
        draws: how many draws of z each row makes at once, to choose the chunk.
        chunk: how many rows to take at once, where that is decided already.
        progress: whether to show a progress bar; or one, to count the rows on.
        label: what the bar calls the work.
        **options: hashable keyword arguments of `fn`.

    Returns:
        The results as NumPy arrays, stacked on a leading axis of length n.

    Raises:
        ValueError: if there is not a seed for each row.
        RuntimeError: in a forked process.
    """
    require_runtime()
    n = num_rows(rows=rows)
    seeds = np.arange(n, dtype=np.uint32) if seeds is None else np.asarray(seeds).astype(np.uint32)
    if seeds.shape != (n,):
        raise ValueError(f"seeds has shape {seeds.shape}, expected ({n},): give one for each row")
    size = chunk_size(max(n, 1), draws, rows) if chunk is None else chunk
    static = tuple(sorted(options.items()))
    results: list[PyTree] = []
    context = Progress(label, n, enabled=progress) if isinstance(progress, bool) else nullcontext(progress)
    with context as bar:
        for start in range(0, max(n, 1), size):
            keep = min(size, n - start)
            # Past the end, the first row again: a chunk has one shape, and padding is cut off below.
            index = np.where(np.arange(size) < keep, start + np.arange(size), 0)
            if n == 0:
                zeros = jax.tree.map(lambda leaf: np.zeros((size, *leaf.shape[1:]), leaf.dtype), rows)
                chunk = jax.tree.map(jnp.asarray, zeros)
                chunk_seeds = jnp.asarray(np.zeros(size, np.uint32))
            else:
                chunk = jax.tree.map(lambda leaf, index=index: jnp.asarray(leaf[index]), rows)
                chunk_seeds = jnp.asarray(seeds[index])
            out = _run_chunk(fn, static, model, chunk, key, chunk_seeds)
            results.append(jax.tree.map(lambda leaf, keep=keep: np.asarray(leaf)[:keep], out))
            bar.advance(keep)
    return _concatenate(results)


def _concatenate(parts: Sequence[PyTree]) -> PyTree:
    if len(parts) == 1:
        return parts[0]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
