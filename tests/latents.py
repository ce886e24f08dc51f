"""Every kind of latent, in one list, of which each is tested alike. To add one, add a line."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from condvae import CVAE, Observed
from condvae.architectures import mlp_cvae
from condvae.conditionals import Conditional, Hierarchy, OneHotInput, StandardNormal
from condvae.heads import (
    CategoricalHead,
    GaussianHead,
    GaussianMixtureHead,
    Head,
    ProductHead,
    RelaxedCategoricalHead,
)
from condvae.networks import MLP, Features

X_SIZE, C_SIZE, Z_SIZE, WIDTH = 3, 2, 2, 6
NOISE = 0.6

REALS = "annealing moves the latent through all real numbers, which this one does not range over"
NO_MEAN = "this latent's mean has no closed form: pass key="
NO_PATH = "differentiates along the path of the draws, and this posterior's draws have none"
NO_WHOLE_PATH = "follow every draw along its path, and this posterior's draws have none, or one in part"
NO_GRADIENT = "needs draws that carry gradients, and this (posterior|prior)'s do not: use a reparameteri"
NO_NOISE = r"this\s+prior cannot say of which noise a draw was made: use doubly_reparameterised"
NO_DISTANCE = "compares z by distances, along which gradients go, and this (posterior|prior)'s draws are"

IN_PART = dict.fromkeys(("doubly_reparameterised", "generalised_doubly_reparameterised"), NO_WHOLE_PATH)
"""What those refuse whose draws have no path, or one in part."""


class Kind(NamedTuple):
    """A kind of latent: how to build a model, what it refuses, in which words; what it is trained by."""

    name: str
    build: Callable[[jax.Array], CVAE]
    refuses: dict[str, str] = {}  # noqa: RUF012
    has_c: bool = True
    taught_by: str = "doubly_reparameterised"


def rows(n: int, has_c: bool = True, seed: int = 0) -> tuple[Observed, jax.Array | None]:
    """x with some cells missing, and c."""
    x_key, c_key, mask_key = jax.random.split(jax.random.key(seed), 3)
    mask = jax.random.bernoulli(mask_key, 0.8, (n, X_SIZE))
    x = Observed(jnp.where(mask, 1.5 * jax.random.normal(x_key, (n, X_SIZE)), 0.0), mask)
    return x, jax.random.normal(c_key, (n, C_SIZE)) if has_c else None


def by_name(prior: str, posterior: str, has_c: bool = True, **options: Any) -> Callable[[jax.Array], CVAE]:
    """What `mlp_cvae` makes of two names; the decoder listens to z."""

    def build(key: jax.Array) -> CVAE:
        x, c = rows(4, has_c)
        model = mlp_cvae(
            x,
            c,
            latent_size=Z_SIZE,
            width=WIDTH,
            depth=1,
            scale=NOISE,
            prior=prior,
            posterior=posterior,
            num_components=3,
            **options,
            key=key,
        )
        weights = [
            model.likelihood.head.parameters.linear.weight,
            model.likelihood.network.layers[0].weight,
        ]
        return eqx.tree_at(
            lambda m: [m.likelihood.head.parameters.linear.weight, m.likelihood.network.layers[0].weight],
            model,
            [3.0 * weight for weight in weights],
        )

    return build


def conditional(head: Callable[..., Head], *inputs: Any, levels: tuple = (), key: jax.Array) -> Conditional:
    body_key, head_key = jax.random.split(key)
    features = Features(levels)
    body = MLP(features.size(inputs), width=WIDTH, depth=1, key=body_key)
    return Conditional(features, body, head(WIDTH, key=head_key))


def of_heads(
    prior: Callable[..., Head],
    posterior: Callable[..., Head],
    levels: tuple = (),
    wrap: Callable = lambda part: part,
    shown: Any = None,
) -> Callable[[jax.Array], CVAE]:
    """A prior and a posterior of such heads; `levels` of z, and what the decoder sees of it."""

    def build(key: jax.Array) -> CVAE:
        keys = jax.random.split(key, 3)
        x, c = jax.tree.map(lambda leaf: leaf[0], rows(1))
        prior_module = conditional(prior, c, key=keys[0])
        z = prior_module(c).sample(key) if shown is None else shown
        decoder = conditional(observation, z, c, levels=levels, key=keys[1])
        decoder = eqx.tree_at(
            lambda m: m.head.parameters.linear.weight, decoder, 3.0 * decoder.head.parameters.linear.weight
        )
        return CVAE(prior_module, wrap(decoder), conditional(posterior, x, c, key=keys[2]))

    return build


def observation(size: int, *, key: jax.Array) -> Head:
    return GaussianHead(size, (X_SIZE,), scale=NOISE, key=key)


def gaussian(size: int, *, key: jax.Array) -> Head:
    return GaussianHead(size, (Z_SIZE,), key=key)


def mixture(size: int, *, key: jax.Array) -> Head:
    return GaussianMixtureHead(size, Z_SIZE, components=3, key=key)


def categorical(size: int, *, key: jax.Array) -> Head:
    return CategoricalHead(size, (3, 2), key=key)


def coins(size: int, *, key: jax.Array) -> Head:
    return CategoricalHead(size, (2,) * 13, key=key)


def relaxed(size: int, *, key: jax.Array) -> Head:
    return RelaxedCategoricalHead(size, 1, 3, key=key)


def both(size: int, *, key: jax.Array) -> Head:
    k, u = jax.random.split(key)
    return ProductHead({"k": CategoricalHead(size, (3,), key=k), "u": GaussianHead(size, (1,), key=u)})


def categories_above(key: jax.Array) -> CVAE:
    """z = (k, u): categories, and Gaussians given them, in prior and posterior."""
    keys = jax.random.split(key, 5)
    x, c = jax.tree.map(lambda leaf: leaf[0], rows(1))
    k, u = jnp.zeros(1, int), jnp.zeros(Z_SIZE)

    def category(size: int, *, key: jax.Array) -> Head:
        return CategoricalHead(size, (3,), key=key)

    def layered(top_key: jax.Array, lower_key: jax.Array, *inputs: Any) -> Hierarchy:
        top = conditional(category, *inputs, key=top_key)
        return Hierarchy((top, conditional(gaussian, (k,), *inputs, levels=(3,), key=lower_key)))

    decoder = conditional(observation, (k, u), c, levels=(3,), key=keys[4])
    return CVAE(layered(keys[0], keys[1], c), decoder, layered(keys[2], keys[3], x, c))


def plain_mixture_posterior(key: jax.Array) -> CVAE:
    """Without c: Normal(0, 1) as prior, a mixture as posterior."""
    keys = jax.random.split(key, 2)
    x = jax.tree.map(lambda leaf: leaf[0], rows(1)[0])
    decoder = conditional(observation, jnp.zeros(Z_SIZE), None, key=keys[0])
    return CVAE(StandardNormal((Z_SIZE,)), decoder, conditional(mixture, x, None, key=keys[1]))


LAYERED = {"mean": NO_MEAN}
PARTLY = {"anneal": REALS, "mean": NO_MEAN, "info_vae": NO_DISTANCE, **IN_PART}
NOT_RETRACED = {"generalised_doubly_reparameterised": NO_NOISE}
KINDS = [
    Kind("diagonal", by_name("learned", "network")),
    Kind("full", by_name("learned", "full")),
    Kind("flow", by_name("learned", "flow"), {"mean": NO_MEAN}),
    Kind("coupling-flow", by_name("learned", "flow", flow="coupling"), {"mean": NO_MEAN}),
    Kind("correction", by_name("learned", "correction")),
    Kind("mixture-prior", by_name("mixture", "network"), NOT_RETRACED),
    Kind("flow-prior", by_name("flow", "full")),
    Kind("coupling-flow-prior", by_name("flow", "full", flow="coupling")),
    Kind("vamp", by_name("vamp", "network"), NOT_RETRACED),
    Kind("vamp-full", by_name("vamp", "full"), NOT_RETRACED),
    Kind("ladder", by_name("learned", "ladder"), LAYERED),
    Kind("four-layers", by_name("learned", "ladder", num_layers=4), LAYERED),
    Kind("plain-mixture-prior", by_name("mixture", "network", False), NOT_RETRACED, has_c=False),
    Kind("plain-flow-prior", by_name("flow", "flow", False), {"mean": NO_MEAN}, has_c=False),
    Kind("plain-vamp", by_name("vamp", "network", False), NOT_RETRACED, has_c=False),
    Kind("plain-ladder", by_name("learned", "ladder", False), LAYERED, has_c=False),
    Kind("mixture-posterior", of_heads(gaussian, mixture), IN_PART, taught_by="iwae"),
    Kind("plain-mixture-posterior", plain_mixture_posterior, IN_PART, has_c=False, taught_by="iwae"),
    Kind(
        "relaxed",
        of_heads(relaxed, relaxed, wrap=OneHotInput, shown=jnp.zeros((1, 3))),
        NOT_RETRACED,
    ),
    Kind(
        "categories",
        of_heads(categorical, categorical, levels=(3, 2)),
        {"sticking_the_landing": NO_PATH, "mean": NO_MEAN, "info_vae": NO_DISTANCE, **IN_PART},
        taught_by="iwae",
    ),
    Kind(
        "many-categories",
        of_heads(coins, coins, levels=(2,) * 13),
        {
            **dict.fromkeys(
                ("elbo", "iwae", "renyi", "gaussian_stochastic_network", "hybrid"), NO_GRADIENT
            ),
            **dict.fromkeys(("bound", "fit", "gaps", "decompose"), NO_GRADIENT),
            **IN_PART,
            "info_vae": NO_DISTANCE,
            "sticking_the_landing": NO_PATH,
            "anneal": REALS,
            "mean": NO_MEAN,
        },
        taught_by="vimco",
    ),
    Kind("beside", of_heads(both, both, levels=(3,)), PARTLY, taught_by="iwae"),
    Kind("above", categories_above, PARTLY, taught_by="iwae"),
]
"""Those named "plain" have no c."""


def truth(model: CVAE, x: Observed, c: Any, draws: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """log p(x | c) by draws from the prior and the likelihood written out, and its standard error."""

    @eqx.filter_jit
    def one(x: Observed, c: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        prior = model.p_z(c)

        def score(key: jax.Array) -> jax.Array:
            mean = model.p_x(prior.sample(key), c).mean()
            cells = -0.5 * ((x.value - mean) / NOISE) ** 2 - jnp.log(NOISE) - 0.5 * jnp.log(2 * jnp.pi)
            return jnp.sum(jnp.where(x.mask, cells, 0.0))

        scores = jax.lax.map(score, jax.random.split(key, draws), batch_size=4000)
        weights = jnp.exp(scores - scores.max())
        return jnp.log(weights.mean()) + scores.max(), weights.std() / weights.mean() / draws**0.5

    keys = jax.random.split(jax.random.key(77), len(x.value))
    estimates = [
        one(jax.tree.map(lambda leaf, i=i: leaf[i], x), None if c is None else c[i], k)
        for i, k in enumerate(keys)
    ]
    value, stderr = zip(*estimates, strict=True)
    return np.array(value), np.array(stderr)
