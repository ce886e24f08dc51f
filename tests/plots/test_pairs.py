"""Grids of pairs: what is drawn where, and names as they are."""

import numpy as np
import pytest

from condvae.plots import GROUPS, MAX_DOTS, MUTED, OTHERS, plot_pairs, save_figure


def figure_of(axes):
    return axes.get_figure(root=True)


def legend_of(axes):
    (legend,) = figure_of(axes).legends
    return [text.get_text() for text in legend.get_texts()]


def table(n=200, seed=0, names=("a", "b", "c")):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=n) for name in names}


def test_a_grid_of_pairs():
    axes = plot_pairs(table(), table(500, 1))
    grid = np.array(figure_of(axes).axes).reshape(3, 3)
    assert grid[0, 0] is axes
    assert [[ax.axison for ax in row] for row in grid] == np.tril(np.ones((3, 3), bool)).tolist()
    assert [ax.get_xlabel() for ax in grid[2]] == ["a", "b", "c"]
    assert [row[0].get_ylabel() for row in grid] == ["", "b", "c"]
    samples, real = grid[1, 0].collections
    np.testing.assert_allclose(samples.get_offsets(), np.stack([table(500, 1)["a"], table(500, 1)["b"]], 1))
    assert len(real.get_offsets()) == 200
    assert legend_of(axes) == ["samples (filled)", "real rows (outlined)"]


def test_missing_cells_of_real_rows_are_left_out_of_the_limits():
    real = {"a": np.array([np.nan, 50.0, 1.0])}
    low, high = plot_pairs(real, {"a": np.zeros(10)}).get_xlim()
    assert low < 0 < 50 < high < 60
    low, high = plot_pairs({"a": np.full(3, np.nan)}, {"a": np.linspace(0, 1, 10)}).get_xlim()
    assert -1 < low < high < 2


def test_groups_beyond_the_colours_are_grey_and_named_others(recwarn):
    groups = np.repeat([f"g{i:02d}" for i in range(12)], np.arange(12, 0, -1) * 3)
    samples = table(len(groups))
    axes = plot_pairs(samples, samples, sample_groups=groups, real_groups=groups, group_name="which")
    labels = legend_of(axes)
    assert labels[: len(GROUPS)] == [*(f"g{i:02d}" for i in range(len(GROUPS) - 1)), OTHERS]
    cloud = figure_of(axes).axes[3]
    assert sum(len(dots.get_offsets()) for dots in cloud.collections) == 2 * len(groups)  # nobody is lost
    (handle,) = [
        handle
        for handle, label in zip(figure_of(axes).legends[0].legend_handles, labels, strict=True)
        if label == OTHERS
    ]
    assert handle.get_markerfacecolor() == MUTED


def test_big_tables_are_thinned_evenly():
    samples = {"a": np.arange(50_000.0), "b": np.arange(50_000.0)}
    cloud = figure_of(plot_pairs(None, samples)).axes[2]
    drawn = cloud.collections[0].get_offsets()
    assert MAX_DOTS["samples"] / 2 < len(drawn) <= MAX_DOTS["samples"]
    assert np.ptp(drawn[:, 0]) > 49_000


@pytest.mark.parametrize("size", [1, 2, 3])
def test_odd_names_are_drawn_as_they_are(tmp_path, size):
    names = ["_price $x$ _{", "日本", "a_rather_long_column_name_that_goes_on"][:size]
    samples = table(50, names=names)
    groups = np.array(["_u", "$v_{", "[/b]", "missing", "e"] * 10)
    axes = plot_pairs(None, samples, sample_groups=groups, group_name="_$g")
    save_figure(axes, tmp_path / "odd.png")
    assert set(groups) < set(legend_of(axes))
    assert figure_of(axes).legends[0].get_title().get_text() == "_$g"
    shown = [ax.get_xlabel() for ax in figure_of(axes).axes if ax.get_xlabel()]
    assert shown == [name if len(name) < 25 else "a_rather_lon…hat_goes_on" for name in names]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_legend_covers_no_panel(size):
    names = [f"column_{i}" for i in range(size)]
    groups = np.array([f"a long group name {i % 8}" for i in range(80)])
    axes = plot_pairs(
        table(80, names=names),
        table(80, names=names),
        real_groups=groups,
        sample_groups=groups,
        group_name="g",
    )
    figure = figure_of(axes)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes if ax.axison)
