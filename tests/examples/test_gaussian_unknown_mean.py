"""The note's example reaches the numbers that the note and the statistics of its draws give."""

import contextlib
import functools
import importlib.util
import io
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.conditionals import AffineGaussian
from condvae.linear_gaussian import Moments, Truth

OPTIMISED = True  # it trains for long
SCRIPT = Path(__file__).parents[2] / "examples" / "gaussian_unknown_mean.py"
SPEC = importlib.util.spec_from_file_location("gaussian_unknown_mean", SCRIPT)
example = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)


def note(mu_0, sigma_0, sigma):
    """The note's seven optima, as it prints them."""
    total = 1 / sigma_0**2 + 1 / sigma**2
    phi = [1 / sigma**2 / total, 1 / sigma_0**2 / total, mu_0 / sigma_0**2 / total, np.log(1 / total)]
    return np.array([mu_0, 1.0, np.log(sigma**2), *phi])


def simulate(seed, n, mu_0=1.0, sigma_0=1.0, sigma=1.0, c_mean=0.0, c_sd=1.0):
    rng = np.random.default_rng(seed)
    c = rng.normal(c_mean, c_sd, n)
    return rng.normal(rng.normal(mu_0 + c, sigma_0), sigma), c


def distance(fitted, x, c, sigma_0):
    """The largest |fitted − mle| as a share of what is promised: 0.02 or one standard error."""
    mle, stderr = example.maximum_likelihood(x, c, sigma_0)
    return np.max(np.abs(np.array(fitted)[: len(mle)] - mle) / np.maximum(0.02, stderr))


@pytest.mark.usefixtures("x64")
def test_the_population_has_its_maximum_where_the_note_says():
    """Every corner of the promised box, and points inside it, each from a start of its own."""
    rng = np.random.default_rng(0)
    inside = zip(
        rng.uniform(-10, 10, 200),
        10 ** rng.uniform(-1, 1, 200),
        10 ** rng.uniform(-1, 1, 200),
        10 ** rng.uniform(-1, 1, 200),
        strict=True,
    )
    corners = itertools.product((-10.0, 0.0, 10.0), (0.1, 1.0, 10.0), (0.1, 1.0, 10.0), (0.1, 1.0, 10.0))
    points = np.array([*corners, *inside])

    def optimum(point, start):
        mu_0, sigma_0, ratio, c_sd = point
        variance = sigma_0**2 * (1 + ratio**2)
        p_x = AffineGaussian((jnp.eye(1),), mu_0[None], variance[None, None])
        moments = Truth(p_x, jnp.zeros(1), c_sd[None, None] ** 2).moments()
        return example.maximise_expected_elbo(moments, sigma_0, start)

    starts = jax.random.normal(jax.random.key(0), (len(points), 7))
    found = jax.jit(jax.vmap(optimum))(points, starts)
    expected = [note(mu_0, sigma_0, ratio * sigma_0) for mu_0, sigma_0, ratio, _ in points]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_analytic_elbo_of_draws_is_largest_at_their_maximum_likelihood():
    cases = [
        {},
        {"mu_0": 10.0, "sigma": 0.3, "c_sd": 0.1},
        {"mu_0": 10.0, "sigma": 10.0, "c_mean": 5.0, "c_sd": 0.1},
        {"mu_0": -10.0, "sigma_0": 0.1, "sigma": 0.1, "c_sd": 10.0},
        {"sigma_0": 10.0, "sigma": 20.0},
    ]
    for seed, case in enumerate(cases):
        x, c = simulate(seed, 2_000, **case)
        sigma_0 = case.get("sigma_0", 1.0)
        moments = Moments.of_data(x[:, None], c[:, None])
        start = jax.random.normal(jax.random.key(seed), (7,))
        found = example.maximise_expected_elbo(moments, jnp.asarray(sigma_0), start)
        mle, _ = example.maximum_likelihood(x, c, sigma_0)
        np.testing.assert_allclose(found, mle, rtol=0, atol=1e-3)


