"""The picture of samples."""

import pyarrow as pa
import pytest

from cli.saying import PENGUINS, TARGETS
from condvae.cli import inputs, pictures
from condvae.tables import TableError, read_table


def test_real_rows_are_drawn_where_the_table_has_them(home):
    estimator = inputs.load(home / "model")
    few = read_table(PENGUINS).slice(0, 20)
    samples = pa.table({name: few[name] for name in ("species", *TARGETS)})

    def legend(real):
        return [text.get_text() for text in pictures.draw(estimator, samples, real).figure.legends[0].texts]

    assert "real rows (outlined)" in legend(few)
    assert "real rows (outlined)" not in legend(few.select(["species"]))
    assert "real rows (outlined)" not in legend(None)
    assert "Adelie" in legend(few)


def test_levels_alone_are_no_picture(home, tmp_path):
    with pytest.raises(TableError, match="no numeric target"):
        pictures.require_picture(inputs.load(home / "levels"), tmp_path / "p.png")
