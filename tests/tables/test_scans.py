import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from condvae.tables import Schema, TableError, read_table, scan
from condvae.tables.scans import located, sampled, survey

N = 1000


def table(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "a": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.1),
            "kind": rng.choice(["u", "v"], n),
            "y": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.2),
            "y2": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.2),
        }
    )


@pytest.fixture
def folder(tmp_path):
    """Three files of one table, one in a folder of its own; and files that are none of it."""
    (tmp_path / "later").mkdir()
    whole = table()
    for name, first, rows in (("p1.parquet", 0, 300), ("p2.pq", 300, 450), ("later/p3.parquet", 750, 250)):
        pq.write_table(whole.slice(first, rows), tmp_path / name, row_group_size=100)
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "notes.txt").write_text("")
    pq.write_table(whole, tmp_path / ".hidden.parquet")
    return tmp_path


def test_a_folder_is_one_table(folder):
    scanned = scan(folder)
    assert scanned.column_names == ["a", "kind", "y", "y2"]
    assert len(scanned) == N
    # By the names of the files.
    expected = pa.concat_tables([table().slice(750), table().slice(0, 750)])
    assert scanned.read().equals(expected)
    assert [group.first for group in scanned.groups] == [
        0,
        100,
        200,
        250,
        350,
        450,
        550,
        650,
        750,
        850,
        950,
    ]
    assert pa.concat_tables(scanned.parts()).equals(expected)
    assert read_table(folder).equals(expected)
    chosen = scanned.select(["y", "a"])
    assert chosen.read().equals(expected.select(["y", "a"]))
    assert chosen.same_rows(scanned)
    assert scanned.select(["a"]).joined(chosen).column_names == ["a", "y"]
    assert "1,000 rows in 11 groups" in repr(scanned)


def test_groups_without_rows_are_none(tmp_path):
    pq.write_table(table().slice(0, 0), tmp_path / "none.parquet")
    pq.write_table(table().slice(0, 5), tmp_path / "some.parquet")
    assert len(scan(tmp_path).groups) == 1
    empty = scan(tmp_path / "none.parquet")
    assert len(empty) == 0
    assert empty.read().column_names == table().column_names


def test_what_cannot_be_scanned(folder, tmp_path):
    with pytest.raises(TableError, match="there is no file or folder"):
        scan(folder / "absent")
    (folder / "empty").mkdir()
    with pytest.raises(TableError, match="has no Parquet files"):
        scan(folder / "empty")
    with pytest.raises(TableError, match="the table has no column 'z'; its columns are"):
        scan(folder).select(["z"])
    pq.write_table(table().drop_columns(["y"]), folder / "p4.parquet")
    with pytest.raises(TableError, match=r"p4\.parquet' has no column 'y', which '.*p3\.parquet' has"):
        scan(folder)
    pq.write_table(table().set_column(2, "y", pa.array(["t"] * N)), folder / "p4.parquet")
    with pytest.raises(TableError, match=r"column 'y' is of type string in .* and of type double in"):
        scan(folder)
    (folder / "p4.parquet").write_bytes(b"no")
    with pytest.raises(TableError, match=r"p4\.parquet' is not a Parquet file"):
        scan(folder)


def test_a_file_that_goes_away_is_told(folder):
    scanned = scan(folder)
    (folder / "p1.parquet").unlink()
    with pytest.raises(TableError, match=r"p1\.parquet' cannot be read any more .*; put it back"):
        scanned.read()


def test_a_survey_knows_what_the_whole_table_would_tell(folder):
    scanned = scan(folder)
    whole = scanned.read()
    known = survey(scanned, ["a", "kind"], ["y", "y2"], seed=3, sample_rows=200)
    expected = Schema.infer(whole, given=["a", "kind"], target=["y", "y2"])
    for mine, theirs in zip(
        (*known.schema.given, *known.schema.target), (*expected.given, *expected.target), strict=True
    ):
        assert mine.mean == pytest.approx(theirs.mean, rel=1e-12)
        assert mine.sd == pytest.approx(theirs.sd, rel=1e-12)
        assert (mine.levels, mine.missing) == (theirs.levels, theirs.missing)
    seen = ~(np.asarray(whole["y"].is_null()) & np.asarray(whole["y2"].is_null()))
    assert known.rows == seen.sum()
    assert known.holes == np.asarray(whole["a"].is_null()).sum()
    assert whole.select(["a", "kind", "y", "y2"]).take(known.sample_rows).equals(known.sample)
    assert seen[known.sample_rows].all()
    drawn = np.concatenate([sampled(scanned, i, 3, 200) for i in range(len(scanned.groups))])
    np.testing.assert_array_equal(np.flatnonzero(drawn & seen), known.sample_rows)
    bounds = [group.first for group in scanned.groups] + [N]
    sizes = [(seen & ~drawn)[a:b].sum() for a, b in itertools.pairwise(bounds)]
    assert known.sizes.tolist() == sizes
    other = survey(scanned, [], ["y"], seed=4, sample_rows=200)
    assert other.schema.given == ()
    assert other.sample_rows.tolist() != known.sample_rows.tolist()


