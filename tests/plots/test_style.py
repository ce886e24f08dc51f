"""What pictures have in common."""

import numpy as np
import pytest

from condvae.plots import GROUPS, MUTED, new_axes
from condvae.plots.style import (
    abbreviated,
    coloured,
    edges,
    legend_above,
    legend_beside,
    name_columns,
    name_rows,
    numbers,
    swatch,
)


def test_long_names_keep_both_ends():
    assert abbreviated("a" * 24) == "a" * 24
    assert abbreviated("a" * 20 + "b" * 20) == "a" * 12 + "…" + "b" * 11
    assert [len(abbreviated("x" * 99, most)) for most in (8, 9)] == [8, 9]


def test_bins_of_whole_numbers_hold_equally_many():
    for limits in ((-0.3, 5.2), (172.0, 231.0), (0.0, 1000.0)):
        ends = np.array(edges(limits, 15, whole=True))
        assert ends[0] < limits[0] + 0.5
        assert ends[-1] > limits[1]
        assert len(set(np.diff(ends))) == 1
        assert np.all(ends % 1 == 0.5)


def test_colours_go_to_what_weighs_most_in_the_order_of_names():
    assert list(coloured("abc", [0, 0, 0]).values()) == list(GROUPS[:3])
    assert coloured("abcd", [1, 0, 3, 2], most=2) == {
        "a": MUTED,
        "b": MUTED,
        "c": GROUPS[0],
        "d": GROUPS[1],
    }


@pytest.mark.parametrize("values", ["abc", [[1.0]], [1.0, 2.0, 3.0], None, [object()]])
def test_what_are_no_numbers_of_a_shape_is_refused(values):
    with pytest.raises(ValueError, match=r"^x h.*expected .*\[2\]"):
        numbers("x", values, 2)


def test_names_of_columns_are_slanted_where_they_would_touch():
    for names, angle in ((["a", "b"], 0), (["a column with a name", "b"] * 8, 40)):
        axes = new_axes()
        name_columns(axes, names)
        figure = axes.get_figure(root=True)
        figure.draw_without_rendering()
        assert {text.get_rotation() for text in axes.get_xticklabels()} == {angle}


def test_names_of_rows_are_as_they_are():
    axes = new_axes()
    name_rows(axes, ["_a", "$x$"])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["_a", "$x$"]
    assert not any(text.get_parse_math() for text in axes.get_yticklabels())


def test_a_legend_beside_or_above_hides_nothing():
    for draw in (legend_beside, legend_above):
        axes = new_axes()
        draw(axes, [("_a", swatch(MUTED)), ("b" * 50, swatch(MUTED))])
        axes.get_figure(root=True).draw_without_rendering()
        assert (
            not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent().shrunk(0.99, 0.99))
        )
        assert axes.get_legend().get_texts()[0].get_text() == "_a"
