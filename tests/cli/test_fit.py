"""`condvae fit`, trained for once."""

import json
import os
import re
import signal

import equinox as eqx
import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cli.saying import PENGUINS, TARGETS, assert_readable, assert_refused, untrained
from condvae import ConditionalVAE
from condvae.cli.fit import DEPTH, WEIGHT_DECAY
from condvae.tables import read_table
from condvae.training import loop

NAMES = ("--given", "species, isl*,sex", "--target", ", ".join(TARGETS))
SMALL = ("--members", 2, "--steps", 40)


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr("condvae.table_models.fitting.fit", untrained)


def test_fit_says_what_was_learned_in_80_columns(condvae_says, tmp_path):
    status, said, notes = condvae_says("fit", PENGUINS, *NAMES, *SMALL, "--out", tmp_path / "m")
    assert status == 0
    assert_readable(said)
    assert said.startswith("p(bill_length_mm, bill_depth_mm, flipper_length_mm, body_mass_g | species,")
    assert "sex                given   categorical       11  female, male" in said
    assert "308 rows to learn from, 34 kept to measure it on" in said
    assert "2 members, 40 steps in" in said
    last = " ".join(said.split("learned: ")[1].split())
    assert last.startswith("log p = -")
    assert "34 rows kept from training: " in last
    assert "than ignoring the conditions, " in last
    assert "a chain of regressions" in last
    assert "note: year is neither given nor a target, and not used" in notes
    assert "note: 2 of 344 rows have no observed target and were left out" in notes
    assert "note: 11 of 344 rows have missing conditions" in notes
    words = " ".join(said.split())
    assert re.search(r"bill_depth_mm: universal \(numbers[^()]*, recorded to 0.1\)", words)
    assert re.search(r"of the probability of a step of 0.1, over the step, in [^;]*bill_depth_mm", words)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_table_too_long_for_memory(long, condvae_says, tmp_path):
    small = (*SMALL, "--test-fraction", 0.05)
    status, said, notes = condvae_says("fit", long, *NAMES, *small, "--out", tmp_path / "m")
    assert status == 0
    assert_readable(said)
    assert "of its rows, drawn at random, that are not trained on" in notes
    assert "note: 2 of 344 rows have no observed target and were left out" in notes
    assert "note: 11 of 344 rows have missing conditions" in notes
    fitted = json.loads((tmp_path / "m" / "manifest.json").read_text())["fitted"]
    assert 150 < fitted["num_rows_"] < 300
    refused = condvae_says("fit", long, *NAMES, *SMALL, "--group-column", "year", "--out", tmp_path / "n")
    assert_refused(refused, "--group-column is for tables in memory, and this one has 344 rows")


def test_options_reach_the_estimator(quickly, condvae_says, tmp_path):
    status, said, err = condvae_says(
        "fit", PENGUINS, *NAMES, *SMALL, "--latent-size", 3, "--seed", 7, "--calibration-fraction", 0.2,
        "--unknown", "other", "--test-fraction", 0, "--json", "--quiet", "--out", tmp_path / "m",
        "--objective", "sticking_the_landing", "--num-samples", 4, "--kl-warmup", 10, "--kl-cycles", 2,
    )  # fmt: skip
    assert status == 0
    assert "note: " not in err
    summary = json.loads(said)
    settings = summary["settings"]
    assert (settings["latent_size"], settings["num_members"], settings["num_steps"]) == (3, 2, 40)
    assert (settings["random_state"], settings["unknown"]) == (7, "other")
    assert summary["measured"]["how"] == "members"
    assert min(summary["calibration_cells"].values()) > 60
    assert summary["given"][0]["other"]
    model = ConditionalVAE.load(tmp_path / "m")
    assert model.test_fraction == 0
    assert (model.objective, model.num_samples) == ("sticking_the_landing", 4)
    assert (model.kl_warmup, model.kl_cycles) == (10, 2)
    assert [column.name for column in model.schema_.given] == ["species", "island", "sex"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--objective", "evidence"], "objective is 'evidence', expected one of elbo, iwae, renyi,"),
        (["--objective", "renyi(beta=1)"], "objective renyi takes alpha; leave out 'beta'"),
        (["--objective", "vimco"], "and --num-samples is 1; give at least 2"),
        (["--objective", "iwae", "--kl-warmup", 9], "--kl-warmup needs an objective with the option beta"),
        (["--kl-cycles", 3], "--kl-cycles 3 of --steps 40 have 13 steps each, and --kl-warmup is 0"),
        (["--num-samples", 0], "invalid value for '--num-samples'"),
    ],
)
def test_objectives_that_cannot_be_are_refused(condvae_says, tmp_path, options, sentence):
    assert_refused(
        condvae_says("fit", PENGUINS, *NAMES, *SMALL, *options, "--out", tmp_path / "m"), sentence
    )
    assert not (tmp_path / "m").exists()


