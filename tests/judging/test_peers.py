import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from condvae.judging import peers
from condvae.table_models.model import TableModel
from condvae.tables import Likelihood
from judging.stand_in import rows_of


def table(n, seed, targets=1):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"dose": rng.normal(size=n), "site": rng.choice(["a", "b"], n)})
    y = {f"y{j}": 3 * X["dose"] + 2 * rng.normal(size=n) for j in range(targets)}
    rows = rows_of(X, pd.DataFrame(y))
    rows.model.in_column_units = lambda value, x: TableModel.in_column_units(rows.model, value, x)
    return rows


def pair(targets=1, n=400):
    """Rows, and others trained on, before one model."""
    rows, training = table(200, 1, targets), table(n, 0, targets)
    return type(rows)(training.model, rows.x, rows.c, rows.number), training


class Linear:
    """A stand-in for a package: least squares."""

    def __init__(self, **_):
        pass

    def fit(self, c, x):
        self.weights, *_ = np.linalg.lstsq(c, x, rcond=None)
        self.scale = np.std(x - c @ self.weights)
        self.covariance = np.cov((x - c @ self.weights).T)
        return self

    def pred_dist(self, c):
        if self.covariance.ndim:
            return SimpleNamespace(loc=c @ self.weights, cov=np.tile(self.covariance, (len(c), 1, 1)))
        return stats.norm(c @ self.weights, self.scale)

    def sample(self, c, n_samples, seed, n_parallel):
        noise = np.random.default_rng(seed).normal(size=(n_samples, len(c)))
        return c @ self.weights + self.scale * noise


@pytest.fixture
def installed(monkeypatch):
    """NGBoost and Treeffuser, stood in for; no flow."""
    for name, kind in (("ngboost", "NGBRegressor"), ("treeffuser", "Treeffuser")):
        module = ModuleType(name)
        setattr(module, kind, Linear)
        monkeypatch.setitem(sys.modules, name, module)
    distributions = ModuleType("ngboost.distns")
    distributions.Normal, distributions.MultivariateNormal = None, lambda d: d  # pyright: ignore
    monkeypatch.setitem(sys.modules, "ngboost.distns", distributions)
    monkeypatch.setitem(sys.modules, "flowjax.flows", None)


def test_densities_are_in_the_tables_own_units(installed):
    rows, training = pair()
    by_peer = dict(peers.peers(rows, training))
    assert list(by_peer) == ["NGBoost", "Treeffuser"]
    c = rows.c["numeric"].value[:, 0] * rows.model.schema.given[0].sd + rows.model.schema.given[0].mean
    sd, mean = rows.model.numeric[0].sd, rows.model.numeric[0].mean
    truth = stats.norm.logpdf(rows.x["numeric"].value[:, 0] * sd + mean, 3 * c, 2)
    assert abs(by_peer["NGBoost"].mean() - truth.mean()) < 0.1  # the scales of both tables differ a little
    assert abs(by_peer["Treeffuser"].mean() - by_peer["NGBoost"].mean()) < 0.05


