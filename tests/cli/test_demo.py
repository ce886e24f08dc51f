"""`condvae demo`."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.saying import assert_readable, assert_refused, untrained
from condvae import ConditionalVAE
from condvae.cli import demo
from condvae.cli.demo import FILES
from condvae.text import plus_minus


def test_every_step_is_printed_and_run(capfd, monkeypatch, tmp_path):
    ran = []
    program = SimpleNamespace(command=SimpleNamespace(main=lambda arguments, **_: ran.append(arguments)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_gained", lambda model: f"the gains of {model}")
    demo.demo(SimpleNamespace(find_root=lambda: program), tmp_path / "demo", 0)
    said = capfd.readouterr().out
    assert [arguments[0] for arguments in ran] == ["fit", "evaluate", "predict", "sample", "report"]
    for arguments in ran:
        assert f"$ condvae {shlex.join(arguments)}" in said
    assert f"the gains of {tmp_path / 'demo' / 'model'}" in said.replace("\n", "")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["test.csv", "train.csv"]
    (tmp_path / "demo" / "model").mkdir()
    demo.demo(SimpleNamespace(find_root=lambda: program), tmp_path / "demo", 0)
    assert [arguments[-1] == "--overwrite" for arguments in ran if arguments[0] == "fit"] == [False, True]


def test_the_gains_are_those_that_were_measured_at_fitting():
    path = Path(__file__).parents[1] / "estimator" / "saved" / "in_turn"
    measured = ConditionalVAE.load(path).validation_
    gains = measured["baseline"]["linear"], measured["in_turn"]
    regression, alone = (plus_minus(one["gain"], one["gain_stderr"], 2) for one in gains)
    said = demo._gained(str(path))
    assert f"{regression} nats per row over regression" in said
    assert f"{alone} over predicting each target by itself" in said


@pytest.mark.slow
def test_the_demo_leaves_what_it_says(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr("condvae.table_models.fitting.fit", untrained)
    monkeypatch.chdir(tmp_path)
    status, said, _ = condvae_says("demo")
    assert status == 0
    assert_readable("\n".join(line for line in said.splitlines() if not line.startswith("$")))
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == sorted(FILES)
    for command in ("fit", "evaluate", "predict", "sample", "report"):
        assert f"$ condvae {command} demo/" in said
    assert "demo/report.html" in said.splitlines()[-1]


def test_a_demo_may_take_the_place_of_one_before(tmp_path):
    for name in FILES:
        (tmp_path / name).mkdir()
    demo._require_folder(tmp_path)


@pytest.mark.parametrize(
    "place, words", [("mine", "1 thing of yours ('thesis.tex')"), ("file", "is a file")]
)
def test_nothing_of_the_users_is_touched(condvae_says, tmp_path, place, words):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    (tmp_path / "file").write_text("precious")
    assert_refused(condvae_says("demo", "--out", tmp_path / place), words)
    assert_refused(condvae_says("demo", "--out", tmp_path / "a" / "b"), "cannot be made")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
