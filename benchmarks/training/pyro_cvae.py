"""The same CVAE in Pyro: a model, a guide, and `SVI` with `TraceMeanField_ELBO`; validation off.

Pyro draws batches and noise in the order in which the PyTorch worker does. From the same seed the two end
with the same ELBO to rounding: the algorithm is the same, and the time is what differs.
"""

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from protocol import Size, Weights, serve
from pyro.infer import SVI, TraceMeanField_ELBO
from torch import Tensor
from torch_cvae import CVAE, TorchWorker, load_weights


class PyroCVAE(CVAE):
    """The networks of the PyTorch model, as a generative program and its inference program."""

    def model(self, x: Tensor, c: Tensor) -> None:
        pyro.module("prior", self.prior)
        pyro.module("likelihood", self.likelihood)
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", normal(self.prior(c)))
            pyro.sample("x", self.over_x(z, c), obs=x)

    def guide(self, x: Tensor, c: Tensor) -> None:
        pyro.module("posterior", self.posterior)
        with pyro.plate("rows", len(x)):
            pyro.sample("z", normal(self.posterior(torch.cat([x, c], -1))))

    def over_x(self, z: Tensor, c: Tensor) -> dist.Distribution:
        out = self.likelihood(torch.cat([z, c], -1))
        return normal(out) if self.is_gaussian else dist.Bernoulli(logits=out).to_event(1)


def normal(out: Tensor) -> dist.Distribution:
    mean, log_scale = out.chunk(2, -1)
    return dist.Normal(mean, log_scale.exp()).to_event(1)


class PyroWorker(TorchWorker):
    """Data, batches and evaluation as in PyTorch; Pyro takes the steps.

    SVI's loss is the batch's sum where the others take its mean: to Adam that is the same.
    """

    def __init__(self, size: Size, rows: dict[str, np.ndarray]):
        super().__init__(size, rows)
        pyro.enable_validation(False)
        self.versions = f"pyro {pyro.__version__}"

    def reset(self, weights: Weights, seed: int) -> None:
        pyro.clear_param_store()
        pyro.set_rng_seed(seed)
        self.model = PyroCVAE(self.size)
        load_weights(self.model, weights)
        adam = pyro.optim.Adam({"lr": self.size.learning_rate})
        self.svi = SVI(self.model.model, self.model.guide, adam, TraceMeanField_ELBO())

    def train(self, steps: int) -> None:
        for _ in range(steps * self.size.batch // self.size.rows):
            for batch in torch.randperm(self.size.rows).split(self.size.batch):
                self.svi.step(self.x[batch], self.c[batch])


if __name__ == "__main__":
    serve(PyroWorker)
