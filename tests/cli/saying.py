"""What the tests of the command line share: running it, and tables and models to run it on."""

import io
import shutil
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import condvae
from condvae import cli
from condvae.mixture import Mixture

PENGUINS = Path(condvae.__file__).parent / "data" / "penguins.csv"
GIVEN = ["species", "island", "sex"]
TARGETS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def untrained(model, *_, key, num_members, **__):
    """Fitting that takes no time: the members as they were made."""
    history = condvae.History()
    history.records = [{"step": 1, "train": [-1.0] * num_members, "seconds": 0.0}]
    history.best_step, history.best_value = [1] * num_members, [0.0] * num_members
    return Mixture.of([model(k) for k in jax.random.split(key, num_members)]), history


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


def assert_readable(text):
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    assert "Warning" not in text


def assert_refused(answer, *words):
    status, out, said = answer
    assert status == 2, answer
    assert out == ""
    assert said.startswith("condvae: ")
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    for word in words:
        assert word in said


def make_home(home):
    """Models that were not trained, and tables of every good and bad kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("condvae.table_models.fitting.fit", untrained)
        penguins = condvae.tables.read_table(PENGUINS)
        numeric = penguins.select(TARGETS)
        both = {"num_members": 1, "num_steps": 1, "test_fraction": 0.1, "width": 16, "depth": 1}
        latent = both | {"num_members": 2, "joint": "latent"}
        condvae.ConditionalVAE(**latent).fit(penguins.select(GIVEN), numeric).save(home / "model")
        condvae.ConditionalVAE(**both, unknown="error").fit(penguins.select(GIVEN), numeric).save(
            home / "strict"
        )
        condvae.ConditionalVAE(**both, calibration_fraction=0.2).fit(
            penguins.select(["island", "body_mass_g"]), penguins.select(["species", "bill_length_mm"])
        ).save(home / "mixed")
        condvae.ConditionalVAE(**both).fit(None, numeric).save(home / "plain")
        condvae.ConditionalVAE(**both).fit(numeric, penguins.select(["species", "sex"])).save(
            home / "levels"
        )
    make_tables(home, PENGUINS.read_text().splitlines())
    for damage in (truncated, altered, newer, halved):
        shutil.copytree(home / "model", home / damage.__name__)
        damage(home / damage.__name__)


def make_tables(home, lines):
    def write(name, *rows):
        (home / name).write_text("\n".join(rows) + "\n")

    head, first = lines[:2]
    write("few.csv", *lines[:9])
    write("none.csv", head)
    write("unseen.csv", head, first.replace("Adelie", "Emperor"))
    write("kind.csv", head, first.replace("39.1", "long"))
    write("lacks.csv", "species,island", "Adelie,Dream")
    write("outside.csv", "island,body_mass_g", "Dream,99999", "Biscoe,4000", "Mars,4000")
    write("blank.csv", head, "Adelie,Dream,,,,,male,2007")
    write("constant.csv", "a,b", "1,2", "1,3", "1,4", "1,5")
    write("one.csv", "a,b", "1,2")
    write("two.csv", "a,b", "1,2", "3,4")
    write("missing.csv", "a,b", "1,", "2,", "3,", "4,")
    write("infinite.csv", "a,b", "1,2", "2,inf", "3,4", "4,5")
    write("huge.csv", "a,b", "1,2", "2,1e35", "3,4", "4,5")
    write("twice.csv", "a,b,a", "1,2,3", "4,5,6")
    write("ragged.csv", "a,b", "1,2", "1")
    write("semicolons.csv", "a;b", "1;2")
    write("text.csv", "when,a,b", *(f"{m}/1/2020,{m},{m * m}" for m in range(1, 13)))
    write("dates.csv", "when,a", *(f"2020-01-{d:02},{d * d}" for d in range(1, 29)))
    write("holes.csv", "site,a,b", *(f"{'' if i == 4 else i % 5},{i},{i * i}" for i in range(30)))
    write("sites.csv", "site,a,b", *(f"{i % 2},{i},{i * i}" for i in range(30)))
    write("identifier.csv", "id,a", *(f"name{i},{i * i}" for i in range(60)))
    write("marks.csv", "a,b", *(f"{'?' if i % 9 == 3 else i % 7},{i * i}" for i in range(30)))
    write("draws.csv", "row,a", *(f"{i},{i * i}" for i in range(30)))
    (home / "latin.csv").write_bytes("name,a\nJos\xe9,1\nAna,2\n".encode("latin-1"))
    (home / "empty.csv").write_text("")
    with zipfile.ZipFile(home / "two.zip", "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.writestr(name, "a,b\n1,2\n")
    (home / "zeros.csv").write_bytes(b"a,b\n\0,1\n")
    (home / "false.parquet").write_text("no Parquet")
    (home / "false.csv.gz").write_text("a,b\n1,2\n")
    pa.parquet.write_table(pa.table({"a": [1.0, 2.0], "b": pa.nulls(2)}), home / "nulls.parquet")
    lists = pa.table({"a": np.arange(30.0), "b": [[1, 2]] * 30})
    pa.parquet.write_table(lists, home / "lists.parquet")


def truncated(model):
    weights = model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def altered(model):
    manifest = model / "manifest.json"
    manifest.write_text(manifest.read_text().replace("Adelie", "Emperor"))


def newer(model):
    manifest = model / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))


def halved(model):
    (model / "weights.safetensors").unlink()
