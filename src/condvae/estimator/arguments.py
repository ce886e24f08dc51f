"""The estimator's arguments, checked before a table is looked at."""

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
from sklearn.utils import check_random_state

from condvae import tables
from condvae.objectives import objective
from condvae.sentences import Argument, InputError
from condvae.table_models.defaults import trained_by


def check_arguments(parameters: dict[str, Any]) -> None:
    """Refuse values that no model can be fitted with.

    Raises:
        ValueError: naming the argument.
    """
    least = {
        "latent_size": 0,
        "width": 1,
        "depth": 0,
        "num_members": 1,
        "num_steps": 1,
        "num_samples": 1,
        "kl_warmup": 0,
        "kl_cycles": 1,
        "batch_size": 1,
        "patience": 1,
    }
    for name, low in least.items():
        value: Any = parameters[name]
        if value is None and name != "depth":
            continue
        if not _is_number(value) or value != value // 1 or value < low:
            raise _not_so(name, value, f"a whole number of at least {low}")
    for name in ("learning_rate", "weight_decay", "free_bits"):
        value: Any = parameters[name]
        if value is None and name == "learning_rate":
            continue
        if not _is_number(value) or not 0 <= value < np.inf:
            raise _not_so(name, value, "a number not below 0, such as 0.001")
    for name in ("validation_fraction", "test_fraction", "calibration_fraction"):
        if not _is_number(parameters[name]) or not 0 <= parameters[name] < 1:
            raise _not_so(name, parameters[name], "at least 0 and below 1")
    chosen_objective(parameters)
    choices = {
        "joint": ("auto", "in_turn", "latent"),
        "likelihood": ("auto", "student_t", "gaussian"),
        "unknown": ("error", "other"),
    }
    for name, allowed in choices.items():
        if parameters[name] not in allowed:
            raise _not_so(name, parameters[name], " or ".join(map(repr, allowed)))
    _check_likelihoods(parameters["likelihoods"])
    tables.require_readings(parameters["read"], parameters["missing"])


def _not_so(argument: str, value: Any, expected: str) -> InputError:
    said = "{argument} is {value!q}, expected {expected}"
    return InputError(said, argument=argument, value=value, expected=expected)


def _check_likelihoods(named: Any) -> None:
    if named is not None and not isinstance(named, Mapping):
        raise InputError(
            "{argument} is {value!q}, expected a dictionary by column, such as {{'claims': "
            "'negative_binomial'}}",
            remedy="one for all numeric targets is likelihood='gaussian' or 'student_t'",
            argument="likelihoods",
            value=named,
        )
    for column, name in (named or {}).items():
        if not isinstance(name, str):
            raise InputError(
                "{argument}[{column!q}] is {name!q}, expected a name, such as 'gamma'",
                column=column,
                argument="likelihoods",
                name=name,
            )


def chosen_objective(parameters: dict[str, Any]) -> Callable[..., Any]:
    """The function that the estimator's parameters name.

    Raises:
        ValueError: if they name none, or free bits of something other than the ELBO.
    """
    (chosen, _), free_bits = trained_by(parameters), float(parameters["free_bits"])
    if free_bits and chosen != "elbo":
        raise InputError(
            "{argument} are of the ELBO, and {objective} is {chosen!q}",
            remedy="leave one of them out",
            argument=Argument("free_bits", free_bits),
            objective=Argument("objective"),
            chosen=chosen,
        )
    if callable(chosen):
        return chosen
    if not isinstance(chosen, str):
        raise _not_so("objective", chosen, "a name, such as 'iwae', or a function of Draws")
    return objective(f"elbo(free_bits={free_bits!r})" if free_bits else chosen)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def seed(random_state: Any) -> int:
    """The seed that `random_state` stands for: a whole number is its own.

    Raises:
        ValueError: for what is no seed.
    """
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        if 0 <= int(random_state) < 2**32:
            return int(random_state)
    elif random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31))
    expected = "a whole number from 0 to 2**32 - 1, None, or numpy's RandomState"
    raise _not_so("random_state", random_state, expected)
