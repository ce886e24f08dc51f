"""Learning curves: what is drawn where."""

import numpy as np

from condvae.plots import new_axes, plot_history

RECORDS = [{"step": step, "train": -3.0 / step, "validation": -4.0 / step} for step in (50, 100, 150)]


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
