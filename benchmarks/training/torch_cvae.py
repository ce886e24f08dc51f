"""A CVAE and its training as one writes them by hand in PyTorch: eager, data in tensors, fused Adam."""

from itertools import pairwise

import numpy as np
import torch
from protocol import Rows, Size, Weights, serve
from torch import Tensor, nn
from torch.nn import functional


class CVAE(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.is_gaussian = size.likelihood == "gaussian"
        self.prior, self.likelihood, self.posterior = (
            mlp(size.layers[name]) for name in ("prior", "likelihood", "posterior")
        )

    def elbo(self, x: Tensor, c: Tensor) -> Tensor:
        """A row's ELBO from one draw of z, the KL in closed form: (rows,)."""
        prior_mean, prior_log_scale = self.prior(c).chunk(2, -1)
        mean, log_scale = self.posterior(torch.cat([x, c], -1)).chunk(2, -1)
        scale = log_scale.exp()
        z = mean + scale * torch.randn_like(mean)
        out = self.likelihood(torch.cat([z, c], -1))
        kl = kl_normal(mean, log_scale, prior_mean, prior_log_scale)
        return self.log_likelihood(x, out) - kl

    def log_likelihood(self, x: Tensor, out: Tensor) -> Tensor:
        if not self.is_gaussian:
            return -functional.binary_cross_entropy_with_logits(out, x, reduction="none").sum(-1)
        mean, log_scale = out.chunk(2, -1)
        squares = ((x - mean) * (-log_scale).exp()).square()
        return -(0.5 * squares + log_scale + HALF_LOG_TAU).sum(-1)


HALF_LOG_TAU = 0.5 * float(np.log(2 * np.pi))


def kl_normal(mean: Tensor, log_scale: Tensor, other: Tensor, other_log_scale: Tensor) -> Tensor:
    log_ratio = log_scale - other_log_scale
    squares = ((mean - other) * (-other_log_scale).exp()).square()
    return (0.5 * ((2 * log_ratio).exp() + squares - 1) - log_ratio).sum(-1)


def mlp(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def load_weights(model: CVAE, weights: Weights) -> None:
    """Layer i of `weights` is module 2 i of a `Sequential`: activations are in between."""
    state = {}
    for name, value in weights.items():
        network, layer, kind = name.split(".")
        state[f"{network}.{2 * int(layer)}.{kind}"] = torch.from_numpy(value)
    model.load_state_dict(state)


class TorchWorker:
    def __init__(self, size: Size, rows: Rows):
        self.size = size
        self.x, self.c = torch.from_numpy(rows["x"]), torch.from_numpy(rows["c"])
        self.held_out = torch.from_numpy(rows["held_out_x"]), torch.from_numpy(rows["held_out_c"])
        self.versions = f"torch {torch.__version__}"
        self.threads = torch.get_num_threads()

    def reset(self, weights: Weights, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = CVAE(self.size)
        load_weights(self.model, weights)
        lr = self.size.learning_rate
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=lr, fused=True)

    def train(self, steps: int) -> None:
        for _ in range(steps * self.size.batch // self.size.rows):
            for batch in torch.randperm(self.size.rows).split(self.size.batch):
                self.optimiser.zero_grad()
                loss = -self.model.elbo(self.x[batch], self.c[batch]).mean()
                loss.backward()
                self.optimiser.step()

    @torch.no_grad()
    def evaluate(self, num_draws: int) -> np.ndarray:
        draws = [self.model.elbo(*self.held_out) for _ in range(num_draws)]
        return torch.stack(draws).mean(0).numpy()


if __name__ == "__main__":
    serve(TorchWorker)
