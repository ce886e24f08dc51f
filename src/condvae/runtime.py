"""Whether JAX can compute in this process."""

import os

import jax

from condvae.sentences import InputError

_process: int | None = None


def require_runtime() -> None:
    """Check that JAX can compute in this process, before it is asked to.

    Raises:
        RuntimeError: in a process that was forked from one in which this was called before: the threads of
            JAX are not forked, and computations would wait for them for ever.
        InputError: if `JAX_PLATFORMS` names a kind of device that JAX does not find.

    Example:
        >>> require_runtime()
    """
    global _process
    if _process is None:
        try:
            jax.devices()
        except (RuntimeError, AssertionError) as error:
            platforms = os.environ.get("JAX_PLATFORMS")
            if not platforms:
                raise
            raise InputError(
                "JAX_PLATFORMS is {platforms!q}, and JAX finds no such device",
                remedy="install JAX for that device, or set JAX_PLATFORMS=cpu",
                platforms=platforms,
            ) from error
        _process = os.getpid()
    if os.getpid() != _process:
        raise RuntimeError(
            "this process was forked from one that uses JAX, and JAX cannot compute in it; start processes "
            "with multiprocessing.get_context('spawn'), and load the model in each"
        )
