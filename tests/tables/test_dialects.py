"""What separates cells, how a file is encoded, and where its table begins."""

import pytest

from condvae.tables import TableError
from condvae.tables.dialects import dialect_of, header_place, text_of


@pytest.mark.parametrize(
    ("text", "usual", "separator", "names"),
    [
        ("a,b\n1,2\n", ",", ",", ("a", "b")),
        ("a;b\n1,5;2,5\n3,5;4\n", ",", ";", ("a", "b")),
        ("a|b\n1|2\n", None, "|", ("a", "b")),
        ("a\n1\n2\n", ",", ",", ("a",)),
        ("price; EUR\n5\n", ",", ",", ("price; EUR",)),
        ('"a;x","b"\n"1;2",3\n', ",", ",", ("a;x", "b")),
        ("a;b\n", ",", ",", ("a;b",)),
        ("sep=|\na|b\n1|2\n", ",", "|", ("a", "b")),
        ("a\rb\r", ",", ",", ("a",)),
        ("# x\na\n1\n", ",", ",", ("a",)),
        ("#a,b\n1,2\n", ",", ",", ("#a", "b")),
    ],
)
def test_what_separates_cells(text, usual, separator, names):
    dialect = dialect_of(text, "f", usual)
    assert (dialect.separator, dialect.names) == (separator, names)


def test_what_stands_above_is_said():
    dialect = dialect_of("Survey\n# of 2020\n\na,b\n1,2\n3,4\n", "f", ",")
    assert dialect.names == ("a", "b")
    assert dialect.body == "1,2\n3,4\n"
    assert dialect.notes == ("f: left out what stands above the table ('Survey' and 1 more)",)
    assert header_place([["a", "b"], ["1"], ["2", "3"]]) == 0
    assert header_place([["a"], ["1"]]) == 0


@pytest.mark.parametrize(
    "below",
    ["Source: the office\n", "\nSource: the office, 2020\n\n", '"Source: the office",,\n', "* by hand;\n"],
)
def test_what_stands_below_is_left_out_and_said(below):
    body = "1,x,2\n3,y,4\n"
    dialect = dialect_of(f"a,b,c\n{body}{below}", "f", ",")
    assert dialect.body.rstrip() == body.rstrip()
    assert len(dialect.notes) == 1
    assert "f: left out what stands below the table" in dialect.notes[0]


@pytest.mark.parametrize(
    "last", ["5\n", "New York,,\n", "North Bay\n", "Total,,9\n", '5,6,"a long\nremark of words"\n', "x,,\n"]
)
def test_a_last_row_is_not_left_out(last):
    names = "South Bay,x,2\n" if last.startswith("North") else "1,x,2\n"
    dialect = dialect_of(f"a,b,c\n{names}3,y,4\n{last}", "f", ",")
    assert (dialect.body, dialect.notes) == (f"{names}3,y,4\n{last}", ())


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("5.1,x,3\n4.9,y,2\n4.7,x,7\n", True),
        ("5.1\n4.9\n4.7\n", True),
        ("2015,2016,2018\n1,2,3\n4,5,6\n", False),
        ("0\n4.9\n4.7\n", False),
        ("0,1\n4.9,2\n4.7,3\n", False),
        ("5.1,b\nx,y\nz,x\n", False),
        ("a,3\n1,2\n3,4\n", False),
    ],
)
def test_names_that_are_numbers_are_told(text, row):
    notes = dialect_of(text, "f", ",").notes
    assert len(notes) == row
    assert all("its first line" in note and "put a line of names above" in note for note in notes)


def test_quoted_names_may_have_line_ends():
    dialect = dialect_of('"a\nx",b\n1,2\n', "f", ",")
    assert (dialect.names, dialect.body) == (("a\nx", "b"), "1,2\n")


@pytest.mark.parametrize("data", [b"", b"  \n "])
def test_an_empty_file(data):
    with pytest.raises(TableError, match="f is empty"):
        dialect_of(*text_of(data, "f")[:1], "f", ",")


def test_encodings():
    for encoding, name in (
        ("utf-8", None),
        ("utf-16", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("cp1252", "Latin-1"),
    ):
        assert text_of("größe,€\n1,2\n".encode(encoding), "f") == ("größe,€\n1,2\n", name)
    for data in (b"a,b\n\0,1\n", b"\x89PNG\r\n\x1a\n\0\0\0", bytes(range(1, 256))):
        with pytest.raises(TableError, match="f is not a CSV table"):
            text_of(data, "f")


@pytest.mark.parametrize(
    "text",
    [
        "Sales, 2020\nby hand\n\nshop,n\nA,1\nB,2\n",
        "// made by us, today\nshop,n\nA,1\nB,2\n",
        "shop n\nA  1\n B 2\n",
        "shop,n\nA,1\nB,2\n",
    ],
)
def test_titles_with_separators_and_cells_between_blanks(text):
    dialect = dialect_of(text, "f", None)
    assert dialect.names == ("shop", "n")
    assert (
        dialect.body.split() == [f"A{dialect.separator}1", f"B{dialect.separator}2"]
        or dialect.body == "A\t1\nB\t2\n"
    )


def test_a_ragged_row_is_no_title():
    dialect = dialect_of("a,b\n1\n2,3\n4,5\n", "f", ",")
    assert dialect.names == ("a", "b")
    assert dialect_of("two words\none more\n", "f", None).names == ("two words",)
