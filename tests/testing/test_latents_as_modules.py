"""The priors and posteriors of every kind of latent are held to what every module is."""

import equinox as eqx
import jax
import pytest

from condvae import CVAE
from condvae.testing import check_conditional
from latents import KINDS, rows

QUICK = {("relaxed", "p_z")}
"""That of the default suite; all are in the slow one."""

MANY_CELLS = {"many-categories"}
"""Of which no box holds enough draws."""


class Part(eqx.Module):
    """A model's prior or posterior, with what it needs of the other."""

    model: CVAE
    name: str = eqx.field(static=True)

    def __call__(self, *inputs):
        return getattr(self.model, self.name)(*inputs)


def cases():
    for kind in KINDS:
        for name in ("p_z", "q_z"):
            marks = () if (kind.name, name) in QUICK else pytest.mark.slow
            yield pytest.param(kind, name, id=f"{kind.name}-{name}", marks=marks)


@pytest.mark.parametrize(("kind", "name"), list(cases()))
def test_every_prior_and_posterior(kind, name):
    x, c = jax.tree.map(lambda leaf: leaf[0], rows(1, kind.has_c))
    inputs = (c,) if name == "p_z" else (x, c)
    outcomes = check_conditional(Part(kind.build(jax.random.key(1)), name), *inputs)
    for check in ("scores", "compiled", "draws", "total", "gradient", "extreme", "saved"):
        excepted = check == "draws" and kind.name in MANY_CELLS
        assert outcomes[check].startswith("not checked" if excepted else "passed"), (check, outcomes)
