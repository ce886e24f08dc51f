"""Tables that are too long for memory, by making a short one count as long."""

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from condvae import ConditionalVAE
from condvae.estimator.prepare import training_table
from condvae.table_models import streaming
from condvae.table_models.streaming import TableStream, look_over
from condvae.tables import Schema, TableError, encode, scan
from condvae.training.history import Entry, TrainingError
from condvae.training.holdout import recognisable
from condvae.vectorise import content_hashes
from estimator.mixed import convert, mixed

N, TRAINED = 3000, {"num_members": 2, "width": 16, "depth": 1, "num_steps": 600, "batch_size": 64}
SMALL = TRAINED | {"num_steps": 40, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def frames():
    """Conditions and targets, of which every ninth row has none."""
    X, y = (convert(frame, "pyarrow") for frame in mixed(N))
    return X, y.take(pa.array([None if row % 9 == 0 else row for row in range(N)]))


@pytest.fixture(scope="module")
def folder(frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    whole = frames[0]
    for name in frames[1].column_names:
        whole = whole.append_column(name, frames[1][name])
    pq.write_table(whole.slice(0, 1700), folder / "a.parquet", row_group_size=250)
    pq.write_table(whole.slice(1700), folder / "b.parquet", row_group_size=250)
    return folder


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(streaming, "STREAMED_ROWS", 1000)
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 800)


@pytest.fixture
def pair(folder, frames):
    rows = scan(folder)
    return rows.select(frames[0].column_names), rows.select(frames[1].column_names)


def test_a_short_scan_is_the_frame_that_it_holds(frames, pair):
    one, two = (training_table(*both, None, None, None) for both in (frames, pair))
    assert one.schema == two.schema
    assert two.stream is None
    for a, b in zip(jax.tree.leaves((one.x, one.c)), jax.tree.leaves((two.x, two.c)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("short")
def test_a_stream_is_every_row_with_a_target_that_is_not_in_the_sample(pair, frames, folder):
    both = scan(folder)
    known = look_over(both, *pair, unknown="error", seed=5, progress=False)
    stream = TableStream(known.schema, both, known.sizes, seed=5)
    groups = [stream.read(i) for i in range(len(both.groups))]
    assert [len(x["numeric"].value) for x, _ in groups] == stream.sizes.tolist()
    x, c = encode(known.schema.target, frames[1]), encode(known.schema.given, frames[0])
    seen = np.concatenate([block.mask for block in x.values()], axis=1).any(axis=1)
    assert 0.8 * N < seen.sum() < N
    assert known.rows == seen.sum()
    expected = np.setdiff1d(np.flatnonzero(seen), known.sample_rows)
    numbers = [stream.number(i, j) for i, size in enumerate(stream.sizes) for j in range(size)]
    np.testing.assert_array_equal(numbers, expected)
    for block in ("numeric", "categorical"):
        for own, whole in ((0, x), (1, c)):
            got = np.concatenate([group[own][block].value for group in groups])
            np.testing.assert_array_equal(got, whole[block].value[expected])
    # The schema is that of the whole table, but for the last bits of its moments.
    exact = Schema.infer_pair(*frames)
    for mine, theirs in zip(known.schema.target, exact.target, strict=True):
        assert mine.levels == theirs.levels
        assert (mine.mean, mine.sd) == pytest.approx((theirs.mean, theirs.sd))


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_long_table_is_learned_as_a_short_one_is(pair, frames):
    streamed = ConditionalVAE(test_fraction=0.05, calibration_fraction=0.05, **TRAINED).fit(*pair)
    whole = ConditionalVAE(**TRAINED).fit(*frames)
    X, y = (convert(frame, "pyarrow") for frame in mixed(1000, seed=7))
    value, other = (np.mean(m.log_prob(X, y, num_samples=100).value) for m in (streamed, whole))
    marginal = np.mean(streamed.table_.baselines(*reversed(encoded(streamed, X, y)))["marginal"])
    assert value > marginal + 0.3
    assert abs(value - other) < 0.15
    assert streamed.num_rows_ < N
    assert "the table is read as it is needed" in " ".join(streamed.notes_)
    assert "rows have no observed target and were left out" in " ".join(streamed.notes_)
    assert streamed.validation_["how"] == "test"
    assert set(streamed.table_.calibration) == {"response", "events", "alive", "colour", "grade"}
    assert streamed.support(X)["outside"].to_numpy().mean() < 0.1
    assert streamed.kind_ == "pyarrow"


def leaves_of(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")]


def encoded(model, X, y):
    return encode(model.schema_.given, X), encode(model.schema_.target, y)


@pytest.fixture(scope="module")
def fitted(frames):
    return ConditionalVAE(**SMALL).fit(*frames)


def test_a_scan_is_scored_as_its_rows_are(fitted, frames, pair):
    scores = fitted.log_prob(*pair, num_samples=50)
    seen = fitted.observed_rows(pair[1])
    np.testing.assert_array_equal(seen, fitted.observed_rows(frames[1]))
    assert scores.value.shape == (N,)
    assert fitted.score(*pair) == pytest.approx(scores.value[seen].mean(), abs=0.2)
    for first in (250, 1700):
        part = (frame.slice(first, 250) for frame in frames)
        np.testing.assert_array_equal(
            fitted.log_prob(*part, num_samples=50).value, scores.value[first : first + 250]
        )


@pytest.mark.usefixtures("short")
def test_of_a_long_table_only_parts_are_asked(fitted, pair):
    for ask in (fitted.predict, fitted.support, fitted.interval):
        with pytest.raises(TableError, match=r"has 3,000 rows and is not read at once; ask of its parts"):
            ask(pair[0])


def test_rows_are_numbered_in_the_whole_table(fitted, pair, tmp_path):
    bad = pair[0].joined(pair[1]).read().slice(0, 600)
    dose = bad["dose"].to_numpy().copy()
    dose[555] = np.inf
    bad = bad.set_column(bad.column_names.index("dose"), "dose", pa.array(dose))
    pq.write_table(bad, tmp_path / "bad.parquet", row_group_size=250)
    rows = scan(tmp_path / "bad.parquet")
    with pytest.raises(TableError, match="column 'dose', row 556 is infinite"):
        fitted.log_prob(rows.select(pair[0].column_names), rows.select(pair[1].column_names))


def test_a_short_table_is_answered_as_a_frame_is(fitted, pair):
    assert fitted.predict(pair[0], num_samples=40).num_rows == N


@pytest.mark.usefixtures("short")
def test_where_few_rows_have_a_target_those_are_trained_on_in_memory(frames, tmp_path):
    X, y = frames
    some = y.take(pa.array([row if row % 20 == 1 else None for row in range(N)]))
    whole = X
    for name in some.column_names:
        whole = whole.append_column(name, some[name])
    pq.write_table(whole, tmp_path / "few.parquet", row_group_size=500)
    rows = scan(tmp_path / "few.parquet")
    pair = rows.select(X.column_names), rows.select(y.column_names)
    table = training_table(*pair, None, None, None, seed=1)
    assert table.stream is None
    assert 120 < table.rows <= 150
    assert (table.source % 20 == 1).all()
    assert f"{N - table.rows} of {N} rows have no observed target and were left out" in table.notes[0]
    again = encode(table.schema.target, y.take(table.source))
    np.testing.assert_array_equal(again["numeric"].value, table.x["numeric"].value)


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_long_table_is_sampled_from_part_by_part_with_noise_of_their_own(fitted, pair):
    parts = list(fitted.sample(pair[0], 3))
    assert [len(part) for part in parts] == [3 * group.rows for group in pair[0].groups]
    again = list(fitted.sample(pair[0], 3))
    assert all(one.equals(two) for one, two in zip(parts, again, strict=True))
    first = next(pair[0].parts())
    assert fitted.sample(first, 3).equals(parts[0])
    assert not fitted.sample(first, 3, part=1).equals(parts[0])


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_holes_of_a_long_table_are_filled_part_by_part(fitted, folder, pair):
    last = scan(folder / "b.parquet")
    filled = pa.concat_tables(fitted.impute(*(last.select(own.column_names) for own in pair)))
    whole = pair[1].read().slice(1700)
    assert len(filled) == len(whole)
    for name in whole.column_names:
        assert filled[name].null_count == 0
        kept = ~np.asarray(whole[name].is_null())
        assert filled[name].filter(kept).to_pylist() == whole[name].filter(kept).to_pylist()


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_plain_vae_of_a_long_table(pair):
    model = ConditionalVAE(**SMALL).fit(None, pair[1])
    assert model.sample(n=5).num_rows == 5


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_training_goes_on_with_a_long_table(pair):
    model = ConditionalVAE(**SMALL).fit(*pair)
    before = leaves_of(model.model_)
    model.partial_fit(*pair)
    assert any((a != b).any() for a, b in zip(before, leaves_of(model.model_), strict=True))


@pytest.mark.usefixtures("short")
def test_copies_of_held_out_rows_are_not_trained_on(frames, tmp_path, monkeypatch):
    """Each row stands four times in the table: three of four copies are not in the sample."""
    whole, seen = frames[0], {}
    for name in frames[1].column_names:
        whole = whole.append_column(name, frames[1][name])
    whole = whole.slice(0, N // 4).take(np.random.default_rng(0).permutation(np.arange(N) % (N // 4)))
    pq.write_table(whole, tmp_path / "copies.parquet", row_group_size=250)

    def look(model, x, *, validation, **_):
        seen.update(stream=x, held=validation)
        raise TrainingError("seen", problem="seen", row=0, entry=None)

    monkeypatch.setattr("condvae.table_models.fitting.fit", look)
    rows = scan(tmp_path)
    with pytest.raises(TrainingError):
        model = ConditionalVAE(**SMALL, validation_fraction=0.3)
        model.fit(*(rows.select(frame.column_names) for frame in frames))
    trained = [content_hashes(seen["stream"].read(i)) for i in range(len(seen["stream"].sizes))]
    assert [len(group) for group in trained] == seen["stream"].sizes.tolist()
    held = jax.tree.map(lambda leaf: leaf[recognisable(seen["held"])], seen["held"])
    assert len(jax.tree.leaves(held)[0]) > 0.7 * len(jax.tree.leaves(seen["held"])[0])
    assert not np.isin(content_hashes(held), np.concatenate(trained)).any()
    assert 0.3 * N < sum(map(len, trained)) < 0.75 * N


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("held", [False, True])
def test_a_fault_names_the_row_of_the_table(pair, monkeypatch, held):
    seen = []

    def fails(model, x, *, validation, **_):
        place = 3 if held else x.number(2, 3)
        rows = validation[0] if held else x.read(2)[0]
        seen.append(rows["numeric"].value[3])
        entry = Entry(("x", "numeric", "value"), (place, 0), 9.0, "")
        raise TrainingError("no", problem="it fails", row=place, entry=entry, held=held)

    monkeypatch.setattr("condvae.table_models.fitting.fit", fails)
    message = r"it fails; look at row \d+ of the table, column 'response'"
    with pytest.raises(TrainingError, match=message) as caught:
        ConditionalVAE(**SMALL).fit(*pair)
    row = pair[1].read().slice(caught.value.row - 1, 1)
    model = look_over(pair[0].joined(pair[1]), *pair, unknown="error", seed=0, progress=False)
    np.testing.assert_array_equal(encode(model.schema.target, row)["numeric"].value[0], seen[0])


@pytest.mark.usefixtures("short")
def test_what_cannot_be_streamed_is_refused(pair, frames, folder, tmp_path):
    model = ConditionalVAE(**SMALL)
    with pytest.raises(TableError, match="groups is for tables in memory, and this one has 3,000 rows"):
        model.fit(*pair, groups=np.zeros(N))
    with pytest.raises(TableError, match="a table in files and one in memory"):
        model.fit(pair[0], frames[1])
    with pytest.raises(TableError, match="a table in files and one in memory"):
        model.fit(frames[0], pair[1])
    pq.write_table(frames[1], tmp_path / "other.parquet")
    with pytest.raises(TableError, match="of different files"):
        model.fit(pair[0], scan(tmp_path / "other.parquet"))


def test_pandas_is_none_of_this(frames):
    assert not streaming.is_long(pd.DataFrame({"a": [1]}))
    assert streaming.one_scan(*frames) is None
