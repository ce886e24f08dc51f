"""Tables on disk: what is read, what is written, and the sentence for what is neither."""

import bz2
import gzip
import io
import sys
import zipfile
from importlib.resources import files

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from condvae.tables import Schema, TableError, encode, read_file, read_table, write_parts, write_table

MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
ENDINGS = [
    ".csv",
    ".CSV",
    ".csv.gz",
    ".csv.bz2",
    ".csv.zst",
    ".csv.lz4",
    ".tsv",
    ".tsv.gz",
    ".parquet",
    ".pq",
]
DATA = {
    "größe": [0.1 + 0.2, None, 1e-300],
    "legs": [2, None, 6],
    "sex": ["m", None, 'says "f", twice'],
    "tame": [True, None, False],
}


def csv(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_is_written_is_read(tmp_path, make, ending):
    data = DATA if make is not pd.DataFrame else DATA | {"legs": [2.0, None, 6.0]}
    path = tmp_path / f"rows{ending}"
    write_table(make(data), path)
    write_table(make(data), path)  # over the old one
    assert read_table(path).to_pydict() == data
    assert list(tmp_path.iterdir()) == [path]


def test_categories_are_written_as_their_levels(tmp_path):
    frame = pd.DataFrame({"a": pd.Categorical(["x", "y"]), "b": pd.Categorical([3, 1])}, index=[7, 8])
    write_table(frame, tmp_path / "rows.csv")
    assert read_table(tmp_path / "rows.csv").to_pydict() == {"a": ["x", "y"], "b": [3, 1]}


def test_missing_cells(tmp_path):
    words = ["", '""', "NA", "NaN", "nan", "null", "NULL", "None"]
    table = read_table(csv(tmp_path, "x,n,s\n1,2.5,z\n" + "".join(f"1,{word},{word}\n" for word in words)))
    assert table["n"].to_pylist() == [2.5] + [None] * len(words)
    assert table["s"].to_pylist() == ["z"] + [None] * len(words)


def test_types_are_settled_on_the_whole_file(tmp_path):
    num_rows = 300_000  # beyond the first block that pyarrow would look at
    path = csv(tmp_path, "a,b,c\n" + "1,2,\n" * num_rows + "1.5,two,3\n")
    table = read_table(path)
    assert [str(column.type) for column in table.columns] == ["double", "string", "int64"]
    assert table["c"].null_count == num_rows


def test_text_that_looks_like_numbers_stays_text_where_a_schema_says_so(tmp_path):
    fitted = read_table(csv(tmp_path, "zip,x\n01099,1\nA1,2\n80331,3\n"))
    columns = Schema.infer(fitted, given=["zip"], target=["x"]).given
    path = csv(tmp_path, "x,zip\n1,01099\n")
    assert read_table(path)["zip"].to_pylist() == ["01099"]  # a code, by itself too
    path = csv(tmp_path, "x,zip\n1,80331\n")
    assert read_table(path)["zip"].to_pylist() == [80331]
    table = read_table(path, columns)
    assert table["zip"].to_pylist() == ["80331"]
    assert encode(columns, table)["categorical"].value.item() == 1
    read_table(csv(tmp_path, "other\n1\n"), columns)  # a column that is not there is no matter here


def test_csv_of_many_makers(tmp_path):
    text = 'a,b\r\n1,"two\nlines, and a comma"\r\n\r\n3,z\r\n'
    expected = {"a": [1, 3], "b": ["two\nlines, and a comma", "z"]}
    assert read_table(csv(tmp_path, text)).to_pydict() == expected
    assert read_table(csv(tmp_path, text, "utf-8-sig")).to_pydict() == expected
    assert read_table(csv(tmp_path, "a,b")).num_rows == 0
    assert read_table(csv(tmp_path, "price; EUR\n5\n")).column_names == ["price; EUR"]


@pytest.mark.parametrize(("module", "ending"), [(gzip, "gz"), (bz2, "bz2")])
def test_compressed_by_others_and_for_others(tmp_path, module, ending):
    path = tmp_path / f"rows.csv.{ending}"
    path.write_bytes(module.compress("a,b\n1,x\n".encode("utf-8-sig")) + module.compress(b"2,y\n"))
    assert read_table(path).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    write_table(pa.table({"a": [1]}), path)
    assert module.decompress(path.read_bytes()) == b'"a"\n1\n'


def test_tabs(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_bytes('\ufeffa\tb, c\n1\t"x\ty"\n\n2\tNA\n'.encode())
    assert read_table(path).to_pydict() == {"a": [1, 2], "b, c": ["x\ty", None]}
    path.write_text("a\n1\n\n")
    assert read_table(path).to_pydict() == {"a": [1, None]}
    path.write_text("a,b\n1,2\n")
    assert read_table(path).to_pydict() == {"a": [1], "b": [2]}


def test_dates_and_times(tmp_path):
    table = read_table(csv(tmp_path, "d,t,z\n2024-01-02,2024-01-02 03:04,2024-01-02T03:04:05Z\n,,\n"))
    assert [str(column.type) for column in table.columns] == [
        "date32[day]",
        "timestamp[s]",
        "timestamp[s, tz=UTC]",
    ]
    for ending in (".csv", ".tsv", ".parquet"):
        write_table(table, tmp_path / f"again{ending}")
        again = read_table(tmp_path / f"again{ending}")
        assert again.cast(table.schema).equals(table)


def test_an_empty_line_of_one_column_is_a_missing_cell(tmp_path):
    write_table(pa.table({"a": [1, None, 3]}), tmp_path / "rows.csv")
    assert read_table(tmp_path / "rows.csv").to_pydict() == {"a": [1, None, 3]}


def test_standard_streams(monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,x\n")))
    table = read_table("-")
    assert table.to_pydict() == {"a": [1], "b": ["x"]}
    write_table(table, "-")
    assert capfdbinary.readouterr().out == b'"a","b"\n1,"x"\n'


def test_penguins(tmp_path):
    penguins = read_table(files("condvae") / "data" / "penguins.csv")
    assert penguins.num_rows == 344
    assert penguins["sex"].null_count == 11
    assert str(penguins["body_mass_g"].type) == "int64"
    assert str(penguins["bill_length_mm"].type) == "double"
    for ending in (".csv", ".parquet"):
        write_table(penguins, tmp_path / f"rows{ending}")
        assert read_table(tmp_path / f"rows{ending}").equals(penguins)


# What is no table


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; a table needs a line of column names"),
        (" \n\n", "is empty"),
        ("a,b\n1,2\n3\n", r"row 2: expected 2 cells, .* got 1; mend that line"),
        ("a,b\n1,2\n\n3,4,5\n", r"row 2: expected 2 cells, .* got 3"),
        ("a,b\n1,2,3\n4,5,6\n", "row 1: expected 2 cells, .* got 3"),
        ("a;b\n1,5;2\n2\n3;4\n", "row 2: expected 2 cells, .* got 1; mend that line"),
        (b"a,b\n1,\x01\x02\x03\x04\xff\n", "it is no text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is not a CSV table"),
    ],
)
def test_a_csv_that_cannot_be_read(tmp_path, text, sentence):
    with pytest.raises(TableError, match=rf"rows\.csv'.*{sentence}") as error:
        read_table(csv(tmp_path, text))
    assert "\n" not in str(error.value)


EXPECTED = {"größe": [1.5, 2.25], "ort": ["Zürich", "Köln"], "n": [1, 2]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.txt", "rows.tsv"])
def test_whatever_separates_and_encodes(tmp_path, separator, encoding, name):
    lines = ["größe,ort,n", "1.5,Zürich,1", "2.25,Köln,2"]
    path = tmp_path / name
    path.write_bytes(("\r\n".join(lines).replace(",", separator) + "\r\n").encode(encoding))
    assert read_table(path).to_pydict() == EXPECTED


@pytest.mark.parametrize(
    "above",
    ["# by hand\n# 2020, again\n", "Survey of 2020\n\n", "\n\n\n", "sep=;\n", "Title;;\n", "\ufeff"],
)
@pytest.mark.parametrize("below", ["", "\n\n", ";;\n;;\n", "   \n", "# the end\n"])
def test_what_stands_above_and_below_a_table(tmp_path, above, below):
    rows = "größe;ort;n\n1.5;Zürich;1\n\n2.25;Köln;2\n"
    assert read_table(csv(tmp_path, above + rows + below)).to_pydict() == EXPECTED


def test_decimal_commas_of_a_file_separated_by_semicolons(tmp_path):
    frame = read_file(csv(tmp_path, "a;b;c\n1,5;1.702;x\n2;2.000;y\n0,25;12;y\n"))
    assert frame.notes == (f"'{tmp_path / 'rows.csv'}': its cells are separated by semicolons",)
    a, b = (
        Schema.infer(frame.table, given=["a"], target=["b"]).given
        + Schema.infer(frame.table, target=["b"]).target
    )
    assert (a.minimum, a.maximum, b.maximum) == (0.25, 2.0, 2000.0)
    again = read_table(csv(tmp_path, "b;a\n1.702;1,702\n"), [a, b])
    assert again.to_pydict() == {"b": [1702], "a": [1.702]}
    # Points are decimal points where no column has decimal commas.
    assert read_table(csv(tmp_path, "a;b\n1.5;x\n2;y\n"))["a"].to_pylist() == [1.5, 2.0]


def test_readings_of_a_schema_are_kept_to(tmp_path):
    table = read_table(csv(tmp_path, "p,d,y\n$5,31.1.2012,1\n?,1.2.2012,2\n$7,2.2.2012,3\n"))
    schema = Schema.infer(table, given=["p", "d"], target=["y"], missing=("?",))
    again = read_table(csv(tmp_path, "p,d,other\n12,2.1.2012,$5\n?,3.1.2012,$6\n"), schema.given)
    assert again["p"].to_pylist() == [12, None]
    assert str(again["d"].type) == "timestamp[us]"
    assert again["other"].to_pylist() == ["$5", "$6"]
    with pytest.raises(TableError, match=r"column 'p', row 2 \('x'\) is not a number in \$"):
        read_table(csv(tmp_path, "p,d\n$5,1.1.2012\nx,1.1.2012\n"), schema.given)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__", "...1"])
@pytest.mark.parametrize("start", [0, 1])
def test_a_column_of_row_numbers_without_a_name_is_known(tmp_path, name, start):
    rows = [f"{i + start},{i * i}" for i in range(5)]
    path = csv(tmp_path, "\n".join([f"{name},a", *rows]) + "\n")
    assert read_file(path).index == name
    write_table(pa.table({name: range(start, start + 5), "a": range(5)}), tmp_path / "rows.parquet")
    assert read_file(tmp_path / "rows.parquet").index == name
    assert read_file(csv(tmp_path, f"{name},a\n3,1\n1,2\n")).index is None
    assert read_file(csv(tmp_path, "i,a\n1,1\n2,2\n")).index is None


def test_rows_with_a_number_that_the_names_lack(tmp_path):
    file = read_file(csv(tmp_path, "a b\tc\n1\tx\t5\n2\ty\t6\n"))
    assert (file.table.column_names, file.index) == (["", "a b", "c"], "")
    assert read_table(csv(tmp_path, "a,b\n1,2,\n3,4,\n")).select(["a", "b"]).to_pydict() == {
        "a": [1, 3],
        "b": [2, 4],
    }


def test_an_archive_of_one_table(tmp_path):
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/rows.csv", "a;b\n1;x\n2;y\n")
        archive.writestr("__MACOSX/._rows.csv", "junk")
    assert read_table(path).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.csv", "a\n1\n")
    with pytest.raises(TableError, match=r"rows\.zip' holds 2 files \('folder/rows.csv', 'more.csv'"):
        read_table(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.doc", "a")
    with pytest.raises(TableError, match=r"'notes.doc' does not end in .csv"):
        read_table(path)
    path.write_bytes(b"no archive")
    with pytest.raises(TableError, match=r"rows\.zip' cannot be unpacked"):
        read_table(path)


def test_a_cell_of_ten_million_letters(tmp_path):
    table = read_table(csv(tmp_path, f"a,b\n{'x' * 10**7},1\ny,2\n"))
    assert len(table["a"][0].as_py()) == 10**7
    with pytest.raises(TableError) as error:
        Schema.infer(table, target=["x" * 10**7])
    assert len(str(error.value)) < 300


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(TableError, match=r"there is no file .*absent\.csv'; check the path"):
        read_table(tmp_path / "absent.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TableError, match=r"the folder .* has no Parquet files"):
        read_table(tmp_path / "folder.csv")
    for name in ("table.doc", "table", "table.gz", "table.parquet.gz"):
        with pytest.raises(
            TableError, match=r"does not end in .csv, .csv.gz, .tsv or .parquet, nor in .txt, "
        ):
            read_table(tmp_path / name)
    whole = gzip.compress(b"a,b\n1,2\n" * 1000)
    for data in (b"a,b\n1,2\n", whole[:40], b""):
        (tmp_path / "rows.csv.gz").write_bytes(data)
        with pytest.raises(TableError, match=r"rows\.csv\.gz'"):
            read_table(tmp_path / "rows.csv.gz")


def test_a_parquet_file_that_is_none_or_cut_short(tmp_path):
    path = tmp_path / "rows.parquet"
    write_table(pa.table({"a": range(1000)}), path)
    for data in (b"", b"a,b\n1,2\n", path.read_bytes()[:-10], path.read_bytes()[10:]):
        path.write_bytes(data)
        with pytest.raises(TableError, match="is not a Parquet file, or is cut short"):
            read_table(path)


def test_what_cannot_be_written(tmp_path):
    table = pa.table({"a": [[1], [2]]})
    with pytest.raises(TableError, match=r"CSV cannot hold this table .*; write Parquet"):
        write_table(table, tmp_path / "rows.csv")
    with pytest.raises(TableError, match=r"does not end in \.csv"):
        write_table(table, tmp_path / "rows.xlsx")
    with pytest.raises(TableError, match=r"cannot be written: .*; choose a folder that exists"):
        write_table(table, tmp_path / "absent" / "rows.parquet")
    with pytest.raises(TableError, match="expected a pandas, polars or pyarrow table"):
        write_table([1, 2], tmp_path / "rows.csv")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(TableError, match="is a folder"):
        write_table(pa.table({"a": [1]}), tmp_path / "rows.csv")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_failed_write_leaves_the_old_file(tmp_path, ending, monkeypatch):
    path = tmp_path / f"rows{ending}"
    write_table(pa.table({"a": [1]}), path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(
        TableError, match="No space left on device; make room there, or choose another folder"
    ):
        write_table(pa.table({"a": [2]}), path)
    assert read_table(path)["a"].to_pylist() == [1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_parts_are_written_as_a_whole_or_not_at_all(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    write_table(pa.table({"a": [1, 2]}), path)
    before = path.read_bytes()

    def parts():
        yield pa.table({"a": [3]})
        raise RuntimeError("the third part could not be made")

    with pytest.raises(RuntimeError):
        write_parts(parts(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
