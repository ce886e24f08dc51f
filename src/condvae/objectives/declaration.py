"""What an objective declares: its draws, its options, and whether it is of whole batches."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from condvae.model import misfit

Kind = Literal["draws", "doubly", "generalised", "sampled", "wake", "defensive", "dreamt", "from_prior"]
"""The kinds of draws; `condvae.objectives.draws` says what each is."""

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "declaration"
"""The attribute of an objective that holds its declaration."""


class Declaration(NamedTuple):
    """What an objective takes.

    Attributes:
        draws: the kinds of draws that it is called with, in the order of its positional arguments.
        options: the keyword arguments that may be set by name; `kl_warmup` needs `beta` among them.
        of_batches: whether it takes the draws of all rows of a batch, on a leading axis, and returns (B,)
            values, instead of the draws of one row and a scalar.
    """

    draws: tuple[Kind, ...] = ("draws",)
    options: tuple[str, ...] = ()
    of_batches: bool = False


def takes(*draws: Kind, options: tuple[str, ...] = (), of_batches: bool = False) -> Callable[[F], F]:
    """Declare which draws an objective takes: a decorator.

    A function without it takes `draws`, has no options, and is of one row.

    Args:
        *draws: the kind of draws that each positional argument is given.
        options: the names of keyword arguments that may be set from outside. An objective with the option
            `beta` can be warmed up by `fit(kl_warmup=...)`.
        of_batches: whether the objective is of a whole batch: it is given the draws of all rows, on a
            leading axis, and returns a value for each row.

    Raises:
        ValueError: if a kind is none of those that exist, or no kind is given.

    Example:
        >>> from condvae.objectives import takes
        >>> @takes("draws", "from_prior")
        ... def both(draws, from_prior):
        ...     return draws.expectation(draws.log_weights + from_prior.log_likelihood)
        >>> both.declaration.draws
        ('draws', 'from_prior')
        >>> takes("from_piror")
        Traceback (most recent call last):
        ...
        ValueError: there are no draws of the kind 'from_piror': choose from draws, doubly, generalised, \
sampled, wake, defensive, dreamt, from_prior
    """
    kinds = ", ".join(get_args(Kind))
    if not draws:
        raise ValueError(f"an objective takes draws of at least one kind: choose from {kinds}")
    for kind in draws:
        if kind not in get_args(Kind):
            raise ValueError(f"there are no draws of the kind {kind!r}: choose from {kinds}")

    def declare(objective: F) -> F:
        setattr(objective, ATTRIBUTE, Declaration(draws, tuple(options), of_batches))
        return objective

    return declare


def declaration_of(objective: Callable[..., Any]) -> Declaration:
    """What an objective declares, by itself or below some arguments that `functools.partial` sets.

    Raises:
        ValueError: if it cannot be called with the draws that it declares.

    Example:
        >>> from functools import partial
        >>> from condvae.objectives import elbo, renyi
        >>> from condvae.objectives.declaration import declaration_of
        >>> declaration_of(partial(renyi, alpha=0.25))
        Declaration(draws=('draws',), options=('alpha',), of_batches=False)
        >>> declaration_of(lambda draws: elbo(draws))
        Declaration(draws=('draws',), options=(), of_batches=False)
    """
    declared = objective
    while isinstance(declared, partial) and not hasattr(declared, ATTRIBUTE):
        declared = declared.func
    declaration = getattr(declared, ATTRIBUTE, Declaration())
    if problem := misfit(objective, *declaration.draws):
        raise ValueError(
            f"the objective is called with ({', '.join(declaration.draws)}), and cannot be: {problem}; "
            "declare the draws that it takes with the decorator condvae.objectives.takes, of the kinds "
            f"{', '.join(get_args(Kind))}"
        )
    return declaration
