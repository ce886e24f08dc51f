"""SVG for pages: valid, small, the same every time, and strangers to each other."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rcParams

from condvae.calibration import reliability
from condvae.plots import (
    figure_svg,
    new_axes,
    plot_effect,
    plot_images,
    plot_latents,
    plot_nats,
    plot_pit,
    plot_reliability,
)

RNG = np.random.default_rng(0)


def pictures():
    z = RNG.normal(size=(3000, 2))
    p = RNG.random(200)
    yield plot_pit(RNG.random(50), name='a < b & $c$ "d"')
    yield plot_nats(["<script>", "日本"], np.array([1.0, np.nan]), highlight="日本")
    yield plot_images([[RNG.random((8, 8))]], ["x"])
    yield plot_reliability({"yes": reliability(p, RNG.random(200) < p)})
    yield plot_latents(z, z[:, 0], name="value")
    yield plot_latents(z, np.array([f"g{i % 11}" for i in range(3000)]), name="group")


@pytest.mark.parametrize("axes", list(pictures()))
def test_it_is_valid_and_has_nothing_from_elsewhere(axes):
    before = dict(rcParams)
    svg = figure_svg(axes)
    assert svg == figure_svg(axes)
    assert dict(rcParams) == before
    root = ElementTree.fromstring(svg)
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ')
    assert svg.count("http") == 1
    for unwanted in (
        "xlink",
        "metadata",
        "<style",
        "DOCTYPE",
        "#000000",
        "#333333",
        "DejaVu",
        "matplotlib",
    ):
        assert unwanted not in svg
    assert "currentColor" in svg
    assert len(svg) < 120_000
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg)) == set(ids)


def test_ids_of_different_figures_differ():
    texts = [figure_svg(plot_pit(RNG.random(50))) for _ in range(2)]
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in texts]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]


def test_texts_are_texts():
    root = ElementTree.fromstring(figure_svg(plot_pit(RNG.random(9), name="a < b & $c$")))
    assert "a < b & $c$" in {
        "".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")
    }


def test_width_is_a_maximum_in_pixels():
    style = ElementTree.fromstring(figure_svg(new_axes(5, 4))).get("style")
    assert style.startswith("max-width:100%;height:auto;width:480px;")
    assert "width:320px;" in figure_svg(new_axes(), width=320)
    assert 'width="' not in figure_svg(new_axes()).split(">")[0]
    with pytest.raises(ValueError, match="width is 0, expected a positive number"):
        figure_svg(new_axes(), width=0)


def test_only_big_clouds_are_pictures_and_the_figure_stays_as_it_was():
    z = RNG.normal(size=(3000, 2))
    small, big = plot_latents(z[:400]), plot_latents(z)
    assert "data:image/png" not in figure_svg(small)
    assert figure_svg(big).count("data:image/png") == 1
    assert not big.collections[0].get_rasterized()
    assert big.get_figure(root=True).get_layout_engine() is not None
    # Ink is the page's: a picture could not follow it.
    grey = plot_effect(
        np.arange(3.0), np.zeros((3, 3)), [0.1, 0.5, 0.9], real=(np.zeros(900), np.zeros(900))
    )
    assert "data:image/png" not in figure_svg(grey)


def test_characters_that_no_svg_may_hold_are_replaced():
    axes = new_axes()
    axes.set_title("a\x0bb")
    assert "a\ufffdb" in figure_svg(axes)
