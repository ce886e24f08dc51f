"""What a process that goes on for long must not do: grow.

Twenty minutes of fitting, scoring and sampling; `LONG_RUN_MINUTES` says otherwise.
"""

import os
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from condvae import ConditionalVAE
from condvae.table_models import streaming
from condvae.tables import scan

MINUTES = float(os.environ.get("LONG_RUN_MINUTES", "20"))
SMALL = {"num_members": 2, "width": 8, "depth": 1, "num_steps": 60, "batch_size": 32}


def table(rows, seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.normal(size=rows), "kind": np.resize(["u", "v", "w"], rows)})
    y = pd.DataFrame({"x": X["a"] + rng.normal(size=rows), "y": rng.normal(size=rows)})
    y.loc[rng.random(rows) < 0.1, "y"] = np.nan
    return X, y


def resident():
    """MiB of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture
def compiled():
    """How many programs were compiled."""
    counts = [0]

    def listen(event, _, **__):
        counts[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield counts
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_nothing_grows(tmp_path, monkeypatch, compiled):
    monkeypatch.setattr(streaming, "STREAMED_ROWS", 2000)
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 700)
    whole = pd.concat(table(4000, 0), axis=1)
    pq.write_table(pa.Table.from_pandas(whole), tmp_path / "long.parquet", row_group_size=400)
    rows = scan(tmp_path / "long.parquet")
    long = rows.select(["a", "kind"]), rows.select(["x", "y"])

    def once(turn):
        turn %= 4  # of other lengths and seeds: as many as programs are kept of
        X, y = table(600 + turn, turn)
        model = ConditionalVAE(**SMALL, random_state=turn).fit(
            X, y, checkpoint=tmp_path / "run", resume=True
        )
        model.log_prob(X, y, num_samples=40)
        model.sample(X, 3)
        model.predict(X, num_samples=40)
        model.impute(X, y)
        model.save(tmp_path / "model", overwrite=True)
        loaded = ConditionalVAE.load(tmp_path / "model")
        assert len(loaded.sample(X, 2)) == 2 * len(X)
        streamed = ConditionalVAE(**SMALL, random_state=turn).fit(*long)
        assert sum(map(len, streamed.sample(long[0]))) == 4000
        for path in (tmp_path / "run").iterdir():
            if path.is_dir():
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()

    end, warm, seen = time.monotonic() + 60 * MINUTES, 0, []
    while time.monotonic() < end or len(seen) < 12:
        once(warm + len(seen))
        if warm < 6:
            warm += 1
            continue
        files = len(list(Path("/proc/self/fd").iterdir()))
        left = len(list(tmp_path.rglob("*")))
        seen.append((resident(), compiled[0], files, threading.active_count(), left))
    memory, programs, files, threads, left = (np.array(column) for column in zip(*seen, strict=True))
    third = len(seen) // 3
    print(f"{len(seen)} turns, {memory[0]:.0f} to {memory[-1]:.0f} MiB, {programs[-1]} programs")
    assert programs[-1] == programs[0]
    for counted in (files, threads, left):
        assert counted[-third:].max() <= counted[:third].max()
    assert memory[-third:].mean() < memory[:third].mean() + 30
