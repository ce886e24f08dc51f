"""Options mean the same wherever they stand."""

import inspect

from cli.saying import PENGUINS, run
from condvae.cli import options, program
from condvae.tables import memory


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


def test_memory_is_limited_for_one_command(monkeypatch, capfd):
    command = ("fit", PENGUINS, "--given", "species", "--target", "body_mass_g", "--out", "none")
    status, _, err = run(monkeypatch, capfd, *command, "--max-memory", "1K")
    assert status == 2
    assert "of memory or more, and 1.0 KiB are allowed" in err
    assert err.rstrip().endswith("or raise --max-memory")
    assert memory.chosen.get() is None
    status, _, err = run(monkeypatch, capfd, *command, "--max-memory", "plenty")
    assert (status, "--max-memory plenty is no size; give bytes" in err) == (2, True)
