"""Which columns are for what."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from cli.saying import PENGUINS, assert_refused
from condvae.cli.roles import choose, groups_of, likelihoods, readings, times_of, words
from condvae.tables import TableError

NAMES = ["a_1", "a_2", "site", "day", "y", " größe ", "x,y"]


@pytest.mark.parametrize(
    "options, given, target",
    [
        ({}, [], NAMES),
        ({"given": "a_*"}, ["a_1", "a_2"], NAMES[2:]),
        ({"given": "y, a_1", "target": "a_2"}, ["y", "a_1"], ["a_2"]),
        ({"drop": "a_*,größe", "given": '"x,y"'}, ["x,y"], ["site", "day", "y"]),
        ({"group": "site", "target": "*"}, [], [n for n in NAMES if n != "site"]),
        ({"group": "site", "given": "site"}, ["site"], [n for n in NAMES if n != "site"]),
        ({"group": "site", "given": "*,site", "target": ""}, None, None),
        ({"time": "day", "given": "s*,d*"}, ["site"], ["a_1", "a_2", "y", " größe ", "x,y"]),
    ],
)
def test_roles(options, given, target):
    if given is None:
        with pytest.raises(TableError, match="leave one to model"):
            choose(NAMES, **options)
        return
    roles = choose(NAMES, **options)
    assert (roles.given, roles.target) == (given, target)


def test_what_is_not_used():
    roles = choose(NAMES, given="a_1", target="y", drop="site", time="day")
    assert roles.unused == ["a_2", " größe ", "x,y"]
    assert roles.time == "day"


TABLE = pa.table(
    {
        "number": [3.0, 1.0, 2.0],
        "date": [datetime.date(2020, 3, 1), datetime.date(2019, 3, 1), datetime.date(2020, 1, 1)],
        "time": pa.array([3, 1, 2], pa.timestamp("ns", tz="UTC")).cast(
            pa.timestamp("us", tz="UTC"), safe=False
        ),
        "text": ["c", "a", "b"],
        "holes": [1, None, 2],
    }
)


def test_times_are_in_their_order():
    for name in ("number", "date"):
        np.testing.assert_array_equal(np.argsort(times_of(TABLE, name)), [1, 2, 0])
    assert len(times_of(TABLE, "time")) == 3
    assert times_of(TABLE, None) is None
    with pytest.raises(TableError, match=r"neither of numbers nor of dates \(row 1: 'c'\)"):
        times_of(TABLE, "text")


def test_groups():
    assert groups_of(TABLE, "number").tolist() == ["3.0", "1.0", "2.0"]
    assert groups_of(TABLE, None) is None
    with pytest.raises(TableError, match="'holes', row 2 is empty"):
        groups_of(TABLE, "holes")


def test_likelihoods_by_column():
    assert likelihoods([], ["a"]) is None
    options = ["a=b=gamma", "a=truncated_gaussian(low=0)"]
    assert likelihoods(options, ["a", "a=b"]) == {"a=b": "gamma", "a": "truncated_gaussian(low=0)"}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("gamma", "write COLUMN=NAME, such as"),
        ("body_mass_g=", "write COLUMN=NAME, such as"),
        ("mass=gamma", "'mass', which is no target; the targets are body_mass_g"),
        (
            "body_mass_g=gama",
            "column 'body_mass_g' is 'gama', expected one of universal, gaussian",
        ),
        (
            "body_mass_g=truncated_gaussian(low=0,high=inf)",
            "high=inf: give a finite number, or leave it out",
        ),
        ("body_mass_g=beta(low=0,low=1)", "has 'low' twice: give it once"),
        ("body_mass_g=beta(low=-1e308,high=1e308)", "the low of column 'body_mass_g' is -1e+308, over a"),
        ("body_mass_g=ordinal", "has 3,601 levels, and may have 256; name another, such as neg"),
        ("body_mass_g=rounded_gaussian(step=30)", "holds 2900, which 'rounded_gaussian' cannot give"),
    ],
)
def test_likelihoods_that_cannot_be_are_refused_before_training(condvae_says, tmp_path, option, words):
    arguments = ("fit", PENGUINS, "--out", tmp_path / "m", "--given", "species", "--target", "body_mass_g")
    assert_refused(condvae_says(*arguments, "--likelihood", option), words)


def test_a_likelihood_is_named_once_for_a_column(condvae_says, tmp_path):
    arguments = ("fit", PENGUINS, "--out", tmp_path / "m", "--target", "body_mass_g")
    twice = ("--likelihood", "body_mass_g=gamma") * 2
    assert_refused(condvae_says(*arguments, *twice), "names column 'body_mass_g' twice; name it once")


def test_a_column_of_row_numbers_is_left_out_unless_it_is_named():
    names = ["", "a", "b"]
    assert choose(names, given="a", index="").target == ["b"]
    assert choose(names, given="[a]*", target="*b", index="").target == ["b"]
    assert choose(names, given="a", index="").unused == []
    assert choose(["Unnamed: 0", "a"], given="Unnamed: 0", index="Unnamed: 0").given == ["Unnamed: 0"]
    assert choose(names, given="a", drop="").dropped == [""]
    assert choose(names, given="a").target == ["", "b"]


def test_times_as_people_write_them():
    table = pa.table(
        {"day": ["31.01.2012", "1.2.2012", "30.01.2012"], "us": ["1/2/2012", "1/3/2012", "1/1/2012"]}
    )
    np.testing.assert_array_equal(np.argsort(times_of(table, "day")), [2, 0, 1])
    np.testing.assert_array_equal(np.argsort(times_of(table, "us", {"us": "date(%m/%d/%Y)"})), [2, 0, 1])
    with pytest.raises(TableError, match="no cell tells apart"):
        times_of(table, "us")


def test_what_columns_are_read_as():
    names = ["hp", "a=b", "day", "x,y", "w_1", "w_2"]
    assert readings("hp=number, a=b=text,day=date(%d.%m.%Y)", names) == {
        "hp": "number",
        "a=b": "text",
        "day": "date(%d.%m.%Y)",
    }
    assert readings("x,y=text, w_*=number(decimal=comma)", names) == {
        "x,y": "text",
        "w_1": "number(decimal=comma)",
        "w_2": "number(decimal=comma)",
    }
    assert readings("", names) is None
    assert readings("w_*=text") == {"w_*": "text"}
    for wrong, sentence in (
        ("hp", "write COLUMN=KIND"),
        ("hp=number day=date", "no column 'hp=number day'"),
        ("hp=int", "expected one of number, text"),
        ("hq=number", "no column 'hq'; its columns are"),
        ("hp=number,hp=text", "names column 'hp' twice"),
    ):
        with pytest.raises(TableError, match=sentence):
            readings(wrong, names)


def test_words_for_a_missing_cell():
    assert words("?, - ,n/a") == ("?", "-", "n/a")
    assert words('"a, b",c') == ("a, b", "c")
    assert words("") == ()
