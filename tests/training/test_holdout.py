import jax
import numpy as np
import pytest

from condvae.observed import Observed
from condvae.training.holdout import copies, held_out, recognisable

KEY = jax.random.key(0)


def test_random_rows_differ_by_key():
    masks = [held_out(50, 0.2, key=jax.random.key(i)) for i in range(3)]
    assert [mask.sum() for mask in masks] == [10, 10, 10]
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(masks[0], held_out(50, 0.2, key=KEY))


def test_groups_are_held_out_whole():
    groups = np.array(list("aabbccddeeffgghhiijj"))
    mask = held_out(20, 0.3, key=KEY, groups=groups)
    assert mask.sum() == 6
    assert not set(groups[mask]) & set(groups[~mask])


def test_the_latest_rows_are_held_out():
    time = np.array(["2020-01-03", "2020-01-01", "2020-01-04", "2020-01-02"], "datetime64[D]")
    assert held_out(4, 0.5, key=KEY, time=time).tolist() == [True, False, True, False]


def test_nothing_is_held_out_when_none_is_asked_for():
    assert not held_out(5, 0.0, key=KEY).any()


@pytest.mark.parametrize(
    ("n", "fraction", "named", "message"),
    [
        (10, 1.0, {}, "fraction is 1.0, expected 0 <= fraction < 1"),
        (10, 0.1, {"groups": np.zeros(3)}, r"groups has shape \(3,\), expected \(10,\)"),
        (10, 0.1, {"groups": np.zeros(10), "time": np.zeros(10)}, "give one of the two"),
        (10, 0.5, {"groups": np.zeros(10)}, "of 1 groups leaves none to train on"),
        (1, 0.5, {}, "of 1 rows leaves none to train on"),
    ],
)
def test_what_cannot_be_held_out_is_refused(n, fraction, named, message):
    with pytest.raises(ValueError, match=message):
        held_out(n, fraction, key=KEY, **named)


def test_copies_share_a_number_and_other_rows_have_their_own():
    rng = np.random.default_rng(0)
    number, level = rng.normal(size=(30, 2)), rng.integers(0, 3, (30, 1))
    index = rng.permutation(np.r_[np.arange(30), np.arange(10), np.arange(5)])
    numbers = copies({"number": number[index], "level": level[index]})
    assert len(set(numbers)) == 30
    for row in set(index):
        assert len(set(numbers[index == row])) == 1


def test_a_copy_is_known_by_a_number_of_its_own():
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=40), np.arange(40) // 4])
    rows[3, 0] = rows[7, 0]  # of another row
    assert np.flatnonzero(~recognisable(rows)).tolist() == [3, 7]


def test_equal_rows_are_no_copies_where_they_are_so_by_chance():
    rng = np.random.default_rng(0)
    survey = np.column_stack([rng.integers(18, 80, 2000), *rng.integers(0, 2, (3, 2000))]).astype(
        np.float32
    )
    assert copies(survey) is None  # 496 kinds of rows
    assert copies(np.resize([[1.0, 2.0], [3.0, 5.0], [7.0, 9.0]], (450, 2))) is None
    prices = np.round(rng.gamma(2, 20, (5000, 1)), 2)  # one column
    assert copies(prices) is None
    hidden = Observed(np.zeros((50, 2)), np.zeros((50, 2), bool))
    assert copies(hidden) is None
    assert copies({"level": np.zeros((50, 2), np.int32)}) is None
