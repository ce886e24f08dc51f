"""Several processes that fit one model: how they find each other, and how they end."""

import os
import sys
from typing import Any, NoReturn

from condvae.interruptions import watch_again

HEARTBEAT = 30
"""Seconds after which a process that does not answer is given up."""

SIZES = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
"""Where launchers say how many processes they have started."""

_joined = False


def join(num_processes: int | None, process_id: int | None, coordinator: str | None) -> Any:
    """The mesh of all devices of all processes; None for a process that is alone.

    Args:
        num_processes: how many there are; None to ask what has started this one, if anything has.
        process_id: which one this is.
        coordinator: HOST:PORT of the first one, where they meet.

    Raises:
        TableError: if the three are not given together, or the processes do not meet.
    """
    from condvae.tables import TableError

    given = {"--num-processes": num_processes, "--process-id": process_id, "--coordinator": coordinator}
    missing = [name for name, value in given.items() if value is None]
    if num_processes == 1:
        return None
    if 0 < len(missing) < len(given):
        raise TableError(f"several processes need {', '.join(given)}: give {' and '.join(missing)} too")
    if num_processes is None:
        if all(os.environ.get(name, "1") in ("", "0", "1") for name in SIZES):
            return None
    elif not 0 <= (process_id or 0) < num_processes:
        raise TableError(f"--process-id is {process_id}, expected 0 to {num_processes - 1}")
    import jax

    try:
        jax.distributed.initialize(
            coordinator, num_processes, process_id, heartbeat_timeout_seconds=HEARTBEAT
        )
    except ValueError:
        if num_processes is None:  # started by hand within an allocation
            return None
        raise
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        if coordinator is None:
            raise TableError(
                f"the processes of this job do not meet ({reason}); start all of them, or say "
                "--num-processes 1 for one that is alone"
            ) from error
        raise TableError(
            f"the processes do not meet at {coordinator} ({reason}); start all of them, with the same "
            "--coordinator, an address of the first that the others reach"
        ) from error
    watch_again()  # JAX has set another handler of SIGTERM
    global _joined
    _joined = True
    _keep_stdout_clean()
    return jax.make_mesh(
        (jax.device_count(),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()
    )


def _keep_stdout_clean() -> None:
    """What the runtime writes to standard output, which is for results, goes to standard error."""
    try:
        ours = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):  # it is no file
        return
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = os.fdopen(ours, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    if not _joined:
        return True
    import jax

    return jax.process_index() == 0


def leave(status: int) -> NoReturn:
    """Exit; after an error without waiting for the others, which may never come."""
    if _joined and status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
