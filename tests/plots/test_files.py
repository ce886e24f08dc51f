"""Files of pictures, whole or refused."""

import pytest

from condvae.plots import new_axes, save_figure


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
