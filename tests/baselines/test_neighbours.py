from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.stats import norm

from condvae import Observed
from condvae.baselines import Neighbours, blocks, design_matrix, fit_baseline, fit_neighbours
from condvae.baselines.region import Support, reference_rows
from condvae.calibration import mean_stderr


def numeric(value, mask=None):
    mask = np.ones(np.shape(value), bool) if mask is None else np.asarray(mask, bool)
    return {"numeric": Observed(np.where(mask, value, 0).astype(np.float32), mask)}


def categorical(codes, mask=None):
    codes = np.reshape(codes, (len(codes), -1))
    mask = np.ones(codes.shape, bool) if mask is None else np.asarray(mask, bool)
    return {"categorical": Observed(np.where(mask, codes, 0).astype(np.int32), mask)}


def fit(features, x, x_levels=()):
    """The support of all the rows, and the neighbours of those that it keeps."""
    support, rows = Support.fit(features), reference_rows(len(features))
    kept = {name: Observed(block.value[rows], block.mask[rows]) for name, block in x.items()}
    return support, fit_neighbours(support, kept, x_levels=x_levels)


# Conditions 0, 1, 5 and 6, and a support that keeps them in this order; the third row lacks its number and
# its second category.
FEATURES = np.array([[0.0], [1.0], [5.0], [6.0]], np.float32)
SUPPORT = replace(Support.fit(FEATURES), reference=FEATURES)
HAND = Neighbours(
    numeric=np.array([[0.0, 1.0], [2.0, 1.5], [0.0, -1.0], [4.0, 0.0]], np.float32),
    numeric_mask=np.array([[1, 1], [1, 1], [0, 1], [1, 1]], bool),
    codes=np.array([[0, 1], [1, 1], [2, 0], [0, 0]], np.int32),
    codes_mask=np.array([[1, 1], [1, 1], [1, 0], [1, 1]], bool),
    mean=np.array([2.0, 0.5]),
    scale=np.array([1.5, 1.0]),
    share=np.array([0.5, 0.3, 0.2, 0.4, 0.6]),
    x_levels=np.array([3, 2]),
    bandwidth=np.array([0.5, 0.8]),
    count=2,
    smoothing=0.1,
    marginal_weight=0.05,
)


def by_hand(near, x, codes):
    """p of the formula, cell by cell; None is a cell that is missing."""
    shares = (HAND.share[:3], HAND.share[3:])
    far, kernels = 1.0, []
    for j, value in enumerate(x):
        far *= 1 if value is None else norm(HAND.mean[j], 2 * HAND.scale[j]).pdf(value)
    for column, code in enumerate(codes):
        far *= 1 if code is None else shares[column][code]
    for i in near:
        kernel = 1.0
        for j, value in enumerate(x):
            if value is not None and HAND.numeric_mask[i, j]:
                kernel *= norm(HAND.numeric[i, j], HAND.bandwidth[j]).pdf(value)
            elif value is not None:
                kernel *= norm(HAND.mean[j], HAND.scale[j]).pdf(value)
        for column, code in enumerate(codes):
            if code is not None and HAND.codes_mask[i, column]:
                kernel *= 0.9 * (code == HAND.codes[i, column]) + 0.1 * shares[column][code]
            elif code is not None:
                kernel *= shares[column][code]
        kernels.append(kernel)
    return 0.05 * far + 0.95 * np.mean(kernels)


def hand_block(x, codes):
    seen = [[value is not None for value in row] for row in x]
    told = [[code is not None for code in row] for row in codes]
    values = [[0.0 if value is None else value for value in row] for row in x]
    levels = [[0 if code is None else code for code in row] for row in codes]
    return numeric(np.array(values), seen) | categorical(np.array(levels), told)


def test_the_density_is_that_of_the_formula():
    x = [(0.3, 1.2), (None, 0.0), (3.0, None), (None, None), (None, None)]
    codes = [(0, 1), (2, 0), (None, 1), (1, None), (None, None)]
    for c, near in ((0.4, (0, 1)), (5.3, (2, 3)), (2.9, (1, 2))):
        log_prob = HAND.log_prob(SUPPORT, np.full((5, 1), c), hand_block(x, codes))
        expected = [np.log(by_hand(near, *row)) for row in zip(x, codes, strict=True)]
        np.testing.assert_allclose(log_prob, expected, rtol=1e-6, atol=1e-12)
        assert log_prob[-1] == 0