def test_universal_targets_are_taken_by_their_normal_scores(installed):
    rows, training = pair()
    plain = dict(peers.peers(rows, training))["NGBoost"]
    y = training.model.to_units(training.x["numeric"].value)
    schema = rows.model.schema.with_likelihoods(
        pa.table({"y0": y[:, 0]}), given=pa.table({"dose": y[:, 0], "site": ["a", "b"] * (len(y) // 2)})
    )
    rows.model.schema = schema
    assert schema.target[0].universal is not None
    log_prob = dict(peers.peers(rows, training))["NGBoost"]
    assert abs(log_prob.mean() - plain.mean()) < 0.1  # they are Gaussian as they are


def whole_numbers():
    """Rows recorded to whole numbers, and the log of the probability of a unit."""
    rows, training = pair()
    column = rows.model.schema.target[0]
    whole = replace(column, likelihood=Likelihood("rounded_gaussian", step=1.0))
    schema = replace(rows.model.schema, target=(whole,))
    block = rows.x["numeric"].value
    block[:] = (np.rint(block * column.sd + column.mean) - column.mean) / column.sd
    rows.model.schema = schema
    c = rows.c["numeric"].value[:, 0] * schema.given[0].sd + schema.given[0].mean
    x = np.rint(block[:, 0] * column.sd + column.mean)
    return rows, training, np.log(stats.norm.cdf(x + 0.5, 3 * c, 2) - stats.norm.cdf(x - 0.5, 3 * c, 2))


def test_cells_that_stand_for_an_interval_get_its_mass(installed):
    rows, training, truth = whole_numbers()
    by_peer = dict(peers.peers(rows, training))
    assert list(by_peer) == ["NGBoost", "Treeffuser"]
    assert abs(by_peer["NGBoost"].mean() - truth.mean()) < 0.1
    assert abs(by_peer["Treeffuser"].mean() - by_peer["NGBoost"].mean()) < 0.05


def test_two_targets_have_a_covariance_and_go_to_what_takes_two(installed):
    rows, training = pair(targets=2)
    ((name, value),) = peers.peers(rows, training)
    assert name == "NGBoost"
    c = rows.c["numeric"].value[:, 0] * rows.model.schema.given[0].sd + rows.model.schema.given[0].mean
    x = rows.model.to_units(rows.x["numeric"].value)
    truth = stats.norm.logpdf(x, 3 * c[:, None], 2).sum(axis=1)  # independent, which is learned
    assert abs(value.mean() - truth.mean()) < 0.2


@pytest.mark.parametrize("targets", [1, 2])
def test_trees_are_a_chain_and_of_several_targets_joined_by_a_copula(targets):
    rows, training = pair(targets)
    by_peer = dict(peers.trees(rows, training))
    assert list(by_peer) == ["trees", "copula"][:targets]
    entropy = targets * stats.norm(0, 2).entropy()
    assert all(-0.3 * targets < value.mean() + entropy < 0.1 * targets for value in by_peer.values())


def test_holes_and_categories_are_for_none_of_them(installed):
    rows, training = pair()
    training.x["numeric"].mask[0] = False
    assert list(peers.peers(rows, training)) == []
    rows, training = pair()
    whole = dict(peers.peers(rows, training))
    rows.x["numeric"].mask[3] = False
    by_peer = dict(peers.peers(rows, training))
    assert all((np.isnan(value) == (np.arange(len(value)) == 3)).all() for value in by_peer.values())
    np.testing.assert_allclose(np.delete(by_peer["NGBoost"], 3), np.delete(whole["NGBoost"], 3))
    rows, training = pair()
    training.model.categorical = [None]
    assert list(peers.peers(rows, training)) == []


def test_what_is_not_installed_is_left_out(monkeypatch):
    for name in ("ngboost", "treeffuser", "flowjax.flows"):
        monkeypatch.setitem(sys.modules, name, None)
    assert list(peers.peers(*pair())) == []


def test_the_mass_of_a_cell_is_the_mean_of_a_density_over_it():
    x, cells = np.zeros((3, 2)), (np.array([[-1.0, 0.0]] * 3), np.array([[2.0, 0.0]] * 3))
    parts = []
    for seed in range(2000):
        at, log_weight = peers._within(x, cells, seed)
        parts.append(stats.norm.pdf(at, 0.5, 0.7).prod(axis=1) * np.exp(log_weight))
        assert ((at[:, 0] > -1) & (at[:, 0] < 2)).all() and (at[:, 1] == 0).all()
    exact = np.ptp(stats.norm.cdf([-1, 2], 0.5, 0.7)) * stats.norm.pdf(0, 0.5, 0.7)
    np.testing.assert_allclose(np.mean(parts, axis=0), exact, rtol=0.1)


@pytest.mark.slow
def test_a_flow_of_whole_numbers(monkeypatch):
    for name in ("ngboost", "treeffuser"):
        monkeypatch.setitem(sys.modules, name, None)
    rows, training, truth = whole_numbers()
    ((name, value),) = peers.peers(rows, training)
    assert name == "a flow"
    assert abs(value.mean() - truth.mean()) < 0.15


@pytest.mark.slow
def test_a_flow(monkeypatch):
    for name in ("ngboost", "treeffuser"):
        monkeypatch.setitem(sys.modules, name, None)
    rows, training = pair(targets=2)
    ((name, value),) = peers.peers(rows, training)
    assert name == "a flow"
    assert abs(value.mean() - 2 * stats.norm(0, 2).entropy() * -1) < 0.3
