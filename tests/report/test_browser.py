"""The page in a browser: nothing on its console, nothing asked of a network, nothing wider than a phone."""

import html
import json
import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.slow

WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium")
    assert program, "chromium is not installed: make browser"
    return program


def opened(chromium, path, tmp_path, width, *options):
    """What the browser says of a page."""
    return subprocess.run(
        [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900",
            "--virtual-time-budget=3000",
            *options,
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


WATCH = """<script>
window.problems = [];
addEventListener("error", event => problems.push(event.message || event.target.outerHTML), true);
addEventListener("load", () => {
  const pictures = [...document.querySelectorAll("svg")];
  document.title = JSON.stringify({
    problems,
    asked: performance.getEntriesByType("resource").map(one => one.name),
    wide: document.documentElement.scrollWidth - innerWidth,
    pictures: pictures.length,
    empty: pictures.filter(one => one.getBoundingClientRect().height < 20).length,
  });
});
</script>"""
"""Puts into the title of a page what is wrong with it."""


def seen(chromium, text, tmp_path, width):
    """What the browser found in a page, by its own account."""
    path = tmp_path / "report.html"
    path.write_text(text.replace("<head>", f"<head>{WATCH}", 1))
    done = opened(chromium, path, tmp_path, width, "--dump-dom")
    title = html.unescape(re.search("<title>(.*?)</title>", done.stdout).group(1))
    return json.loads(title), "CONSOLE" in done.stderr


@pytest.mark.parametrize("screen", WIDTHS)
def test_it_opens_without_a_complaint(chromium, page, tmp_path, screen):
    seen_there, said = seen(chromium, page[2], tmp_path, WIDTHS[screen])
    assert not said
    assert seen_there["problems"] == []
    assert seen_there["asked"] == []
    assert seen_there["wide"] <= 0
    assert seen_there["pictures"] > 12
    assert seen_there["empty"] == 0


def test_what_is_wrong_is_seen(chromium, page, tmp_path):
    wrong = '<img src="http://127.0.0.1:9/a.png"><script>nothing.here</script><p style="width:9999px">.</p>'
    seen_there, said = seen(chromium, page[2].replace("</header>", f"</header>{wrong}", 1), tmp_path, 390)
    assert said
    assert seen_there["asked"] == ["http://127.0.0.1:9/a.png"]
    assert len(seen_there["problems"]) == 2
    assert seen_there["wide"] > 0


def test_it_is_drawn(chromium, page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page[2])
    picture = tmp_path / "page.png"
    opened(chromium, path, tmp_path, WIDTHS["phone"], f"--screenshot={picture}")
    from matplotlib.image import imread

    drawn = imread(picture)
    assert drawn.shape[1] == WIDTHS["phone"]
    assert drawn[..., :3].std() > 0.05
