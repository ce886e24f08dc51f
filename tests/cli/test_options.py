"""Options mean the same wherever they stand."""

import inspect

from condvae.cli import options, program


def test_shared_options_are_the_same_in_every_command():
    shared = {
        "seed": options.Seed,
        "quiet": options.Quiet,
        "as_json": options.Json,
        "max_memory": options.MaxMemory,
        "num_samples": options.Draws,
        "model": options.ModelPath,
    }
    for _, function, _ in program.COMMANDS:
        for name, parameter in inspect.signature(function).parameters.items():
            assert name not in shared or parameter.annotation == shared[name], (function, name)
