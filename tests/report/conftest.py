"""A page on a model of which every answer is known."""

import numpy as np
import pandas as pd
import pytest

from condvae import report


@pytest.fixture(scope="package")
def page(known, tmp_path_factory):
    """The estimator, what was found, and the page."""
    X = pd.DataFrame({"u": np.random.default_rng(0).normal(size=200)})
    y = known.estimator.sample(X).reset_index(drop=True)
    y.loc[::9, "g"] = None
    path = tmp_path_factory.mktemp("report") / "report.html"
    diagnosis = report.write(
        known.estimator, X, y, path, title="A </script> of “ours”", train=(X[:80], y[:80])
    )
    return known.estimator, diagnosis, path.read_text()
