"""The command line as its users meet it: four commands, and one sentence for what they got wrong."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import condvae
from condvae import cli
from condvae.estimator import ConditionalVAE
from condvae.tables import read_table

PENGUINS = Path(cli.__file__).parent / "data" / "penguins.csv"
TARGETS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
ODD = {"mass [kg]": "double", "a,b": "category", "[/red]": "double", ":smile:": "double"}


def run(monkeypatch, capfd, *arguments, stdin=None):
    """What the command said: its exit status, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["condvae", *map(str, arguments)])
    if stdin is not None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    status = 0
    try:
        cli.main()
    except SystemExit as exit:
        status = exit.code or 0
    return status, *capfd.readouterr()


@pytest.fixture
def condvae_says(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments, **options: run(monkeypatch, capfd, *arguments, **options)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a fitted model and small tables, made once."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys, "argv", [
            "condvae", "fit", str(PENGUINS), "--given", "species, island,sex",
            "--target", ", ".join(TARGETS), "--steps", "60", "--out", str(home / "model"),
        ])  # fmt: skip
        with pytest.MonkeyPatch.context() as streams:
            said = io.StringIO()
            streams.setattr(sys, "stdout", said)
            cli.app(standalone_mode=False)
    (home / "said").write_text(said.getvalue())
    lines = PENGUINS.read_text().splitlines()
    (home / "few.csv").write_text("\n".join(lines[:9]) + "\n")
    (home / "none.csv").write_text(lines[0] + "\n")
    (home / "unseen.csv").write_text(lines[0] + "\n" + lines[1].replace("Adelie", "Emperor") + "\n")
    (home / "kind.csv").write_text(lines[0] + "\n" + lines[1].replace("39.1", "long") + "\n")
    (home / "lacks.csv").write_text("species,island\nAdelie,Dream\n")
    (home / "constant.csv").write_text("a,b\n1,2\n1,3\n1,4\n")
    (home / "ragged.csv").write_text("a,b\n1,2\n1\n")
    return home


def untrained(monkeypatch):
    """Fitting that takes no time: the model as it was made."""

    def fit(model, *_, **__):
        history = condvae.History()
        history.records = [{"step": 1, "train": -1.0, "seconds": 0.0}]
        return model, history

    monkeypatch.setattr("condvae.estimator.fit", fit)


def assert_readable(text):
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    assert "Warning" not in text


# --- the four commands


def test_fit_says_what_was_learned_in_80_columns(home):
    said = (home / "said").read_text()
    assert_readable(said)
    assert said.startswith("p(bill_length_mm, bill_depth_mm, flipper_length_mm, body_mass_g | species,")
    assert "sex                given   categorical       11  female, male" in said
    assert "342 rows, 60 steps in" in said
    assert "34 held-out rows: log p = -" in said
    assert "note: 2 of 344 rows have no observed target and were left out" in said
    assert "saved in" in said


def test_inspect(home, condvae_says):
    status, said, err = condvae_says("inspect", home / "model")
    assert (status, err) == (0, "")
    for words in ("flipper_length_mm", "342 rows, 60 steps", "z has 2 dimensions", "parameters"):
        assert words in said
    assert f"by condvae {condvae.__version__}, JAX" in " ".join(said.split())


def test_sample_and_draw(home, condvae_says, tmp_path):
    out, picture = tmp_path / "samples.csv", tmp_path / "samples.png"
    status, said, _ = condvae_says(
        "sample", home / "model", "--given", home / "few.csv", "-n", 5, "--out", out, "--plot", picture
    )
    assert status == 0
    assert_readable(said)
    assert all(name in said for name in TARGETS)
    assert "the first 6 of 40 draws" in said
    assert "40 draws written to" in said
    table = read_table(out)
    assert table.column_names == ["row", "draw", "species", "island", "sex", *TARGETS]
    assert table["row"].to_pylist() == [row for row in range(8) for _ in range(5)]
    few = read_table(home / "few.csv")
    assert table["sex"].to_pylist() == [sex for sex in few["sex"].to_pylist() for _ in range(5)]
    assert pa.types.is_integer(table["body_mass_g"].type)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.csv", "samples.png"]