@pytest.mark.parametrize("c", [0.4, 5.4])
def test_a_missing_cell_is_integrated_out_and_the_whole_is_one(c):
    grid = np.linspace(-25, 25, 4001)
    step, n = grid[1] - grid[0], len(grid)
    at = np.full((n, 1), c)

    def total(x, codes):
        return np.exp(HAND.log_prob(SUPPORT, at, hand_block(x, codes))).sum() * step

    def exact(x, codes):
        return np.exp(HAND.log_prob(SUPPORT, at[:1], hand_block([x], [codes])))[0]

    # A number given the rest; a category given the rest; and everything.
    density = total([(value, 1.2) for value in grid], [(0, None)] * n)
    np.testing.assert_allclose(density, exact((None, 1.2), (0, None)), rtol=1e-6)
    density = sum(exact((0.5, 1.2), (code, 1)) for code in range(3))
    np.testing.assert_allclose(density, exact((0.5, 1.2), (None, 1)), rtol=1e-6)
    pairs = [(k, m) for k in range(3) for m in range(2)]
    density = sum(total([(value, None) for value in grid], [pair] * n) for pair in pairs)
    np.testing.assert_allclose(density, 1.0, rtol=1e-6)
    coarse = grid[::40]
    x = [(a, b) for a in coarse for b in coarse]
    density = np.exp(
        HAND.log_prob(SUPPORT, np.full((len(x), 1), c), hand_block(x, [(None, None)] * len(x)))
    )
    np.testing.assert_allclose(density.sum() * (40 * step) ** 2, 1.0, rtol=5e-3)


def curve(rng, n):
    """A bent curve with noise that grows: no straight line tells anything of it."""
    c = rng.uniform(-2, 2, (n, 1))
    noise = 0.2 + 0.15 * np.abs(c)
    x = np.cos(2 * c) + noise * rng.normal(size=(n, 1))
    return c, numeric(x), norm(np.cos(2 * c), noise).logpdf(x)[:, 0]


def test_it_comes_near_the_truth_as_rows_are_more_and_regression_does_not():
    losses = []
    for n in (100, 2000):
        losses_by_model = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            c, x, _ = curve(rng, n)
            support, neighbours = fit(c, x)
            linear = fit_baseline(x, numeric(c), x_levels=(), c_levels=())
            c, x, exact = curve(rng, 2000)
            other = [neighbours.log_prob(support, c, x), linear.log_prob(x, numeric(c))]
            losses_by_model.append([np.mean(exact - value) for value in other])
        losses.append([mean_stderr(column) for column in np.transpose(losses_by_model)])
    (few, few_error), (few_linear, _) = losses[0]
    (many, many_error), (many_linear, _) = losses[1]
    assert max(few_error, many_error) < 0.02
    assert 0 < many < 0.06 < few < 0.25
    assert few_linear > 0.5 < many_linear


def test_where_conditions_tell_nothing_little_is_lost():
    rng = np.random.default_rng(1)
    c, x, new = rng.normal(size=(2000, 10)), rng.normal(size=(2000, 1)), rng.normal(size=(2000, 1))
    support, neighbours = fit(c, numeric(x))
    assert neighbours.count >= 80
    loss = norm.logpdf(new)[:, 0] - neighbours.log_prob(support, rng.normal(size=(2000, 10)), numeric(new))
    value, stderr = mean_stderr(loss)
    assert stderr < 0.01
    assert -3 * stderr < value < 0.03


def test_two_targets_go_together_as_their_neighbours_do():
    # A ring around each condition: the targets are uncorrelated, and far from independent.
    rng = np.random.default_rng(2)

    def draw(n):
        c, angle = rng.normal(size=(n, 1)), rng.uniform(0, 2 * np.pi, (n, 1))
        ring = np.hstack([np.cos(angle), np.sin(angle)])
        return c, numeric(c + ring + 0.1 * rng.normal(size=(n, 2)))

    c, x = draw(2000)
    support, neighbours = fit(c, x)
    new, y = draw(1000)
    linear = fit_baseline(x, numeric(c), x_levels=(), c_levels=()).log_prob(y, numeric(new))
    gain, stderr = mean_stderr(neighbours.log_prob(support, new, y) - linear)
    assert gain > 0.2 + 3 * stderr


