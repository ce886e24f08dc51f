"""What is said of how columns were read, and of those that number or name the rows."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from condvae.tables import Schema, of_identifiers, of_readings


def notes(cells, **options):
    frame = pa.table({"a": cells, "y": np.arange(len(cells)) % 3 + 0.5})
    schema = Schema.infer(frame, given=["a"], target=["y"], **options)
    return of_readings(schema.given), of_identifiers(schema.given, frame)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["$5", "$7"], "2 cells such as '$5' were read as numbers ($); read={'a': 'text'} keeps text"),
        (["5", "n/a"], "1 cell, '5', was read as numbers; read={'a': 'text'} keeps text"),
        (
            ["1,5", "2"],
            "2 cells such as '1,5' were read as numbers with a decimal comma; read={'a': 'text'} keeps "
            "text",
        ),
        (
            ["007", "12"],
            "1 cell, '007', is written as a code, so the column was read as text; read={'a': 'number'} "
            "reads numbers",
        ),
        (
            ["1", "2", "3+"] * 2,
            "2 cells such as '3+' are not like the others, so the column was read as text; missing=('3+',) "
            "counts such cells as missing",
        ),
        (
            [20260131, 20260201, 20260202],
            "3 cells such as '20260131' were read as dates (%Y%m%d); read={'a': 'number'} keeps numbers",
        ),
    ],
)
def test_what_was_read_as_what(cells, sentence):
    (note,), _ = notes(cells)
    assert note.words() == f"column 'a': {sentence}"


def test_what_is_as_it_was_is_not_said():
    assert notes(["x", "y"]) == ([], [])
    assert notes([1.5, 2.5]) == ([], [])
    assert notes(["1", "2"], read={"a": "text"})[0] == []


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (range(60), "row number"),
        (range(1, 7), "row number"),
        (range(100, 40, -1), "row number"),
        ([float(i) for i in range(30)], "row number"),
        ([i * i for i in range(30)], "row number"),
        ([f"n{i}" for i in range(30)], "identifier"),
        ([f"n{i}" for i in range(5)], "identifier"),
        ([f"n{i % 20}" for i in range(30)], "identifier"),
        ([f"n{i % 10}" for i in range(30)], None),
        ([i * i for i in range(10)], None),
        ([i % 29 for i in range(30)], None),
        ([i / 2 for i in range(30)], None),
        (["a", "b", "c"], None),
        ([True, False, True, True, False, True], None),
        (pd.date_range("2020", periods=30), None),
        ([f"${i}" for i in range(30)], None),
    ],
)
def test_what_numbers_or_names_the_rows(cells, kind):
    _, row_notes = notes(list(cells))
    assert [note.kind for note in row_notes] == ([] if kind is None else [kind])


def test_the_sentences():
    assert notes(list(range(60)))[1][0].words() == (
        "column 'a' has a different whole number in each of 60 rows; drop it if it numbers the rows"
    )
    assert notes([f"n{i}" for i in range(30)])[1][0].words() == (
        "column 'a' has 30 different values in 30 rows, as an identifier has; drop it if it is one, or "
        "group its values"
    )
