"""Clouds of latents: who is drawn, in which colour."""

import numpy as np
import pytest

from condvae.plots import new_axes, plot_latents
from condvae.plots.latents import MAX_DOTS

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(100, 2))


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def drawn(axes):
    return sum(len(c.get_offsets()) for c in axes.collections)


def test_numbers_have_a_colour_bar_with_robust_limits():
    colour = np.append(np.arange(98.0), [1e9, np.nan])
    axes = plot_latents(Z, colour, name="_$price$")
    missing, known = axes.collections
    assert (len(missing.get_offsets()), len(known.get_offsets())) == (1, 99)
    assert known.get_clim()[1] < 100
    (bar,) = [ax for ax in axes.get_figure(root=True).axes if ax is not axes]
    assert bar.get_ylabel() == "_$price$"
    assert not bar.yaxis.label.get_parse_math()


def test_strings_have_a_legend_and_the_rare_ones_are_others():
    colour = np.array(
        [f"_{min(i, 10)}" for i in range(11) for _ in range(11 - i)] + [None, np.nan, "missing"], object
    )
    axes = plot_latents(Z[: len(colour)], colour, name="kind")
    assert legend(axes) == [*sorted(f"_{i}" for i in range(8)), "others", "missing"]
    assert drawn(axes) == len(colour)


@pytest.mark.parametrize(
    "colour, labels",
    [
        (np.arange(100) > 5, ["False", "True"]),
        (np.full(100, np.nan), ["missing"]),
        (np.array([1.5, None] * 50, object), None),
        (np.full(100, 3), None),
        (None, None),
    ],
)
def test_any_kind_of_colour(colour, labels):
    axes = plot_latents(Z, colour)
    axes.get_figure(root=True).draw_without_rendering()
    assert drawn(axes) == 100
    assert (legend(axes) if axes.get_legend() else None) == labels


def test_big_clouds_are_thinned_evenly_and_one_latent_is_spread_out():
    axes = new_axes()
    assert plot_latents(np.arange(50_000.0)[:, None], ax=axes) is axes
    offsets = axes.collections[0].get_offsets()
    assert len(offsets) == MAX_DOTS
    assert np.ptp(offsets[:, 0]) == 49_999
    assert np.ptp(offsets[:, 1]) > 0.9


def test_shapes_that_do_not_fit_are_refused():
    for z in (np.zeros((5, 3)), np.zeros(5), np.zeros((0, 2))):
        with pytest.raises(ValueError, match=r"^z has shape"):
            plot_latents(z)
    with pytest.raises(ValueError, match=r"colour has shape \[3\], expected \[100\]"):
        plot_latents(Z, np.zeros(3))
