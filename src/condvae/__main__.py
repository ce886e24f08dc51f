"""The program `condvae`, also as `python -m condvae`."""

import os
import sys

from condvae.interruptions import watch


def main() -> None:
    """Run the command line as a process that any signal ends at once, with one sentence."""
    _open_closed_streams()
    watch()
    from condvae.cli import main

    main()


def _open_closed_streams() -> None:
    """Where a standard stream is closed, as by `>&-`, open one to nowhere.

    Otherwise the next file that is opened would get its number, and what libraries print would go there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


if __name__ == "__main__":
    main()
