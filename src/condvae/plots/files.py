"""Pictures to files: whole, or refused before any work is done."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase

from condvae.storage import write_bytes


def save_figure(axes: Axes, path: str | Path) -> None:
    """Write the figure that `axes` stand on; the kind of file follows its ending.

    Raises:
        ValueError: if there is no such kind of picture, or the file cannot be written.
    """
    require_drawable(path)
    figure = axes.get_figure(root=True)
    assert figure is not None
    drawn = io.BytesIO()  # a drawing that fails leaves no file
    with without_glyph_warnings():
        figure.savefig(drawn, dpi=150, format=Path(path).suffix[1:].lower())
    write_bytes(path, drawn.getvalue())


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """A letter that the font lacks is drawn as a box: the picture stands, and names stay in the table."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def require_drawable(path: str | Path) -> None:
    """Check that a picture can be written at `path`, before any work is done for it.

    Raises:
        ValueError: if its ending is of no kind of picture, or its folder is not there or not to be
            written to.

    Example:
        >>> require_drawable("samples.xls")
        Traceback (most recent call last):
        ValueError: 'samples.xls' is no kind of picture: let it end in .png, .svg or .pdf
    """
    path = Path(path)
    if path.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(f"{str(path)!r} is no kind of picture: let it end in .png, .svg or .pdf")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"{str(path)!r} cannot be written; choose a file in a folder that exists and may be written to"
        )
