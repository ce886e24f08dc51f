"""The CVAE in condvae as its user writes it: a ready-made model, trained by `fit`."""

import os

import equinox as eqx
import jax
import numpy as np
import optax
from protocol import Rows, Size, Weights, serve

import condvae
from condvae.architectures import mlp_cvae


class CondvaeWorker:
    def __init__(self, size: Size, rows: Rows):
        self.size, self.rows = size, rows
        self.optimiser = optax.adam(size.learning_rate)  # one object, so that `fit` compiles once
        self.versions = f"condvae {condvae.__version__} on jax {jax.__version__}"
        self.threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def reset(self, weights: Weights, seed: int) -> None:
        self.fit_key, self.noise_key = jax.random.split(jax.random.key(seed))
        model = mlp_cvae(
            self.rows["x"],
            self.rows["c"],
            latent_size=self.size.z,
            width=self.size.width,
            depth=self.size.depth,
            likelihood=self.size.likelihood,
            key=self.fit_key,
        )
        self.model = eqx.tree_at(parameters, model, [weights[name] for name in names(self.size)])

    def train(self, steps: int) -> None:
        fitted = condvae.fit(
            self.model,
            self.rows["x"],
            self.rows["c"],
            key=self.fit_key,
            num_steps=steps,
            batch_size=self.size.batch,
            optimiser=self.optimiser,
            validation=0.0,
            progress=False,
        )
        self.model = jax.block_until_ready(fitted.model)

    def evaluate(self, num_draws: int) -> np.ndarray:
        x, c = self.rows["held_out_x"], self.rows["held_out_c"]
        keys = jax.random.split(self.noise_key, len(x))
        return np.asarray(elbos(self.model, x, c, keys, num_draws))


@eqx.filter_jit
def elbos(model: condvae.CVAE, x: jax.Array, c: jax.Array, keys: jax.Array, num_draws: int):
    def one(x, c, key):
        return condvae.elbo(model.draws(x, c, key=key, num_samples=num_draws))

    return jax.lax.map(lambda row: one(*row), (x, c, keys), batch_size=256)


def names(size: Size) -> list[str]:
    """Names of the weights, in the order of `parameters`."""
    return [
        f"{network}.{layer}.{kind}"
        for network, sizes in size.layers.items()
        for layer in range(len(sizes) - 1)
        for kind in ("weight", "bias")
    ]


def parameters(model: condvae.CVAE) -> list[jax.Array]:
    """Weights and biases of the three networks, the layer in the head last."""

    def is_linear(node) -> bool:
        return isinstance(node, eqx.nn.Linear)

    networks = [model.prior, model.likelihood, model.posterior]
    layers = filter(is_linear, jax.tree.leaves(networks, is_leaf=is_linear))
    return [array for layer in layers for array in (layer.weight, layer.bias)]


if __name__ == "__main__":
    serve(CondvaeWorker)
