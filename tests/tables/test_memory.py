"""Reading within a budget of memory, and what is no file."""

import gzip
import io
import os
import sys
import threading
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from condvae.sentences import Argument
from condvae.tables import Column, TableError, files, memory, read_table, scan
from condvae.tables.memory import budget, in_units, num_bytes

POSIX = pytest.mark.skipif(os.name == "nt", reason="pipes, devices and links of POSIX")


@pytest.mark.parametrize(
    ("size", "number"),
    [("500M", 500 * 2**20), ("2g", 2**31), ("1.5 KiB", 1536), ("7", 7), (9, 9), ("1TB", 2**40)],
)
def test_sizes(size, number):
    assert num_bytes(size) == number


@pytest.mark.parametrize("size", ["", "0", "-1G", "2X", "G", "1e9", "inf", True, "9" * 99])
def test_what_is_no_size(size):
    with pytest.raises(TableError, match="is no size; give bytes with or without a unit"):
        num_bytes(size)


def test_sizes_are_told_as_people_read_them():
    assert [in_units(n) for n in (3 * 2**40, 2**20, 1023)] == ["3.0 TiB", "1.0 MiB", "1023 bytes"]


def test_the_budget_is_what_is_asked_for_or_half_of_what_is_available(monkeypatch):
    monkeypatch.setattr(memory, "_available", lambda: 100)
    assert (budget(), budget("1K"), budget(5)) == (50, 1024, 5)
    token = memory.chosen.set("3K")
    assert (budget(), budget(5)) == (3072, 5)
    memory.chosen.reset(token)


def test_memory_is_available():
    assert memory._available() > 2**20


ROWS = "a,b\n" + "1,2\n" * 100_000
FRAME = pa.table({"a": np.zeros(100_000), "b": ["x"] * 100_000})


def zipped(text, name="rows.csv"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def parquet():
    buffer = io.BytesIO()
    pq.write_table(FRAME, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.csv", ROWS.encode()),
        ("rows.csv.gz", gzip.compress(ROWS.encode())),
        ("rows.zip", zipped(ROWS)),
        ("rows.xlsx", zipped(ROWS, "sheet.xml")),
        ("rows.parquet", parquet()),
    ],
)
def test_what_takes_more_than_the_budget_is_refused(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(
        TableError, match=r"takes .* of memory or more, and 100.0 KiB are allowed"
    ) as caught:
        read_table(path, max_memory="100K")
    assert caught.value.argument == Argument("max_memory")
    if name != "rows.xlsx":
        assert len(read_table(path, max_memory="50M")) == 100_000


def test_a_scan_is_read_within_the_budget(tmp_path):
    pq.write_table(FRAME, tmp_path / "rows.parquet")
    table = scan(tmp_path)
    assert len(table.read("50M")) == 100_000
    with pytest.raises(TableError, match="of memory or more"):
        table.read("100K")
    assert len(table.select(["b"]).parts().__next__()) == 100_000


def test_a_constant_column_of_very_many_rows_is_known_by_its_rows(tmp_path):
    rows = 4_000_000
    pq.write_table(pa.table({"a": np.zeros(rows)}), tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").stat().st_size < 100_000
    with pytest.raises(TableError, match=r"takes 61.0 MiB of memory or more, and 10.0 MiB are allowed"):
        read_table(tmp_path / "rows.parquet", max_memory="10M")


def test_a_stream_that_does_not_end_is_read_no_further_than_the_budget(monkeypatch):
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:] = b"1,2\n" * (len(buffer) // 4) + b"1" * (len(buffer) % 4)
            return len(buffer)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    with pytest.raises(TableError, match="reading standard input takes"):
        read_table("-", max_memory="100M")


def test_a_compressed_file_of_zeros_is_no_text_from_its_first_piece(tmp_path):
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(bytes(2**26)))
    with pytest.raises(TableError, match="it holds zero bytes"):
        read_table(tmp_path / "rows.csv.gz", max_memory="50M")


@POSIX
@pytest.mark.parametrize("device", ["/dev/urandom", "/dev/zero"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_devices_are_not_read(tmp_path, device, name):
    (tmp_path / name).symlink_to(device)
    with pytest.raises(TableError, match="is a device or a socket, not a file"):
        read_table(tmp_path / name)
    with pytest.raises(TableError, match=r"is not a Parquet file|is not a regular file"):
        scan(tmp_path / name)


@POSIX
def test_a_pipe_without_a_writer_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "WRITER_SECONDS", 0.1)
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(TableError, match="is a pipe that no program writes to"):
        read_table(tmp_path / "rows.csv")


@POSIX
@pytest.mark.parametrize("compress", [False, True])
def test_a_pipe_with_a_writer_is_read(tmp_path, compress):
    path = tmp_path / ("rows.csv.gz" if compress else "rows.csv")
    os.mkfifo(path)
    data = gzip.compress(ROWS.encode()) if compress else ROWS.encode()
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    assert len(read_table(path)) == 100_000
    writer.join()


@pytest.mark.parametrize("path", ["a" * 5000 + ".csv", "nul\0.csv", "\udcff.csv", "no/such.parquet"])
def test_a_path_that_cannot_be_is_one_sentence(path):
    for read in (read_table, scan):
        with pytest.raises(TableError) as caught:
            read(path)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([f"c{i}" for i in range(10**6)], r"the first line of .* too many for column names"),
        ([""] * 200_000, r"has 200,000 columns, more than the 50,000 that are read of text"),
    ],
)
def test_text_of_very_many_columns_is_refused(tmp_path, names, sentence):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(map(",".join, (names, ["1"] * len(names), ["2"] * len(names)))))
    with pytest.raises(TableError, match=sentence):
        read_table(path)


def test_of_very_many_columns_of_parquet_those_of_a_schema_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_COLUMNS", 9)
    pq.write_table(pa.table({f"c{i}": [1.0, 2.0] for i in range(10)}), tmp_path / "rows.parquet")
    columns = [Column(name, "given", "numeric", "double") for name in ("c3", "absent")]
    assert read_table(tmp_path / "rows.parquet", columns).column_names == ["c3"]
    assert len(read_table(tmp_path / "rows.parquet").column_names) == 10
