"""The progress bar: on a terminal alone, gone afterwards, and never in the way of an error."""

import io

import pytest
from rich.console import Console

from condvae import progress
from condvae.progress import Progress


@pytest.fixture
def terminal(monkeypatch):
    """What a person would see: standard error is a terminal of 100 columns."""
    written = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(file=written, force_terminal=True, width=100)
    )
    return written


def test_a_terminal_sees_label_share_and_note(terminal):
    with Progress("training", 4, enabled=True) as bar:
        bar.advance(3, note="validation -1.5")
        bar._bar.refresh()
        shown = terminal.getvalue()
    assert "training" in shown
    assert "75%" in shown
    assert "validation -1.5" in shown
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is wiped when the work is done


def test_nothing_where_it_is_not_wanted(terminal):
    with Progress("training", 4, enabled=False) as bar:
        bar.advance(4)
    assert terminal.getvalue() == ""


def test_nothing_where_no_person_is_watching(capsys):
    with Progress("training", 4, enabled=True) as bar:
        bar.advance(4, note="done")
    assert capsys.readouterr() == ("", "")


def test_an_error_passes_through_and_the_bar_stops(terminal):
    with pytest.raises(RuntimeError, match="diverged"), Progress("training", 4, enabled=True) as bar:
        raise RuntimeError("diverged")
    assert bar._bar.finished is False
    assert not bar._bar.live.is_started