def test_sample_to_parquet_and_to_standard_output_agree(home, condvae_says, tmp_path):
    out = tmp_path / "samples.parquet"
    common = ("sample", home / "model", "--given", home / "few.csv", "-n", 5, "--seed", 3)
    assert condvae_says(*common, "--out", out, "--quiet") == (0, "", "")
    status, csv, said = condvae_says(*common, "--out", "-")
    assert (status, said) == (0, "")
    (tmp_path / "samples.csv").write_text(csv)
    from_csv, from_parquet = read_table(tmp_path / "samples.csv"), pa.parquet.read_table(out)
    assert from_csv.column_names == from_parquet.column_names
    np.testing.assert_allclose(from_csv["bill_depth_mm"], from_parquet["bill_depth_mm"])


def test_standard_input_may_be_drawn_too(home, condvae_says, tmp_path):
    few = (home / "few.csv").read_text()
    status, out, said = condvae_says(
        "sample",
        home / "model",
        "--given",
        "-",
        "-n",
        5,
        "--out",
        "-",
        "--plot",
        tmp_path / "p.svg",
        stdin=few,
    )
    assert (status, said) == (0, "")
    assert out.count("\n") == 41
    assert "real rows (outlined)" in (tmp_path / "p.svg").read_text()


def test_score(home, condvae_says, tmp_path):
    out = tmp_path / "scores.csv"
    status, said, _ = condvae_says(
        "score", home / "model", home / "few.csv", "--num-samples", 50, "--out", out
    )
    assert status == 0
    assert_readable(said)
    scores = read_table(out)
    assert scores.column_names == ["log_prob", "log_prob_stderr", "ess"]
    value = np.array(scores["log_prob"])
    assert value[3] == 0  # the fourth penguin was not measured
    mean = np.delete(value, 3).mean()
    assert f"log p = {mean:.4f}" in said
    assert "over 7 rows" in said
    assert "not averaged in: 1 row without an observed target" in said
    few = read_table(home / "few.csv")
    own = ConditionalVAE.load(home / "model").log_prob(few, few, num_samples=50)
    np.testing.assert_allclose(value, own.value, rtol=1e-5)


def test_score_to_standard_output_is_a_table_alone(home, condvae_says):
    status, out, said = condvae_says(
        "score", home / "model", home / "few.csv", "--num-samples", 50, "--out", "-"
    )
    assert (status, said) == (0, "")
    assert out.splitlines()[0] == '"log_prob","log_prob_stderr","ess"'
    assert len(out.splitlines()) == 9


def test_a_plain_vae_of_odd_names(monkeypatch, condvae_says, tmp_path):
    untrained(monkeypatch)
    rng = np.random.default_rng(0)
    table = {name: rng.normal(size=30) for name in ODD} | {
        "a,b": rng.choice(["[b]", "x"], 30),
        " ü ": range(30),
    }
    pa.parquet.write_table(pa.table(table), tmp_path / "odd.parquet")
    model = tmp_path / "model"
    status, said, _ = condvae_says("fit", tmp_path / "odd.parquet", "--out", model)
    assert status == 0, said
    assert "p(mass [kg], a,b, [/red], :smile:,  ü )" in said
    assert "[b], x" in said
    out = tmp_path / "draws.csv"
    status, said, _ = condvae_says("sample", model, "-n", 4, "--out", out, "--plot", tmp_path / "odd.png")
    assert status == 0, said
    assert read_table(out).column_names == ["row", "draw", *table]
    assert "[/red]" in said
    assert ":smile:" in said
    status, _, said = condvae_says("sample", model, "--given", tmp_path / "odd.parquet", "--out", out)
    assert status == 2
    assert "the model has no conditions; leave out --given" in said


