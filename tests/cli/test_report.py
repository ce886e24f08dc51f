"""`condvae report`."""

import json
import re

from cli.saying import assert_readable


def test_a_page_and_the_verdicts(home, condvae_says, tmp_path):
    out = tmp_path / "report.html"
    arguments = ("report", home / "model", home / "few.csv", "--title", "Penguins", "--out", out)
    status, said, _ = condvae_says(*arguments)
    assert status == 0
    assert_readable("\n".join(said.splitlines()[:-1]))  # the last line is a path
    assert "Is it right? Judged by 7 rows:" in said
    assert f"{out}: 0." in said
    page = out.read_text()
    assert "<title>Penguins</title>" in page
    assert "model.fit(table[[&#39;species&#39;, &#39;island&#39;, &#39;sex&#39;]]" in page
    inside = re.search(r'id="evaluation">(.*?)</script>', page, re.DOTALL).group(1)
    status, said, _ = condvae_says("evaluate", home / "model", home / "few.csv", "--json")
    assert status == 0
    assert json.loads(said) == json.loads(inside)
