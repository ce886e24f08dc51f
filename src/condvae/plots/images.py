"""A grid of images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from condvae.plots.style import abbreviated, new_axes


def plot_images(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Images in rows and columns, with gaps through which the page is seen.

    Grey levels and colours are from 0 to 1, or from 0 to 255 in arrays of whole numbers; where they go
    beyond, from the least to the greatest of all. What is not finite is left open.

    Args:
        rows: images [h, w] or [h, w, 3], all of one size; rows may be of different lengths.
        titles: of the columns, above; for as many as the longest row has.
        ax: where to draw.

    Raises:
        ValueError: if there are no images, sizes differ, or titles are not as many as columns.

    Example:
        >>> ax = plot_images([[np.eye(4), np.zeros((4, 4, 3))], [np.ones((4, 4))]], ["x", "a draw"])
        >>> ax.images[0].get_array().shape
        (9, 9, 4)
    """
    images = [[np.asarray(image) for image in row] for row in rows]
    flat = [image for row in images for image in row]
    if not flat:
        raise ValueError("rows has no images, expected 1 or more")
    for image in flat:
        colours = image.shape[2:] in ((), (3,)) and image.dtype.kind in "fiub"
        if image.ndim not in (2, 3) or not colours or not image.size:
            kind = f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"rows has an image of {kind}, expected numbers [h, w] or [h, w, 3]")
        if image.shape[:2] != flat[0].shape[:2]:
            first, other = list(flat[0].shape[:2]), list(image.shape[:2])
            raise ValueError(f"rows has images of {first} and of {other}, expected one size")
    columns = max(map(len, images))
    if titles is not None and len(titles) != columns:
        raise ValueError(f"titles has {len(titles)} entries, expected {columns}, one for each column")
    height, width = flat[0].shape[:2]
    gap = max(1, round(0.06 * max(height, width)))
    low, high = _range(flat)
    tiled = np.zeros((len(images) * (height + gap) - gap, columns * (width + gap) - gap, 4))
    for i, row in enumerate(images):
        for j, image in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            tiled[top : top + height, left : left + width] = _rgba(image, low, high)
    if ax is None:
        inches = min(1.1, 8.0 / columns, 8.0 / len(images) * width / height)
        ax = new_axes(
            max(1.5, inches * columns), max(1.0, inches * height / width * len(images)) + 0.3 * bool(titles)
        )
    ax.imshow(tiled, interpolation="nearest")
    ax.set_axis_off()
    _name(ax, titles or [], width + gap, width)
    return ax


def _range(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """What is drawn black and white."""
    finite = [image[np.isfinite(image)] for image in images]
    low = min((float(values.min()) for values in finite if values.size), default=0.0)
    high = max((float(values.max()) for values in finite if values.size), default=1.0)
    most = 255.0 if all(image.dtype.kind in "iu" for image in images) and high > 1 else 1.0
    if low >= 0 and high <= most:
        return 0.0, most
    return low, high if high > low else low + 1.0


def _rgba(image: np.ndarray, low: float, high: float) -> np.ndarray:
    image = image.astype(np.float64)
    colours = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    known = np.isfinite(colours).all(axis=2, keepdims=True)
    scaled = np.clip((np.where(known, colours, low) - low) / (high - low), 0.0, 1.0)
    return np.concatenate([scaled, known.astype(np.float64)], axis=2)


def _name(ax: Axes, titles: Sequence[Any], step: int, width: int) -> None:
    if not len(titles):
        return
    figure = ax.get_figure(root=True)
    assert figure is not None
    column = ax.get_window_extent().width / figure.dpi * 72 / len(titles)  # points
    for j, title in enumerate(titles):
        ax.annotate(
            abbreviated(title, max(5, int(column / 4.8))),
            (j * step + (width - 1) / 2, -0.5),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            parse_math=False,
        )
