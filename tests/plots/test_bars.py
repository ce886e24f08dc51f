"""Bars: lengths, what is written at their ends, what is gathered."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from condvae.plots import MODEL, MUTED, plot_nats, plot_shares


def ticks(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def test_nats_are_bars_with_their_values_at_the_ends():
    values = np.array([0.5, -0.25, np.nan, np.inf])
    names = ["this", "_$other$", "a name that is much too long to be read", "d"]
    axes = plot_nats(names, values, np.array([0.1, np.nan, 0.1, 0.1]), highlight="this", label="gain")
    assert [bar.get_width() for bar in axes.patches] == [0.5, -0.25, 0, 0]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [MODEL, MUTED, MUTED, MUTED]
    assert [text.get_text() for text in axes.texts] == ["0.500", "−0.250", "not known", "∞"]
    assert ticks(axes) == ["this", "_$other$", "a name that … to be read", "d"]
    (bars,) = [c for c in axes.collections if len(c.get_segments())]
    np.testing.assert_allclose([s[:, 0] for s in bars.get_segments()], [[0.4, 0.6]])
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first is on top


@pytest.mark.parametrize(
    "values", [[np.nan], [0.0], [-3.0], [1e-7], [12345.6], [3.0, -3.0], list(range(-9, 9))]
)
def test_values_are_within_the_axes(values):
    axes = plot_nats([f"z {i}" for i in range(len(values))], np.array(values))
    figure = axes.get_figure(root=True)
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert frame.x0 < box.x0 < box.x1 < frame.x1


def test_nats_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="names has no entries"):
        plot_nats([], np.array([]))
    with pytest.raises(ValueError, match=r"values has shape \[2\], expected \[1\]"):
        plot_nats(["a"], np.zeros(2))
    with pytest.raises(ValueError, match="highlight is 'b', expected one of names"):
        plot_nats(["a"], np.zeros(1), highlight="b")


def test_shares_beside_those_observed():
    axes = plot_shares(
        ["a", "_b"], np.array([0.3, 0.7]), np.array([0.2, 0.8]), np.array([0.1, np.nan]), name="$k$"
    )
    assert [bar.get_width() for bar in axes.patches] == [0.3, 0.7, 0.2, 0.8]
    assert ticks(axes) == ["a", "_b"]
    np.testing.assert_allclose([s[:, 0] for s in axes.collections[0].get_segments()], [[0.1, 0.3]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["predicted", "observed"]
    assert len(plot_shares(["a"], np.array([1.0]), stderr=np.array([0.1])).collections) == 1


def test_of_many_levels_the_largest_are_drawn_and_nothing_is_lost():
    predicted = np.random.default_rng(0).permutation(30) / 435
    axes = plot_shares([f"level {i}" for i in range(30)], predicted, stderr=np.full(30, 0.01))
    assert len(axes.patches) == 13
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1)
    assert ticks(axes) == [*(f"level {i}" for i in range(30) if predicted[i] * 435 > 17.5), "18 others"]


def test_shares_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="levels has no entries"):
        plot_shares([], np.array([]))
    with pytest.raises(ValueError, match=r"observed has shape \[1\], expected \[2\]"):
        plot_shares(["a", "b"], np.array([0.5, 0.5]), np.array([1.0]))
