"""Densities of draws: areas, tails, and draws that have no density."""

import numpy as np
import pytest

from condvae.plots import new_axes, plot_densities


def area(line):
    return np.trapezoid(line.get_ydata(), line.get_xdata())


def test_densities_have_an_area_of_one_and_lie_where_draws_do():
    rng = np.random.default_rng(0)
    axes = plot_densities(
        {"_a": rng.normal(0, 1, 2000), "$b$": np.append(rng.normal(9, 0.1, 2000), np.nan)}, name="x"
    )
    a, b = axes.get_lines()[:2]
    assert area(a) == pytest.approx(1, abs=0.02)
    assert area(b) == pytest.approx(1, abs=0.02)
    assert b.get_xdata()[np.argmax(b.get_ydata())] == pytest.approx(9, abs=0.1)
    assert b.get_ydata().max() == pytest.approx(1 / np.sqrt(2 * np.pi) / 0.1, rel=0.15)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["_a", "$b$"]


def test_heavy_tails_are_cut_and_do_not_smooth_the_bulk():
    draws = np.random.default_rng(0).standard_cauchy(5000)
    axes = plot_densities({"a": draws})
    low, high = axes.get_xlim()
    assert -100 < low < high < 100
    assert axes.get_lines()[0].get_ydata().max() == pytest.approx(1 / np.pi, rel=0.15)


def test_real_values_are_in_sight_below_zero():
    axes = plot_densities(
        {"a": np.linspace(0, 1, 99), "b": np.linspace(2, 3, 99)}, {"b": np.array([50.0, np.nan])}
    )
    assert axes.get_xlim()[1] > 50
    (ticks,) = [c for c in axes.collections if hasattr(c, "get_segments") and len(c.get_segments())]
    (segment,) = ticks.get_segments()
    assert segment[:, 0].tolist() == [50, 50]
    assert axes.get_ylim()[0] < segment[:, 1].min() < segment[:, 1].max() < 0


@pytest.mark.parametrize(
    "draws", [{"a": [2.5, 2.5]}, {"a": [0.0]}, {"a": [1e9] * 5, "b": []}, {"a": [1e-9, 2e-9, np.nan]}]
)
def test_few_or_equal_draws_are_drawn(draws):
    axes = new_axes()
    assert plot_densities({k: np.array(v) for k, v in draws.items()}, ax=axes) is axes
    axes.get_figure(root=True).draw_without_rendering()
    low, high = axes.get_xlim()
    assert low < min(draws["a"]) < high


def test_whole_numbers_are_bars_with_shares():
    axes = plot_densities({"a": np.array([1, 1, 2, 3]), "b": np.array([2, 2])})
    heights, places, _ = axes.patches[0].get_data()
    drawn = dict(zip((places[:-1] + places[1:]) / 2, heights, strict=True))
    assert {k: v for k, v in drawn.items() if v} == {1: 0.5, 2: 0.25, 3: 0.25}
    assert axes.get_xlim()[0] < 0.5


def test_what_has_no_density_is_refused():
    with pytest.raises(ValueError, match="draws has 7 entries, expected 1 to 6"):
        plot_densities({str(i): np.arange(3) for i in range(7)})
    with pytest.raises(ValueError, match="draws has no numbers"):
        plot_densities({"a": np.array([np.nan])})
    with pytest.raises(ValueError, match="real has 'b', expected names that draws has too"):
        plot_densities({"a": np.arange(3)}, {"b": np.arange(3)})
    with pytest.raises(ValueError, match=r"draws of 'a' has shape \[2, 2\], expected \[n\]"):
        plot_densities({"a": np.ones((2, 2))})
