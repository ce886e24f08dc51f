import numpy as np
import pandas as pd
import pytest

from condvae.report import figures
from condvae.tables import Column
from judging.stand_in import rows_of

N = 60


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "dose": rng.normal(5, 2, N),
            "site": rng.choice(["a", "b", "c"], N),
            "year": rng.integers(2000, 2004, N),
        }
    )
    X.loc[3, ["dose", "site"]] = [np.nan, None]
    return rows_of(X, pd.DataFrame({"y": rng.normal(size=N)})), X


def column(rows, name):
    return next(one for one in rows.model.schema.given if one.name == name)


def test_a_condition_is_varied_and_the_others_are_held(rows):
    rows, X = rows
    dose = column(rows, "dose")
    values, c = figures.path(rows, dose, 7)
    np.testing.assert_allclose(values[[0, -1]], X["dose"].quantile([0.05, 0.95]), rtol=1e-5)
    np.testing.assert_allclose(c["numeric"].value[:, 0] * dose.sd + dose.mean, values, rtol=1e-5)
    np.testing.assert_array_equal(
        c["numeric"].value[:, 1], np.repeat(rows.c["numeric"].value[7, 1], len(values))
    )
    np.testing.assert_array_equal(
        c["categorical"].value, np.repeat(rows.c["categorical"].value[7:8], len(values), 0)
    )


def test_levels_and_whole_numbers_are_gone_through(rows):
    rows, _ = rows
    values, c = figures.path(rows, column(rows, "site"), 3)  # a row in which it is missing
    assert values.tolist() == ["a", "b", "c"]
    assert c["categorical"].value[:, 0].tolist() == [0, 1, 2]
    assert c["categorical"].mask.all()
    values, _ = figures.path(rows, column(rows, "year"), 0)
    assert values.tolist() == [2000, 2001, 2002, 2003]


def test_cells_as_they_are_coloured(rows):
    rows, X = rows
    cells = figures._cells(rows, column(rows, "dose"))
    np.testing.assert_allclose(cells, X["dose"], rtol=1e-5)
    cells = figures._cells(rows, column(rows, "site"))
    assert cells.tolist() == X["site"].where(X["site"].notna(), "missing").tolist()


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        ([f"pixel_{i // 8}_{i % 8}" for i in range(64)], (8, 8)),
        ([f"px{i}" for i in range(784)], (28, 28)),
        ([f"px{i}" for i in range(65)], None),
        ([f"{'abcd'[i % 4]}{i}" for i in range(64)], None),
        (["a", "b", "c", "d"], None),
    ],
)
def test_images_are_known_by_the_names_of_their_pixels(names, shape):
    def columns(lowest):
        return [Column(name, "target", "numeric", "double", minimum=lowest) for name in names]

    assert figures.image_shape(columns(0.0)) == shape
    assert figures.image_shape(columns(-1.0)) is None


def test_images_are_drawn_above_their_samples():
    real = np.arange(3 * 64.0).reshape(3, 64)
    real[1, 5] = np.nan
    one = figures._images(real, -real, (8, 8))
    assert one.wide
    drawn = one.axes.images[0].get_array()
    assert drawn.shape[0] < drawn.shape[1] + 8  # two rows of two: the one with a hole is left out
