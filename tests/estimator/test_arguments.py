"""The estimator's arguments."""

import numpy as np
import pytest

from condvae import ConditionalVAE
from condvae.cli.output import in_options
from condvae.estimator import arguments
from condvae.sentences import InputError


def test_seeds():
    assert [arguments.seed(s) for s in (0, 7, np.int64(7), 2**32 - 1)] == [0, 7, 7, 2**32 - 1]
    first, second = (arguments.seed(np.random.RandomState(5)) for _ in range(2))
    assert first == second
    assert arguments.seed(None) >= 0
    for bad in (-1, 2**32, "0", 1.0, True, np.random.default_rng(0)):
        with pytest.raises(ValueError, match=r"^random_state is .*, expected a whole number from 0"):
            arguments.seed(bad)


@pytest.mark.parametrize(
    ("name", "value", "expected", "option"),
    [
        ("width", 0, "a whole number of at least 1", "--width"),
        ("num_steps", 1.5, "a whole number of at least 1", "--steps"),
        ("num_members", "many", "a whole number of at least 1", "--members"),
        ("kl_warmup", -1, "a whole number of at least 0", "--kl-warmup"),
        ("learning_rate", -0.1, "a number not below 0, such as 0.001", "--learning-rate"),
        ("calibration_fraction", 1, "at least 0 and below 1", "--calibration-fraction"),
        ("unknown", "x", "'error' or 'other'", "--unknown"),
        ("missing", "?", "a sequence of texts, such as ('?', '-')", "--missing"),
        ("objective", "elbow", "one of ", "--objective"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named_at_both_doors(name, value, expected, option):
    with pytest.raises(InputError, match="expected ") as error:
        arguments.check_arguments(ConditionalVAE(**{name: value}).get_params())
    said = f" is {value!r}, expected {expected}"
    assert str(error.value).startswith(f"{name}{said}")
    assert in_options(error.value).startswith(f"{option}{said}")
    assert error.value.argument.name == name
