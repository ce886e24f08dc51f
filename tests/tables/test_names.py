"""Names and patterns, as people write them."""

import pytest

from condvae.tables import TableError, apart, join_names, level_name, match_names

COLUMNS = ["species", "bill_length", "bill_depth", "mass, g", "Bill", " year ", "x[1]", "x1"]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("", []),
        (" , ,", []),
        ([], []),
        ("mass_g", None),
        ("species,Bill", ["species", "Bill"]),
        ("  Bill ,  species ", ["Bill", "species"]),
        ('species, "mass, g"', ["species", "mass, g"]),
        (["mass, g", "species"], ["mass, g", "species"]),
        ("year", [" year "]),
        ([" year "], [" year "]),
        ("bill_*", ["bill_length", "bill_depth"]),
        ("bill_*,species", ["bill_length", "bill_depth", "species"]),
        ("bill_depth,bill_*", ["bill_depth", "bill_length"]),
        ("bill_depth,bill_depth", ["bill_depth"]),
        (["[bB]ill*"], ["bill_length", "bill_depth", "Bill"]),
        ("?ill", ["Bill"]),
        ("bill", None),
        ("y*", [" year "]),
        ("x[1]", ["x[1]"]),  # an exact name is no pattern
        ("x[!2]", ["x1"]),
        ('"mass*"', ["mass, g"]),
        ("*", COLUMNS),
        ("z*", None),
    ],
)
def test_match_names(asked, names):
    if names is not None:
        assert match_names(asked, COLUMNS) == names
        return
    with pytest.raises(TableError, match="given: "):
        match_names(asked, COLUMNS)


def test_names_that_are_no_text():
    assert match_names([1, "0"], [0, 1]) == [1, 0]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("speces", "--target: the table has no column 'speces'; did you mean 'species'?"),
        (["zzz"], "--target: the table has no column 'zzz'; its columns are 'species', "),
        ("bil_l*", "--target: no column matches 'bil_l*'; did you mean 'Bill'?"),
        ("SPECIES*", "--target: no column matches 'SPECIES*'; its columns are 'species'"),
        ("a\nb", "--target: 'a\\nb' is no list of names (new-line"),
    ],
)
def test_one_sentence_each(asked, sentence):
    with pytest.raises(TableError) as error:
        match_names(asked, COLUMNS, "--target")
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_no_two_levels_are_named_alike():
    names, levels = (
        ["a", "a=b", '"a', '"a"', '"a=b"', "=", ""],
        ["b=c", "c", "=c", "", '"', "b", "=", True, 1.0],
    )
    level_names = [level_name(name, level) for name in names for level in levels]
    assert len(set(level_names)) == len(level_names)
    assert level_names[:2] == ["a=b=c", "a=c"]  # as they are, where nothing is to be told apart


def test_joined_names_are_read_again():
    names = ["species", "mass, g", 'the "x"', "x1"]
    assert match_names(join_names(names), [*names, "other"]) == names


def test_what_is_added_gives_way():
    assert apart(["row", "draw"], ["x"]) == ["row", "draw"]
    assert apart(["row", "draw"], ["draw", "draw_", 3]) == ["row", "draw__"]
    assert apart(["3", "3"], [3]) == ["3_", "3__"]
