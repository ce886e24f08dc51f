import pytest

from condvae import text


def test_numbers_for_the_eye():
    assert [text.short(v) for v in (None, 3, 0.123456, 4202.24, 1234567.8, 1e9, -1e-5, "x", True)] == [
        "", "3", "0.1235", "4202", "1234568", "1e+09", "-1e-05", "x", "True"
    ]  # fmt: skip


def test_errors_that_are_none_are_not_shown():
    shown = [text.plus_minus(1.25, stderr) for stderr in (0.5, None, float("nan"))]
    assert shown == ["1.25 ± 0.50", "1.25", "1.25"]


def test_lists_of_names():
    assert text.listed("abc") == "a, b, c"
    assert text.listed(range(14)).endswith("10, 11, and 2 more")
    assert text.listed(range(13)).endswith("11, 12")  # one more takes no more room than saying so
    assert text.quoted(["a", "b"], most=1) == "'a' and 1 more"


@pytest.mark.parametrize("written", ["f(a)", "f(a=)", "f(a=b)", "f(a=1=2)", "f(a=1", "f g", ""])
def test_what_is_no_call(written):
    assert text.as_call(written) is None


def test_numbers_of_a_call_are_finite_and_given_once():
    assert text.as_call(" f( a = 1, b=-2e3, ) ") == ("f", {"a": 1.0, "b": -2000.0})
    for number in ("inf", "-inf", "nan", "1e999"):
        with pytest.raises(ValueError, match=rf"'f\(a={number}\)' has a={number}: give a finite number"):
            text.as_call(f"f(a={number})")
    with pytest.raises(ValueError, match=r"'f\(a=1,a=1\)' has 'a' twice: give it once"):
        text.as_call("f(a=1,a=1)")


def test_values_are_quoted_to_a_line_and_sentences_cut_to_a_screen():
    assert text.quote("it's") == '"it\'s"'
    assert text.quote(("a", 1)) == "('a', 1)"
    for long in ("x" * 10**7, ["x"] * 1000, b"x" * 1000, "\n" * 200):
        assert len(text.quote(long)) <= 83
        assert "..." in text.quote(long)
    assert text.quote("x" * 80) == repr("x" * 80)
    assert len(text.quoted(["x" * 1000] * 100)) < 1200
    assert len(text.listed(["x" * 1000] * 100)) < 1200
    assert len(text.short("x" * 1000)) == 80
    sentence = "column 'a' " + "x" * 5000 + "; drop it"
    assert len(text.cut(sentence)) <= 1200
    assert text.cut(sentence).startswith("column 'a' ")
    assert text.cut(sentence).endswith("; drop it")
