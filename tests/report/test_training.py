import shlex
from types import SimpleNamespace

from typer.main import get_command

from condvae.cli.program import app
from condvae.estimator import ConditionalVAE
from condvae.report import training


def trained(given, target, **parameters):
    """As a report sees it: columns, a seed, no model."""
    estimator = ConditionalVAE(**parameters)
    given, target = ([SimpleNamespace(name=name) for name in names] for names in (given, target))
    estimator.schema_, estimator.seed_ = SimpleNamespace(given=given, target=target), 3
    return estimator


def test_what_is_shown_trains_it_again():
    python, line = training.code(trained(["a b", "c"], ["y"], num_members=2, test_fraction=0.2), "model")
    made = python.splitlines()
    again = eval(made[0].removeprefix("model = "), {"ConditionalVAE": ConditionalVAE})
    assert (
        again.get_params() == ConditionalVAE(num_members=2, test_fraction=0.2, random_state=3).get_params()
    )
    assert made[1] == "model.fit(table[['a b', 'c']], table[['y']])"
    words = shlex.split(line)
    assert words[:3] == ["condvae", "fit", "TABLE"]
    options = {
        "--given": "a b,c",
        "--target": "y",
        "--members": "2",
        "--test-fraction": "0.2",
        "--seed": "3",
    }
    assert dict(zip(words[3::2], words[4::2], strict=True)) == options | {"--out": "model"}


def test_likelihoods_and_what_was_maximised_are_options_too():
    parameters = {"likelihoods": {"a b": "poisson"}, "objective": "renyi(alpha=0.5)", "num_samples": 4}
    _, line = training.code(trained(["c"], ["a b"], **parameters), "model")
    words = shlex.split(line)
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--likelihood"] == "a b=poisson"
    assert (options["--objective"], options["--num-samples"]) == ("renyi(alpha=0.5)", "4")


def test_the_command_line_is_left_out_where_it_has_no_such_option():
    (python,) = training.code(trained([], ["y"], free_bits=0.5), "model")
    assert "free_bits=0.5" in python
    assert "model.fit(None, table[['y']])" in python


def test_the_command_line_has_these_options():
    fit = get_command(app).commands["fit"]
    assert set(training.OPTIONS.values()) <= {option for one in fit.params for option in one.opts}


def test_words_and_settings():
    estimator = trained([], ["y"], width=32)
    estimator.settings_ = SimpleNamespace(_asdict=lambda: {"width": 32, "batch_size": 64})
    estimator.num_rows_, estimator.num_parameters_ = 1234, 56789
    estimator.notes_ = ["2 rows were left out"]
    estimator.history_ = SimpleNamespace(records=[{"step": 500, "seconds": 3.4}], notes=[])
    estimator.provenance_ = {"created": "today", "condvae": "9", "jax": "8", "python": "7"}
    said = training.words(estimator)
    assert said.startswith(
        "From 1,234 rows, in 500 steps and 3 seconds; 56,789 parameters. Made today by condvae 9"
    )
    assert said.endswith("2 rows were left out.")
    rows = dict(training.settings(estimator).rows)
    assert (rows["width"], rows["batch_size"], rows["random_state"]) == ("32", "64", "3")
    assert "progress" not in rows
