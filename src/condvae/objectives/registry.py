"""Objectives by name, as on the command line: `elbo`, `renyi(alpha=0.25)`."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from condvae.objectives.bounds import elbo, gaussian_stochastic_network, hybrid, iwae, renyi
from condvae.objectives.declaration import declaration_of
from condvae.objectives.gradients import (
    doubly_reparameterised,
    generalised_doubly_reparameterised,
    sticking_the_landing,
    vimco,
)
from condvae.objectives.information import info_vae
from condvae.objectives.wake_sleep import defensive_wake_wake, wake_sleep, wake_wake
from condvae.sentences import InputError
from condvae.text import as_call

OBJECTIVES: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        elbo,
        iwae,
        renyi,
        gaussian_stochastic_network,
        hybrid,
        sticking_the_landing,
        doubly_reparameterised,
        generalised_doubly_reparameterised,
        vimco,
        wake_wake,
        defensive_wake_wake,
        wake_sleep,
        info_vae,
    )
}
"""Every objective there is, by its name."""


@cache
def objective(text: str) -> Callable[..., Any]:
    """The objective of a name, with its numbers in brackets: `elbo`, `renyi(alpha=0.25)`.

    The same text gives the same function, so that what is compiled with it serves again.

    Raises:
        ValueError: if there is no such objective, or it has no such argument; says which there are.

    Example:
        >>> from condvae.objectives import elbo, objective
        >>> objective("elbo") is elbo, objective("renyi(alpha=0.25)").keywords
        (True, {'alpha': 0.25})
    """
    call = as_call(text)
    if call is None:
        raise InputError(
            "{argument} is {text!r}",
            remedy="write a name, such as iwae, or one with its numbers, such as renyi(alpha=0.5)",
            argument="objective",
            text=text,
        )
    name, options = call
    if name not in OBJECTIVES:
        said = "{argument} is {name!r}, expected one of {names}"
        raise InputError(said, argument="objective", name=name, names=", ".join(OBJECTIVES))
    function = OBJECTIVES[name]
    allowed = declaration_of(function).options
    for argument in options:
        if argument not in allowed:
            known = " and ".join(allowed) or "no numbers"
            raise InputError(
                "{argument} {name} takes {known}",
                remedy="leave out {odd!r}",
                argument="objective",
                name=name,
                known=known,
                odd=argument,
            )
    return partial(function, **options) if options else function
