"""Pictures of calibration: bars, bands and gaps where they should be."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.stats import binom

from condvae.calibration import reliability, uniformity
from condvae.plots import GROUPS, MUTED, new_axes, plot_coverage, plot_ecdf, plot_pit, plot_reliability


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_bars_of_transforms_have_an_area_of_one_and_a_binomial_band():
    u = np.append(np.random.default_rng(0).random(400), np.nan)
    axes = plot_pit(u, bins=10, name="_$x$")
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(heights, np.histogram(u[:-1], 10, (0, 1))[0] / 40)
    assert sum(heights) / 10 == pytest.approx(1)
    band = axes.collections[0].get_datalim(axes.transData)
    np.testing.assert_allclose([band.y0, band.y1], binom.ppf([0.025, 0.975], 400, 0.1) / 40)
    assert axes.get_title(loc="left") == "_$x$"


@pytest.mark.parametrize(
    "u, bins", [([np.nan], 20), ([0.5, 1.5], 20), ([[0.5]], 20), (["a"], 20), ([0.5], 0)]
)
def test_what_are_no_transforms_is_refused(u, bins):
    with pytest.raises(ValueError, match=r"^(u|bins) .*expected"):
        plot_pit(np.array(u), bins=bins)


def test_distribution_functions_are_held_to_the_diagonal():
    uniform = uniformity(np.random.default_rng(0).beta(2, 2, 300))
    axes = new_axes()
    assert plot_ecdf(uniform, name="price", ax=axes) is axes
    np.testing.assert_allclose(
        axes.get_lines()[1].get_xydata(), np.stack([uniform.points, uniform.share - uniform.points], 1)
    )
    band = axes.collections[0].get_datalim(axes.transData)
    assert band.y0 == pytest.approx((uniform.low - uniform.points).min())
    assert band.y1 == pytest.approx((uniform.high - uniform.points).max())


def curves(count):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.arange(1, count + 1), 300)
    code = np.array([rng.choice(count, p=row) for row in p])
    return {f"_level {i}": reliability(p[:, i], code == i, 5) for i in range(count)}


def test_reliability_by_level():
    by_level = curves(3)
    axes = plot_reliability(by_level)
    assert legend(axes) == list(by_level)
    drawn = axes.get_lines()[1:]
    for line, curve in zip(drawn, by_level.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([curve.predicted, curve.observed], 1))
    segments = axes.collections[0].get_segments()
    np.testing.assert_allclose([np.ptp(s[:, 1]) for s in segments], 4 * by_level["_level 0"].stderr)


def test_of_many_levels_the_frequent_ones_are_coloured():
    # Seen in 10, 20, ... of 200 rows.
    rare_first = {
        f"_level {i}": reliability(np.full(200, 0.1), np.arange(200) < 10 * i) for i in range(1, 12)
    }
    axes = plot_reliability(rare_first)
    assert legend(axes) == [*(f"_level {i}" for i in range(4, 12)), "others"]
    colours = [to_hex(line.get_color()) for line in axes.get_lines()[1:]]
    assert sorted(colours) == sorted([*GROUPS, *[MUTED] * 3])


def test_a_level_never_predicted_has_a_curve():
    plot_reliability({"a": reliability(np.zeros(5), np.zeros(5))})


def test_coverage_is_drawn_as_a_gap_with_bars_where_they_are_known():
    axes = plot_coverage({"a": {0.9: 0.85, 0.5: 0.5}, "b": {0.9: np.nan}}, {"a": {0.9: 0.02}})
    zero, a, _ = axes.get_lines()
    assert list(zero.get_ydata()) == [0, 0]
    np.testing.assert_allclose(a.get_ydata(), [0, -0.05], atol=1e-12)
    np.testing.assert_allclose(a.get_xdata(), [-0.25, 0.75])  # at equal distances, beside b
    bars = [s for s in axes.collections[0].get_segments() if len(s) and np.isfinite(s).all()]
    np.testing.assert_allclose([s[:, 1] for s in bars], [[-0.09, -0.01]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.5", "0.9"]


def test_nothing_to_draw_is_refused():
    for draw in (plot_reliability, plot_coverage):
        with pytest.raises(ValueError, match="has 0 entries, expected 1 or more"):
            draw({})
    with pytest.raises(ValueError, match="coverage of 'a' has no level"):
        plot_coverage({"a": {}})