def test_categories_alone_come_near_their_probabilities():
    # An exclusive or, which no main effect shows; the third column is a coin, the last never seen.
    rng = np.random.default_rng(3)

    def draw(n):
        given = rng.integers(0, 2, (n, 2))
        told = (given[:, 0] ^ given[:, 1]) ^ (rng.random(n) < 0.1)
        codes = np.column_stack([told, rng.integers(0, 3, n), np.zeros(n, int)])
        mask = np.column_stack([np.ones((n, 2), bool), np.zeros(n, bool)])
        return categorical(given), categorical(codes, mask), told ^ given[:, 0] ^ given[:, 1]

    c, x, _ = draw(2000)
    support, neighbours = fit(design_matrix(c, (2, 2), 2000), x, (2, 3, 4))
    new, y, flipped = draw(2000)
    exact = np.log(np.where(flipped, 0.1, 0.9)) + np.log(1 / 3)
    log_prob = neighbours.log_prob(support, design_matrix(new, (2, 2), 2000), y)
    loss, stderr = mean_stderr(exact - log_prob)
    assert stderr < 0.02
    assert abs(loss) < 0.03 + 3 * stderr
    linear = fit_baseline(x, c, x_levels=(2, 3, 4), c_levels=(2, 2)).log_prob(y, new)
    assert mean_stderr(log_prob - linear)[0] > 0.2
    # One that was never seen is as likely as another.
    only = np.array([[False, False, True]])
    for code in range(4):
        value = neighbours.log_prob(support, np.zeros((1, 6)), categorical([[0, 0, code]], only))
        np.testing.assert_allclose(value, np.log(0.25))


@pytest.mark.parametrize("times", [2, 7])
def test_copies_of_rows_do_not_vouch_for_one_another(times):
    # A table of copies predicts its own rows exactly: bandwidths chosen by them would be far too small.
    rng = np.random.default_rng(4)
    c, x, _ = curve(rng, 280)
    new, y, _ = curve(rng, 2000)
    once = fit(c, x)
    value, mask = (np.repeat(array, times, axis=0) for array in x["numeric"])
    copied = fit(np.repeat(c, times, axis=0), {"numeric": Observed(value, mask)})
    loss = once[1].log_prob(once[0], new, y) - copied[1].log_prob(copied[0], new, y)
    assert abs(loss.mean()) < 0.05
    np.testing.assert_allclose(copied[1].bandwidth, once[1].bandwidth, rtol=0.6)
    # Whole numbers agree by chance, and go on telling.
    codes = rng.integers(0, 2, 300)
    support, neighbours = fit(np.eye(2)[codes], categorical(codes), (2,))
    sure = neighbours.log_prob(support, np.eye(2), categorical([0, 1]))
    assert (sure > np.log(0.98)).all()


def test_missing_cells_are_used_neither_of_rows_nor_of_neighbours():
    rng = np.random.default_rng(5)
    c, mask = rng.normal(size=(400, 2)), rng.random((400, 3)) < 0.7
    kinds = {**numeric(rng.normal(size=(400, 3)), mask), **categorical(rng.integers(0, 3, (400, 3)), mask)}
    spoilt = {
        name: Observed(np.where(mask, b.value, 99).astype(b.value.dtype), mask) for name, b in kinds.items()
    }
    first = None
    for x in (kinds, spoilt):
        support, neighbours = fit(c, x, (3,) * 3)
        for y in (kinds, spoilt):
            log_prob = neighbours.log_prob(support, c, y)
            first = log_prob if first is None else first
            np.testing.assert_array_equal(log_prob, first)
    assert (first[~mask.any(axis=1)] == 0).all()


@pytest.mark.parametrize("kind", ["constant", "never seen", "one cell", "outlier", "two rows", "one row"])
def test_odd_tables_have_a_finite_density(kind):
    rng = np.random.default_rng(6)
    n = 2 if kind == "two rows" else 60
    value, mask = rng.normal(size=(n, 2)), np.ones((n, 2), bool)
    c = rng.normal(size=(n, 1))
    if kind == "constant":
        value[:, 1] = 0.0
    elif kind == "never seen":
        mask[:] = False
    elif kind == "one cell":
        mask[1:, 1] = False
    elif kind == "outlier":
        value[0] = 1e30
    elif kind == "one row":
        value[:], c[:] = 1.0, 2.0
    support, neighbours = fit(c, numeric(value, mask))
    far = numeric(np.array([[0.0, 0.0], [3e38, -3e38], [1.0, 1.0]]))
    log_prob = neighbours.log_prob(support, np.array([[0.0], [1e30], [2.0]]), far)
    assert np.isfinite(log_prob).all()
    assert (neighbours.bandwidth >= 1e-3).all()
    if kind == "never seen":  # the density of a standardised column
        w = neighbours.marginal_weight
        exact = w * norm(0, 2).pdf(0) ** 2 + (1 - w) * norm.pdf(0) ** 2
        np.testing.assert_allclose(log_prob[0], np.log(exact))


