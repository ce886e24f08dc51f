"""The edge: rows to train on and their order, weights, thresholds."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from condvae import ConditionalVAE
from condvae.estimator import prepare
from condvae.tables import TableError
from condvae.vectorise import content_hashes

X = pd.DataFrame({"u": np.arange(6.0)})
Y = pd.DataFrame({"v": [1.0, 2.0, np.nan, 4.0, 5.0, 6.0]})


def rows(table):
    target = table.schema.target[0]
    return np.round(table.x["numeric"].value[:, 0] * target.sd + target.mean, 4)


def test_rows_are_ordered_by_what_is_in_them():
    table = prepare.training_table(X, Y, None, None, np.arange(6))
    assert_array_equal(np.sort(rows(table)), [1, 2, 4, 5, 6])  # the row without a target is gone
    hashes = content_hashes((table.x, table.c))
    assert (hashes[:-1] <= hashes[1:]).all()
    assert_array_equal(table.time + 1, rows(table))
    turned = prepare.training_table(X[::-1], Y[::-1], None, None, np.arange(6)[::-1])
    assert_array_equal(rows(turned), rows(table))
    assert_array_equal(turned.time, table.time)


def test_whole_number_weights_are_copies():
    table = prepare.training_table(X, Y, [2, 0, 1, 1, 0, 3], np.arange(6), None)
    assert_array_equal(np.sort(rows(table)), [1, 1, 4, 6, 6, 6])
    assert_array_equal(np.sort(table.groups), [0, 0, 3, 5, 5, 5])
    assert table.sample_weight is None
    assert table.schema.target[0].mean == pytest.approx(np.mean([1, 1, 4, 6, 6, 6]))


@pytest.mark.parametrize("weight", [[0.5, 0, 1, 1, 0, 3], [1, 0, 1, 1, 0, 1000]])
def test_other_weights_stay_weights(weight):
    table = prepare.training_table(X, Y, weight, None, None)
    assert_array_equal(np.sort(rows(table)), [1, 4, 6])
    order = np.argsort(rows(table))
    assert_allclose(table.sample_weight[order], np.array(weight)[[0, 3, 5]] / np.mean(weight))


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_only_ratios_of_weights_matter(scale):
    weight = np.array([0.5, 1.0, 1.0, 0.0, 2.0, 3.0])
    table, expected = (prepare.training_table(X, Y, w, None, None) for w in (scale * weight, weight))
    assert_allclose(table.sample_weight, expected.sample_weight, rtol=1e-14)
    equal = prepare.training_table(X, Y, np.full(6, scale), None, None)
    assert equal.sample_weight is None
    assert_array_equal(rows(equal), rows(prepare.training_table(X, Y, None, None, None)))


def test_a_weight_that_is_nothing_beside_another_is_named():
    with pytest.raises(ValueError, match=r"sample_weight of row 2 is 1e-08, .* beside 1e\+32; give 0"):
        prepare.training_table(X, Y, [1e32, 1e-8, 0, 1e32, 1e32, 1e32], None, None)


def test_too_few_rows_with_a_target():
    with pytest.raises(TableError, match="only 1 of 6 rows have an observed target; give at least two"):
        prepare.training_table(
            X,
            pd.DataFrame({"v": [1.0] + [None] * 5}),
            None,
            None,
            None,
            schema=prepare.training_table(X, Y, None, None, None).schema,
        )


def test_sizes_of_ones_own_and_those_of_the_data():
    schema = prepare.training_table(X, Y, None, None, None).schema
    found = prepare.settings(ConditionalVAE(width=7, num_steps=np.int64(11)), 500, schema)
    assert (found.width, found.num_steps) == (7, 11)
    assert type(found.num_steps) is int
    assert found.latent_size == 0  # targets are decoded in turn
    assert prepare.settings(ConditionalVAE(joint="latent"), 500, schema).latent_size >= 1


def test_groups_of_several_types():
    y = Y.fillna(3.0)
    for groups in (list("aabbcc"), pd.Series(list("aabbcc"), dtype="category"), [1, 1, 2, 2, 3, 3]):
        table = prepare.training_table(X, y, None, groups, None)
        assert len(set(table.groups.tolist())) == 3
        together = pd.Series(table.groups).groupby(np.ceil(rows(table) / 2)).nunique()
        assert (together == 1).all()
    table = prepare.training_table(X, y, None, np.array([1, "a"] * 3, object), None)
    assert set(table.groups) == {"1", "a"}


def test_thresholds(model, tables):
    chosen, values = prepare.thresholds(model.table_, {"events": [1, 2.5, np.nan]}, 3)
    assert [column.name for column in chosen] == ["events"]
    assert_array_equal(values[:, 0], [np.nan] * 3)
    assert_array_equal(values[:, 1], [1.5, 2.5, np.nan])  # a whole number and what rounds to it
    chosen, values = prepare.thresholds(model.table_, 2.0, 3)
    assert [column.name for column in chosen] == ["response", "events"]
    assert_array_equal(values, [[2.0, 2.5]] * 3)
    _, values = prepare.thresholds(model.table_, tables[1].head(3), None)
    expected = tables[1][["response", "events"]].head(3).to_numpy(float) + np.array([0, 0.5])
    assert_allclose(values, expected, rtol=1e-5)
    assert prepare.thresholds(model.table_, {"events": 1.0}, None)[1].shape == (1, 2)


def test_names_of_conditions_are_remembered_only_of_frames(known, known_arrays, known_plain):
    assert list(known.estimator.feature_names_in_) == ["u"]
    assert (known.estimator.n_features_in_, known_plain.estimator.n_features_in_) == (1, 0)
    assert not hasattr(known_arrays.estimator, "feature_names_in_")


def test_text_is_read_as_asked_and_said_to_be():
    X = pd.DataFrame({("hp", "at start"): ["130", "?", "95", "97"] * 30, "zip": ["501", "502"] * 60})
    y = pd.DataFrame({"day": [20260131, 20260201, 20260203, 20260204] * 30})
    options = {"missing": ("?",), "read": {"zip": "text", "day": "number"}}
    table = prepare.training_table(X, y, None, None, None, **options)
    hp, zip = table.schema.given
    assert (hp.name, hp.kind, hp.missing, zip.levels) == ("hp_at start", "numeric", 30, ("501", "502"))
    assert table.schema.target[0].kind == "numeric"
    assert "column 'hp_at start': 90 cells such as '130' were read as numbers" in table.notes[0]
    again = prepare.training_table(X, y, None, None, None, schema=table.schema)
    assert_array_equal(again.c["numeric"].value, table.c["numeric"].value)
    with pytest.raises(TableError, match=r"would be numeric but for row 2 \('\?'\): 90 of 120"):
        prepare.training_table(X, y, None, None, None)
    with pytest.raises(TableError, match="target column 'day' holds dates or times"):
        prepare.training_table(X, y, None, None, None, missing=("?",))


def test_a_pile_far_from_the_other_cells_is_noted_and_levels_are_not_continuous():
    rng = np.random.default_rng(0)
    glucose = np.where(rng.random(300) < 0.03, 0, np.round(rng.normal(120, 25, 300)))
    y = pd.DataFrame({"glucose": glucose, "rating": rng.integers(1, 6, 300)})
    notes = prepare.training_table(None, y, None, None, None).notes
    (note,) = notes
    assert note.endswith(
        "'glucose' are 0, far from all others: empty them if that stands for a missing cell"
    )