def test_a_tiny_table_of_one_held_out_row(monkeypatch, condvae_says, tmp_path):
    untrained(monkeypatch)
    (tmp_path / "tiny.csv").write_text("a,b,c\n" + "".join(f"{i},{i * i},5\n" for i in range(5)))
    status, said, _ = condvae_says("fit", tmp_path / "tiny.csv", "--given", "c", "--out", tmp_path / "m")
    assert status == 0, said
    assert "always 5" in said
    assert "1 held-out row: log p = " in said
    assert "note: 5 rows are few" in said
    status, said, _ = condvae_says("inspect", tmp_path / "m")
    assert status == 0, said


def test_wide_samples_take_a_line_for_each_column(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"a_rather_long_column_name_{i}" for i in range(30)]
    cli._show_samples(pa.table({"row": range(9), **{name: np.arange(9) / 7 for name in names}}))
    said = capfd.readouterr().out
    assert_readable(said)
    assert any(line.split() == ["row", *"012345"] for line in said.splitlines())
    assert "a_rather_long_column_name_18  0  0.1429" in said
    assert "... and 11 more columns" in said


@pytest.mark.parametrize(
    "text, names",
    [
        ("a,b", ["a", "b"]),
        (" a , b,", ["a", "b"]),
        ("größe, two words", [" größe ", "two words"]),
        ('"x,y", a', ["x,y", "a"]),
        ("absent", ["absent"]),
        ("", []),
    ],
)
def test_lists_of_columns(text, names):
    assert cli._names(text, ["a", "b", " größe ", "two words", "x,y"]) == names


def test_numbers_for_the_eye():
    assert [cli._short(v) for v in (None, 3, 0.123456, 4202.24, 1234567.8, 1e9, -1e-5, "x", True)] == [
        "", "3", "0.1235", "4202", "1234568", "1e+09", "-1e-05", "x", "True"
    ]  # fmt: skip


# --- what a user got wrong: status 2, one sentence, nothing written


FIT = {
    "missing column": (
        ["PENGUINS", "--target", "body_mass"],
        "no column 'body_mass'; did you mean 'body_mass_g'",
    ),
    "missing condition": (["PENGUINS", "--given", "colour"], "no column 'colour'"),
    "target also given": (
        ["PENGUINS", "--given", "sex", "--target", "sex"],
        "'sex' is both given and a target",
    ),
    "named twice": (["PENGUINS", "--target", "year,year"], "'year' is named twice"),
    "nothing to model": (["HOME/constant.csv", "--given", "a,b"], "no target column was named"),
    "no such file": (["HOME/absent.csv"], "there is no file"),
    "no table": (["HOME/model"], "does not end in .csv"),
    "empty table": (["HOME/none.csv"], "the table has no rows"),
    "ragged table": (["HOME/ragged.csv"], "expected 2 cells"),
    "constant target": (["HOME/constant.csv"], "target column 'a' is constant"),
}
SAMPLE = {
    "no conditions": (["HOME/model"], "the model needs conditions (species, island, sex)"),
    "missing column": (["HOME/model", "--given", "HOME/lacks.csv"], "no column 'sex'"),
    "empty table": (["HOME/model", "--given", "HOME/none.csv"], "has no rows"),
    "unseen category": (["HOME/model", "--given", "HOME/unseen.csv"], "'Emperor' was not there"),
    "no such picture": (
        ["HOME/model", "--given", "HOME/few.csv", "--plot", "OUT/p.xyz"],
        "no kind of picture",
    ),
    "no such folder": (
        ["HOME/model", "--given", "HOME/few.csv", "--plot", "OUT/a/p.png"],
        "a folder that exists",
    ),
}
SCORE = {
    "unseen category": (["HOME/model", "HOME/unseen.csv"], "'Emperor' was not there"),
    "wrong kind": (["HOME/model", "HOME/kind.csv"], "'bill_length_mm'"),
    "missing column": (["HOME/model", "HOME/lacks.csv"], "no column 'sex'"),
    "empty table": (["HOME/model", "HOME/none.csv"], "has no rows"),
    "no such file": (["HOME/model", "HOME/absent.csv"], "there is no file"),
    "no such model": (["HOME/absent", "HOME/few.csv"], "there is no model at"),
    "a file for a model": (["HOME/few.csv", "HOME/few.csv"], "is a file, and a model is a folder"),
    "no model": (["HOME", "HOME/few.csv"], "is not a condvae model"),
}
CASES = [
    pytest.param(command, arguments, sentence, id=f"{command}: {name}")
    for command, cases in (("fit", FIT), ("sample", SAMPLE), ("score", SCORE))
    for name, (arguments, sentence) in cases.items()
]


