from condvae import words


def test_numbers_for_the_eye():
    assert [words.short(v) for v in (None, 3, 0.123456, 4202.24, 1234567.8, 1e9, -1e-5, "x", True)] == [
        "", "3", "0.1235", "4202", "1234568", "1e+09", "-1e-05", "x", "True"
    ]  # fmt: skip


def test_errors_that_are_none_are_not_shown():
    shown = [words.plus_minus(1.25, stderr) for stderr in (0.5, None, float("nan"))]
    assert shown == ["1.25 ± 0.50", "1.25", "1.25"]


def test_lists_of_names():
    assert words.listed("abc") == "a, b, c"
    assert words.listed(range(14)).endswith("10, 11, and 2 more")
    assert words.listed(range(13)).endswith("11, 12")  # one more takes no more room than saying so
    assert words.quoted(["a", "b"], most=1) == "'a' and 1 more"