def test_a_sample_is_drawn_at_random(tmp_path):
    pq.write_table(pa.table({"a": np.arange(100_000)}), tmp_path / "t.parquet", row_group_size=30_000)
    scanned = scan(tmp_path / "t.parquet")
    for seed in range(3):
        drawn = np.concatenate([sampled(scanned, i, seed, 10_000) for i in range(4)])
        assert abs(drawn.sum() - 10_000) < 4 * np.sqrt(9000)
        places = np.flatnonzero(drawn)
        # As many in each tenth of the table, and neighbours no more often than by chance.
        counts = np.histogram(places, 10, (0, 100_000))[0]
        assert ((counts - 1000) ** 2 / 900).sum() < 30
        assert abs((np.diff(places) == 1).mean() - 0.1) < 0.015


def test_a_survey_refuses_what_cannot_serve(folder):
    scanned = scan(folder)
    with pytest.raises(TableError, match="no target column was named"):
        survey(scanned, ["a"], [], seed=0, sample_rows=10)
    with pytest.raises(TableError, match="unknown='x', expected"):
        survey(scanned, ["a"], ["y"], unknown="x", seed=0, sample_rows=10)
    whole = table(250, seed=1).to_pydict()
    whole["y"][123] = np.inf
    pq.write_table(pa.table(whole, schema=table().schema), folder / "p4.parquet", row_group_size=100)
    message = r"column 'y', row 1,124 is infinite; correct the cell"
    with pytest.raises(TableError, match=message):
        survey(scan(folder), ["a"], ["y"], seed=0, sample_rows=10)


def test_rows_that_an_error_names_are_counted_in_the_whole_table(folder):
    with pytest.raises(TableError, match=r"^no row is named$"), located(scan(folder), 3):
        raise TableError("no row is named")
    for group, row in ((0, 3), (3, 253)):
        message = rf"^column 'a', row {row} \('row 7'\) is bad$"
        with pytest.raises(TableError, match=message) as error, located(scan(folder), group):
            raise TableError(
                "column {column!q}, row {row} ({cell!q}) is bad", column="a", row=2, cell="row 7"
            )
        assert error.value.row == row - 1


def texts(folder, **columns):
    """A folder of one file, two row groups of 50."""
    folder.mkdir()
    pq.write_table(
        pa.table(columns | {"y": np.arange(100) % 7 + 0.5}), folder / "t.parquet", row_group_size=50
    )
    return scan(folder)


def test_text_of_a_long_table_is_read_as_that_of_a_short_one(tmp_path):
    columns = {
        "p": [f"${i % 9}" for i in range(100)],
        "d": [f"{i % 28 + 1:02}.01.2012" for i in range(100)],
        "z": [f"0{i % 5}" for i in range(100)],
        "m": [str(i % 9) if i % 10 else "?" for i in range(100)],
    }
    table = texts(tmp_path / "f", **columns)
    surveyed = survey(table, list(columns), ["y"], missing=("?",), seed=0, sample_rows=10)
    short = Schema.infer(table.read(), given=list(columns), target=["y"], missing=("?",))
    for one, other in zip(surveyed.schema.given, short.given, strict=True):
        assert (one.kind, one.missing, one.minimum, one.maximum, one.levels) == (
            other.kind,
            other.missing,
            other.minimum,
            other.maximum,
            other.levels,
        )
    assert surveyed.schema.given[0].reading == short.given[0].reading


def test_text_that_is_not_what_the_first_rows_are_is_refused(tmp_path):
    table = texts(tmp_path / "f", a=[*map(str, range(99)), "x"])
    with pytest.raises(TableError, match=r"column 'a', row 100 \('x'\) is not a number; correct the cell"):
        survey(table, ["a"], ["y"], seed=0, sample_rows=10)
    surveyed = survey(table, ["a"], ["y"], read={"a": "number"}, missing=("x",), seed=0, sample_rows=10)
    assert (surveyed.schema.given[0].missing, surveyed.schema.given[0].maximum) == (1, 98.0)