@pytest.mark.parametrize("command, arguments, sentence", CASES)
def test_mistakes(home, condvae_says, monkeypatch, tmp_path, command, arguments, sentence):
    monkeypatch.setattr("condvae.estimator.fit", lambda *_, **__: pytest.fail("trained"))
    places = {"PENGUINS": str(PENGUINS), "HOME": str(home), "OUT": str(tmp_path)}
    for mark, place in places.items():
        arguments = [argument.replace(mark, place) for argument in arguments]
    out = tmp_path / ("model" if command == "fit" else "out.csv")
    assert_refused(condvae_says(command, *arguments, "--out", out), sentence)
    assert list(tmp_path.iterdir()) == []


def assert_refused(answer, sentence):
    status, out, said = answer
    assert status == 2
    assert out == ""
    assert sentence in said
    assert said.startswith("condvae: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["sample", "score"])
@pytest.mark.parametrize(
    "out, sentence",
    [
        ("absent/out.csv", "there is no folder"),
        ("out.xlsx", "does not end in .csv"),
        ("", "is a folder|does not end"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    home, condvae_says, monkeypatch, tmp_path, command, out, sentence
):
    monkeypatch.setattr(cli, "_load", lambda *_: pytest.fail("worked"))
    given = ["--given"] if command == "sample" else []
    answer = condvae_says(command, home / "model", *given, home / "few.csv", "--out", tmp_path / out)
    assert_refused(answer, next(words for words in sentence.split("|") if words in answer[2]))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_the_model_is_checked_before_training(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr("condvae.tables.read_table", lambda *_: pytest.fail("read"))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    answer = condvae_says("fit", PENGUINS, "--out", tmp_path / "thesis")
    assert_refused(answer, "exists and is not only a condvae model (it holds 'chapter.tex')")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "precious"
    assert_refused(condvae_says("fit", PENGUINS, "--out", tmp_path / "a" / "model"), "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def truncated(model):
    weights = model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def altered(model):
    manifest = model / "manifest.json"
    manifest.write_text(manifest.read_text().replace("Adelie", "Emperor"))


def newer(model):
    manifest = json.loads((model / "manifest.json").read_text())
    (model / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))


def halved(model):
    (model / "weights.safetensors").unlink()


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (truncated, "weights.safetensors of the model"),
        (altered, "manifest.json of the model"),
        (newer, "was made by a newer condvae (format 99"),
        (halved, "lacks its weights.safetensors"),
    ],
)
def test_damaged_models(home, condvae_says, tmp_path, damage, sentence):
    model = tmp_path / "model"
    shutil.copytree(home / "model", model)
    damage(model)
    assert_refused(condvae_says("inspect", model), sentence)


# --- the program itself


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['condvae', '--help']\n"
        "from condvae.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'pandas', 'matplotlib', 'pyarrow', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for command in ("fit", "sample", "score", "inspect"):
        assert command in done.stdout


def test_the_installed_program_refuses_in_one_sentence(tmp_path):
    program = shutil.which("condvae", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("condvae is not installed beside this Python")
    done = subprocess.run([program, "inspect", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr
        == f"condvae: the folder '{tmp_path}' is not a condvae model (it has no manifest.json)\n"
    )
