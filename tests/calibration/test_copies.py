import numpy as np
import pytest

from condvae.calibration import copies

STATED = 0.05


def draw(rng, n=200, m=1000, d=5, scale=1.0):
    """Samples, held-out rows and training rows of x = c + noise; pairs share c."""
    c, other = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    noise = rng.normal(size=(2 * n + m, d))
    samples, held_out = scale * (c + noise[:n]), c + noise[n : 2 * n]
    return samples, held_out, other + noise[2 * n :]


def flagged(runs, name):
    return np.mean([getattr(value, name) < STATED for value in runs])


@pytest.mark.parametrize("d", [1, 5])
def test_a_model_that_is_right_is_flagged_no_more_often_than_stated(d):
    runs = [copies(*draw(np.random.default_rng(seed), d=d)) for seed in range(200)]
    stderr = np.sqrt(STATED * (1 - STATED) / 200)
    for name in ("p_value", "copied_p_value"):
        assert flagged(runs, name) < STATED + 2 * stderr
    assert abs(np.mean([value.nearer for value in runs]) - 0.5) < 4 * np.sqrt(0.25 / 200 / 200)
    assert np.mean([value.copied for value in runs]) < 0.03


@pytest.mark.parametrize("d", [1, 5])
def test_copies_are_found_and_counted(d):
    runs = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        samples, held_out, training = draw(rng, d=d)
        copied = rng.random(200) < 0.3
        row = training[rng.integers(0, 1000, 200)] + 1e-6 * rng.normal(size=(200, d))
        samples = np.where(copied[:, None], row, samples)
        runs.append(copies(samples, held_out, training))
    assert flagged(runs, "copied_p_value") > 0.95
    share = np.array([value.copied for value in runs])
    assert abs(share.mean() - 0.3) < 4 * share.std() / np.sqrt(40)
    # The spread over 40 repetitions, known to a ninth.
    assert 0.7 < np.mean([value.copied_stderr for value in runs]) / share.std() < 1.5


def test_all_may_be_copies():
    _, held_out, training = draw(np.random.default_rng(0))
    measured = copies(training[:200], held_out, training)
    assert (measured.copied, measured.samples_below, measured.nearer, measured.distance) == (
        1.0,
        200,
        1.0,
        0.0,
    )
    assert measured.held_out_below < 10
    assert measured.copied_p_value < 1e-50
    assert measured.pairs == 200


@pytest.mark.parametrize(("d", "most"), [(2, STATED), (5, STATED), (15, 0.15)])
def test_a_narrow_model_is_nearer_but_copies_nothing(d, most):
    # In many dimensions rows are not uniform between neighbours, and a few more are flagged than stated.
    runs = [copies(*draw(np.random.default_rng(seed), d=d, scale=0.7)) for seed in range(100)]
    assert flagged(runs, "p_value") > 0.7
    assert flagged(runs, "copied_p_value") < most + 2 * np.sqrt(most * (1 - most) / 100)
    assert np.mean([value.copied for value in runs]) < 0.03


def test_distances_and_ratios_are_those_of_the_definition():
    training = np.array([[0.0], [1.0], [5.0]])
    samples, held_out = np.full((20, 1), 0.1), np.full((20, 1), 3.5)
    held_out[:5] = 0.1  # ties
    measured = copies(samples, held_out, training)
    assert measured.nearer == 15 / 20 + 0.5 * 5 / 20
    np.testing.assert_allclose(measured.stderr, np.std([1.0] * 15 + [0.5] * 5, ddof=1) / np.sqrt(20))
    np.testing.assert_allclose(measured.p_value, 0.5**15)
    np.testing.assert_allclose((measured.distance, measured.held_out_distance), (0.1, 1.5))
    # Ratios 1 / 9 and 1.5 / 2.5.
    assert (measured.samples_below, measured.held_out_below) == (20, 5)
    np.testing.assert_allclose(measured.copied_p_value, 0.5**15)
    assert measured.copied == 1.0
    assert copies(held_out, samples, training).copied == 0


@pytest.mark.parametrize("kind", ["one row", "categories", "all training rows"])
def test_where_all_distances_are_zero_nothing_is_claimed(kind):
    rng = np.random.default_rng(1)
    samples, held_out, training = (np.eye(4)[rng.integers(0, 4, n)] for n in (100, 100, 500))
    if kind == "one row":
        samples, held_out, training = np.ones((100, 3)), np.ones((100, 3)), np.ones((50, 3))
    elif kind == "all training rows":
        training = rng.normal(size=(100, 3))
        samples, held_out = training, training[::-1]
    measured = copies(samples, held_out, training)
    assert (measured.nearer, measured.p_value, measured.copied_p_value, measured.copied) == (
        0.5,
        1.0,
        1.0,
        0.0,
    )


def test_a_value_that_recurs_is_no_copy():
    # A model of categories that are all too sure: its samples are values that many training rows have.
    rng = np.random.default_rng(2)

    def rows(n, sure):
        return np.where(rng.random((n, 8)) < sure, 0.0, 1.0)

    measured = copies(rows(400, 0.9), rows(400, 0.7), rows(1000, 0.7))
    assert measured.p_value < 1e-6
    assert measured.copied_p_value > STATED
    # Copies with an error of rows that are in the table twice are found all the same.
    samples, held_out, training = draw(rng)
    samples[:60] = training[:60] + 1e-6
    np.testing.assert_allclose(
        copies(samples, held_out, np.repeat(training, 2, axis=0)).copied, 0.3, atol=0.08
    )


def test_of_many_training_rows_a_part_is_used():
    rng = np.random.default_rng(3)
    samples, held_out, training = draw(rng, n=400, m=3000)
    samples[:] = training[:400]
    assert copies(samples, held_out, training).copied == 1.0
    part = copies(samples, held_out, training, max_training=1500)
    assert abs(part.copied - 0.5) < 4 * np.sqrt(0.25 / 400)
    assert part == copies(samples, held_out, training, max_training=1500)
    assert part != copies(samples, held_out, training, max_training=1500, seed=1)


GOOD = np.zeros((20, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: copies(GOOD, np.zeros((21, 2)), GOOD), r"expected \[n, d\], \[n, d\] and \[m, d\]"),
        (lambda: copies(GOOD, GOOD, np.zeros((9, 3))), r"expected \[n, d\], \[n, d\] and \[m, d\]"),
        (
            lambda: copies(GOOD[:19], GOOD[:19], GOOD),
            "there are 19 pairs and 20 training rows of 2 columns",
        ),
        (lambda: copies(GOOD, GOOD, GOOD[:1]), "at least 20 pairs, 2 rows and 1 column"),
        (lambda: copies(GOOD, GOOD, np.full((9, 2), np.nan)), "not finite"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