def test_standard_input_parquet_and_compressed_files_are_alike(quickly, condvae_says, tmp_path):
    table = read_table(PENGUINS)
    pa.parquet.write_table(table, tmp_path / "p.parquet")
    with pa.output_stream(tmp_path / "p.csv.gz", compression="gzip") as stream:
        stream.write(PENGUINS.read_bytes())
    answers = []
    for name in ("p.parquet", "p.csv.gz", "-"):
        stdin = PENGUINS.read_text() if name == "-" else None
        data = "-" if name == "-" else tmp_path / name
        arguments = (data, "--given", "species", "--drop", "sex,year,island", *SMALL, "--json")
        status, said, _ = condvae_says("fit", *arguments, "--out", tmp_path / "m", stdin=stdin)
        assert status == 0
        answers.append(json.loads(said)["measured"])
    assert answers[0] == answers[1] == answers[2]


def test_a_model_that_is_there_is_kept_unless_it_is_to_be_replaced(quickly, condvae_says, tmp_path):
    arguments = ("fit", PENGUINS, *NAMES, *SMALL, "--out", tmp_path / "m")
    assert "is kept as" not in condvae_says(*arguments)[2]
    status, _, notes = condvae_says(*arguments)
    assert status == 0
    assert "is kept as 'm.1'; use --overwrite to replace it" in notes
    status, _, notes = condvae_says(*arguments, "--overwrite")
    assert status == 0
    assert "is kept as" not in notes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.1"]


def test_groups_and_times_are_held_out(quickly, monkeypatch, condvae_says, tmp_path):
    seen = {}
    whole = ConditionalVAE.fit

    def spy(self, X, y, **along):
        seen.update(along, given=None if X is None else X.column_names, target=y.column_names)
        return whole(self, X, y, **along)

    monkeypatch.setattr(ConditionalVAE, "fit", spy)
    days = [f"2020-{month:02}-{day:02}" for month in range(1, 5) for day in range(1, 29)]
    rows = [f"{day},{i % 7},{i * i % 11}" for i, day in enumerate(days)]
    (tmp_path / "t.csv").write_text("\n".join(["day,site,a", *rows]) + "\n")
    out = ("--out", tmp_path / "m", *SMALL, "--quiet")
    assert condvae_says("fit", tmp_path / "t.csv", "--time-column", "day", "--given", "day", *out)[0] == 0
    assert (seen["given"], seen["target"], seen["groups"]) == (["day"], ["site", "a"], None)
    assert (np.diff(seen["time"]) > 0).all()
    assert condvae_says("fit", tmp_path / "t.csv", "--group-column", "site", "--drop", "day", *out)[0] == 0
    assert (seen["given"], seen["target"], seen["time"]) == (None, ["a"], None)
    assert sorted(set(seen["groups"])) == list("0123456")


def test_a_tiny_table_of_one_held_out_row(quickly, condvae_says, tmp_path):
    (tmp_path / "tiny.csv").write_text("a,b,c\n" + "".join(f"{i},{i * i},5\n" for i in range(5)))
    arguments = (tmp_path / "tiny.csv", "--given", "c", "--members", 1, "--out", tmp_path / "m")
    status, said, notes = condvae_says("fit", *arguments)
    assert status == 0, notes
    assert "always 5" in said
    assert "1 row kept from training" in said
    assert "too few rows to be sure" in " ".join(said.split())
    assert "rows are few" in notes
    assert "measured on 1 row, which says little" in notes
    assert "condition 'c' is constant" in notes
    assert condvae_says("inspect", tmp_path / "m")[0] == 0


def test_a_plain_vae_of_odd_names(quickly, condvae_says, tmp_path):
    rng = np.random.default_rng(0)
    table = {name: rng.normal(size=30) for name in ("mass [kg]", "[/red]", ":smile:")} | {
        "a,b": rng.choice(["[b]", "x"], 30),
        " ü ": range(30),
    }
    pa.parquet.write_table(pa.table(table), tmp_path / "odd.parquet")
    model = tmp_path / "model"
    status, said, err = condvae_says("fit", tmp_path / "odd.parquet", "--members", 1, "--out", model)
    assert status == 0, err
    assert "p(mass [kg], [/red], :smile:, a,b,  ü )" in said
    assert "[b], x" in said
    assert "a chain of regressions" in " ".join(said.split())
    out = tmp_path / "draws.csv"
    status, said, err = condvae_says("sample", model, "-n", 4, "--out", out, "--plot", tmp_path / "odd.png")
    assert status == 0, err
    assert read_table(out).column_names == ["row", "draw", *table]
    assert "[/red]" in said
    assert ":smile:" in said


def test_regression_may_be_better(quickly, monkeypatch, condvae_says, tmp_path):
    status, said, err = condvae_says("fit", PENGUINS, *NAMES, *SMALL, "--out", tmp_path / "m")
    assert status == 0
    assert "worse by" in " ".join(said.split())
    assert "condvae: warning: plain regression predicts held-out rows better" in err


