"""The page stands alone, and says what `evaluate` says."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from condvae import report
from condvae.diagnosis.findings import Finding
from condvae.judging.results import Comparison
from condvae.report.page import headline, three
from condvae.storage import StorageError
from judging.evaluations import COMPARISON, evaluation

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Parsed(HTMLParser):
    """Every element, in order, and whether all are closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def parsed(page):
    return Parsed(page[2])


def test_the_page_is_well_formed_and_small(page, parsed):
    assert parsed.open == []
    assert len(page[2].encode()) < 3e6
    assert (
        "meta",
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    ) in parsed.elements


def test_nothing_is_referred_to_outside_of_the_page(page, parsed):
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/")), (tag, name, value)
        assert not [name for name in attributes if name.startswith("on")]
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"(?:https?:)?//[\w./-]+", without_data(page[2]))) <= namespaces
    assert "@import" not in page[2]
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page[2]))


def without_data(text):
    return re.sub(r"data:image/[^\"']*", "", text)


def test_names_in_pictures_are_unique(parsed):
    """Clips of one picture are not those of another."""
    clips = [
        attributes["id"] for tag, attributes in parsed.elements if tag == "clippath" and "id" in attributes
    ]
    assert len(clips) == len(set(clips)) > 0


def test_the_numbers_are_those_of_evaluate(page):
    estimator, diagnosis, text = page
    inside = re.search(r'<script type="application/json" id="evaluation">(.*?)</script>', text, re.DOTALL)
    told = json.loads(inside.group(1))
    assert told == diagnosis.to_json()
    for one in diagnosis.findings:
        assert visible(one.words()) in text
    assert f"{told['log_prob']:.2f} ± {told['log_prob_stderr']:.2f}" in text
    assert estimator.schema_.target[0].name in text


def visible(words):
    return words.replace("&", "&amp;").replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")


def test_every_part_is_there(page, parsed):
    parts = [attributes["id"] for tag, attributes in parsed.elements if tag == "section"]
    assert parts == [
        "next",
        "verdicts",
        "nats",
        "calibration",
        "samples",
        "conditions",
        "latents",
        "worst",
        "training",
    ]
    figures = sum(tag == "figure" for tag, _ in parsed.elements)
    assert figures == sum(tag == "svg" for tag, _ in parsed.elements) > 12
    assert sum(tag == "figcaption" for tag, _ in parsed.elements) == figures
    # A title is text, whatever is in it.
    assert "A &lt;/script&gt; of “ours”" in page[2]


def test_there_must_be_a_place_for_it(page, tmp_path):
    X = pd.DataFrame({"u": np.zeros(3)})
    for path, words in (
        (tmp_path / "report.pdf", "does not end in .html"),
        (tmp_path / "no" / "report.html", "cannot be written"),
    ):
        with pytest.raises(StorageError, match=words):
            report.write(page[0], X, None, path)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(StorageError, match="is a folder"):
        report.write(page[0], X, None, tmp_path / "folder.html")


class Found:
    """Of a diagnosis, what a headline needs."""

    def __init__(self, *findings):
        self.findings, self.looked_at = list(findings), np.arange(7)


def test_headline():
    better = Finding("beats-simpler", "good", "better")
    first, second = headline(Found(better), ["a", "b"], ["c"])
    assert first == "The model predicts a, b given c better than every baseline."
    assert second == "No problem was found on 7 rows."
    bad = Finding("miscalibrated", "problem", "it is off", 1.0, advice="mend it")
    first, second = headline(Found(bad, Finding("simpler-better", "problem", "worse")), ["a"], [])
    assert first == "The model predicts a worse than a baseline."
    assert second == "2 problems were found; the most important: it is off."


def test_three_numbers():
    told = evaluation(
        log_prob=None,
        baseline={"marginal": COMPARISON, "linear": Comparison(-2.0, -0.25, 0.1)},
        accuracy={"kind": 0.75, "ok": 0.25},
    )
    assert [one["value"] for one in three(told)] == ["−∞", "-0.25 ± 0.10", "50%"]
