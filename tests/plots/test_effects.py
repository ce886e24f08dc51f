"""Effects of conditions: bands, intervals, shares on top of each other."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from condvae.plots import plot_effect, plot_effect_shares

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
VALUES = np.array([3.0, 1.0, 2.0])
QUANTILES = VALUES[:, None] + np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def dots(axes):
    return next(c for c in axes.collections if isinstance(c, PathCollection)).get_offsets()


def test_bands_around_the_median_in_the_order_of_values():
    real = np.array([1.0, np.nan, 2.0]), np.array([5.0, 1.0, np.nan])
    axes = plot_effect(VALUES, QUANTILES, LEVELS, real=real, name="_c", target="$x$")
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[1, 1], [2, 2], [3, 3]])
    outer, inner = (c.get_datalim(axes.transData) for c in axes.collections[:2])
    assert (outer.y0, outer.y1, inner.y0, inner.y1) == (-1, 5, 0, 4)
    assert dots(axes).tolist() == [[1, 5]]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["90% of draws", "50% of draws", "median", "real rows"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("_c", "$x$")


def test_intervals_for_categories_with_real_rows_beside_their_own():
    real = np.array(["_b", "a", "other"], object), np.array([1.0, 2.0, 3.0])
    axes = plot_effect(np.array(["a", "_b", "c"]), QUANTILES, LEVELS, real=real)
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[0, 3], [1, 1], [2, 2]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "_b", "c"]
    assert [s[:, 1].tolist() for s in axes.collections[0].get_segments()] == [[1, 5], [-1, 3], [0, 4]]
    np.testing.assert_allclose(dots(axes)[:, 0], [1.2, 0.2], atol=0.15)
    assert dots(axes)[:, 1].tolist() == [1, 2]


def test_one_value_is_an_interval_and_dates_are_dates():
    assert len(plot_effect(VALUES[:1], QUANTILES[:1], LEVELS).collections[0].get_segments()) == 1
    days = np.array(["2020-01-03", "NaT", "2020-06-02"], "datetime64[D]")
    real = days, np.zeros(3)
    axes = plot_effect(days, QUANTILES, LEVELS, real=real)
    axes.get_figure(root=True).draw_without_rendering()
    assert len(axes.get_lines()[0].get_xdata()) == 2
    assert len(dots(axes)) == 2
    assert 2 <= len(axes.get_xticks()) <= 8


def test_many_real_rows_are_thinned():
    x = np.linspace(1, 3, 5000)
    drawn = dots(plot_effect(VALUES, QUANTILES, LEVELS, real=(x, x)))
    assert 150 < len(drawn) <= 300
    assert np.ptp(drawn[:, 0]) > 1.9


@pytest.mark.parametrize("levels", [[0.1, 0.5], [0.1, 0.5, 0.8], [0.9, 0.5, 0.1], [0.25, 0.75]])
def test_levels_that_make_no_intervals_are_refused(levels):
    with pytest.raises(ValueError, match=r"levels are .*symmetric about 0\.5"):
        plot_effect(VALUES, QUANTILES[:, : len(levels)], levels)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"quantiles has shape \[2, 5\], expected \[3, 5\]"):
        plot_effect(VALUES, QUANTILES[:2], LEVELS)
    with pytest.raises(ValueError, match=r"values has shape \[0\]"):
        plot_effect(np.array([]), QUANTILES[:0], LEVELS)
    with pytest.raises(ValueError, match=r"real has shapes \[2\] and \[1\]"):
        plot_effect(VALUES, QUANTILES, LEVELS, real=(np.zeros(2), np.zeros(1)))
    with pytest.raises(ValueError, match=r"shares has shape \[1, 1\], expected \[1, 2\]"):
        plot_effect_shares(np.array([1.0]), np.ones((1, 1)), ["a", "b"])
    with pytest.raises(ValueError, match="levels has no entries"):
        plot_effect_shares(np.array([1.0]), np.ones((1, 0)), [])


def test_shares_are_areas_that_fill_the_axes():
    axes = plot_effect_shares(
        VALUES, np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]), ["no", "_yes"], target="sold"
    )
    first, second = (c.get_datalim(axes.transData) for c in axes.collections)
    assert (first.y0, second.y1) == (0, 1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["_yes", "no"]
    assert axes.get_legend().get_title().get_text() == "sold"


@pytest.mark.parametrize("values", [np.array(["a", "b", "c"]), np.array([True, False, True]), VALUES[:1]])
def test_shares_of_many_levels_are_bars_of_sum_one(values):
    shares = np.random.default_rng(0).dirichlet(np.ones(11), len(values))
    axes = plot_effect_shares(values, shares, [f"l{i}" for i in range(11)])
    heights = np.reshape([bar.get_height() for bar in axes.patches], (8, len(values)))
    np.testing.assert_allclose(heights.sum(axis=0), 1)
    assert axes.get_legend().get_texts()[0].get_text() == "4 others"
