import datetime
import itertools

import numpy as np
import pyarrow as pa
import pytest

from condvae.tables import TableError, summaries
from condvae.tables.cells import cells, open_frame
from condvae.tables.schema import describe
from condvae.tables.summaries import Summary

RNG = np.random.default_rng(0)
N = 1000
HOLES = RNG.random(N) < 0.1
DAYS = [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=int(h)) for h in RNG.integers(0, 9000, N)]
TABLE = pa.table(
    {
        "number": pa.array(5 + 3 * RNG.normal(size=N), mask=HOLES),
        "whole": RNG.integers(0, 9, N),
        "tiny": 1e-200 * RNG.normal(size=N),
        "text": pa.array(RNG.choice(["a", "b", "c"], N), mask=HOLES),
        "flag": RNG.random(N) < 0.5,
        "when": pa.array(DAYS, pa.timestamp("us")),
        "kind": pa.array(RNG.choice(["x", "y"], N)).dictionary_encode(),
    }
)


def column(table, name):
    return cells(open_frame(table), name)


@pytest.mark.parametrize("name", TABLE.column_names)
@pytest.mark.parametrize("bounds", [(0, 500, N), (0, 1, 2, 3, N), (0, 0, 700, N, N)])
def test_parts_come_to_the_same_as_the_whole(name, bounds):
    parts = [column(TABLE.slice(a, b - a), name) for a, b in itertools.pairwise(bounds)]
    merged = Summary.of(parts[0], whole=False)
    for part in parts[1:]:
        merged = merged.merged(Summary.of(part, whole=False))
    column_of_parts, expected = (describe(s, "given") for s in (merged, Summary.of(column(TABLE, name))))
    assert column_of_parts.mean == pytest.approx(expected.mean, rel=1e-12)
    assert column_of_parts.sd == pytest.approx(expected.sd, rel=1e-12)
    for field in ("kind", "dtype", "missing", "minimum", "maximum", "levels", "declared", "parts", "zone"):
        assert getattr(column_of_parts, field) == getattr(expected, field)


def test_parts_that_stand_still_may_move_between_them():
    mondays = [pa.array([datetime.datetime(2024, 1, 1 + day)] * 3, pa.timestamp("us")) for day in (0, 4)]
    one, two = (Summary.of(column(pa.table({"a": part}), "a"), whole=False) for part in mondays)
    assert (one.parts, two.parts) == ((), ())
    assert one.merged(two).parts == ("week",)


def test_a_constant_part_is_no_constant_column():
    parts = [Summary.of(column(pa.table({"a": [value] * 2}), "a"), whole=False) for value in (1.0, 3.0)]
    both = parts[0].merged(parts[1])
    assert (both.mean, both.sd, both.constant) == (2.0, 1.0, None)
    assert parts[0].constant == "1"
    with pytest.raises(TableError, match=r"target column 'a' is constant \(always 1\)"):
        describe(parts[0].merged(parts[0]), "target")


def test_a_column_of_too_many_levels_is_given_up_early(monkeypatch):
    monkeypatch.setattr(summaries, "MOST_LEVELS", 5)
    parts = [
        Summary.of(column(pa.table({"a": [f"{i}-{k}" for i in range(3)]}), "a"), whole=False)
        for k in range(2)
    ]
    with pytest.raises(TableError, match=r"looks like an identifier .more than 5 different values.; drop"):
        parts[0].merged(parts[1])


def test_numbers_of_two_types_are_floats():
    one, two = (Summary.of(column(pa.table({"a": cells}), "a")) for cells in ([1, 2], [1.5, 2.5]))
    assert (one.dtype, one.merged(two).dtype, two.merged(one).dtype) == ("int64", "double", "double")
