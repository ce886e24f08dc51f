"""A whole conditional variational autoencoder on one page: JAX, optax, and nothing else.

From pairs (c, x) it learns p(x | c), all of it and not only its mean, with three small networks,

    prior       p_θ(z | c)       what z may be, before x is seen
    likelihood  p_θ(x | z, c)    what x may be, given z
    posterior   q_φ(z | x, c)    what z probably was, given x: needed to learn and to score

by maximising the conditional ELBO, which falls short of what the data allow by two divergences:

    E ELBO(x, θ, φ | c) = E log p(x | c) − E KL(p(x | c) ‖ p_θ(x | c))           the model's error
                                         − E KL(q_φ(z | x, c) ‖ p_θ(z | x, c))   the inference's

`python examples/minimal.py` trains for a few seconds, prints every term, and draws some samples.
"""

from math import log, pi, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

Z, WIDTH = 2, 64  # dimensions of z, units in a hidden layer; x and c are one number each
ROWS, BATCH, STEPS, LEARNING_RATE = 20_000, 256, 6_000, 3e-3


class Normal(NamedTuple):  # diagonal: log_prob and kl sum over the last axis
    mean: jax.Array
    log_scale: jax.Array


def sample(p, key):  # noise, scaled and moved by p, so that gradients reach p through the draw
    return p.mean + jnp.exp(p.log_scale) * jax.random.normal(key, p.mean.shape)


def log_prob(value, p):
    squares = ((value - p.mean) / jnp.exp(p.log_scale)) ** 2
    return -(0.5 * squares + p.log_scale + 0.5 * log(2 * pi)).sum(-1)


def kl(q, p):
    squares = (jnp.exp(2 * q.log_scale) + (q.mean - p.mean) ** 2) / jnp.exp(2 * p.log_scale)
    return (p.log_scale - q.log_scale + 0.5 * squares - 0.5).sum(-1)


# The truth is a fork: x is near +c three times in four, else near −c. A regression would answer
# c / 2, where x hardly ever is; z is there to say which arm was taken.
def draw_truth(c, key):
    key_arm, key_noise = jax.random.split(key)
    arm = jnp.where(jax.random.bernoulli(key_arm, 0.75, c.shape), c, -c)  # (N, 1)
    return arm + 0.1 * jax.random.normal(key_noise, c.shape)  # (N, 1)


def log_truth(x, c):
    near, far = (log_prob(x, Normal(arm, jnp.log(0.1))) for arm in (c, -c))  # (N,) each
    return jnp.logaddexp(log(0.75) + near, log(0.25) + far)  # (N,)


# One kind of network serves for all three: inputs -> a distribution.
def init_network(key, size_in, size_out):
    sizes = [(size_in, WIDTH), (WIDTH, WIDTH), (WIDTH, 2 * size_out)]
    keys = jax.random.split(key, 3)
    return [(jax.random.normal(keys[i], s) / sqrt(s[0]), jnp.zeros(s[1])) for i, s in enumerate(sizes)]


def normal(network, *inputs):
    h = jnp.concatenate(inputs, -1)  # (B, size_in)
    for w, b in network[:-1]:
        h = jax.nn.silu(h @ w + b)  # (B, WIDTH)
    w, b = network[-1]
    return Normal(*jnp.split(h @ w + b, 2, -1))  # mean and log scale, (B, size_out) each


def elbo(θ, φ, x, c, key):
    q, p = normal(φ["posterior"], x, c), normal(θ["prior"], c)  # over z, (B, Z)
    z = sample(q, key)  # (B, Z)
    # Only the first term needs the draw. In the second the prior, too, is given c.
    return log_prob(x, normal(θ["likelihood"], z, c)) - kl(q, p)  # (B,)


# One draw's weight w = p_θ(z | c) p_θ(x | z, c) / q_φ(z | x, c). Under q the mean of log w is the
# ELBO, and the log of the mean of w is log p_θ(x | c): this is how a trained model scores a row.
def log_weight(θ, φ, x, c, key):
    q, p = normal(φ["posterior"], x, c), normal(θ["prior"], c)  # over z, (N, Z)
    z = sample(q, key)  # (N, Z)
    return log_prob(z, p) + log_prob(x, normal(θ["likelihood"], z, c)) - log_prob(z, q)  # (N,)


@jax.jit  # all of training is one compiled program: Python runs once, and not once a step
def train(x, c, key):
    key, *keys = jax.random.split(key, 4)
    θ = {"prior": init_network(keys[0], 1, Z), "likelihood": init_network(keys[1], Z + 1, 1)}
    φ = {"posterior": init_network(keys[2], 1 + 1, Z)}
    adam = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, STEPS))

    def step(carry, key):
        params, state = carry
        key_rows, key_z = jax.random.split(key)
        rows = jax.random.randint(key_rows, (BATCH,), 0, len(x))  # (BATCH,)
        grads = jax.grad(lambda θφ: -elbo(*θφ, x[rows], c[rows], key_z).mean())(params)
        updates, state = adam.update(grads, state)
        return (optax.apply_updates(params, updates), state), None

    start = (θ, φ), adam.init((θ, φ))
    return jax.lax.scan(step, start, jax.random.split(key, STEPS))[0][0]


if __name__ == "__main__":
    keys = iter(jax.random.split(jax.random.key(0), 9))
    c = jax.random.uniform(next(keys), (ROWS, 1))  # (ROWS, 1)
    θ, φ = train(draw_truth(c, next(keys)), c, next(keys))

    c = jax.random.uniform(next(keys), (5_000, 1))  # (N, 1), rows that training has not seen
    x = draw_truth(c, next(keys))  # (N, 1)
    log_w = jax.lax.map(lambda k: log_weight(θ, φ, x, c, k), jax.random.split(next(keys), 1_000))
    bound, score, truth = log_w.mean(0), jax.nn.logsumexp(log_w, 0) - log(1_000), log_truth(x, c)
    terms = {
        "  E ELBO(x, θ, φ | c)": bound,
        "+ E KL(q_φ(z | x, c) ‖ p_θ(z | x, c))": score - bound,
        "= E log p_θ(x | c)": score,
        "+ E KL(p(x | c) ‖ p_θ(x | c))": truth - score,
        "= E log p(x | c)": truth,
    }
    print(f"{'nats per row, over 5,000 held-out rows':<40}{'mean':>8}{'stderr':>9}")
    for name, value in terms.items():  # value (N,)
        print(f"{name:<40}{value.mean():8.3f}{value.std() / sqrt(len(value)):9.3f}")

    c = jnp.full((20_000, 1), 0.8)
    z = sample(normal(θ["prior"], c), next(keys))  # to draw x: z from the prior, then x given z
    x = sample(normal(θ["likelihood"], z, c), next(keys))
    print("\nx given c = 0.8, from −1.2 to 1.2")
    for name, draws in ("p", draw_truth(c, next(keys))), ("p_θ", x):
        counts = jnp.histogram(draws, 60, (-1.2, 1.2))[0].tolist()
        print(f"{name:<4}" + "".join(" ▁▂▃▄▅▆▇█"[round(8 * n / max(counts))] for n in counts))
