"""NGBoost (Duan et al. 2020): natural-gradient boosting of a Gaussian's mean and log-scale.

`ngboost`: `NGBRegressor()` as it comes, that is, a Normal, the log score, trees of depth 3, learning rate
0.01, 500 stages, no early stopping. Only `verbose` and the seed are set.

`ngboost-2000`: as its authors choose the number of stages for these tables: of at most 2000, the best on
20% of the training rows, held out; then all training rows with that number. Best is by log-likelihood,
which NLL is about; the authors' script takes the squared error. It chose fewer than 500 on development
splits of yacht, where 500 are overconfident, and about 1000 on energy.

Trees need no standardised columns, and the Gaussian starts at the marginal, so nothing is rescaled.
"""

import numpy as np
from ngboost import NGBRegressor
from sklearn.model_selection import train_test_split

VERSIONS = ["ngboost", "scikit-learn", "numpy"]


def make_model(seed: int, **settings) -> NGBRegressor:
    np.random.seed(seed)  # noqa: NPY002 - its trees break ties by the global generator
    return NGBRegressor(verbose=False, random_state=seed, **settings)


class NGBoost:
    def __init__(self, model: NGBRegressor, seed: int):
        self.model, self.seed = model, seed

    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.model.pred_dist(X).logpdf(y)

    def mean(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(X)

    def sample(self, X: np.ndarray, draws: int) -> np.ndarray:
        normal = self.model.pred_dist(X)
        noise = np.random.default_rng(self.seed).standard_normal((len(X), draws))
        return normal.loc[:, None] + normal.scale[:, None] * noise


def fit(X: np.ndarray, y: np.ndarray, seed: int) -> NGBoost:
    return NGBoost(make_model(seed).fit(X, y), seed)


def fit_chosen_stage(X: np.ndarray, y: np.ndarray, seed: int) -> NGBoost:
    X_train, X_held, y_train, y_held = train_test_split(X, y, test_size=0.2, random_state=seed)
    longest = make_model(seed, n_estimators=2000).fit(X_train, y_train)
    stages = [-stage.logpdf(y_held).mean() for stage in longest.staged_pred_dist(X_held)]
    chosen = make_model(seed, n_estimators=1 + int(np.argmin(stages)))
    return NGBoost(chosen.fit(X, y), seed)
