"""What is hidden in training: rare levels of conditions behind "other", and cells of targets."""

import jax
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from condvae import ConditionalVAE, Observed
from condvae.table_models.hiding import HIDDEN, HIDDEN_ROWS, SometimesMissing, SometimesOther
from condvae.tables import Column
from estimator.mixed import BARE

N = 100
Y = np.random.default_rng(0).normal(size=N)


def hidden(rows_each=1.0):
    """Levels of 2,000, 30 and 1 rows, beside a column without a level for others; and rows."""
    levels = {"levels": ("a", "b", "c")}
    columns = [
        Column("rare", "given", "categorical", "string", other=True, **levels),
        Column("none", "given", "categorical", "string", **levels),
    ]
    trained = np.repeat([0, 1, 2], [2000, 30, 1])[:, None].repeat(2, axis=1)
    transform = SometimesOther.of(columns, Observed(trained, np.ones_like(trained, bool)), rows_each)
    n = 30_000
    value = np.tile([0, 1, 2], n // 3)[:, None].repeat(2, axis=1)
    mask = np.ones((n, 2), bool)
    mask[: n // 2, 0] = False
    c = {"categorical": Observed(value, mask), "numeric": Observed(np.zeros((n, 1)), np.ones((n, 1), bool))}
    x, found = transform(jax.random.key(0), ("x", c))
    assert x == "x"
    return value, mask, found["categorical"]


@pytest.mark.parametrize(
    "rows_each, shares", [(1.0, [HIDDEN, 1 / 10, 100 / 101]), (9.0, [HIDDEN, HIDDEN, 100 / 181])]
)
def test_the_rarer_a_level_the_more_often_it_is_hidden(rows_each, shares):
    value, mask, (codes, seen) = hidden(rows_each)
    assert_array_equal(codes[~mask[:, 0], 0], value[~mask[:, 0], 0])  # a missing cell stays one
    assert_array_equal(codes[:, 1], value[:, 1])  # a column without such a level
    assert_array_equal(seen, mask)
    for level, share in enumerate(shares):
        own = np.asarray(codes)[mask[:, 0] & (value[:, 0] == level), 0]
        assert set(np.unique(own)) == {level, 3}
        assert abs((own == 3).mean() - share) < 4 * np.sqrt(share * (1 - share) / len(own))


@pytest.mark.parametrize("unknown", ["other", "error"])
def test_levels_for_others_are_trained_where_there_are_any(untrained, unknown):
    given = pd.DataFrame({"site": ["a", "b"] * (N // 2), "tame": [True, False] * (N // 2)})
    ConditionalVAE(**BARE, unknown=unknown).fit(given, Y)
    transform = untrained.calls[-1]["batch_transform"]
    if unknown == "error":
        assert transform is None
    else:  # of a boolean both levels are known
        assert_allclose(transform.shares, [[1 / (1 + (N / 20) ** 2)] * 2 + [0], [0] * 3])
        assert_array_equal(transform.others, [2, 2])


def test_both_are_hidden_where_targets_are_decoded_in_turn(untrained):
    given = pd.DataFrame({"site": ["a", "b"] * (N // 2)})
    ConditionalVAE(**BARE).fit(given, pd.DataFrame({"y": Y, "w": Y}))
    other, missing = untrained.calls[-1]["batch_transform"].parts
    assert isinstance(other, SometimesOther)
    assert missing == SometimesMissing(HIDDEN_ROWS)


def test_cells_are_hidden_in_a_share_of_the_rows():
    x = {
        "categorical": Observed(np.zeros((4000, 2), np.int32), np.ones((4000, 2), bool)),
        "numeric": Observed(np.zeros((4000, 3), np.float32), np.ones((4000, 3), bool)),
    }
    x["numeric"].mask[:, 1] = False
    hidden, c = SometimesMissing(0.5)(jax.random.key(0), (x, None))
    assert c is None
    mask = np.concatenate([hidden[name].mask for name in sorted(x)], axis=1)
    assert not mask[:, 3].any()  # what is missing stays so
    there = mask[:, [0, 1, 2, 4]]
    whole = there.all(1).mean()
    # Half of the rows, and of the others those of which no cell happens to be hidden: 1 / 5 of them.
    assert whole == pytest.approx(0.5 + 0.5 / 5, abs=0.03)
    number = there.sum(1)[~there.all(1)]
    np.testing.assert_allclose(np.bincount(number, minlength=4)[:4] / len(number), 0.25, atol=0.04)
