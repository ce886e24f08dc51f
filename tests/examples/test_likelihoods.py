"""What the example prints: each chosen likelihood is at least as good as a Gaussian."""

import re
import sys

import pytest

from scripts import script

OPTIMISED = True  # it trains for long


@pytest.mark.slow
def test_what_is_chosen_is_better_than_a_gaussian(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["likelihoods.py", "--plot", str(tmp_path / "likelihoods.png")])
    script("likelihoods").main()
    rows = re.findall(r"^(\w+): (\w+) +(-?[\d. ]+-?[\d. ]+.*)$", capsys.readouterr().out, re.MULTILINE)
    found = {name: (family, *map(float, numbers.split()[-2:])) for name, family, numbers in rows}
    # Given c the rain is gamma, over all c nearer to log-normal: both are as good.
    assert found["rain"][0] in ("hurdle_gamma", "hurdle_log_normal")
    assert {name: family for name, (family, _, _) in found.items() if name != "rain"} == {
        "claims": "negative_binomial",
        "failures": "zero_inflated_negative_binomial",
        "rating": "ordinal",
        "price": "rounded_student_t",
        "reading": "censored_gaussian",
    }
    for name, (_, gain, stderr) in found.items():
        assert gain > -3 * stderr, name
    assert (tmp_path / "likelihoods.png").read_bytes().startswith(b"\x89PNG")
