"""The program as a whole: what users get wrong, how it ends, its help."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.saying import PENGUINS, assert_refused
from condvae import cli
from condvae.cli import program

COMMANDS = ("fit", "predict", "sample", "score", "evaluate", "report", "impute", "inspect", "demo")

# Each: what is wrong, the command (H: the folder of models and tables, T: an empty one), what the sentence
# says. `--out T/out...` is what must not be there afterwards.
FIT = [
    (
        "missing target",
        "P --target body_mass",
        "--target: the table has no column 'body_mass'; did you mean",
    ),
    ("missing condition", "P --given colour", "--given: the table has no column 'colour'"),
    ("a pattern of nothing", "P --given wing_*", "--given: no column matches 'wing_*'"),
    ("an open bracket", "P --given bill_[", "--given: no column matches 'bill_['"),
    ("an open quote", 'P --given "bill', "--given"),
    ("target also given", "P --given sex --target sex", "'sex' is both given and a target"),
    ("dropped and given", "P --given sex --drop s*", "'sex' is both in --drop and in --given"),
    (
        "dropped and grouped",
        "P --drop year --group-column year",
        "'year' is both in --drop and in --group-",
    ),
    ("everything dropped", "P --drop *", "--drop leaves no column"),
    ("a drop of nothing", "P --drop wing", "--drop: the table has no column 'wing'"),
    ("nothing to model", "H/constant.csv --given a,b", "every column is given"),
    ("no such file", "H/absent.csv", "there is no file"),
    ("a folder for a table", "H/model", "has no Parquet files"),
    ("an ending of no table", "H/model/manifest.json", "does not end in .csv"),
    ("no rows", "H/none.csv", "none.csv has no rows"),
    ("one row", "H/one.csv", "DATA has 1 row, too few"),
    ("two rows", "H/two.csv", "DATA has 2 rows, too few"),
    ("a file of nothing", "H/empty.csv", "is empty"),
    ("a ragged table", "H/ragged.csv", "row 2: expected 2 cells"),
    ("a cell that is no number", "H/marks.csv", "column 'a' would be numeric but for row 4 ('?')"),
    (
        "the remedy",
        "H/marks.csv",
        "say --missing '?' if it stands for a missing cell, or say --read 'a=text'",
    ),
    (
        "days or months",
        "H/text.csv --given when",
        "say --read 'when=date(%d/%m/%Y)' or --read 'when=date(%m",
    ),
    (
        "another kind",
        "P --read year=whole",
        "column 'year' is to be read as 'whole'; expected one of number,",
    ),
    ("no kind", "P --read year", "write COLUMN=KIND, such as"),
    (
        "kinds of no column",
        "P --read yaer=text",
        "--read: the table has no column 'yaer'; did you mean 'year'?",
    ),
    ("two kinds", "P --read year=text,y*=number", "--read names column 'year' twice"),
    ("two tables", "H/two.zip", "holds 2 files ('a.csv', 'b.csv'"),
    ("zero bytes", "H/zeros.csv", "holds zero bytes"),
    ("no Parquet", "H/false.parquet", "is not a Parquet file"),
    ("not compressed", "H/false.csv.gz", "false.csv.gz"),
    ("two columns of a name", "H/twice.csv", "more than one column named 'a'"),
    ("a constant target", "H/constant.csv", "target column 'a' is constant"),
    ("a target of nothing", "H/missing.csv", "column 'b' has no observed cell"),
    ("a condition of nothing", "H/missing.csv --given b", "column 'b' has no observed cell"),
    ("an infinite cell", "H/infinite.csv", "column 'b', row 2 is infinite"),
    ("a number too large", "H/huge.csv", "column 'b', row 2 is beyond"),
    ("cells of lists", "H/lists.parquet", "column 'b' has the type list"),
    ("dates as a target", "H/dates.csv", "target column 'when' holds dates"),
    ("an identifier", "H/identifier.csv", "column 'id' looks like an identifier"),
    ("a fraction of 1", "P --test-fraction 1", "--test-fraction is 1"),
    ("a fraction below 0", "P --calibration-fraction -0.1", "--calibration-fraction is -0.1"),
    ("a fraction of text", "P --test-fraction some", "'--test-fraction'"),
    (
        "fractions of all",
        "H/dates.csv --given when --test-fraction 0.9 --calibration-fraction 0.9",
        "too few",
    ),
    ("no members", "P --members 0", "'--members'"),
    ("no steps", "P --steps 0", "'--steps'"),
    ("a latent below 0", "P --latent-size -1", "'--latent-size'"),
    ("a seed below 0", "P --seed -1", "'--seed'"),
    ("a seed too large", "P --seed 99999999999999999999", "'--seed'"),
    ("nothing to resume from", "P --resume", "--resume needs --checkpoint, the folder"),
    ("checkpoints in a file", "P --checkpoint H/missing.csv", "missing.csv' is a file"),
    ("checkpoints among others", "P --checkpoint H", "holds other things than checkpoints"),
    ("checkpoints nowhere", "P --checkpoint H/no/where", "where' cannot be written"),
    ("no such unknown", "P --unknown perhaps", "'--unknown'"),
    ("groups with holes", "H/holes.csv --group-column site", "column 'site', row 5 is empty"),
    ("two groups", "H/sites.csv --group-column site", "2 groups of column 'site', too few"),
    ("no such group", "P --group-column herd", "--group-column: the table has no column 'herd'"),
    ("many groups", "P --group-column bill_*", "stands for 2 columns"),
    ("times of text", "H/text.csv --time-column when", "dates whose day and month no cell tells"),
    ("times with holes", "H/holes.csv --time-column site", "column 'site', row 5 is empty"),
    ("groups and time", "H/sites.csv --group-column site --time-column a", "by groups or by time"),
    ("no such option", "P --colour red", "--colour"),
]
SAMPLE = [
    ("no conditions", "H/model", "the model needs conditions (species, island, sex)"),
    ("conditions of a plain VAE", "H/plain --given H/few.csv", "the model has no conditions"),
    ("missing column", "H/model --given H/lacks.csv", "no column 'sex'"),
    ("no rows", "H/model --given H/none.csv", "has no rows"),
    ("unseen level", "H/strict --given H/unseen.csv", "column 'species', row 1: the level 'Emperor'"),
    ("no draws", "H/model --given H/few.csv -n 0", "'-n'"),
    ("no such picture", "H/model --given H/few.csv --plot T/p.xyz", "is no kind of picture"),
    ("no folder", "H/model --given H/few.csv --plot T/a/p.png", "a folder that exists"),
    ("nothing to plot", "H/levels --given H/few.csv --plot T/p.png", "no numeric target to plot"),
]
PREDICT = [
    ("no conditions", "H/model", "the model needs conditions (species, island, sex)"),
    ("conditions of a plain VAE", "H/plain H/few.csv", "the model has no conditions"),
    ("unseen level", "H/strict H/unseen.csv", "'Emperor'"),
    ("the remedy", "H/strict H/unseen.csv", "--unknown other"),
    ("quantiles of text", "H/model H/few.csv --quantiles low,high", "--quantiles 'low,high' is no list"),
    ("quantiles beyond 1", "H/model H/few.csv --quantiles 0.5,95", "--quantiles: 95 is not between"),
    ("quantiles of nan", "H/model H/few.csv --quantiles nan", "--quantiles: nan is not between"),
    ("an interval of 1", "H/model H/few.csv --interval 1", "--interval is 1"),
    ("quantiles of categories", "H/levels H/few.csv --quantiles 0.5", "--quantiles is of numeric targets"),
    ("levels of numbers", "H/model H/few.csv --proba", "--proba is of targets with levels"),
    ("support of a plain VAE", "H/plain --support", "--support is about conditions"),
    ("wrong kind", "H/levels H/kind.csv", "column 'bill_length_mm' was numeric"),
    ("two outputs", "H/model H/few.csv --json --out -", "--out - and --json"),
]
ROWS = [
    ("unseen level", "H/strict H/unseen.csv", "'Emperor' was not there"),
    ("wrong kind", "H/model H/kind.csv", "column 'bill_length_mm' was numeric"),
    ("missing column", "H/model H/lacks.csv", "no column 'sex'"),
    ("no rows", "H/model H/none.csv", "has no rows"),
    ("no such file", "H/model H/absent.csv", "there is no file"),
    ("no such model", "H/absent H/few.csv", "there is no model at"),
    ("a file for a model", "H/few.csv H/few.csv", "is a file, and a model is a folder"),
    ("no model", "H H/few.csv", "is not a condvae model"),
    ("a model cut short", "H/truncated H/few.csv", "weights.safetensors of the model"),
]
INSPECT = [
    ("no such model", "H/absent", "there is no model at"),
    ("cut short", "H/truncated", "weights.safetensors of the model"),
    ("altered", "H/altered", "manifest.json of the model"),
    ("newer", "H/newer", "was made by a newer condvae (format 99"),
    ("halved", "H/halved", "lacks its weights.safetensors"),
    ("no argument", "", "missing argument 'MODEL'"),
]
EVALUATE = [
    *ROWS,
    ("nothing observed", "H/model H/blank.csv", "no row has an observed target"),
    ("deep without rows", "H/model H/few.csv --deep", "name them with --train"),
    ("no such training rows", "H/model H/few.csv --train H/absent.csv", "there is no file"),
    ("everything from standard input", "H/model - --train -", "are both standard input"),
    ("nothing to copy", "H/model H/few.csv --train H/few.csv --no-diagnosis", "leave out --no-diagnosis"),
]
REPORT = [
    ("nowhere", "H/model H/few.csv", "'--out'"),
    ("no page", "H/model H/few.csv --out T/report.pdf", "does not end in .html"),
    ("a folder", "H/model H/few.csv --out H", "does not end in .html"),
    ("no folder", "H/model H/few.csv --out T/a/report.html", "cannot be written"),
    ("deep without rows", "H/model H/few.csv --out T/report.html --deep", "name them with --train"),
    ("missing column", "H/model H/lacks.csv --out T/report.html", "no column 'sex'"),
    ("nothing observed", "H/model H/blank.csv --out T/report.html", "no row has an observed target"),
]
TABLE = {"fit": FIT, "sample": SAMPLE, "predict": PREDICT, "score": ROWS, "impute": ROWS} | {
    "evaluate": EVALUATE,
    "report": REPORT,
    "inspect": INSPECT,
}
CASES = [
    pytest.param(command, line, words, id=f"{command}: {name}")
    for command, cases in TABLE.items()
    for name, line, words in cases
]


@pytest.mark.parametrize("command, line, words", CASES)
def test_a_mistake_is_one_sentence(home, condvae_says, monkeypatch, tmp_path, command, line, words):
    monkeypatch.setattr("condvae.table_models.fitting.fit", lambda *_, **__: pytest.fail("trained"))
    arguments = line.split()
    for mark, place in {"P": PENGUINS, "H": home, "T": tmp_path}.items():
        arguments = [
            str(place) + argument[1:] if argument == mark or argument.startswith(f"{mark}/") else argument
            for argument in arguments
        ]
    if command in ("fit", "sample", "predict", "score", "impute") and "--out" not in arguments:
        arguments += ["--out", tmp_path / ("out" if command == "fit" else "out.csv")]
    before = sorted(home.iterdir())
    assert_refused(condvae_says(command, *arguments), words)
    assert list(tmp_path.iterdir()) == []
    assert sorted(home.iterdir()) == before


def test_there_are_many_mistakes():
    assert len(CASES) >= 90


@pytest.mark.parametrize("command", ["sample", "predict", "score", "impute"])
@pytest.mark.parametrize(
    "out, words",
    [
        ("absent/o.csv", "no folder"),
        ("o.xlsx", "does not end in .csv, .csv.gz, .tsv or .parquet; convert"),
        ("", ""),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    home, condvae_says, monkeypatch, tmp_path, command, out, words
):
    monkeypatch.setattr("condvae.cli.inputs.load", lambda *_: pytest.fail("worked"))
    given = ["--given"] if command == "sample" else []
    answer = condvae_says(command, home / "model", *given, home / "few.csv", "--out", tmp_path / out)
    assert_refused(answer, words)
    assert list(tmp_path.iterdir()) == []


def test_a_place_for_the_model_is_checked_before_the_table_is_read(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr("condvae.tables.read_table", lambda *_: pytest.fail("read"))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for out, words in {
        tmp_path / "thesis": "exists and is not only a condvae model (it holds 'chapter.tex')",
        tmp_path / "file": "is a file, and a model is a folder",
        tmp_path / "a" / "model": "cannot be written",
        "-": "--out - is no place for a model",
    }.items():
        assert_refused(condvae_says("fit", PENGUINS, "--out", out), words)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis"]


# --- how it ends


@pytest.mark.parametrize(
    "error, status, words",
    [
        (KeyboardInterrupt(), 130, "condvae: interrupted\n"),
        (MemoryError(), 2, "not enough memory"),
        (
            OSError(28, "No space left", "out.csv"),
            2,
            "'out.csv': No space left; make room there, or choose",
        ),
        (OSError(13, "Permission denied", "out.csv"), 2, "denied; choose a folder that exists and may be"),
        (ValueError("two\nlines"), 2, "condvae: two lines\n"),
    ],
)
def test_no_traceback(condvae_says, monkeypatch, error, status, words):
    def stop(*_, **__):
        raise error

    monkeypatch.setattr("condvae.cli.inputs.load", stop)
    ended, out, said = condvae_says("inspect", "model")
    assert (ended, out) == (status, "")
    assert words in said
    assert said.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_traceback(condvae_says, monkeypatch):
    def stop(*_, **__):
        raise AssertionError("a fault")

    monkeypatch.setattr("condvae.cli.inputs.load", stop)
    with pytest.raises(AssertionError, match="a fault"):
        condvae_says("inspect", "model")


def installed():
    path = shutil.which("condvae", path=str(Path(sys.executable).parent))
    assert path, "condvae is not installed beside this Python: pip install -e ."
    return path


def test_a_pipe_that_closes_early_is_no_mistake(home):
    command = f"{installed()} sample {home / 'plain'} -n 20000 --out - | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith('"row","draw"')


def in_bash(line, **options):
    program = f"{sys.executable} -m condvae"
    script = f'set -o pipefail; condvae() {{ {program} "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "line", ["inspect {home}/model", "inspect {home}/model --json", "--help", "fit --help"]
)
def test_a_pipe_that_is_closed_and_a_closed_standard_output_are_no_mistakes(home, line):
    for end in ("| head -0", ">&-"):
        status, out, said = in_bash(f"condvae {line.format(home=home)} {end}")
        assert (status, out) == (0, "")
        assert all(sentence.startswith("note: ") for sentence in said.splitlines())


@pytest.mark.slow
def test_an_evaluation_may_be_cut_short(home):
    line = f"condvae evaluate {home}/model {home}/few.csv --no-diagnosis --quiet --json"
    assert in_bash(f"{line} 2>&1 | head -0") == (0, "", "")
    status, _, said = in_bash(f"{line} >&-")
    assert (status, "Traceback" in said) == (0, False)


def test_the_installed_program_refuses_in_one_sentence(tmp_path):
    done = subprocess.run([installed(), "inspect", str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    sentence = f"condvae: the folder '{tmp_path}' is not a condvae model (it has no manifest.json)\n"
    assert done.stderr == sentence


def test_completion():
    environment = os.environ | {
        "_CONDVAE_COMPLETE": "complete_bash",
        "COMP_WORDS": "condvae e",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([installed()], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["evaluate"]


# --- help


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['condvae', *sys.argv[1:]]\n"
        "from condvae.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'pandas', 'matplotlib', 'pyarrow', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    for arguments in (["--help"], ["fit", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stderr.strip() == "[]"


def test_every_command_has_help_with_examples(condvae_says):
    status, said, _ = condvae_says("--help")
    assert status == 0
    for command in COMMANDS:
        assert command in said
        status, helped, err = condvae_says(command, "--help")
        assert (status, err) == (0, "")
        assert "Examples:" in helped
        assert f"condvae {command}" in helped.split("Examples:")[1]
    assert [name for name, *_ in program.COMMANDS] == list(COMMANDS)


def test_version_and_no_arguments(condvae_says):
    assert condvae_says("--version")[1].startswith("condvae ")
    status, out, err = condvae_says()
    assert status == 2
    assert "Usage: condvae" in out + err


@pytest.mark.slow
def test_json_is_for_every_command_that_has_results(home, condvae_says, tmp_path):
    out = tmp_path / "out.csv"
    for arguments in (
        ("inspect", home / "model"),
        ("score", home / "model", home / "few.csv"),
        ("predict", home / "model", home / "few.csv", "--out", out),
        ("sample", home / "model", "--given", home / "few.csv", "--out", out),
        ("impute", home / "model", home / "few.csv", "--out", out),
        ("evaluate", home / "model", home / "few.csv", "--no-diagnosis"),
    ):
        status, said, _ = condvae_says(*arguments, "--json")
        assert status == 0
        assert isinstance(json.loads(said), dict)


def test_main_is_the_entry_point():
    assert callable(cli.main)