# --- interruptions


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="SIGINT"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_a_signal_says_how_to_go_on_and_the_model_is_the_same(condvae_says, tmp_path, monkeypatch, number):
    arguments = ["fit", PENGUINS, *NAMES, "--members", 2, "--steps", 200, "--quiet"]

    def fit(name, *options):
        return condvae_says(*arguments, "--out", tmp_path / name, *options)

    assert fit("whole")[0] == 0
    kept = ("--checkpoint", tmp_path / "run")
    with monkeypatch.context() as patch:
        steps = loop.run_steps

        def interrupted(run, rows, state, first, last, **options):
            if first:
                os.kill(os.getpid(), number)
            return steps(run, rows, state, first, last, **options)

        patch.setattr(loop, "run_steps", interrupted)
        status, _, err = fit("resumed", *kept)
    assert status == 128 + number
    assert err.count("\n") == 1
    assert "condvae: stopped at step 64 of 200, and kept in" in err
    assert "go on from there with --resume" in err
    assert not (tmp_path / "resumed").exists()
    status, _, err = fit("resumed", *kept)
    assert status == 2
    assert "go on with --resume, or choose another folder" in err
    assert fit("resumed", *kept, "--resume")[0] == 0
    whole, resumed = (ConditionalVAE.load(tmp_path / name) for name in ("whole", "resumed"))
    assert jax.tree.all(jax.tree.map(np.array_equal, arrays(whole.model_), arrays(resumed.model_)))


def arrays(model):
    return eqx.filter(model, eqx.is_array)


# --- what a table is read as


def test_a_table_as_people_have_it_is_read_and_read_again(quickly, condvae_says, tmp_path):
    lines = ["Umfrage 2020", "", ";ort;preis;tag;plz;hp"]
    lines += [
        f"{i};Bonn;{i % 9},5 €;{i % 28 + 1:02}.01.2012;0{i % 5};{i % 7 if i % 8 else '?'}"
        for i in range(40)
    ]
    path, model = tmp_path / "t.csv", tmp_path / "m"
    path.write_text("\n".join(lines), "cp1252")
    options = ("--given", "ort,tag,plz", "--members", 1, "--steps", 1, "--out", model)
    assert_refused(condvae_says("fit", path, *options), "say --missing '?' if it stands for a missing cell")
    status, said, notes = condvae_says("fit", path, *options, "--missing", "?", "--read", "plz=text")
    assert status == 0, notes
    for words in (
        "left out what stands above the table ('Umfrage 2020')",
        "its cells are separated by semicolons",
        "column '' numbers the rows and has no name of its own: it was left out",
        "column 'preis': 40 cells such as '0,5 €' were read as numbers (€) with a decimal comma; --read 'p",
        "column 'tag': 40 cells such as '01.01.2012' were read as dates (%d.%m.%Y); --read 'tag=text' k",
    ):
        assert words in notes, notes
    assert "tag given datetime" in " ".join(said.split())
    shown = condvae_says("inspect", model)[2]
    assert "column 'preis': 40 cells such as '0,5 €' were read as numbers (€)" in shown
    columns = json.loads(condvae_says("inspect", model, "--json")[1])["target"]
    assert [column["reading"]["unit"] for column in columns] == ["€", ""]
    (tmp_path / "new.csv").write_text("ort,tag,plz,preis,hp\nBonn,02.01.2012,01,€7.5,?\n")
    refused = condvae_says("score", model, tmp_path / "new.csv")
    assert_refused(refused, "column 'preis', row 1 ('€7.5') is not a number in €")
    (tmp_path / "new.csv").write_text('ort,tag,plz,preis,hp\nBonn,02.01.2012,01,"7,5",?\n')
    assert condvae_says("score", model, tmp_path / "new.csv", "--num-samples", 10)[0] == 0
    out = tmp_path / "p.csv"
    assert condvae_says("predict", model, tmp_path / "new.csv", "--out", out)[0] == 0
    assert read_table(out)["plz"].to_pylist() == ["01"]


def test_long_texts_make_short_sentences(quickly, condvae_says, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{i % 7},{i / 3}\n" for i in range(30)) + "x" * 10**6 + ",1\n")
    answer = condvae_says("fit", path, "--out", tmp_path / "m")
    assert_refused(answer, "column 'a' would be numeric but for row 31 ('xxx")
    assert len(answer[2]) < 400


def test_sizes_and_training_are_the_users(quickly, condvae_says, tmp_path):
    sizes = (
        "--width",
        12,
        "--depth",
        1,
        "--batch-size",
        16,
        "--learning-rate",
        0.01,
        "--weight-decay",
        0.2,
    )
    status, said, _ = condvae_says("fit", PENGUINS, *NAMES, *SMALL, *sizes, "--out", tmp_path / "m")
    assert status == 0
    assert " s on cpu" in " ".join(said.split())
    model = ConditionalVAE.load(tmp_path / "m")
    settings = model.settings_
    assert (settings.width, settings.batch_size, settings.learning_rate) == (12, 16, 0.01)
    assert (model.depth, model.weight_decay) == (1, 0.2)


def test_sizes_left_out_are_those_of_the_estimator():
    assert ConditionalVAE().get_params().items() >= {"depth": DEPTH, "weight_decay": WEIGHT_DECAY}.items()
