"""Pictures: what is drawn where, names as they are, and files that are whole or refused."""

import numpy as np
import pytest

from condvae import plots
from condvae.plots import GROUPS, MAX_DOTS, MUTED, OTHERS, new_axes, plot_history, plot_pairs, save_figure

RECORDS = [{"step": step, "train": -3.0 / step, "validation": -4.0 / step} for step in (50, 100, 150)]


def figure_of(axes):
    return axes.get_figure(root=True)


def legend_of(axes):
    (legend,) = figure_of(axes).legends
    return [text.get_text() for text in legend.get_texts()]


def table(n=200, seed=0, names=("a", "b", "c")):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=n) for name in names}


def test_learning_curves_show_the_records_and_the_step_kept():
    axes = plot_history(RECORDS, best_step=100)
    train, validation, kept = axes.get_lines()
    np.testing.assert_array_equal(train.get_xydata(), [[r["step"], r["train"]] for r in RECORDS])
    np.testing.assert_array_equal(validation.get_ydata(), [r["validation"] for r in RECORDS])
    assert list(kept.get_xdata()) == [100, 100]
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "kept: step 100"


def test_learning_curves_without_held_out_rows_on_given_axes():
    axes = new_axes()
    records = [{"step": r["step"], "train": r["train"]} for r in RECORDS]
    assert plot_history(records, ax=axes) is axes
    assert len(axes.get_lines()) == 1


def test_learning_curves_of_members_are_thin_and_their_mean_is_thick():
    train, validation = (
        np.array([[-3.0, -5.0], [-2.0, -4.0], [-1.0, np.nan]]),
        np.array([[-4.0, -6.0], [-3.0, -7.0], [-3.5, np.nan]]),
    )
    records = [
        {"step": 50 * (i + 1), "train": train[i].tolist(), "validation": validation[i].tolist()}
        for i in range(3)
    ]
    axes = plot_history(records, best_step=[100, 50])
    *curves, kept = axes.get_lines()
    thin = [line for line in curves if line.get_linewidth() < 1]
    thick = [line for line in curves if line.get_linewidth() > 2]
    for line, values in zip(thin, [*train.T, *validation.T], strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [50, 100, 150])
        np.testing.assert_array_equal(line.get_ydata(), values)
    # One that has stopped counts with its last value.
    np.testing.assert_array_equal(thick[0].get_ydata(), [-4.0, -3.0, -2.5])
    np.testing.assert_array_equal(thick[1].get_ydata(), [-5.0, -5.0, -5.25])
    np.testing.assert_array_equal(kept.get_xydata(), [[100, -3.0], [50, -6.0]])
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["training batches, mean", "held-out rows, mean", "kept, of each member"]


def test_learning_curves_of_members_without_held_out_rows():
    records = [{"step": 50, "train": [-3.0, -4.0]}, {"step": 100, "train": [-2.0, -3.0]}]
    assert len(plot_history(records, best_step=[100, 100]).get_lines()) == 3


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


def test_bins_of_whole_numbers_hold_equally_many():
    for limits in ((-0.3, 5.2), (172.0, 231.0), (0.0, 1000.0)):
        edges = np.array(plots._edges(limits, 15, whole=True))
        assert edges[0] < limits[0] + 0.5
        assert edges[-1] > limits[1]
        assert len(set(np.diff(edges))) == 1
        assert np.all(edges % 1 == 0.5)


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


@pytest.mark.parametrize("ending, start", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_the_ending_tells_the_kind_of_file(tmp_path, ending, start):
    path = tmp_path / f"picture.{ending}"
    save_figure(new_axes(), path)
    assert path.read_bytes().startswith(start)


def test_pictures_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no kind of picture: let it end in \.png"):
        save_figure(new_axes(), tmp_path / "picture.xlsx")
    with pytest.raises(ValueError, match="choose a file in a folder that exists"):
        save_figure(new_axes(), tmp_path / "absent" / "picture.png")
    assert list(tmp_path.iterdir()) == []