def test_no_conditions_leave_a_density_of_the_targets():
    rng = np.random.default_rng(7)
    x = numeric(rng.choice([-2, 2], (1000, 1)) + 0.3 * rng.normal(size=(1000, 1)))
    support, neighbours = fit(np.zeros((1000, 0)), x)
    at = numeric(np.array([[0.0], [2.0]]))
    log_prob = neighbours.log_prob(support, np.zeros((2, 0)), at)
    exact = 0.5 * (norm(-2, 0.3).pdf([0, 2]) + norm(2, 0.3).pdf([0, 2]))
    assert abs(log_prob[1] - np.log(exact[1])) < 0.35
    assert log_prob[0] < -2


def test_chunks_and_the_rows_beside_it_change_nothing(monkeypatch):
    rng = np.random.default_rng(8)
    c, x, _ = curve(rng, 300)
    support, neighbours = fit(c, x)
    log_prob = neighbours.log_prob(support, c, x)
    alone = neighbours.log_prob(support, c[7:8], numeric(x["numeric"].value[7:8]))
    np.testing.assert_allclose(alone, log_prob[7:8], rtol=1e-12)
    monkeypatch.setattr(blocks, "CELLS", 100)
    np.testing.assert_allclose(neighbours.log_prob(support, c, x), log_prob, rtol=1e-12)


def test_arrays_come_back_exactly():
    rng = np.random.default_rng(9)
    c = rng.normal(size=(80, 2))
    x = numeric(rng.normal(size=(80, 2))) | categorical(rng.integers(0, 3, 80))
    support, neighbours = fit(c, x, (3,))
    back = Neighbours.from_arrays(load(save(neighbours.to_arrays())))
    np.testing.assert_array_equal(back.log_prob(support, c, x), neighbours.log_prob(support, c, x))
    assert (back.count, back.smoothing) == (neighbours.count, neighbours.smoothing)
    with pytest.raises(ValueError, match="lack numeric_mask, codes"):
        Neighbours.from_arrays({"numeric": np.zeros((0, 1))})


SMALL = Support.fit(np.arange(6.0).reshape(3, 2))
NUMBERS = numeric(np.arange(3.0)[:, None])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_neighbours(SMALL, {}, x_levels=()), "no target"),
        (
            lambda: fit_neighbours(SMALL, numeric(np.zeros((4, 1))), x_levels=()),
            "3 rows and the targets are of 4",
        ),
        (lambda: fit_neighbours(SMALL, NUMBERS, x_levels=(2,)), "0 categorical columns, but levels of 1"),
        (lambda: fit_neighbours(SMALL, numeric(np.full((3, 1), np.inf)), x_levels=()), "not finite"),
        (lambda: HAND.log_prob(SMALL, np.zeros((1, 2)), NUMBERS), "holds 3 rows and the targets are of 4"),
        (lambda: HAND.log_prob(SUPPORT, np.zeros((2, 1)), NUMBERS), "features has 2 rows, x has 3"),
        (
            lambda: replace(HAND, x_levels=np.zeros(0, int)).log_prob(SUPPORT, np.zeros((3, 1)), NUMBERS),
            "x has 1 numeric columns, not 2",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_cells_that_stand_for_intervals_count_by_their_probability():
    rng = np.random.default_rng(0)
    c = rng.normal(size=(300, 1))
    support, model = fit(c, numeric(np.round(2 * c + rng.normal(size=(300, 1)))))
    grid = np.arange(-15.0, 16.0)[:, None]
    where = np.full((len(grid), 1), 0.3)
    log_mass = model.log_prob(support, where, numeric(grid), (grid - 0.5, grid + 0.5))
    np.testing.assert_allclose(np.exp(log_mass).sum(), 1.0, atol=2e-3)
    narrow = model.log_prob(support, where, numeric(grid), (grid - 1e-5, grid + 1e-5)) - np.log(2e-5)
    np.testing.assert_allclose(narrow, model.log_prob(support, where, numeric(grid)), atol=1e-4)
