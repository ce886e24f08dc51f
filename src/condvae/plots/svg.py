"""Figures as SVG for a page: small, without ids that clash, in the page's own ink."""

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from condvae.plots.files import without_glyph_warnings
from condvae.plots.style import DATA

NAMESPACE = "http://www.w3.org/2000/svg"
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK = (DATA, "#000000")
MAX_VECTORS = 500
"""Dots on one Axes that are drawn one by one: more are one picture of them."""
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that no SVG may hold, though names may."""
LAYOUTS = 3
"""An Axes of equal scales beside a legend takes some to come to rest."""
DPI = 144
"""Of those pictures."""


def figure_svg(axes: Axes, *, width: float | None = None) -> str:
    """The figure that `axes` stand on as an SVG element, to be put into an HTML page.

    The same figure gives the same text: there is no date in it, and no address but the name of SVG itself.
    Ids begin with a hash of what is drawn, so that figures in one page do not clash. What is black or
    `DATA` takes the colour of the page's text, and the background is the page's. Text is text, in the
    reader's sans-serif font. Clouds of more than 500 dots are pictures within the picture, but for those
    in the colour of the text.

    Args:
        axes: any of the figure's.
        width: in CSS pixels, at most: it shrinks with the page. By default the figure's inches, times 96.

    Raises:
        ValueError: if the width is not positive.

    Example:
        >>> from condvae.plots import new_axes
        >>> print(figure_svg(new_axes(), width=300)[:60])
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 432 288
    """
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    if width is not None and not width > 0:
        raise ValueError(f"width is {width}, expected a positive number of pixels")
    root = ElementTree.fromstring(NOT_XML.sub("\ufffd", _drawn(figure).decode()))
    view = root.get("viewBox", "")
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        element.attrib = {_plain(key): _themed(value) for key, value in element.attrib.items()}
    _prune(root)
    if not any(ax.images for ax in figure.axes):  # all pictures in it are of dots
        for element in root.iter("image"):
            element.set("href", _with_few_colours(element.get("href", "")))
    pixels = 96 * figure.get_figwidth() if width is None else width
    root.attrib = {"viewBox": view}
    _rename(root)
    root.attrib = {
        "xmlns": NAMESPACE,
        "viewBox": view,
        "style": f"max-width:100%;height:auto;width:{pixels:g}px;fill:currentColor;"
        f"stroke-linejoin:round;stroke-linecap:butt;font-family:{FONTS}",
    }
    return ElementTree.tostring(root, "unicode")


def _drawn(figure: Figure) -> bytes:
    drawn = io.BytesIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "condvae", "svg.image_inline": True}
    with (
        matplotlib.rc_context(settings),
        without_glyph_warnings(),
        _clouds_as_pictures(figure),
        _settled(figure),
    ):
        figure.savefig(drawn, format="svg", dpi=DPI, transparent=True, metadata={"Date": None})
    return drawn.getvalue()


@contextmanager
def _settled(figure: Figure) -> Iterator[None]:
    """Laid out from where it began, and still: some Axes move a little whenever they are laid out."""
    engine = figure.get_layout_engine()
    if engine is None:
        yield
        return
    for ax in figure.axes:
        if (place := ax.get_subplotspec()) is not None and ax.get_in_layout():
            ax.set_position(place.get_position(figure))
            ax.set_in_layout(True)  # which a position that is set takes back
    for _ in range(LAYOUTS):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


@contextmanager
def _clouds_as_pictures(figure: Figure) -> Iterator[None]:
    """Dots that are too many drawn as a picture; afterwards as they were."""
    changed = []
    for ax in figure.axes:
        clouds = [one for one in ax.collections if isinstance(one, PathCollection)]
        if sum(len(np.asarray(cloud.get_offsets())) for cloud in clouds) > MAX_VECTORS:
            # The colour of the text is the page's to choose, and a picture cannot follow it.
            changed += [cloud for cloud in clouds if not cloud.get_rasterized() and not _inky(cloud)]
    for cloud in changed:
        cloud.set_rasterized(True)
    try:
        yield
    finally:
        for cloud in changed:
            cloud.set_rasterized(False)


def _inky(cloud: PathCollection) -> bool:
    colours = [*np.atleast_2d(cloud.get_facecolor()), *np.atleast_2d(cloud.get_edgecolor())]
    return any(to_hex(tuple(colour[:3])) in INK for colour in colours[:8] if len(colour))


def _plain(key: str) -> str:
    """An attribute without its namespace: `href` needs none any more."""
    return "xml:space" if key.endswith("}space") else key.rpartition("}")[2]


def _themed(value: str) -> str:
    value = re.sub(rf"(?<![\w#])({'|'.join(INK)})(?!\w)", "currentColor", value)
    value = re.sub(r"font-family: [^;]*(; |$)", "", value)
    return re.sub(r"(font: [^;]*?[\d.]+px) [^;]*", rf"\1 {FONTS}", value)  # matplotlib before 3.10


def _prune(element: ElementTree.Element) -> None:
    """Without metadata, styles that would be the whole page's, and white space but in texts."""
    for child in list(element):
        if child.tag in ("metadata", "style"):
            element.remove(child)
            continue
        _prune(child)
        if child.tag == "defs" and not len(child):
            element.remove(child)
        child.tail = None if element.tag not in ("text", "tspan") else child.tail
    if element.tag not in ("text", "tspan"):
        element.text = None
    for key in ("d", "x", "y", "transform"):
        if key in element.attrib and "matrix" not in element.get(key, ""):
            element.set(key, _brief(element.get(key, "")))


def _with_few_colours(href: str) -> str:
    """A picture of dots with a palette: a quarter of the size, and no difference to be seen."""
    from PIL import Image  # which matplotlib needs itself

    start = "data:image/png;base64,"
    smaller = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(href.removeprefix(start))))
    if picture.mode == "RGBA":
        picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(smaller, "png", optimize=True)
        return start + base64.b64encode(smaller.getvalue()).decode()
    return href


def _brief(value: str) -> str:
    """Coordinates to a hundredth of a point."""
    value = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
    return " ".join(value.split())


def _rename(root: ElementTree.Element) -> None:
    """Ids that are referred to, by a hash of what is drawn and their place; none of the others."""
    # Matplotlib's own follow digits that are rounded off here.
    places: dict[str, str] = {}
    _refer(root, lambda old: places.setdefault(old, str(len(places))))
    for element in root.iter():
        if (identifier := element.attrib.pop("id", None)) in places:
            element.set("id", places[identifier])
    salt = "f" + hashlib.sha256(ElementTree.tostring(root)).hexdigest()[:10]
    _refer(root, lambda old: f"{salt}-{old}")
    for element in root.iter():
        if "id" in element.attrib:
            element.set("id", f"{salt}-{element.get('id')}")


def _refer(root: ElementTree.Element, renamed: Callable[[str], str]) -> None:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "href" and value.startswith("#"):
                element.set(key, f"#{renamed(value[1:])}")
            elif "url(#" in value:
                element.set(key, re.sub(r"url\(#([^)]+)\)", lambda old: f"url(#{renamed(old[1])})", value))
