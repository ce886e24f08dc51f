"""Models in words."""

from types import SimpleNamespace

import pytest

from condvae.cli import describe
from condvae.tables import Column

NUMBER = Column("a", "target", "numeric", "double")
LEVEL = Column("b", "target", "categorical", "string", levels=("x", "y"))


def against(gain, stderr, target=(NUMBER,), given=(NUMBER,)):
    comparison = {"gain": gain, "gain_stderr": stderr}
    model = SimpleNamespace(schema_=SimpleNamespace(target=target, given=given))
    return describe.against(model, {"marginal": comparison, "linear": comparison})


def test_better_worse_and_neither():
    assert against(1.0, 0.1).startswith("better by 1.00 ± 0.10 than ignoring the conditions, better by")
    assert "worse by 1.00 ± 0.10 than linear regression" in against(-1.0, 0.1)
    assert "as good as linear regression, as far as the rows can tell (+0.10 ± 0.10)" in against(0.1, 0.1)
    assert "0.50 worse than linear regression (too few rows to be sure)" in against(-0.5, None)


@pytest.mark.parametrize(
    "target, given, words",
    [
        ((LEVEL,), (NUMBER,), "than multinomial regression"),
        ((LEVEL, NUMBER), (NUMBER,), "than a chain of regressions"),
        ((NUMBER,), (), "than a Gaussian"),
        ((LEVEL,), (), "than the shares of the levels"),
        ((NUMBER, NUMBER), (), "than a chain of regressions"),
    ],
)
def test_what_it_is_compared_with(target, given, words):
    assert against(1.0, 0.1, target, given).endswith(words)


def test_dates_are_shown_as_such():
    day = Column("when", "given", "datetime", "timestamp[us]", minimum=0.0, maximum=86400.0 * 365)
    assert describe._values(day) == "1970-01-01 to 1971-01-01"
    assert describe._column(day)["maximum"] == "1971-01-01"
    hour = Column("when", "given", "datetime", "timestamp[us]", minimum=0.0, maximum=3600.0)
    assert describe._values(hour) == "1970-01-01 00:00:00 to 1970-01-01 01:00:00"
