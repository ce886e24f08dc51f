"""The command line: `condvae fit | predict | sample | score | evaluate | impute | inspect | demo`.

What is heavy is imported inside the commands, so that `--help` answers at once. Results go to standard
output; bars, notes, warnings and mistakes to standard error. What a user got wrong is one sentence and an
exit status of 2, before any work is done for it.
"""

from condvae.cli.program import app, main

__all__ = ["app", "main"]
