"""Grids of images."""

from itertools import pairwise

import numpy as np
import pytest

from condvae.plots import plot_images


def tiles(axes):
    return np.asarray(axes.images[0].get_array())


def test_images_are_tiled_with_gaps_that_are_open():
    grey, colour = np.full((4, 6), 0.25), np.full((4, 6, 3), [1.0, 0.5, 0.0])
    axes = plot_images([[grey, colour], [colour]], ["_a", "$b$"])
    pixels = tiles(axes)
    assert pixels.shape == (9, 13, 4)
    np.testing.assert_allclose(pixels[0, 0], [0.25, 0.25, 0.25, 1])
    np.testing.assert_allclose(pixels[0, 7], [1, 0.5, 0, 1])
    assert not pixels[4].any()  # the gap
    assert not pixels[5:, 6:].any()  # a row that is shorter
    assert [text.get_text() for text in axes.texts] == ["_a", "$b$"]


def test_levels_are_those_of_the_kind_of_image():
    assert tiles(plot_images([[np.array([[0, 51]], np.uint8)]]))[0, 1, 0] == pytest.approx(0.2)
    pixels = tiles(plot_images([[np.array([[-1.0, 1.0, np.nan]])], [np.array([[3.0, 0.0, 0.0]])]]))
    np.testing.assert_allclose(pixels[0, :, 0], [0, 0.5, 0])
    assert pixels[0, :, 3].tolist() == [1, 1, 0]
    assert tiles(plot_images([[np.full((2, 2), -5.0)]]))[..., 3].all()
    assert not tiles(plot_images([[np.full((2, 2), np.nan)]])).any()


def test_titles_of_many_columns_do_not_touch():
    axes = plot_images([[np.zeros((8, 8))] * 10], [f"a title that is long {i}" for i in range(10)])
    axes.get_figure(root=True).draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_what_is_no_grid_is_refused():
    with pytest.raises(ValueError, match="rows has no images"):
        plot_images([[]])
    with pytest.raises(ValueError, match=r"rows has images of \[2, 2\] and of \[3, 2\], expected one size"):
        plot_images([[np.zeros((2, 2)), np.zeros((3, 2))]])
    with pytest.raises(ValueError, match=r"rows has an image of float64 \[2, 2, 4\]"):
        plot_images([[np.zeros((2, 2, 4))]])
    with pytest.raises(ValueError, match="titles has 1 entries, expected 2"):
        plot_images([[np.zeros((2, 2))] * 2], ["a"])