@pytest.mark.usefixtures("x64")
def test_standard_errors_are_the_spread_of_maximum_likelihood_over_draws():
    settings = {"mu_0": 2.0, "sigma": 1.5, "c_mean": 1.0, "c_sd": 0.5}
    values, errors = zip(
        *(example.maximum_likelihood(*simulate(seed, 1_000, **settings), 1.0) for seed in range(400)),
        strict=True,
    )
    # The spread of 400 values is known to 3.5%.
    np.testing.assert_allclose(np.std(values, axis=0), np.mean(errors, axis=0), rtol=0.12)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the defaults print, as JSON; and the picture they draw."""
    picture = tmp_path_factory.mktemp("picture") / "densities.png"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        example.main(["--json", "--plot", str(picture)])
    return SimpleNamespace(picture=picture, **json.loads(out.getvalue()))


def test_training_reaches_maximum_likelihood(printed):
    for name in example.NAMES:
        tolerance = max(0.02, printed.mle_stderr[name])
        assert abs(printed.fitted[name] - printed.mle[name]) < tolerance, name


def test_the_closed_form_and_the_population_are_printed(printed):
    expected = dict(zip(example.NAMES, note(1.0, 1.0, 1.0), strict=True))
    assert printed.closed_form == pytest.approx(expected, abs=1e-12)
    assert printed.population == pytest.approx(expected, abs=1e-6)


def test_far_from_the_origin_training_is_as_good(capsys):
    """Training and the population's maximum are in standardised units, whatever those of x and c."""
    example.main(["--mu0", "1000", "--json"])
    results = json.loads(capsys.readouterr().out)
    assert 0 < results["nats_below_maximum"] < 1e-4
    expected = dict(zip(example.NAMES, note(1000.0, 1.0, 1.0), strict=True))
    assert results["population"] == pytest.approx(expected, abs=1e-6)
    for name in example.NAMES:
        tolerance = max(0.02, results["mle_stderr"][name])
        assert abs(results["fitted"][name] - results["mle"][name]) < tolerance, name


def test_the_identity_holds_at_the_fitted_parameters(printed):
    terms = printed.identity
    assert set(terms) == {"elbo", "kl_model", "kl_inference", "data_term", "residual"}
    assert abs(terms["residual"]) < 1e-9
    assert terms["elbo"] == pytest.approx(terms["data_term"] - terms["kl_model"] - terms["kl_inference"])
    assert 0 < terms["kl_model"] < 1e-3
    assert 0 <= terms["kl_inference"] < 1e-3


def test_a_picture_is_drawn(printed):
    assert printed.picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_on_the_boundary_there_is_no_maximum_likelihood_and_a_sentence_says_so(capsys, monkeypatch):
    monkeypatch.setattr(example, "train", functools.partial(example.train, num_steps=300))
    arguments = ["--sigma0", "10", "--num-data", "5"]
    example.main([*arguments, "--json"])
    results = json.loads(capsys.readouterr().out)
    for kind in ("mle", "mle_stderr"):
        assert [name for name in example.NAMES if results[kind][name] is None] == example.NAMES[2:]
    assert None not in results["fitted"].values()
    example.main(arguments)
    assert "The maximum lies on the boundary" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sigma0", "0"],
        ["--sigma", "-1"],
        ["--c-sd", "0"],
        ["--mu0", "nan"],
        ["--c-mean", "inf"],
        ["--num-data", "2"],
        ["--num-data", "many"],
        ["--seed", "-1"],
        ["--plot", "picture.docx"],
        ["--plot", "no/such/folder/picture.png"],
    ],
    ids=" ".join,
)
def test_a_bad_argument_is_one_sentence(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        example.main(arguments)
    assert exit.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert arguments[0] in captured.err


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n", [100, 10_000])
@pytest.mark.parametrize(
    "settings",
    [
        {"mu_0": mu_0, "sigma": sigma, "c_sd": c_sd}
        for mu_0, sigma, c_sd in itertools.product((1.0, -10.0), (0.1, 0.3, 10.0), (0.1, 10.0))
    ]
    + [
        {"mu_0": 10.0, "sigma": 10.0, "c_mean": 5.0, "c_sd": 0.1},
        {"mu_0": 10.0, "sigma": 1.0, "c_mean": 5.0, "c_sd": 0.1},
        {"sigma_0": 0.1, "sigma": 1.0},
        {"sigma_0": 10.0, "sigma": 3.0},
        {"mu_0": 1000.0},
        {"mu_0": -1e6, "c_mean": 5000.0},
        {"sigma_0": 1000.0, "sigma": 1000.0},
    ],
    ids=str,
)
def test_training_reaches_maximum_likelihood_at_any_settings(settings, n):
    sigma_0 = settings.get("sigma_0", 1.0)
    x, c = simulate(1, n, **settings)
    model = example.train(x, c, sigma_0, jax.random.key(1))
    assert distance(example.parameters(model), x, c, sigma_0) < 1
