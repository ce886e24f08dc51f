"""Devices: one, or a mesh of them over which the rows of a batch are divided, in one process or in several.

Parameters, and rows that are in memory, are whole on every device; of a batch, and of a block of a stream,
each has its part. What crosses between devices in a step is the sum of the gradients, which the compiler
puts where it belongs (GSPMD).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

STATUS = re.compile("UNKNOWN|UNAVAILABLE|INTERNAL|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION")


class Disconnected(ConnectionError):
    """Another process of the run has ended or cannot be reached, so that this one cannot go on."""


@dataclass(frozen=True)
class Devices:
    """Where the arrays of a run lie.

    Args:
        mesh: of one axis, along which the rows of a batch are divided; None for one device.

    Raises:
        ValueError: for a mesh of several axes, or one in which the devices of a process are apart.

    Example:
        >>> import jax
        >>> from condvae.training.devices import Devices
        >>> mesh = jax.make_mesh((1,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
        >>> Devices(mesh).count, Devices(mesh).parts, Devices().count
        (1, (0, 1), 1)
    """

    mesh: Mesh | None = None

    def __post_init__(self):
        if self.mesh is None:
            return
        if len(self.mesh.axis_names) != 1:
            raise ValueError(
                f"the mesh has the axes {', '.join(map(str, self.mesh.axis_names))}: give one of a single "
                "axis, along which the rows of a batch are divided"
            )
        order = [device.process_index for device in self.mesh.devices.flat]
        if order != sorted(order) or len({order.count(process) for process in order}) > 1:
            raise ValueError(
                "the devices of the mesh are not in the order of their processes, as many of each: make it "
                "of jax.devices()"
            )

        if len(set(order)) not in (1, jax.process_count()):
            raise ValueError(
                f"the mesh has devices of {len(set(order))} of {jax.process_count()} processes: take those "
                "of all, or of one"
            )

    @property
    def count(self) -> int:
        """How many devices."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def processes(self) -> list[int]:
        """The processes that they belong to."""
        if self.mesh is None:
            return [jax.process_index()]
        return sorted({device.process_index for device in self.mesh.devices.flat})

    @property
    def parts(self) -> tuple[int, int]:
        """Which part of a batch is this process's, counted from 0, and how many parts there are."""
        return self.processes.index(jax.process_index()), len(self.processes)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.parts[0] == 0

    @property
    def several(self) -> bool:
        """Whether there are several processes."""
        return len(self.processes) > 1

    def _sharding(self, *axes: str | None) -> NamedSharding:
        assert self.mesh is not None
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def whole(self, tree: PyTree) -> PyTree:
        """Arrays that every process has, as a whole on every device."""
        return self._placed(tree)

    def divided(self, tree: PyTree) -> PyTree:
        """Arrays of which this process has its part along the second axis, divided along it."""
        return self._placed(tree, None, *(() if self.mesh is None else self.mesh.axis_names))

    def _placed(self, tree: PyTree, *axes: str | None) -> PyTree:
        sharding = None if self.mesh is None else self._sharding(*axes)

        def place(leaf: Any) -> Any:
            if not hasattr(leaf, "dtype"):
                return leaf
            if sharding is None:
                return jax.device_put(leaf)
            if _is_key(leaf):
                return jax.random.wrap_key_data(
                    place(np.asarray(jax.random.key_data(leaf))), impl=jax.random.key_impl(leaf)
                )
            array = np.asarray(leaf)
            array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
            return jax.make_array_from_process_local_data(sharding, array)

        return jax.tree.map(place, tree)

    def local(self, tree: PyTree) -> PyTree:
        """Arrays that are whole on every device, on the first of this process alone."""
        if self.mesh is None:
            return tree

        def one(leaf: Any) -> Any:
            if _is_key(leaf):
                return jax.random.wrap_key_data(
                    one(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf)
                )
            return jnp.asarray(np.asarray(leaf)) if isinstance(leaf, jax.Array) else leaf

        return jax.tree.map(one, tree)

    def divide(self, tree: PyTree) -> PyTree:
        """In a compiled function: arrays divided along their first axis."""
        return self._constrained(tree, *(() if self.mesh is None else self.mesh.axis_names))

    def gather(self, tree: PyTree) -> PyTree:
        """In a compiled function: arrays as a whole on every device."""
        return self._constrained(tree)

    def _constrained(self, tree: PyTree, *axes: str | None) -> PyTree:
        if self.mesh is None:
            return tree
        sharding = self._sharding(*axes)
        return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), tree)

    def of_first(self, tree: PyTree) -> PyTree:
        """What the first process has: numbers and arrays, of the same shapes in all."""
        return multihost_utils.broadcast_one_to_all(tree) if self.several else tree

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers."""
        if not self.several:
            return number
        return int(np.max(multihost_utils.process_allgather(np.array(number))))

    def text_of_first(self, text: str) -> str:
        """The first process's text."""
        if not self.several:
            return text
        data = np.frombuffer(text.encode(), np.uint8)
        length = self.largest(len(data))
        padded = np.zeros(length, np.uint8)
        padded[: len(data)] = data
        sent = np.asarray(self.of_first((np.array(len(data)), padded))[1])
        return bytes(sent[: int(self.of_first(np.array(len(data))))]).decode()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Within, that a process has gone is said in a sentence.

        Raises:
            Disconnected: for errors of the runtime, where there are several processes.
        """
        try:
            yield
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            # The runtime's own errors begin with a status, whatever Python makes of them.
            if not self.several or not STATUS.match(str(error)):
                raise
            raise Disconnected(
                f"another of the {len(self.processes)} processes has ended or cannot be reached "
                f"({str(error).splitlines()[0][:200]})"
            ) from error


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
